//! Alarms: when the run has something to do by itself, and the back-off from a failing store.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock;

/// The back-off after the first storage error. It doubles up to the longest.
pub(super) const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// Due times.
#[derive(Debug)]
pub(super) struct Alarms {
    /// When the store next has something due, as far as is known.
    due_at: Option<DateTime<Utc>>,
    /// When delivered events are cleaned up next; `None` while the store has none.
    clean_up_at: Option<DateTime<Utc>>,
    back_off: Option<BackOff>,
    /// When this round began. Pauses that ended since then are left to the next round.
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
            // Look at once, to find the work of processes that died before this run began.
            due_at: Some(now),
            clean_up_at: Some(clean_up_at),
            back_off: None,
            looked_at: now,
        }
    }

    /// Notes that a round begins.
    pub(super) fn begin_round(&mut self, now: DateTime<Utc>) {
        self.looked_at = now;
    }

    /// When the round began.
    pub(super) fn looked_at(&self) -> DateTime<Utc> {
        self.looked_at
    }

    /// Sets when the store has something due; `None` if nothing is.
    pub(super) fn set_due(&mut self, due_at: Option<DateTime<Utc>>) {
        self.due_at = due_at;
    }

    pub(super) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    pub(super) fn is_clean_up_due(&self, now: DateTime<Utc>) -> bool {
        self.clean_up_at.is_some_and(|at| at <= now)
    }

    /// Sets when to clean up next; `None` if there is nothing to clean up.
    pub(super) fn set_clean_up(&mut self, at: Option<DateTime<Utc>>) {
        self.clean_up_at = at;
    }

    /// Schedules a clean-up at this time, unless one is scheduled already.
    pub(super) fn clean_up_by(&mut self, at: DateTime<Utc>) {
        self.clean_up_at.get_or_insert(at);
    }

    /// Backs off after a store error. Returns the delay and its end. The delay is shorter than
    /// `shortest_lease`, so that held leases can be renewed before others may take the events.
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

    /// Ends the back-off: the store works, or was reopened. Returns whether it had failed.
    pub(super) fn end_back_off(&mut self) -> bool {
        self.back_off.take().is_some()
    }

    /// Lets the next request to the store go at once.
    pub(super) fn cut_back_off_short(&mut self, now: DateTime<Utc>) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = back_off.until.min(now);
        }
    }

    /// Whether the store has failed and not worked since.
    pub(super) fn has_failed(&self) -> bool {
        self.back_off.is_some()
    }

    /// Whether the back-off has not ended yet.
    pub(super) fn is_backing_off(&self, now: DateTime<Utc>) -> bool {
        self.retry_at().is_some_and(|until| until > now)
    }

    /// When the back-off ends.
    pub(super) fn retry_at(&self) -> Option<DateTime<Utc>> {
        self.back_off.as_ref().map(|back_off| back_off.until)
    }

    /// Follows a clock jump. Due times in the store are wall-clock times, so ask the store again.
    pub(super) fn follow_jump(&mut self, jump: TimeDelta, now: DateTime<Utc>) {
        if let Some(back_off) = &mut self.back_off {
            back_off.until = clock::shifted(back_off.until, jump);
        }
        self.due_at = Some(now);
    }

    /// When to ask the store next. Due events count only if the run may claim.
    pub(super) fn next(&self, may_claim: bool) -> Option<DateTime<Utc>> {
        let due = self.due_at.filter(|_| may_claim);
        [due, self.clean_up_at].into_iter().flatten().min()
    }
}
