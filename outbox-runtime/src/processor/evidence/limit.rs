//! A rate limit: the pauses of a destination and the slow start after them.
//!
//! During a pause nothing is sent to the destination. Then the destination is *half-open*: one
//! event is tried, and nothing else until its answer arrives. Another refusal starts another pause,
//! twice as long if the service asks for none or for the same again; any other answer opens the
//! destination for one event at a time. For each eight pauses' worth of time without a refusal, one
//! more attempt may be under way, until that is no limit any more; the next refusal resets it to
//! one. This is an additive increase, as in the congestion avoidance of TCP (RFC 5681, section
//! 3.1), with pauses in place of round trips.
//!
//! A service that allows a number of calls per second is thus called until it refuses one, and
//! accepts calls again after the next pause. The increase depends on time, not on a count of
//! deliveries, as fast handlers make many deliveries before they meet the limit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::claim::ClaimOrder;
use crate::clock;

/// The first pause if the service does not ask for one, and the longest pause that it did not ask
/// for.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After this many refusals in a row, every pause is at least the longest one, whatever the service
/// asks for.
const LONGEST_PAUSE_AFTER: u32 = 6;

/// After this many pauses' worth of time without a refusal, or after the longest step, one more
/// attempt may be under way.
const STEP: u32 = 8;
const LONGEST_STEP: Duration = Duration::from_secs(600);

/// A recent rate limit.
#[derive(Debug)]
pub(super) struct Limit {
    /// Nothing is sent before this time.
    pub(super) until: DateTime<Utc>,
    /// The pause that the service asked for, and the actual one.
    asked: Duration,
    pub(super) pause: Duration,
    /// The time of the first refusal since the last pass.
    pub(super) since: DateTime<Utc>,
    /// The number of refusals since then.
    pub(super) refusals: u32,
    /// How many of them followed a pause that was too short.
    in_a_row: u32,
    /// Attempts with a lower number began before this pause.
    pub(super) number: u64,
    /// When the service first gave another answer than a refusal.
    open_since: Option<DateTime<Utc>>,
    /// The user refused last; other users are tried first.
    pub(super) last_user: String,
    /// The message of the last refusal.
    pub(super) last_error: String,
}

impl Limit {
    /// A new pause, after a refusal that asks for `after`. It replaces the earlier limit.
    pub(super) fn met(
        earlier: Option<&Self>,
        after: Duration,
        number: u64,
        user: &str,
        error: String,
        now: DateTime<Utc>,
    ) -> Self {
        let in_vain = earlier.filter(|earlier| earlier.open_since.is_none());
        let in_a_row = in_vain.map_or(0, |earlier| earlier.in_a_row.saturating_add(1));
        let pause = match in_vain {
            _ if in_a_row >= LONGEST_PAUSE_AFTER => after.max(LONGEST_PAUSE),
            // The pause that the service asked for was too short.
            Some(earlier) if after.is_zero() || after == earlier.asked => {
                after.max(earlier.pause.saturating_mul(2).min(LONGEST_PAUSE))
            }
            _ if after.is_zero() => FIRST_PAUSE,
            _ => after,
        };
        Self {
            until: clock::after(now, pause),
            asked: after,
            pause,
            since: in_vain.map_or(now, |earlier| earlier.since),
            refusals: in_vain.map_or(1, |earlier| earlier.refusals.saturating_add(1)),
            in_a_row,
            number,
            open_since: None,
            last_user: user.to_owned(),
            last_error: error,
        }
    }

    /// Records that an attempt that was under way when the pause began was refused, too, which
    /// changes nothing unless the service asks for a longer pause.
    pub(super) fn met_again(&mut self, after: Duration, now: DateTime<Utc>) {
        self.refusals = self.refusals.saturating_add(1);
        self.until = self.until.max(clock::after(now, after));
    }

    /// Records another answer than a refusal to an attempt that began under `number`. Returns
    /// whether the limit is over, as it allows as many attempts under way as the run does, which is
    /// `most`.
    pub(super) fn passed(&mut self, number: u64, most: usize, now: DateTime<Utc>) -> bool {
        if number < self.number {
            return false;
        }
        self.open_since.get_or_insert(now);
        self.until <= now && self.most(now) >= most
    }

    pub(super) fn shift(&mut self, jump: TimeDelta) {
        self.since = clock::shifted(self.since, jump);
        self.until = clock::shifted(self.until, jump);
        self.open_since = self.open_since.map(|since| clock::shifted(since, jump));
    }

    /// Whether the pause ended so long ago that the next burst may probe the limit afresh.
    pub(super) fn is_old(&self, now: DateTime<Utc>) -> bool {
        clock::after(self.until, LONGEST_STEP) <= now
    }

    /// Whether nothing has got through since the pause.
    pub(super) fn is_on_trial(&self) -> bool {
        self.open_since.is_none()
    }

    /// Whether the service also refused the attempt after a pause, and nothing has got through
    /// since.
    pub(super) fn is_in_vain(&self) -> bool {
        self.is_on_trial() && self.in_a_row > 0
    }

    /// The order of the attempts: alternately the least recently tried event and the newest, so
    /// that a newcomer need not wait for all events that were refused before it.
    pub(super) fn order(&self) -> ClaimOrder {
        if self.in_a_row.is_multiple_of(2) {
            ClaimOrder::LeastRecent
        } else {
            ClaimOrder::Newest
        }
    }

    /// The maximum number of attempts under way that began under this limit.
    pub(super) fn most(&self, now: DateTime<Utc>) -> usize {
        if self.until > now {
            return 0;
        }
        let Some(since) = self.open_since else {
            return 1;
        };
        let step = (self.pause.saturating_mul(STEP)).min(LONGEST_STEP);
        let open = (now - since.max(self.until)).to_std().unwrap_or_default();
        let steps = open.as_nanos() / step.as_nanos().max(1);
        usize::try_from(steps)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }
}
