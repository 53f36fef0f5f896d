//! The error of the kit's functions.

use std::time::Duration;

use outbox_runtime::{BuildError, DecodeError, EnqueueError, StoreError};
use thiserror::Error;
use uuid::Uuid;

use super::report::Drained;

/// A function of the kit could not do its work. What an application's handlers answer is none:
/// that is part of the result.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_runtime::HandlerSet;
/// use outbox_testing::{KitError, perform};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let goal = Goal { id: 7, user_id: "user-1".into() };
/// let error = perform(HandlerSet::new(), &goal).await.err();
/// assert!(matches!(error, Some(KitError::NoHandler { .. })));
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change could not be enqueued.
    #[error(transparent)]
    Enqueue(#[from] EnqueueError),
    /// The settings of the processor contradict each other.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An event of the type that was asked for does not have its metadata.
    #[error("event {event_id} cannot be decoded")]
    Decode {
        /// The event.
        event_id: Uuid,
        /// The reason.
        source: DecodeError,
    },
    /// The handler takes no events of the type.
    #[error("the handler takes no {event_type:?} events; give the set that has one for them")]
    NoHandler {
        /// The type.
        event_type: String,
    },
    /// The handler takes the events of the type one at a time.
    #[error(
        "the handler takes {event_type:?} events one at a time; test it with `perform`, or set `batch` on its variant"
    )]
    OneByOne {
        /// The type.
        event_type: String,
    },
    /// The events do not fit in one batch.
    #[error(
        "the first batch has {first} of {events} events; give events of one type, one user and one \
         destination, one of each entity unless its batches keep the order, within the bounds of \
         the handler's batches"
    )]
    NotOneBatch {
        /// The number of events.
        events: usize,
        /// The number of events in the first batch.
        first: usize,
    },
    /// Events were still being delivered after this time of the machine.
    #[error("events were still being delivered after {after:?}\n{report}")]
    StillBusy {
        /// The time.
        after: Duration,
        /// The delivered events, and the waiting ones.
        report: Box<Drained>,
    },
    /// The run is on another clock than the one that it is watched by.
    #[error("the run's store has another clock; open it with a clone of this one")]
    OtherClock,
    /// An attempt did not begin within this time of the machine, or its outcome was not recorded
    /// within it. The attempt itself ends by its own time limit.
    #[error(
        "no attempt was made and recorded within {after:?}; see whether a setting holds it back"
    )]
    NoEnd {
        /// The time.
        after: Duration,
    },
}
