//! What a run tells about itself and about its events.

use std::future::Future;

use tokio::sync::{broadcast, oneshot};

use super::Running;
use super::stopping::runtime_gone;
use crate::entity::EntityId;
use crate::error::StoreError;
use crate::event::OutboxEvent;
use crate::processor::command::Command;
use crate::processor::ending::Ending;
use crate::processor::health::Health;
use crate::processor::outcomes::Outcomes;
use crate::statistics::{Explanation, OutboxStatistics, WaitsFor};
use crate::waiting;

impl Running {
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

    pub(in crate::processor) async fn explain_entity(
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
    /// [missed](crate::RunOutcome::Missed).
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
}
