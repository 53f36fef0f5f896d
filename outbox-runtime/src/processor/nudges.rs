//! Nudges: signals to a run that need no answer. None is lost, no matter how many arrive or how
//! busy the run is.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Flags that a handle sets and its run takes.
#[derive(Debug, Default)]
pub(super) struct Nudges {
    trigger: AtomicBool,
    online: AtomicBool,
    has_begun: AtomicBool,
    notify: Notify,
}

impl Nudges {
    /// Tells the run to look for work now.
    pub(super) fn trigger(&self) {
        self.trigger.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Tells the run that the network is back.
    pub(super) fn online(&self) {
        self.online.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    pub(super) fn take_trigger(&self) -> bool {
        self.trigger.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_online(&self) -> bool {
        self.online.swap(false, Ordering::AcqRel)
    }

    /// Notes that the run's task has started.
    pub(super) fn began(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Resolves once there was a nudge since the last call.
    pub(super) async fn nudged(&self) {
        self.notify.notified().await;
    }
}
