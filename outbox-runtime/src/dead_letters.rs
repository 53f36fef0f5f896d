//! Dead letters: what was given up, to be listed, exported, tried again or discarded.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use thiserror::Error;
use tracing::info;
use uuid::Uuid;

use crate::entity::EntityId;
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};
use crate::repository::{DeleteUnit, OutboxRepository};

/// The dead letters of a store, or those of them that a filter lets through.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{DeadLetters, DeadReason, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let rejected = DeadLetters::of(store).of_user("user-1").with_reason(DeadReason::Rejected);
/// for event in rejected.list().await? {
///     println!("{} {}: {:?}", event.event_type, event.entity_id, event.error_message);
/// }
///
/// // The service was mended: all of them once more, with all their attempts.
/// rejected.retry().await?;
///
/// // Or: look at what would go, and let it go.
/// let discard = rejected.prepare_discard().await?;
/// println!("{} events will be gone for good", discard.events().len());
/// discard.confirm().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct DeadLetters {
    repository: Arc<dyn OutboxRepository>,
    user_id: Option<String>,
    event_type: Option<String>,
    entity_id: Option<EntityId>,
    reason: Option<DeadReason>,
}

/// Dead letters that are about to be deleted for good, which [`confirm`](Self::confirm) does.
#[must_use = "nothing is discarded until you call `confirm`"]
pub struct Discard {
    repository: Arc<dyn OutboxRepository>,
    events: Vec<OutboxEvent>,
}

/// Events could not be exported.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// They could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They could not be written.
    #[error("the events could not be written: {0}")]
    Write(#[from] io::Error),
}

impl DeadLetters {
    /// All dead letters of a store.
    pub fn of(repository: impl OutboxRepository) -> Self {
        Self {
            repository: Arc::new(repository),
            user_id: None,
            event_type: None,
            entity_id: None,
            reason: None,
        }
    }

    /// Only those of this user. Default: of all.
    pub fn of_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Only those of this event type. Default: of all.
    pub fn of_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Only those about this entity. Default: about all.
    pub fn of_entity(mut self, entity_id: impl Into<EntityId>) -> Self {
        self.entity_id = Some(entity_id.into());
        self
    }

    /// Only those that died of this. Default: of anything.
    pub fn with_reason(mut self, reason: DeadReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The dead letters, in the order in which they were enqueued.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn list(&self) -> Result<Vec<OutboxEvent>, StoreError> {
        let user_id = self.user_id.as_deref();
        let dead = OutboxStatus::Dead;
        let mut events = self.repository.fetch_events(dead, user_id, None).await?;
        events.retain(|event| self.lets_through(event));
        Ok(events)
    }

    /// Makes them pending again, due now, with all their attempts and under the same ids. Returns how many it were.
    ///
    /// They have as many attempts as when they were enqueued: a row keeps its `max_attempts` when the program raises that
    /// of its type. [`retry_with_attempts`](Self::retry_with_attempts) gives them more.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read or written.
    pub async fn retry(&self) -> Result<u64, StoreError> {
        let retried = self
            .repository
            .reset_for_retry(&ids(&self.list().await?))
            .await?;
        info!(count = retried, "dead letters are tried again");
        Ok(retried)
    }

    /// The same as [`retry`](Self::retry), with `max_attempts` attempts for each from now on, more or fewer than it had.
    /// Returns how many it were.
    ///
    /// What changes while this goes on stays a dead letter; call it again.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where `max_attempts` is 0, and where the store cannot be read or written. Those that were written
    /// before stay so: dead letters with another number of attempts.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{DeadLetters, DeadReason, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// let given_up = DeadLetters::of(store).with_reason(DeadReason::AttemptsExhausted);
    /// given_up.retry_with_attempts(20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn retry_with_attempts(&self, max_attempts: u32) -> Result<u64, StoreError> {
        if max_attempts == 0 {
            return Err(StoreError::new(
                StoreErrorKind::InvalidArgument,
                "retry_with_attempts",
                "max_attempts is 0; at least 1 is needed",
            ));
        }
        let mut ready = Vec::new();
        for mut event in self.list().await? {
            event.max_attempts = max_attempts;
            match self.repository.update_event(&event).await {
                Ok(()) => ready.push(event.id),
                // Somebody else has changed or deleted it meanwhile.
                Err(error)
                    if matches!(
                        error.kind(),
                        StoreErrorKind::Conflict | StoreErrorKind::NotFound
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        let retried = self.repository.reset_for_retry(&ready).await?;
        info!(
            count = retried,
            max_attempts, "dead letters are tried again"
        );
        Ok(retried)
    }

    /// Looks up what there is to discard. Nothing is deleted before [`Discard::confirm`].
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    pub async fn prepare_discard(&self) -> Result<Discard, StoreError> {
        Ok(Discard {
            repository: Arc::clone(&self.repository),
            events: self.list().await?,
        })
    }

    /// Writes them as JSON, one a line, in the serde form of [`OutboxEvent`]; what is damaged is written as far as it can be
    /// read. They stay in the store. Returns how many it were.
    ///
    /// # Errors
    ///
    /// [`ExportError`]: the store could not be read, or the writer failed.
    pub async fn export(&self, writer: &mut (dyn Write + Send)) -> Result<u64, ExportError> {
        Ok(write_lines(&self.list().await?, writer)?)
    }

    fn lets_through(&self, event: &OutboxEvent) -> bool {
        let of_type = |wanted: &String| *wanted == event.event_type;
        let of_entity = |wanted: &EntityId| *wanted == event.entity_id;
        self.event_type.as_ref().is_none_or(of_type)
            && self.entity_id.as_ref().is_none_or(of_entity)
            && (self.reason.is_none() || self.reason == event.dead_reason)
    }
}

impl Discard {
    /// What will be gone.
    #[must_use]
    pub fn events(&self) -> &[OutboxEvent] {
        &self.events
    }

    /// Writes them as [`DeadLetters::export`] does: just what [`confirm`](Self::confirm) deletes, or less. Returns how many it
    /// were.
    ///
    /// # Errors
    ///
    /// [`ExportError`]: the writer failed.
    pub fn export(&self, writer: &mut (dyn Write + Send)) -> Result<u64, ExportError> {
        Ok(write_lines(&self.events, writer)?)
    }

    /// Deletes them for good, in one transaction. What was tried again, edited or deleted since they were looked up is left
    /// alone, and what waited behind them goes on. Returns how many it were.
    ///
    /// # Errors
    ///
    /// Where the store cannot be written.
    pub async fn confirm(self) -> Result<u64, StoreError> {
        let seen = &self.events;
        let discarded = self.repository.delete_seen(seen, DeleteUnit::Event).await?;
        info!(count = discarded, "dead letters were discarded");
        Ok(discarded)
    }
}

impl fmt::Debug for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Discard").field(&ids(&self.events)).finish()
    }
}

fn ids(events: &[OutboxEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

/// One JSON object a line (jsonlines.org).
pub(crate) fn write_lines(events: &[OutboxEvent], writer: &mut dyn Write) -> io::Result<u64> {
    let mut count = 0;
    for event in events {
        serde_json::to_writer(&mut *writer, event)?;
        writer.write_all(b"\n")?;
        count += 1;
    }
    writer.flush()?;
    Ok(count)
}
