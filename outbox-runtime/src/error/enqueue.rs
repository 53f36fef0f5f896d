//! The error of an event that cannot be enqueued.

use thiserror::Error;
use uuid::Uuid;

use super::store::StoreError;

/// An event could not be enqueued. Nothing was written, unless
/// [`outcome_unknown`](EnqueueError::outcome_unknown) returns true.
///
/// # Examples
///
/// ```
/// use outbox_runtime::EnqueueError;
///
/// /// What the app does about a change that was not enqueued.
/// fn advice(error: &EnqueueError) -> &'static str {
///     if error.needs_new_transaction() {
///         "roll back, and repeat the whole transaction"
///     } else if error.outcome_unknown() {
///         "enqueue it again under the same id"
///     } else if error.is_transient() {
///         "try again later"
///     } else {
///         "correct the program"
///     }
/// }
///
/// let event_id = uuid::Uuid::now_v7();
/// assert_eq!(advice(&EnqueueError::Conflict { event_id }), "correct the program");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// A value of the event is invalid.
    #[error("{field} of a {event_type:?} event {reason}")]
    Invalid {
        /// The event type, as declared by the entity.
        event_type: String,
        /// The field of the event: `user_id`, `entity_id`, …
        field: &'static str,
        /// The problem and the remedy.
        reason: String,
    },
    /// The metadata cannot be serialized as JSON.
    #[error("the metadata of a {event_type:?} event cannot be serialized as JSON")]
    Metadata {
        /// The event type, as declared by the entity.
        event_type: String,
        /// The serializer's error.
        source: serde_json::Error,
    },
    /// The metadata was serialized, but its own type cannot deserialize it, so no handler could
    /// ever receive it. Reported by debug builds and with the `testing` feature; other builds write
    /// the event, and it becomes a dead letter.
    #[error(
        "the metadata of a {event_type:?} event{} can be serialized but not deserialized: {reason}",
        path.as_ref().map(|path| format!(", at {path:?},")).unwrap_or_default()
    )]
    Unreadable {
        /// The event type, as declared by the entity.
        event_type: String,
        /// The path in the JSON, keys and indices separated by dots; `None` if unknown.
        path: Option<String>,
        /// The deserializer's error, without the value it found.
        reason: String,
    },
    /// An event with the same id and different content exists. It was kept; the new one was not
    /// written.
    #[error(
        "event {event_id} is already enqueued with different content; use a new event id for a new change"
    )]
    Conflict {
        /// The id of both events.
        event_id: Uuid,
    },
    /// An event of a batch is invalid. No event of the batch was written.
    #[error("event {index} of the batch (counted from 0)")]
    InBatch {
        /// The index of the event, counted from 0.
        index: usize,
        /// The error of that event.
        source: Box<EnqueueError>,
    },
    /// The store could not write the event.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnqueueError {
    /// Adds the index of the event in the batch, counted from 0; for implementations of
    /// [`BatchSink`](crate::store::BatchSink). A store error is returned unchanged, as it does not
    /// concern one event.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        match self {
            Self::Store(_) | Self::InBatch { .. } => self,
            error => Self::InBatch {
                index,
                source: Box::new(error),
            },
        }
    }

    /// Whether the event may have been enqueued despite the error.
    ///
    /// Enqueueing again with the same id resolves it: see
    /// [`Enqueue::with_event_id`](crate::Enqueue::with_event_id).
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.outcome_unknown())
    }

    /// Whether a later retry may succeed without intervention: see [`StoreError::is_transient`].
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Whether the caller must roll back its transaction and repeat it from the beginning: see
    /// [`StoreError::needs_new_transaction`].
    #[must_use]
    pub fn needs_new_transaction(&self) -> bool {
        matches!(self, Self::Store(error) if error.needs_new_transaction())
    }
}
