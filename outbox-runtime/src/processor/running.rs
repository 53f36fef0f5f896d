//! A processor at work: what can be asked of it, and stopping it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::run::Command;
use crate::entity::EntityId;
use crate::error::{StoreError, StoreErrorKind};
use crate::repository::OutboxRepository;
use crate::statistics::{Explanation, OutboxStatistics, WaitsFor};

/// A processor at work.
///
/// # Drop
///
/// Dropping it begins a [`stop`](Self::stop) that nobody waits for.
#[must_use = "dropping this stops the processor"]
pub struct Running {
    pub(super) shared: Arc<Shared>,
    pub(super) user_id: Option<String>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) progress: watch::Sender<u64>,
    pub(super) task: Option<JoinHandle<Result<Stopped, StoreError>>>,
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

/// What became of an entity's events by the end of a [`Running::flush`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Flushed {
    /// Every event of the entity is delivered.
    Delivered,
    /// They will not be without somebody's help: one is dead, or has no handler here.
    Blocked(Explanation),
    /// They are not yet.
    TimedOut(Explanation),
}

impl Flushed {
    /// Whether every event of the entity is delivered.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        *self == Self::Delivered
    }
}

impl Running {
    /// Looks for work now, and probes now where the network was gone. Needed only after writing to the file by means that
    /// this process cannot notice.
    pub fn trigger(&self) {
        self.send(Command::Trigger);
    }

    /// Says that the network is back: what was paused for its sake goes on at once.
    pub fn online(&self) {
        self.send(Command::Online);
    }

    /// A full queue holds a command of the same effect already, and a run that has ended needs none.
    fn send(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }

    /// How many events of this run's user (or of all) stand where.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn statistics(&self) -> Result<OutboxStatistics, StoreError> {
        let repository = &self.shared.repository;
        repository.statistics(self.user_id.as_deref()).await
    }

    /// Why an entity is not delivered, as far as this run and its store know.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn explain(&self, entity_id: impl Into<EntityId>) -> Result<Explanation, StoreError> {
        self.explain_entity(&entity_id.into()).await
    }

    async fn explain_entity(&self, entity_id: &EntityId) -> Result<Explanation, StoreError> {
        let user_id = self.user_id.as_deref();
        let mut explanation = self.shared.repository.explain(entity_id, user_id).await?;
        if explanation.waits_for == WaitsFor::Worker
            && let Some(first) = &explanation.first
        {
            let (reply, answer) = oneshot::channel();
            let question = Command::Explain {
                event_type: first.event_type.clone(),
                user_id: first.user_id.clone(),
                reply,
            };
            // A run that has ended pauses nothing.
            if self.commands.send(question).await.is_ok()
                && let Ok(Some(pause)) = answer.await
            {
                explanation.waits_for = pause;
            }
        }
        Ok(explanation)
    }

    /// Waits until every event of an entity is delivered, until it is clear that somebody must help, or until `timeout`.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting and nothing else.
    pub async fn flush(
        &self,
        entity_id: impl Into<EntityId>,
        timeout: Duration,
    ) -> Result<Flushed, StoreError> {
        let entity_id = entity_id.into();
        let mut changes = self.changes_within(timeout);
        loop {
            changes.look();
            let explanation = self.explain_entity(&entity_id).await?;
            match explanation.waits_for {
                WaitsFor::Nothing => return Ok(Flushed::Delivered),
                WaitsFor::Decision { .. } | WaitsFor::Registration { .. } => {
                    return Ok(Flushed::Blocked(explanation));
                }
                _ => {}
            }
            if !changes.next().await {
                break;
            }
        }
        let explanation = self.explain_entity(&entity_id).await?;
        Ok(match explanation.waits_for {
            WaitsFor::Nothing => Flushed::Delivered,
            _ => Flushed::TimedOut(explanation),
        })
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
    /// Where the last outcomes could not be recorded; the run goes on then.
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
        let ended = || StoreError::new(StoreErrorKind::Closed, operation, "the run has ended");
        self.commands.send(command).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Stops claiming, waits for the handlers that are under way, gives back what does not end in time, and returns when no
    /// work of this run is left.
    ///
    /// # Errors
    ///
    /// Where the last outcomes could not be recorded, although a passing fault was waited out until the deadline. Their events are
    /// delivered again, under the same keys, once their leases have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the stop; it only stops waiting for it.
    pub async fn stop(self) -> Result<Stopped, StoreError> {
        self.stop_unless(std::future::pending()).await
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
    pub async fn stop_unless(
        mut self,
        hurry: impl Future<Output = ()>,
    ) -> Result<Stopped, StoreError> {
        self.stop.cancel();
        let Some(mut task) = self.task.take() else {
            return Ok(Stopped::default());
        };
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = hurry => {
                self.hurry.cancel();
                task.await
            }
        };
        ended.unwrap_or_else(|error| {
            let message = "the run ended before it could record its outcomes";
            Err(StoreError::new(StoreErrorKind::Closed, "stop", message).with_source(error))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
