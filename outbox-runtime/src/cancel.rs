//! A one-shot cancellation flag.

use tokio::sync::watch;

/// A cancellation signal for tasks and threads. Clones share one flag.
///
/// Replaces `tokio_util::sync::CancellationToken`, which would add four crates to the dependency
/// tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(watch::Sender<bool>);

impl Cancel {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the flag. It cannot be cleared.
    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the flag is set; returns immediately if it already is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn cancelled(&self) {
        // `self` holds the sender, so the channel cannot close during the wait.
        let _ = self.0.subscribe().wait_for(|is_set| *is_set).await;
    }
}
