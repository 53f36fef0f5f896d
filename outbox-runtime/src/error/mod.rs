//! The errors of this library.
//!
//! A storage error carries its kind, the operation that failed and the driver's error as its
//! source; it never carries a payload. A handler's answer is a
//! [`HandlerError`](crate::HandlerError), not one of these.

use thiserror::Error;

mod complete; // an event that cannot be completed in a transaction of the application
mod enqueue; // an event that cannot be enqueued
mod store; // a failed storage operation
mod text; // errors of an application, and the text of an error and its sources

pub use self::complete::CompleteError;
pub use self::enqueue::EnqueueError;
pub use self::store::{StoreError, StoreErrorKind};
pub use self::text::BoxError;
#[cfg(feature = "reqwest")]
pub(crate) use self::text::LACKS_TLS;
#[cfg(feature = "sqlite")]
pub(crate) use self::text::causes;
pub(crate) use self::text::{one_line, without_url};

/// A transaction run by [`SqliteStore::transaction`](crate::SqliteStore::transaction) did not
/// commit.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_runtime::{SqliteStore, TransactionError};
///
/// let store = SqliteStore::open_in_memory().await?;
/// let refused = store.transaction(|_| Err::<(), _>("no such goal".into())).await;
/// match refused {
///     Err(TransactionError::Aborted(error)) => assert_eq!(error.to_string(), "no such goal"),
///     Err(TransactionError::Store(error)) if error.is_transient() => println!("once more"),
///     other => println!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The closure returned an error. All its changes were rolled back.
    #[error("the transaction was rolled back")]
    Aborted(#[source] BoxError),
    /// The store could not begin or commit the transaction.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn of_destination(destination: Option<&str>) -> String {
    match destination {
        Some(destination) => format!("destination {destination:?}"),
        None => "events without a destination".to_owned(),
    }
}

/// The settings of a processor are contradictory. Detected before anything runs.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "goal")]
/// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use outbox_runtime::BuildError;
///
/// let error = Processor::builder(MemoryStore::new())
///     .handle::<Goal>(|_| async { Ok(()) })
///     .timeout(Duration::from_secs(90)) // the lease has 60 s
///     .build()
///     .err();
/// assert!(matches!(error, Some(BuildError::TimeoutNotShorterThanLease { .. })));
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No handler is registered, so nothing could be delivered.
    #[error(
        "no handler is registered; add `.handlers(..)`, `.handle::<Entity>(..)` or `.handler(..)`"
    )]
    NoHandler,
    /// Two handlers are registered for the same event type.
    #[error("two handlers are registered for event type {event_type:?}; register exactly one")]
    DuplicateHandler {
        /// The event type.
        event_type: String,
    },
    /// An event type is retired, and a handler takes it or another set retires it as well.
    #[error(
        "event type {event_type:?} is retired, but it is handled or retired elsewhere too; keep one of the two"
    )]
    RetiredAndTaken {
        /// The event type.
        event_type: String,
    },
    /// A handler lists an event type in [`entities`](crate::OutboxEventHandler::entities) and
    /// rejects it in [`can_handle`](crate::OutboxEventHandler::can_handle), so its events would
    /// never be delivered.
    #[error(
        "a handler lists event type {event_type:?} in `entities` but rejects it in `can_handle`; make the two agree"
    )]
    DeniedByItsHandler {
        /// The event type.
        event_type: String,
    },
    /// A setting that must be at least 1 is 0.
    #[error("{setting} is 0; it must be at least 1")]
    Zero {
        /// The builder method.
        setting: &'static str,
    },
    /// A timeout is not shorter than its lease, so a second worker could start while the handler
    /// still runs.
    #[error(
        "{what} ({timeout:?}) is not shorter than {of_lease} ({lease:?}); shorten the timeout or lengthen the lease"
    )]
    TimeoutNotShorterThanLease {
        /// The owner of the timeout: the processor or an entity.
        what: String,
        /// The timeout.
        timeout: std::time::Duration,
        /// The owner of the lease: the processor or an entity.
        of_lease: String,
        /// The lease.
        lease: std::time::Duration,
    },
    /// A timeout is zero.
    #[error("{what} is 0; set it to the longest time that an answer may take")]
    NoTime {
        /// The owner of the timeout: the processor or an entity.
        what: String,
    },
    /// A lease is too short to be renewed in time.
    #[error("{what} ({lease:?}) is too short to be renewed in time; make it at least {least:?}")]
    LeaseTooShort {
        /// The owner of the lease: the processor or an entity.
        what: String,
        /// The lease.
        lease: std::time::Duration,
        /// The minimum.
        least: std::time::Duration,
    },
    /// The bounds of a batch handler are out of range.
    #[error("the batches of event type {event_type:?} are impossible: {fault}")]
    Batching {
        /// The event type.
        event_type: String,
        /// The rule that they break.
        fault: &'static str,
    },
    /// The limit or the pace of a destination is impossible.
    #[error("the limit of {}: {fault}", of_destination(.destination.as_deref()))]
    Limit {
        /// The destination; `None` is for events without one.
        destination: Option<String>,
        /// The rule that it breaks.
        fault: String,
    },
    /// `build` was called outside a tokio runtime, so no task can be spawned.
    #[error("no tokio runtime is running; build the processor inside one")]
    NoRuntime,
}
