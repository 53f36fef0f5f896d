//! A rate limit: what it means for a destination that it wants a pause.
//!
//! While it lasts nothing is sent there. Then the destination is *half-open*: one event is tried, and
//! nothing else until its answer is there. Another refusal is another pause, twice as long where the
//! service asks for none or the same again; any other answer opens the destination for one event at a time. For each eight pauses' worth of time without
//! a refusal it may have one more under way, until that is no limit any more, and the next refusal
//! makes it one again: an additive increase, as in the congestion avoidance of TCP (RFC 5681, section
//! 3.1), with pauses in the place of round trips.
//!
//! A service that allows so many calls a second is then asked until it refuses one call, and in the
//! next pause has a call to give. Time decides, and not a count of deliveries, as handlers that answer
//! quickly make many of those before they meet the limit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::claim::ClaimOrder;
use crate::clock;

/// The first pause for a service that does not say how long it is to be, and the longest that was not
/// asked for.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so many refusals in a row the longest pause is the shortest, whatever the service asks for.
const MANY: u32 = 6;

/// After so many pauses' worth of time without a refusal one event more may be sent at once, or after
/// the longest step.
const STEP: u32 = 8;
const LONGEST_STEP: Duration = Duration::from_secs(600);

/// A rate limit that was met lately.
#[derive(Debug)]
pub(super) struct Limit {
    /// Nothing is sent before.
    pub(super) until: DateTime<Utc>,
    /// What the service asked for, and how long the pause was to be.
    asked: Duration,
    pub(super) pause: Duration,
    /// When the first attempt was refused since somebody got through.
    pub(super) since: DateTime<Utc>,
    /// How many were since then.
    pub(super) refusals: u32,
    /// How many of them tried whether a pause was long enough.
    in_a_row: u32,
    /// Attempts that began earlier did not heed this pause.
    pub(super) number: u64,
    /// When the service answered something else than another refusal.
    open_since: Option<DateTime<Utc>>,
    /// Who met it last; somebody else is tried first.
    pub(super) last_user: String,
    /// What the last refusal said.
    pub(super) last_error: String,
}

impl Limit {
    /// The service wants to be left alone for `after`, which ends what was known of an earlier limit.
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
            _ if in_a_row >= MANY => after.max(LONGEST_PAUSE),
            // What was asked for was not enough.
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

    /// An attempt that was under way when the pause began was refused, too: nothing new, unless the
    /// service wants a longer pause.
    pub(super) fn met_again(&mut self, after: Duration, now: DateTime<Utc>) {
        self.refusals = self.refusals.saturating_add(1);
        self.until = self.until.max(clock::after(now, after));
    }

    /// The service answered something else to an attempt that began under `number`. `true`: where
    /// `most` may be under way anyway, it is no limit any more.
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

    /// Whether the pause ended so long ago that the next burst may try how much there may be.
    pub(super) fn is_old(&self, now: DateTime<Utc>) -> bool {
        clock::after(self.until, LONGEST_STEP) <= now
    }

    /// Whether nobody has got through since the pause.
    pub(super) fn is_on_trial(&self) -> bool {
        self.open_since.is_none()
    }

    /// Whether the service refused what was tried after a pause, too, and nobody has got through
    /// since.
    pub(super) fn is_in_vain(&self) -> bool {
        self.is_on_trial() && self.in_a_row > 0
    }

    /// Which event is tried: alternately the one that was not tried for longest and the newest, so
    /// that a newcomer need not wait for everything that was refused before it.
    pub(super) fn order(&self) -> ClaimOrder {
        if self.in_a_row.is_multiple_of(2) {
            ClaimOrder::LeastRecent
        } else {
            ClaimOrder::Newest
        }
    }

    /// How many attempts that heed it may be under way.
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
