//! Activity: counts the changes of a run, for its own rounds and for waiters on progress.

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::idle::Idle;

/// Counts everything that a round can change, to detect rounds that change nothing.
pub(super) struct Activity {
    count: u64,
    /// Incremented by [`made_progress`](Self::made_progress), which wakes those who wait for
    /// progress.
    progress: watch::Sender<u64>,
    idle: Idle,
}

impl Activity {
    pub(super) fn new(progress: watch::Sender<u64>) -> Self {
        Self {
            count: 0,
            progress,
            idle: Idle::default(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Notes a change that only this run cares about.
    pub(super) fn note(&mut self) {
        self.count += 1;
    }

    /// Notes a change that others wait for.
    pub(super) fn made_progress(&mut self) {
        self.note();
        self.progress
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether to go on at once, and if not, until when to sleep: [`Idle::delayed`].
    pub(super) fn delayed(
        &mut self,
        is_busy: bool,
        alarm: Option<DateTime<Utc>>,
        has_changed: bool,
        now: DateTime<Utc>,
    ) -> (bool, Option<DateTime<Utc>>) {
        self.idle.delayed(is_busy, alarm, has_changed, now)
    }
}
