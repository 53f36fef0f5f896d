//! A flag that is set once and awaited by many.

use tokio::sync::watch;

/// Tells tasks and threads to end. Clones share one flag.
///
/// It stands for the type of that purpose in `tokio-util`, which brings four crates for these lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(watch::Sender<bool>);

impl Cancel {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for good.
    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when the flag is set, at once if it is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(crate) async fn cancelled(&self) {
        // The sender is `self`, so it outlives the wait, and the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|is_set| *is_set).await;
    }
}
