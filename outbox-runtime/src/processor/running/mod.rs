//! Handles on a run: nudges, and what it runs for.

use std::fmt;
use std::sync::Arc;

use crate::cancel::Cancel;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::warn;

use super::command::Command;
use super::ending::Ending;
use super::health::Health;
use super::nudges::Nudges;
use super::outcomes::RunOutcome;
use super::shared::Shared;
use super::unhandled_types::Looked;
use crate::repository::OutboxRepository;

mod asking; // what a run tells about itself and about its events
mod stopping; // the end of a run, and its suspension

/// A handle on a run of a processor.
///
/// Cloning is cheap; all clones refer to the same run.
///
/// The guide: [watching](https://docs.rs/outbox-guide/latest/outbox_guide/watching/).
///
/// # Drop
///
/// Dropping the last clone begins a [`stop`](Self::stop) without waiting for it. So
/// `let _ = processor.start(..)` stops the run before it begins, because `_` drops the handle at
/// once: bind the handle to a name, or [`detach`](Self::detach) it.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use std::time::Duration;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let processor = Processor::builder(store.clone()).handle::<Goal>(|_| async { Ok(()) }).build()?;
/// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
/// let running = processor.start("user-1");
/// goal.enqueue_update().on(&store).await?;
///
/// // A button "Synchronize now", and its result.
/// let flushed = running.flush(goal.id, Duration::from_secs(5)).await?;
/// assert!(flushed.is_delivered());
///
/// // A line about the state.
/// let statistics = running.statistics().await?;
/// println!("{} changes of {:?} wait", statistics.undelivered(), running.user_id());
/// assert!(running.health().is_healthy());
///
/// // Before the program ends.
/// let stopped = running.stop().await?;
/// assert_eq!(stopped.given_back, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping this stops the processor: bind it to a name (not `_`), or `.detach()` it"]
#[derive(Clone)]
pub struct Running {
    pub(super) inner: Arc<Inner>,
}

/// The state that all clones of a handle share.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) user_id: Option<String>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) progress: watch::Sender<u64>,
    pub(super) health: watch::Receiver<Health>,
    /// How the run ended; `None` until then.
    pub(super) ending: watch::Receiver<Option<Ending>>,
    /// The stored types that nobody handles; `None` until the run has looked.
    pub(super) orphans: watch::Receiver<Option<Looked>>,
    /// The sender of the run, which ends with it.
    pub(super) outcomes: broadcast::WeakSender<RunOutcome>,
    pub(super) stop: Cancel,
    pub(super) hurry: Cancel,
}

impl Running {
    /// Looks for work now, and probes now where an outage is waiting for its next probe. Needed
    /// only after writing to the file in a way that this process cannot notice.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// # fn on_sql_of_another_program(running: &Running) {
    /// // Another program has deleted rows of the outbox with SQL of its own.
    /// running.trigger();
    /// # }
    /// ```
    pub fn trigger(&self) {
        self.inner.nudges.trigger();
    }

    /// Tells the run that the network is back: work that was paused because of it resumes at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// /// Called by the operating system when the connection changes.
    /// fn on_network_change(running: &Running, is_connected: bool) {
    ///     if is_connected {
    ///         running.online();
    ///     }
    /// }
    /// ```
    pub fn online(&self) {
        self.inner.nudges.online();
    }

    /// The store whose events this run delivers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, Running, StoreError};
    /// # async fn show(running: &Running) -> Result<(), StoreError> {
    /// let waiting = running.store().fetch_pending_events(running.user_id(), Some(20)).await?;
    /// # drop(waiting);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn store(&self) -> &Arc<dyn OutboxRepository> {
        &self.inner.shared.repository
    }

    /// The user whose events this run delivers; `None` if it delivers those of all users.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.inner.user_id.as_deref()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() && !self.nudges.has_begun() {
            warn!(
                "a run was stopped before it began because its handle was dropped; `let _ = ..` drops \
                 it at once, so bind the handle to a name or detach it"
            );
        }
        self.stop.cancel();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
