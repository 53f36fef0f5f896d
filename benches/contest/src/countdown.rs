//! Waiting for the last of many calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts calls and signals the last one.
#[derive(Debug)]
pub struct Countdown {
    left: AtomicUsize,
    over: Notify,
}

impl Countdown {
    /// For this many calls.
    #[must_use]
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(count),
            over: Notify::new(),
        })
    }

    /// Counts one call.
    pub fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.over.notify_one();
        }
    }

    /// Resolves with the last call. For one caller.
    pub async fn over(&self) {
        self.over.notified().await;
    }
}
