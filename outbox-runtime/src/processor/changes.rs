//! Waits for changes to the events of a run. Callers look at the events again after each change.

use std::time::Duration;

use tokio::sync::watch;

use super::Running;
use crate::clock::{self, Sleep};
use crate::repository::Revision;

/// Changes until a deadline, by the store's clock or by the machine's, whichever comes first: the
/// machine's clock advances even where the store's is moved manually.
pub(super) struct Changes<'r> {
    running: &'r Running,
    deadline: Sleep,
    patience: Sleep,
    progress: watch::Receiver<u64>,
    seen: Revision,
}

impl Running {
    /// Changes from now on, for at most `timeout`. Makes the run look for work at once.
    pub(super) fn changes_within(&self, timeout: Duration) -> Changes<'_> {
        let queue = &self.inner.shared.queue;
        let deadline = self.inner.shared.clock.sleep(timeout);
        self.trigger();
        Changes {
            running: self,
            deadline,
            patience: Box::pin(clock::pause(timeout)),
            progress: self.inner.progress.subscribe(),
            seen: queue.revision(),
        }
    }
}

impl Changes<'_> {
    /// Call this before looking at the events, so that no change meanwhile is missed.
    pub(super) fn look(&mut self) {
        self.progress.mark_unchanged();
        self.seen = self.running.inner.shared.queue.revision();
    }

    /// Waits until something has changed since the last look. Returns `false` if the time is up.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            () = &mut self.deadline => false,
            () = &mut self.patience => false,
            // Outcomes that this run records, and changes that others make to the store.
            _ = self.progress.changed() => true,
            _ = self.running.inner.shared.queue.changed(self.seen) => true,
        }
    }
}
