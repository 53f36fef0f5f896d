//! Dead letters: list, export, retry or discard the events that were given up.

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

/// The dead letters of a store, optionally filtered.
///
/// The guide: [dead letters](https://docs.rs/outbox-guide/latest/outbox_guide/dead_letters/).
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

/// Dead letters selected for permanent deletion by [`confirm`](Self::confirm).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{DeadLetters, Discard, ExportError, MemoryStore};
/// # async fn discard(store: MemoryStore) -> Result<(), ExportError> {
/// let discard: Discard = DeadLetters::of(store).of_type("goal").prepare_discard().await?;
/// let mut copy = Vec::new();
/// discard.export(&mut copy)?; // exactly what would go
/// if discard.events().len() < 100 {
///     let deleted = discard.confirm().await?;
///     println!("{deleted} events are gone");
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is discarded until you call `confirm`"]
pub struct Discard {
    repository: Arc<dyn OutboxRepository>,
    events: Vec<OutboxEvent>,
}

/// An export of events failed.
///
/// # Examples
///
/// ```
/// use outbox_runtime::ExportError;
///
/// fn advice(error: &ExportError) -> String {
///     match error {
///         ExportError::Store(error) => format!("the outbox cannot be read: {error}"),
///         ExportError::Write(error) => format!("choose another file: {error}"),
///         other => other.to_string(),
///     }
/// }
///
/// let full = ExportError::Write(std::io::ErrorKind::StorageFull.into());
/// assert!(advice(&full).starts_with("choose another file"));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The events could not be read from the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The events could not be written.
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

    /// Only events of this user. Default: all users.
    pub fn of_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }

    /// Only events of this type. Default: all types.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{DeadLetters, MemoryStore};
    /// let goals = DeadLetters::of(MemoryStore::new()).of_type("goal");
    /// # drop(goals);
    /// ```
    pub fn of_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    /// Only events about this entity. Default: all entities.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{DeadLetters, MemoryStore, StoreError};
    /// # async fn once_more(store: MemoryStore) -> Result<(), StoreError> {
    /// // The button "Try again" beside one goal.
    /// DeadLetters::of(store).of_user("user-1").of_entity(7).retry().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_entity(mut self, entity_id: impl Into<EntityId>) -> Self {
        self.entity_id = Some(entity_id.into());
        self
    }

    /// Only events that are dead for this reason. Default: any reason.
    pub fn with_reason(mut self, reason: DeadReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The dead letters, in the order they were enqueued.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    pub async fn list(&self) -> Result<Vec<OutboxEvent>, StoreError> {
        let user_id = self.user_id.as_deref();
        let dead = OutboxStatus::Dead;
        let mut events = self.repository.fetch_events(dead, user_id, None).await?;
        events.retain(|event| self.matches(event));
        Ok(events)
    }

    /// Resets the events to pending: due now, with all attempts available and the same ids. Returns
    /// the number of events.
    ///
    /// An event gets the number of attempts it was enqueued with: a row keeps its `max_attempts`
    /// even if the program has raised the limit of the type since. To grant more, use
    /// [`retry_with_attempts`](Self::retry_with_attempts).
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](crate::StoreErrorKind#kinds-by-call).
    pub async fn retry(&self) -> Result<u64, StoreError> {
        let retried = self
            .repository
            .reset_for_retry(&ids(&self.list().await?))
            .await?;
        info!(count = retried, "dead letters reset for retry");
        Ok(retried)
    }

    /// Like [`retry`](Self::retry), and sets `max_attempts` of each event, to more or fewer than it
    /// had. Returns the number of events.
    ///
    /// An event that changes while this runs stays a dead letter; call it again.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` if `max_attempts` is 0, and any error of the store. Events written before
    /// an error remain dead letters with the new `max_attempts`.
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
                "`max_attempts` is 0; it must be at least 1",
            ));
        }
        let mut ready = Vec::new();
        for mut event in self.list().await? {
            event.max_attempts = max_attempts;
            match self.repository.update_event(&event).await {
                Ok(()) => ready.push(event.id),
                // The event was changed or deleted concurrently.
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
            max_attempts, "dead letters reset for retry"
        );
        Ok(retried)
    }

    /// Selects the events to discard. Nothing is deleted until [`Discard::confirm`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    pub async fn prepare_discard(&self) -> Result<Discard, StoreError> {
        Ok(Discard {
            repository: Arc::clone(&self.repository),
            events: self.list().await?,
        })
    }

    /// Writes the events as JSON Lines, in the serde form of [`OutboxEvent`]; the readable parts of
    /// a damaged event are written. The events stay in the store. Returns the number of events.
    ///
    /// # Errors
    ///
    /// [`ExportError::Store`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call);
    /// [`ExportError::Write`] if the writer fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{DeadLetters, ExportError, MemoryStore};
    /// # async fn export(store: MemoryStore) -> Result<(), ExportError> {
    /// let mut file = std::fs::File::create("dead.jsonl")?;
    /// let count = DeadLetters::of(store).export(&mut file).await?;
    /// println!("{count} events written");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn export(&self, writer: &mut (dyn Write + Send)) -> Result<u64, ExportError> {
        Ok(write_lines(&self.list().await?, writer)?)
    }

    fn matches(&self, event: &OutboxEvent) -> bool {
        let of_type = |wanted: &String| *wanted == event.event_type;
        let of_entity = |wanted: &EntityId| *wanted == event.entity_id;
        self.event_type.as_ref().is_none_or(of_type)
            && self.entity_id.as_ref().is_none_or(of_entity)
            && (self.reason.is_none() || self.reason == event.dead_reason)
    }
}

impl Discard {
    /// The events that [`confirm`](Self::confirm) deletes.
    #[must_use]
    pub fn events(&self) -> &[OutboxEvent] {
        &self.events
    }

    /// Writes the events as [`DeadLetters::export`] does. [`confirm`](Self::confirm) deletes these
    /// events or fewer. Returns the number of events.
    ///
    /// # Errors
    ///
    /// [`ExportError::Write`] if the writer fails.
    pub fn export(&self, writer: &mut (dyn Write + Send)) -> Result<u64, ExportError> {
        Ok(write_lines(&self.events, writer)?)
    }

    /// Deletes the events permanently, in one transaction. An event that was retried, edited or
    /// deleted since it was selected is left alone. Events that waited behind a deleted one
    /// proceed. Returns the number of deleted events.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](crate::StoreErrorKind#kinds-by-call).
    pub async fn confirm(self) -> Result<u64, StoreError> {
        let seen = &self.events;
        let discarded = self.repository.delete_seen(seen, DeleteUnit::Event).await?;
        info!(count = discarded, "dead letters discarded");
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

/// Writes one JSON object per line (jsonlines.org).
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
