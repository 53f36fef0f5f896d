//! The typed view of an event.

use std::fmt;
use std::ops::Deref;

use uuid::Uuid;

use super::OutboxEvent;
use super::decode::decode;
use crate::entity::OutboxEntity;
use crate::metadata::DecodeError;

/// An event as passed to a handler, with its metadata as the entity's own type.
///
/// Dereferences to [`OutboxEvent`].
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use uuid::Uuid;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "moodEntry")]
/// # struct MoodEntry {
/// #     #[outbox(entity_id)]
/// #     id: Uuid,
/// #     #[outbox(user_id)]
/// #     user_id: String,
/// #     #[outbox(metadata)]
/// #     valence: f64,
/// # }
/// async fn send(event: Event<MoodEntry>) -> Result<(), HandlerError> {
///     let valence: f64 = event.metadata().valence;
///     let key = event.idempotency_key();
///     println!("{} of {}: {valence}, key {key}", event.operation, event.entity_id);
///     Ok(())
/// }
/// ```
pub struct Event<E: OutboxEntity> {
    metadata: E::Metadata,
    // The last field, because `Event<E>: Sized` depends only on the last field. With
    // `E::Metadata` last, an `E` that is not an entity would be reported wherever an event is
    // passed on, and not only where the type is named.
    record: OutboxEvent,
}

impl<E: OutboxEntity> Event<E> {
    /// Decodes a row as an event of `E`, stored under its event type or an alias of it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the row has another type, or its metadata is missing, damaged, of another
    /// shape, or of a version that this program does not read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// goal.enqueue_update().on(&store).await?;
    /// for record in store.fetch_pending_events(None, None).await? {
    ///     let event = Event::<Goal>::decode(record)?;
    ///     assert_eq!(event.metadata().title, "Swim");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode(record: OutboxEvent) -> Result<Self, DecodeError> {
        if !E::OPTIONS.is_stored_as(&record.event_type) {
            return Err(DecodeError::OtherEventType {
                found: record.event_type,
                expected: E::EVENT_TYPE,
            });
        }
        let metadata = decode::<E>(&record)?;
        Ok(Self::new(record, metadata))
    }

    pub(crate) fn new(record: OutboxEvent, metadata: E::Metadata) -> Self {
        Self { metadata, record }
    }

    /// The metadata of the entity at the time the event was enqueued.
    #[must_use]
    pub fn metadata(&self) -> &E::Metadata {
        &self.metadata
    }

    /// The idempotency key: the event id, the same for every attempt.
    ///
    /// The guide: [idempotency](https://docs.rs/outbox-guide/latest/outbox_guide/idempotency/).
    #[must_use]
    pub fn idempotency_key(&self) -> Uuid {
        self.record.id
    }

    /// Returns the row.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// /// Files the event before it is gone.
    /// fn file(event: Event<Goal>) -> Result<String, serde_json::Error> {
    ///     serde_json::to_string(&event.into_record())
    /// }
    /// ```
    #[must_use]
    pub fn into_record(self) -> OutboxEvent {
        self.record
    }
}

impl<E: OutboxEntity> Deref for Event<E> {
    type Target = OutboxEvent;

    fn deref(&self) -> &OutboxEvent {
        &self.record
    }
}

impl<E: OutboxEntity> fmt::Debug for Event<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.record).finish()
    }
}

impl<E: OutboxEntity> Clone for Event<E>
where
    E::Metadata: Clone,
{
    fn clone(&self) -> Self {
        Self {
            record: self.record.clone(),
            metadata: self.metadata.clone(),
        }
    }
}
