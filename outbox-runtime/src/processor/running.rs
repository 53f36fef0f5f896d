//! A processor at work: what can be asked of it, and stopping it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Shared;
use super::health::{Ending, Health};
use super::nudges::Nudges;
use super::run::Command;
use crate::entity::EntityId;
use crate::error::{StoreError, StoreErrorKind};
use crate::repository::OutboxRepository;
use crate::statistics::{Explanation, OutboxStatistics, WaitsFor};
use crate::waiting;

/// A handle on a processor at work.
///
/// Cloning is cheap; all clones are the same run.
///
/// # Drop
///
/// Dropping the last clone begins a [`stop`](Self::stop) that nobody waits for. So `let _ = processor.start(..)` stops the run before
/// it has begun, as `_` keeps nothing: bind the handle to a name, or [`detach`](Self::detach) it.
#[must_use = "dropping this stops the processor: bind it to a name (not `_`), or `.detach()` it"]
#[derive(Clone)]
pub struct Running {
    pub(super) inner: Arc<Inner>,
}

/// What all clones of a handle share.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) user_id: Option<String>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) progress: watch::Sender<u64>,
    pub(super) health: watch::Receiver<Health>,
    /// How the run ended, once it has.
    pub(super) ending: watch::Receiver<Option<Ending>>,
    pub(super) stop: CancellationToken,
    pub(super) hurry: CancellationToken,
}

/// What a stop found under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// Handlers that answered while it waited for them.
    pub finished: usize,
    /// Handlers that did not answer in time. Their events were given back, without a counted attempt.
    pub given_back: usize,
}

impl Running {
    /// Looks for work now, and probes now where the network was gone. Needed only after writing to the file by means that
    /// this process cannot notice.
    pub fn trigger(&self) {
        self.inner.nudges.trigger();
    }

    /// Says that the network is back: what was paused for its sake goes on at once.
    pub fn online(&self) {
        self.inner.nudges.online();
    }

