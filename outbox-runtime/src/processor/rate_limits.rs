//! Rate limits: what it means for a handler set that the service behind it wants a pause.
//!
//! While a set pauses, nothing is sent by it. Then it is *half-open*, as of a circuit breaker (M. Nygard, *Release It!*): one event
//! is tried, and nothing else until its answer is there. Where that is another refusal, the set pauses again; any other answer of
//! the service opens the set, at first for one event at a time. For each eight pauses' worth of time without a refusal it
//! may send one more at once, until that is no limit any more, and the next refusal makes it one again: an additive increase, as in
//! the congestion avoidance of TCP (RFC 5681, section 3.1), with pauses in the place of round trips.
//!
//! A service that allows so many calls a second is then asked until it refuses one call, and in the next pause has a call to give.
//! Time decides, and not a count of deliveries, as handlers that answer quickly make many of those before they meet the limit.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::routes::HandlerIndex;
use crate::clock;

/// The first pause for a service that does not say how long it is to be, and the longest that was not asked for.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After so many pauses' worth of time without a refusal one event more may be sent at once, or after the longest step.
const STEP: u32 = 8;
const LONGEST_STEP: Duration = Duration::from_secs(600);

/// The handler sets that met a rate limit lately.
#[derive(Debug, Default)]
pub(super) struct RateLimits {
    sets: BTreeMap<HandlerIndex, Limit>,
    /// Counts the pauses of all sets. An attempt that began before the last pause of its set did not heed it.
    pauses: u64,
}

#[derive(Debug)]
struct Limit {
    /// Nothing is sent before.
    until: DateTime<Utc>,
    /// What the service asked for the last time, and how long the pause was to be.
    asked: Duration,
    pause: Duration,
    /// Attempts that began earlier did not heed this pause.
    number: u64,
    /// When the service answered something else than another refusal.
    open_since: Option<DateTime<Utc>>,
}

/// How much of a handler set may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) handler: HandlerIndex,
    pub(super) most: usize,
    /// Attempts that began earlier are none of this.
    pub(super) number: u64,
}

impl RateLimits {
    pub(super) fn are_none(&self) -> bool {
        self.sets.is_empty()
    }

    /// What an attempt that begins now is to be remembered with.
    pub(super) fn number(&self) -> u64 {
        self.pauses
    }

    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for limit in self.sets.values_mut() {
            limit.until = clock::shifted(limit.until, jump);
            limit.open_since = limit.open_since.map(|since| clock::shifted(since, jump));
        }
    }

    /// The service wants to be left alone for `after`; the attempt began under `number`.
    pub(super) fn met(
        &mut self,
        handler: HandlerIndex,
        number: u64,
        after: Duration,
        now: DateTime<Utc>,
    ) {
        let last = self.sets.get_mut(&handler);
        let pause = match last {
            // It was under way when the pause began: nothing new, unless the service wants a longer one.
            Some(last) if number < last.number => {
                last.until = last.until.max(clock::after(now, after));
                return;
            }
            // What was asked for was not enough.
            Some(last) if last.open_since.is_none() && (after.is_zero() || after == last.asked) => {
                after.max((last.pause * 2).min(LONGEST_PAUSE))
            }
            _ if after.is_zero() => FIRST_PAUSE,
            _ => after,
        };
        self.pauses += 1;
        let limit = Limit {
            until: clock::after(now, pause),
            asked: after,
            pause,
            number: self.pauses,
            open_since: None,
        };
        self.sets.insert(handler, limit);
    }

    /// The service answered something else to an attempt that began under `number`; a set may have `most` under way anyway.
    pub(super) fn passed(
        &mut self,
        handler: HandlerIndex,
        number: u64,
        most: usize,
        now: DateTime<Utc>,
    ) {
        let Some(limit) = self.sets.get_mut(&handler) else {
            return;
        };
        if number < limit.number {
            return;
        }
        limit.open_since.get_or_insert(now);
        if limit.until <= now && limit.most(now) >= most {
            self.sets.remove(&handler);
        }
    }

    /// Until when nothing may be sent by this handler set.
    pub(super) fn pause(&self, handler: HandlerIndex, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let limit = self.sets.get(&handler)?;
        Some(limit.until).filter(|until| *until > now)
    }

    /// When the pauses end.
    pub(super) fn ends(&self) -> impl Iterator<Item = DateTime<Utc>> {
        self.sets.values().map(|limit| limit.until)
    }

    /// The sets that do not pause and may not have as much under way as others.
    pub(super) fn shares(&self, now: DateTime<Utc>) -> impl Iterator<Item = Share> {
        let sets = self
            .sets
            .iter()
            .filter(move |(_, limit)| limit.until <= now);
        sets.map(move |(&handler, limit)| Share {
            handler,
            most: limit.most(now),
            number: limit.number,
        })
    }
}

impl Limit {
    fn most(&self, now: DateTime<Utc>) -> usize {
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
