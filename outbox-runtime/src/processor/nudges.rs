//! Nudges: what a run is told without an answer. None is lost, however many come and however busy the run is.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Flags that a handle sets and its run takes.
#[derive(Debug, Default)]
pub(super) struct Nudges {
    trigger: AtomicBool,
    online: AtomicBool,
    has_begun: AtomicBool,
    told: Notify,
}

impl Nudges {
    /// Look for work now.
    pub(super) fn trigger(&self) {
        self.trigger.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// The network is back.
    pub(super) fn online(&self) {
        self.online.store(true, Ordering::Release);
        self.told.notify_one();
    }

    pub(super) fn take_trigger(&self) -> bool {
        self.trigger.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_online(&self) -> bool {
        self.online.swap(false, Ordering::AcqRel)
    }

    /// The run's task was started.
    pub(super) fn began(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Resolves when there was a nudge since the last time.
    pub(super) async fn nudged(&self) {
        self.told.notified().await;
    }
}
