//! Handles on a run: questions, nudges, suspension, and stopping.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::warn;

use super::command::Command;
use super::ending::{Ending, Stopped};
use super::health::Health;
use super::nudges::Nudges;
use super::outcomes::{Outcomes, RunOutcome};
use super::shared::Shared;
use super::unhandled_types::Looked;
use crate::entity::EntityId;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::OutboxEvent;
use crate::repository::OutboxRepository;
use crate::statistics::{Explanation, OutboxStatistics, WaitsFor};
use crate::waiting;

/// A handle on a run of a processor.
///
/// Cloning is cheap; all clones refer to the same run.
///
/// The guide: `docs/guide/watching.md`.
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

    /// Counts the events of this run's user (or of all users) by status.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Running, StoreError};
    /// # async fn show(running: &Running) -> Result<(), StoreError> {
    /// let statistics = running.statistics().await?;
    /// match statistics.dead_count {
    ///     0 => println!("{} changes are on their way", statistics.undelivered()),
    ///     dead => println!("{dead} changes could not be sent"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn statistics(&self) -> Result<OutboxStatistics, StoreError> {
        let repository = &self.inner.shared.repository;
        repository.statistics(self.inner.user_id.as_deref()).await
    }

    /// Explains why the events of an entity are not delivered, as far as this run and its store
    /// know. The answer is about the first undelivered event of the entity.
    ///
    /// A run of one user answers about that user's events only: the entity of another user has
    /// [nothing](WaitsFor::Nothing) to deliver.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call), among
    /// them `Suspended`.
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
    /// # let running = processor.start("user-1");
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// use outbox_runtime::WaitsFor;
    ///
    /// goal.enqueue_update().delay(Duration::from_secs(3600)).on(&store).await?;
    /// let explanation = running.explain(goal.id).await?;
    /// assert!(matches!(explanation.waits_for, WaitsFor::DueTime { .. }));
    /// println!("{explanation}"); // for a person
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
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
        let first = match explanation.waits_for.last_parent() {
            // What the parent waits for is what the event waits for.
            Some(event_id) => repository.fetch_event(event_id).await?.map(Box::new),
            None => explanation.first.clone(),
        };
        if let Some(first) = first {
            self.explain_first(first, explanation.waits_for.at_last_mut())
                .await;
        }
        Ok(explanation)
    }

    /// Replaces what the store knows of the reason why an event waits by what the run knows of it.
    async fn explain_first(&self, first: Box<OutboxEvent>, waits_for: &mut WaitsFor) {
        let is_free = *waits_for == WaitsFor::Worker;
        // The handler of an event in doubt may be done already; only the run knows.
        let may_be_in_doubt = matches!(waits_for, WaitsFor::Handler { .. });
        // A pause that the run knows of may last longer than the due time, or end with it and say
        // more.
        let due_at = match waits_for {
            WaitsFor::DueTime { at, .. } => Some(*at),
            _ => None,
        };
        // Inside a transaction of the store, waiting for the run's answer would deadlock.
        let may_ask = waiting::refuse_to_wait_for_a_run("explain").is_ok();
        if !may_ask || !(is_free || may_be_in_doubt || due_at.is_some()) {
            return;
        }
        let (reply, answer) = oneshot::channel();
        let question = Command::Explain {
            event: first,
            reply,
        };
        let answer = match self.inner.commands.send(question) {
            Ok(()) => answer.await,
            Err(_) => Ok(Some(WaitsFor::Start)),
        };
        match answer {
            Ok(Some(known @ (WaitsFor::Evidence { .. } | WaitsFor::Batch { .. }))) => {
                *waits_for = known;
            }
            _ if may_be_in_doubt => {}
            Ok(Some(known)) if due_at.is_none_or(|due| known.is_until(due)) => *waits_for = known,
            Ok(_) => {}
            Err(_) if due_at.is_some() => {}
            // The run ended instead of answering.
            Err(_) => *waits_for = WaitsFor::Start,
        }
    }

    /// The health of the run as last reported. This does not query the store: a sleeping run has
    /// noticed nothing since it fell asleep.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// /// The answer of `GET /healthz`.
    /// fn status(running: &Running) -> u16 {
    ///     if running.health().is_healthy() { 200 } else { 503 }
    /// }
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        let ending = self.inner.ending.borrow();
        match &*ending {
            Some(ending) => ending.as_health(),
            None if self.inner.ending.has_changed().is_err() => {
                Ending::failed(runtime_gone()).as_health()
            }
            None => self.inner.health.borrow().clone(),
        }
    }

    /// Resolves once the health differs from `seen`, with the new health.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Health, Running};
    /// async fn watch(running: Running) {
    ///     let mut seen = running.health();
    ///     while !matches!(seen, Health::Ended { .. }) {
    ///         seen = running.health_changed(seen).await;
    ///         for trouble in seen.troubles() {
    ///             println!("{:?} since {}: {}", trouble.kind, trouble.since, trouble.last_error);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn health_changed(&self, seen: Health) -> impl Future<Output = Health> + Send + use<> {
        let mut health = self.inner.health.clone();
        let ended = self.ending();
        async move {
            let changed = async {
                let changed = health.wait_for(|health| *health != seen).await;
                match changed.ok().map(|health| health.clone()) {
                    Some(health) => health,
                    // The run has ended; the other branch reports that.
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

    /// The outcomes that this run records from now on. They cost nothing while no stream exists,
    /// and the run never waits for a stream: one that lags behind is told how many it
    /// [missed](RunOutcome::Missed).
    ///
    /// Outcomes of other runs and processes, and dead letters that the store itself makes (of a row
    /// that cannot be read, or of an event that crashed its process too often), are not among them:
    /// see [`statistics`](Self::statistics).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{RunOutcome, Running};
    /// async fn count_dead_letters(running: Running) -> u64 {
    ///     let mut outcomes = running.outcomes();
    ///     let mut dead = 0;
    ///     while let Some(outcome) = outcomes.next().await {
    ///         dead += u64::from(matches!(outcome, RunOutcome::Dead { .. }));
    ///     }
    ///     dead // the run has ended
    /// }
    /// ```
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        let outcomes = match self.inner.outcomes.upgrade() {
            Some(outcomes) => outcomes.subscribe(),
            // A stream without a sender has ended.
            None => broadcast::channel(1).1,
        };
        Outcomes::new(outcomes)
    }

    /// Resolves when the run has ended: because it was stopped, its store was closed, the store's
    /// file was deleted or replaced, or its runtime was shut down.
    ///
    /// # Errors
    ///
    /// As for [`stop`](Self::stop); if the run was not stopped, the reason why it ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait and nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// # async fn watch(running: Running) {
    /// let ended = running.ended();
    /// tokio::spawn(async move {
    ///     if let Err(error) = ended.await {
    ///         eprintln!("nothing is delivered any more: {error}");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        let ended = self.ending();
        async move { ended.await.into_result() }
    }

    fn ending(&self) -> impl Future<Output = Ending> + Send + use<> {
        let mut ending = self.inner.ending.clone();
        async move {
            let ended = ending.wait_for(Option::is_some).await;
            let ended = ended.ok().and_then(|ending| ending.clone());
            ended.unwrap_or_else(|| Ending::failed(runtime_gone()))
        }
    }

    /// Ends all work and closes the store's files, so that the operating system can freeze the
    /// process. Handlers have `within` to answer; the events of those that do not are given back
    /// without a counted attempt. When this returns, no store work runs and no file of the store is
    /// open.
    ///
    /// The store is suspended for all its users: calls on it, including those of other runs, fail
    /// with [`Suspended`](StoreErrorKind::Suspended) until [`resume`](Self::resume). Suspend the
    /// other runs on it first. The application closes the connections that it opened itself.
    ///
    /// # Errors
    ///
    /// If the last outcomes could not be recorded or the files could not be closed; the run then
    /// continues as before. `NotAllowedHere` inside a
    /// [`transaction`](crate::SqliteStore::transaction) of a store; nothing is suspended then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not undo the suspension; it only ends the wait.
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
    /// # let running = processor.start("user-1");
    /// use outbox_runtime::Health;
    ///
    /// // The app goes to the background: two seconds are left.
    /// running.suspend(Duration::from_secs(2)).await?;
    /// assert_eq!(running.health(), Health::Suspended);
    ///
    /// // The app is back.
    /// running.resume().await?;
    /// assert!(running.health().is_healthy());
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn suspend(&self, within: Duration) -> Result<Stopped, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask("suspend", Command::Suspend { within, reply }, answer)
            .await
    }

    /// Reopens the store's files and resumes work after a [`suspend`](Self::suspend).
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of opening](crate::StoreErrorKind#kinds-by-call); the run then
    /// stays suspended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Running, StoreError};
    /// # async fn on_foreground(running: &Running) -> Result<(), StoreError> {
    /// running.resume().await?; // after `suspend`
    /// running.online(); // what was paused for the network goes on at once
    /// # Ok(())
    /// # }
    /// ```
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

    /// Stops claiming, waits for the handlers in flight, gives back the events of those that do not
    /// answer in time, and returns when no work of this run is left. Can be called several times,
    /// on any clone; every call gets the same result.
    ///
    /// The future does not borrow the handle, so it can be spawned.
    ///
    /// # Errors
    ///
    /// If the last outcomes could not be recorded; transient store errors are retried until the
    /// deadline. The affected events are delivered again, under the same idempotency keys, once
    /// their leases expire. `NotAllowedHere` inside a
    /// [`transaction`](crate::SqliteStore::transaction) of a store: the stop has begun, but waiting
    /// for it there is not possible.
    ///
    /// # Cancel safety
    ///
    /// Nothing is stopped before the first poll. Dropping the future later does not undo the stop;
    /// it only ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{Running, StoreError};
    /// # async fn shut_down(running: Running) -> Result<(), StoreError> {
    /// let stopped = running.stop().await?;
    /// println!("{} finished, {} will be sent again", stopped.finished, stopped.given_back);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) -> impl Future<Output = Result<Stopped, StoreError>> + Send + use<> {
        self.stop_unless(std::future::pending())
    }

    /// Like [`stop`](Self::stop), but aborts the handlers in flight and gives their events back as
    /// soon as `hurry` resolves, for example on a second termination signal.
    ///
    /// # Errors
    ///
    /// As for [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// As for [`stop`](Self::stop).
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

    /// Lets the run continue without a handle, until its runtime shuts down or its store is closed.
    ///
    /// Any other clone can still stop the run.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Processor;
    /// # fn begin(processor: &Processor) {
    /// processor.start_all_users().detach(); // until the process ends
    /// # }
    /// ```
    pub fn detach(self) {
        // A run ends when its last handle is dropped, and this one never is.
        std::mem::forget(self);
    }
}

/// The error for a run whose task is gone without having reported how it ended.
fn runtime_gone() -> StoreError {
    let message = "the run ended before it could record its outcomes: its runtime was shut down";
    StoreError::new(StoreErrorKind::Closed, "stop", message)
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