    /// How many events of this run's user (or of all) stand where.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn statistics(&self) -> Result<OutboxStatistics, StoreError> {
        let repository = &self.inner.shared.repository;
        repository.statistics(self.inner.user_id.as_deref()).await
    }

    /// Why an entity is not delivered, as far as this run and its store know.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn explain(&self, entity_id: impl Into<EntityId>) -> Result<Explanation, StoreError> {
        let user_id = self.inner.user_id.as_deref();
        self.explain_entity(&entity_id.into(), user_id).await
    }

    pub(super) async fn explain_entity(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        let repository = &self.inner.shared.repository;
        let mut explanation = repository.explain(entity_id, user_id).await?;
        let is_free = explanation.waits_for == WaitsFor::Worker;
        // A handler may be done with an event that is in doubt.
        let may_be_in_doubt = matches!(explanation.waits_for, WaitsFor::Handler { .. });
        // What it waits for beside its due time may take longer than that, or end with it and say
        // more.
        let due_at = match explanation.waits_for {
            WaitsFor::DueTime { at, .. } => Some(at),
            _ => None,
        };
        // Inside a transaction of the store, what the run knows cannot be waited for.
        let may_ask = waiting::refuse_to_wait_for_a_run("explain").is_ok();
        if may_ask
            && (is_free || may_be_in_doubt || due_at.is_some())
            && let Some(first) = &explanation.first
        {
            let (reply, answer) = oneshot::channel();
            let question = Command::Explain {
                event: first.clone(),
                reply,
            };
            let answer = match self.inner.commands.send(question) {
                Ok(()) => answer.await,
                Err(_) => Ok(Some(WaitsFor::Start)),
            };
            match answer {
                Ok(Some(known @ WaitsFor::Evidence { .. })) => explanation.waits_for = known,
                _ if may_be_in_doubt => {}
                Ok(Some(known)) if due_at.is_none_or(|due| known.is_until(due)) => {
                    explanation.waits_for = known;
                }
                Ok(_) => {}
                Err(_) if due_at.is_some() => {}
                // It ended instead of answering.
                Err(_) => explanation.waits_for = WaitsFor::Start,
            }
        }
        Ok(explanation)
    }

    /// Whether the run does its work, as of now. Asks nobody: a run that sleeps has noticed nothing since it fell asleep.
    #[must_use]
    pub fn health(&self) -> Health {
        let ending = self.inner.ending.borrow();
        match &*ending {
            Some(ending) => ending.as_health(),
            None if self.inner.ending.has_changed().is_err() => Ending::failed(lost()).as_health(),
            None => self.inner.health.borrow().clone(),
        }
    }

    /// Resolves once the health differs from `seen`, with what it is then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub fn health_changed(&self, seen: Health) -> impl Future<Output = Health> + Send + use<> {
        let mut health = self.inner.health.clone();
        let ended = self.ending();
        async move {
            let changed = async {
                let changed = health.wait_for(|health| *health != seen).await;
                match changed.ok().map(|health| health.clone()) {
                    Some(health) => health,
                    // The run has ended, which is told by the other branch.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                ending = ended => ending.as_health(),
                health = changed => health,
            }
        }
    }

    /// Resolves when the run has ended: because somebody stopped it, its store was closed, the
    /// store's file was deleted or replaced, or its runtime shut down.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop); and where nobody stopped the run, why it ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub fn ended(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        let ended = self.ending();
        async move { ended.await.into_result() }
    }

    fn ending(&self) -> impl Future<Output = Ending> + Send + use<> {
        let mut ending = self.inner.ending.clone();
        async move {
            let ended = ending.wait_for(Option::is_some).await;
            let ended = ended.ok().and_then(|ending| ending.clone());
            ended.unwrap_or_else(|| Ending::failed(lost()))
        }
    }

    /// Ends all work and closes the store's files, so that the operating system may freeze the process: handlers have `within`
    /// to answer, and what does not end in time is given back, without a counted attempt. When this returns, no store work
    /// runs and no file of the store is open.
    ///
    /// The store is suspended for everybody: calls on it, and other runs, are answered with
    /// [`Suspended`](StoreErrorKind::Suspended) until [`resume`](Self::resume). Suspend the other runs on it first.
    /// Connections that the application opened itself are its own to close.
    ///
    /// # Errors
    ///
    /// Where the last outcomes could not be recorded; the run goes on then. `NotAllowedHere` inside
    /// a [`transaction`](crate::SqliteStore::transaction) of a store, where nothing is suspended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the suspension; it only stops waiting for it.
    pub async fn suspend(&self, within: Duration) -> Result<Stopped, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask("suspend", Command::Suspend { within, reply }, answer)
            .await
    }

    /// Opens the store's files again and takes up work where [`suspend`](Self::suspend) ended it.
    ///
    /// # Errors
    ///
    /// Those of opening the store. The run stays suspended then.
    pub async fn resume(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask("resume", Command::Resume { reply }, answer).await
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        command: Command,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        waiting::refuse_to_wait_for_a_run(operation)?;
        let ended = || StoreError::new(StoreErrorKind::Closed, operation, "the run has ended");
        self.inner.commands.send(command).map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Stops claiming, waits for the handlers that are under way, gives back what does not end in time, and returns when no
    /// work of this run is left. May be called several times, on any clone: all are told the same.
    ///
    /// The future does not borrow the handle, so it can be spawned.
    ///
    /// # Errors
    ///
    /// Where the last outcomes could not be recorded, although a passing fault was waited out until
    /// the deadline. Their events are delivered again, under the same keys, once their leases have
    /// ended. `NotAllowedHere` inside a [`transaction`](crate::SqliteStore::transaction) of a
    /// store: the stop has begun, and cannot be waited for there.
    ///
    /// # Cancel safety
    ///
    /// Nothing is stopped before the first poll. Dropping the future later does not undo the stop; it only stops waiting for it.
    pub fn stop(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        self.stop_unless(std::future::pending())
    }

    /// The same, but what is under way is given back at once when `hurry` resolves, as for a second signal to end.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn doc(running: outbox_runtime::Running) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn signalled() {}
    /// signalled().await;
    /// let stopped = running.stop_unless(signalled()).await?;
    /// println!("{} handlers did not finish", stopped.given_back);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_unless<H>(
        &self,
        hurry: H,
    ) -> impl Future<Output = Result<Stopped, StoreError>> + use<H>
    where
        H: Future<Output = ()>,
    {
        let (stop, hurried) = (self.inner.stop.clone(), self.inner.hurry.clone());
        let ended = self.ending();
        async move {
            stop.cancel();
            waiting::refuse_to_wait_for_a_run("stop")?;
            let mut ended = std::pin::pin!(ended);
            let ending = tokio::select! {
                biased;
                ending = &mut ended => ending,
                () = hurry => {
                    hurried.cancel();
                    ended.await
                }
            };
            ending.stopped
        }
    }

    /// Lets the run go on until its runtime ends, or its store is closed, although no handle is kept.
    ///
    /// Where a clone is kept, the run can still be stopped.
    pub fn detach(self) {
        // A run ends with its last handle, and this one never goes.
        std::mem::forget(self);
    }
}

/// A run whose task is gone without having said how it ended.
fn lost() -> StoreError {
    let message = "the run ended before it could record its outcomes: its runtime was shut down";
    StoreError::new(StoreErrorKind::Closed, "stop", message)
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() && !self.nudges.has_begun() {
            warn!(
                "a run was stopped before it began, as its handle was dropped; `let _ = ..` keeps nothing, \
                 so bind the handle to a name or detach it"
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
