//! Waiting for something to happen to the events of a run, for those who look at them again each time.

use std::time::Duration;

use tokio::sync::watch;

use super::Running;
use crate::clock::{self, Sleep};
use crate::repository::Revision;

/// What happens until a time is up: by the clock of the store, or by the machine's, as that goes on where the other is moved by hand.
pub(super) struct Changes<'r> {
    running: &'r Running,
    deadline: Sleep,
    patience: Sleep,
    progress: watch::Receiver<u64>,
    seen: Revision,
}

impl Running {
    /// What happens from now on, for at most `timeout`. The run looks for work at once.
    pub(super) fn changes_within(&self, timeout: Duration) -> Changes<'_> {
        let repository = &self.inner.shared.repository;
        let deadline = self.inner.shared.clock.sleep(timeout);
        self.trigger();
        Changes {
            running: self,
            deadline,
            patience: Box::pin(clock::pause(timeout)),
            progress: self.inner.progress.subscribe(),
            seen: repository.revision(),
        }
    }
}

impl Changes<'_> {
    /// To be called before looking, so that what happens meanwhile is not missed.
    pub(super) fn look(&mut self) {
        self.progress.mark_unchanged();
        self.seen = self.running.inner.shared.repository.revision();
    }

    /// Waits for something to have happened since the last look. `false`: the time is up.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            () = &mut self.deadline => false,
            () = &mut self.patience => false,
            // What this run records, and what others do to the store.
            _ = self.progress.changed() => true,
            _ = self.running.inner.shared.repository.changed(self.seen) => true,
        }
    }
}
