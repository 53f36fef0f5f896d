//! Alarms: when the run has something to do by itself, and how long it leaves a failing store
//! alone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock;

/// After a storage error the store is left alone for this long; doubled up to the longest.
pub(super) const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// What is due when.
#[derive(Debug)]
pub(super) struct Alarms {
    /// When the store, as far as is known, has something due.
    due_at: Option<DateTime<Utc>>,
    /// When delivered events are cleaned up next; `None` while there are none.
    clean_up_at: Option<DateTime<Utc>>,
    back_off: Option<BackOff>,
    /// When this round began to look: what became due since is for the next one.
    looked_at: DateTime<Utc>,
}

#[derive(Debug)]
struct BackOff {
    until: DateTime<Utc>,
    delay: Duration,
}

impl Alarms {
    pub(super) fn new(now: DateTime<Utc>, clean_up_at: DateTime<Utc>) -> Self {
        Self {
            // Whatever died before this run began is found first.
            due_at: Some(now),
            clean_up_at: Some(clean_up_at),
            back_off: None,
            looked_at: now,
        }
    }

    /// A round begins.
    pub(super) fn begin_round(&mut self, now: DateTime<Utc>) {
        self.looked_at = now;
    }

    /// When the round began.
    pub(super) fn looked_at(&self) -> DateTime<Utc> {
        self.looked_at
    }

    /// When the store has something due; `None` where nothing is.
    pub(super) fn set_due(&mut self, due_at: Option<DateTime<Utc>>) {
        self.due_at = due_at;
    }

    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    pub(super) fn is_clean_up_due(&self, now: DateTime<Utc>) -> bool {
        self.clean_up_at.is_some_and(|at| at <= now)
    }

    /// When to clean up next; `None` where there is nothing to clean up.
    pub(super) fn set_clean_up(&mut self, at: Option<DateTime<Utc>>) {
        self.clean_up_at = at;
    }

    /// There is something to clean up by then, if not earlier.
    pub(super) fn clean_up_by(&mut self, at: DateTime<Utc>) {
        self.clean_up_at.get_or_insert(at);
    }

    /// The store has failed. Returns for how long it is left alone: for less than a lease of
    /// `shortest_lease`, so that what is held is renewed before others may take it.
    pub(super) fn begin_back_off(
        &mut self,
        shortest_lease: Option<Duration>,
        now: DateTime<Utc>,
    ) -> (Duration, DateTime<Utc>) {
        let delay = self.back_off.as_ref().map_or(FIRST_BACK_OFF, |last| {
            (last.delay * 2).min(LONGEST_BACK_OFF)
        });
        let soon = shortest_lease.map(|lease| lease / 6);
        let wait = soon.map_or(delay, |soon| delay.min(soon.max(FIRST_BACK_OFF)));
        let until = clock::after(now, wait);
        self.back_off = Some(BackOff { until, delay });
        (wait, until)
    }

    /// The store works, or is another one. Returns whether it had failed.
    pub(super) fn end_back_off(&mut self) -> bool {
        self.back_off.take().is_some()
    }

    /// The store may be asked at once.
    pub(super) fn cut_back_off_short(&mut self, now: DateTime<Utc>) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = back_off.until.min(now);
        }
    }

    /// The store has failed and did nothing since.
    pub(super) fn has_failed(&self) -> bool {
        self.back_off.is_some()
    }

    /// The store is left alone for now.
    pub(super) fn is_backing_off(&self, now: DateTime<Utc>) -> bool {
        self.retry_at().is_some_and(|until| until > now)
    }

    /// When a store that failed is asked again.
    pub(super) fn retry_at(&self) -> Option<DateTime<Utc>> {
        self.back_off.as_ref().map(|back_off| back_off.until)
    }

    /// The clock was set. What the store has due is due by the wall clock: it is asked again.
    pub(super) fn follow_jump(&mut self, jump: TimeDelta, now: DateTime<Utc>) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = clock::shifted(back_off.until, jump);
        }
        self.due_at = Some(now);
    }

    /// When the store is asked next, for events only where some may be claimed.
    pub(super) fn next(&self, may_claim: bool) -> Option<DateTime<Utc>> {
        let due = self.due_at.filter(|_| may_claim);
        [due, self.clean_up_at].into_iter().flatten().min()
    }
}
