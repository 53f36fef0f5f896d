//! The error of an event that cannot be completed.

use thiserror::Error;
use uuid::Uuid;

use super::enqueue::EnqueueError;
use super::store::StoreError;

/// An event could not be completed in a transaction of the application. The transaction must be
/// rolled back.
///
/// In a handler, `?` converts it to [`retry`](crate::HandlerError::retry): the event is attempted
/// again, or another worker has it already.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # mod example {
/// # use outbox_runtime::{CompleteError, HandlerError, OutboxEvent, rusqlite};
/// /// In the transaction of a handler.
/// fn save(tx: &rusqlite::Transaction<'_>, event: &OutboxEvent) -> Result<(), HandlerError> {
///     match event.complete_on(tx) {
///         Ok(()) => Ok(()),
///         // Begin the transaction anew, with `IMMEDIATE`.
///         Err(error) if error.needs_new_transaction() => Err(error.into()),
///         // Roll back: another worker sends it again, under the same key.
///         Err(error @ CompleteError::LeaseLost { .. }) => Err(error.into()),
///         Err(error) => {
///             assert!(!error.outcome_unknown()); // only a sink that commits by itself has that
///             Err(error.into())
///         }
///     }
/// }
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CompleteError {
    /// The event has no lease: it is not the one that a handler received.
    #[error(
        "event {event_id} is not claimed; only the event that a handler received can be completed"
    )]
    NotClaimed {
        /// The event.
        event_id: Uuid,
    },
    /// The lease has ended, or another worker holds or has finished the event, or it was deleted.
    #[error(
        "the lease of event {event_id} is lost, and another worker may deliver it; roll the transaction back"
    )]
    LeaseLost {
        /// The event.
        event_id: Uuid,
    },
    /// The event that supersedes this one could not be enqueued.
    #[error("the event that supersedes {event_id} cannot be enqueued")]
    Next {
        /// The event that was to be completed.
        event_id: Uuid,
        /// The error of the other event.
        source: EnqueueError,
    },
    /// The store could not write the completion.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CompleteError {
    /// Whether the transaction must be repeated from the beginning and may succeed then: see
    /// [`StoreError::needs_new_transaction`].
    #[must_use]
    pub fn needs_new_transaction(&self) -> bool {
        match self {
            Self::Store(error) => error.needs_new_transaction(),
            Self::Next { source, .. } => source.needs_new_transaction(),
            Self::NotClaimed { .. } | Self::LeaseLost { .. } => false,
        }
    }

    /// Whether the event may have been completed despite the error. Only a sink that commits by
    /// itself, such as a store, has an unknown outcome.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Store(error) => error.outcome_unknown(),
            Self::Next { source, .. } => source.outcome_unknown(),
            Self::NotClaimed { .. } | Self::LeaseLost { .. } => false,
        }
    }
}
