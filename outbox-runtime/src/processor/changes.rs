//! Waiting for something to happen to the events of a run, for those who look at them again each time.

use std::time::Duration;

use tokio::sync::watch;

use super::Running;
use crate::clock::Sleep;
use crate::repository::{OutboxRepository, Revision};

/// What happens until a time is up.
pub(super) struct Changes<'r> {
    running: &'r Running,
    deadline: Sleep,
    progress: watch::Receiver<u64>,
    seen: Revision,
}

impl Running {
    /// What happens from now on, for at most `timeout`. The run looks for work at once.
    pub(super) fn changes_within(&self, timeout: Duration) -> Changes<'_> {
        let repository = &self.shared.repository;
        let deadline = self.shared.clock.sleep(timeout);
        self.trigger();
        Changes {
            running: self,
            deadline,
            progress: self.progress.subscribe(),
            seen: repository.revision(),
        }
    }
}

impl Changes<'_> {
    /// To be called before looking, so that what happens meanwhile is not missed.
    pub(super) fn look(&mut self) {
        self.progress.mark_unchanged();
        self.seen = self.running.shared.repository.revision();
    }

    /// Waits for something to have happened since the last look. `false`: the time is up.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            () = &mut self.deadline => false,
            // What this run records, and what others do to the store.
            _ = self.progress.changed() => true,
            _ = self.running.shared.repository.changed(self.seen) => true,
        }
    }
}
