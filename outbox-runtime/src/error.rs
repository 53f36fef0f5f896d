//! The errors of this library.
//!
//! A storage error carries its kind, the operation that failed and the driver's error as its
//! source; it never carries a payload. A handler's answer is a
//! [`HandlerError`](crate::HandlerError), not one of these.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

/// Any error of an application.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Removes the URL from an HTTP client's error, as it may contain a secret.
pub(crate) fn without_url(error: BoxError) -> BoxError {
    #[cfg(feature = "reqwest")]
    let error = match error.downcast::<reqwest::Error>() {
        Ok(error) => error.without_url().into(),
        Err(other) => other,
    };
    error
}

/// The maximum number of causes that are followed: a chain of sources may be circular.
const MAX_CAUSES: usize = 16;

/// An error and its chain of sources.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(MAX_CAUSES)
}

/// The error of reqwest's connector for an `https` URL when no TLS backend is built in.
#[cfg(feature = "reqwest")]
pub(crate) const LACKS_TLS: &str = "invalid URL, scheme is not http";

/// An error and its sources on one line, without the URLs of HTTP clients' errors.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    let text = texts.join(": ");
    #[cfg(feature = "reqwest")]
    let text = match texts.iter().any(|text| text == LACKS_TLS) {
        true => format!(
            "{text}: reqwest is built without TLS; enable its feature `rustls` or `native-tls`"
        ),
        false => text,
    };
    #[cfg(feature = "reqwest")]
    let text = causes(error)
        .filter_map(|error| error.downcast_ref::<reqwest::Error>()?.url())
        .fold(text, |text, url| {
            text.replace(&format!(" for url ({url})"), "")
        });
    text
}

/// A storage operation failed.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use outbox_runtime::{SqliteStore, StoreErrorKind};
///
/// let error = SqliteStore::open("/nowhere/at/all.db").await.unwrap_err();
/// assert_eq!(error.kind(), StoreErrorKind::CannotOpen);
/// assert!(error.to_string().contains("/nowhere/at/all.db"));
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    message: String,
    outcome_unknown: bool,
    source: Option<Arc<dyn Error + Send + Sync + 'static>>,
}

/// The kind of a storage error, which determines the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another connection holds the lock, or the medium reported a transient fault. Retrying may
    /// succeed.
    Unavailable,
    /// No disk space is left. Retrying succeeds once space is available. No acknowledged data is
    /// lost.
    StorageFull,
    /// The file or its directory is not writable. Change the permissions.
    ReadOnly,
    /// The file cannot be opened or created: the directory is missing, permission is denied, or the
    /// path is a directory.
    CannotOpen,
    /// The file is not a database. It was not modified.
    NotADatabase,
    /// The database is damaged or the medium cannot read one of its pages; SQLite does not
    /// distinguish the two. Stop writing to it and recover it from a backup.
    Corrupt,
    /// A newer version of this library wrote the outbox tables. They were not modified.
    SchemaTooNew,
    /// The file, or its `-wal`, was deleted or replaced while the store had it open. The store no
    /// longer has a file that others can open, so it wrote nothing and returns no data. Close the
    /// store and open it again; runs on it end. To exchange files,
    /// [`suspend`](crate::OutboxRepository::suspend) the store first. (Detected on Unix; Windows
    /// does not allow an open database to be deleted or replaced.)
    FileReplaced,
    /// The call is not allowed inside
    /// [`SqliteStore::transaction`](crate::SqliteStore::transaction): a statement that begins or
    /// ends the transaction or changes the whole connection's state, or a call that waits for the
    /// store on the store's own thread. Nothing was written. The message gives the alternative.
    NotAllowedHere,
    /// The caller's transaction can no longer write: it began with a read, without `IMMEDIATE`, and
    /// another connection has since committed (`SQLITE_BUSY_SNAPSHOT`) or holds the write lock.
    /// Neither retrying inside that transaction nor a longer busy timeout helps. Repeat the whole
    /// transaction, started with `BEGIN IMMEDIATE`. See
    /// [`needs_new_transaction`](StoreError::needs_new_transaction).
    StaleTransaction,
    /// The linked SQLite version has a bug that can corrupt data.
    DriverTooOld,
    /// The database has no outbox tables because it was never opened as a store.
    NotInstalled,
    /// The event does not exist, or no longer exists.
    NotFound,
    /// The event's state does not allow the operation.
    Conflict,
    /// The store is closed, or its thread has ended.
    Closed,
    /// The store is suspended; [`resume`](crate::OutboxRepository::resume) reopens it.
    Suspended,
    /// An argument of the call is invalid.
    InvalidArgument,
    /// Any other error; the source is the driver's error.
    Other,
}

impl StoreError {
    /// Creates an error, for implementations of [`OutboxRepository`](crate::OutboxRepository).
    ///
    /// `operation` names the operation; `message` describes the problem, its location and the
    /// remedy.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            message: message.into(),
            outcome_unknown: false,
            source: None,
        }
    }

    /// Sets the driver's error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Marks the outcome as unknown: the commit failed but may have taken effect.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// Creates the error for an event that does not exist.
    #[must_use]
    pub fn not_found(operation: &'static str, id: Uuid) -> Self {
        let message = format!("event {id} does not exist");
        Self::new(StoreErrorKind::NotFound, operation, message)
    }

    /// Creates the error of a suspended store.
    #[must_use]
    pub fn suspended(operation: &'static str) -> Self {
        Self::new(
            StoreErrorKind::Suspended,
            operation,
            "the store is suspended; `resume` it first",
        )
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Changes the kind, and replaces the advice at the end of the message.
    #[cfg(feature = "sqlite")]
    pub(crate) fn explained(mut self, kind: StoreErrorKind, advice: &str) -> Self {
        self.kind = kind;
        let end = self.message.find("; ").unwrap_or(self.message.len());
        self.message.truncate(end);
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }

    /// Whether a later retry may succeed without intervention. Retry the same call, or the caller's
    /// whole transaction if [`needs_new_transaction`](Self::needs_new_transaction) returns true.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unavailable
                | StoreErrorKind::StorageFull
                | StoreErrorKind::StaleTransaction
        )
    }

    /// Whether the caller must roll back its transaction and repeat it from the beginning: retrying
    /// inside it cannot succeed.
    ///
    /// This happens to a transaction that reads before it writes, because SQLite's `BEGIN` is
    /// `BEGIN DEFERRED`. A transaction that begins with `IMMEDIATE` waits for the write lock at its
    /// start, up to the busy timeout:
    ///
    /// ```text
    /// rusqlite  conn.transaction_with_behavior(TransactionBehavior::Immediate)?
    /// sqlx      pool.begin_with("BEGIN IMMEDIATE").await?
    /// diesel    conn.immediate_transaction(|conn| ..)?
    /// ```
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{StoreError, StoreErrorKind};
    ///
    /// let error = |kind| StoreError::new(kind, "enqueue", "app.db: database is locked");
    /// let stale = error(StoreErrorKind::StaleTransaction);
    /// assert!(stale.is_transient() && stale.needs_new_transaction());
    /// let locked = error(StoreErrorKind::Unavailable);
    /// assert!(locked.is_transient() && !locked.needs_new_transaction());
    /// ```
    #[must_use]
    pub fn needs_new_transaction(&self) -> bool {
        self.kind == StoreErrorKind::StaleTransaction
    }

    /// Whether the operation may have taken effect despite the error.
    ///
    /// A failed commit has an unknown outcome. Enqueueing again with the same event id is then
    /// harmless.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        if self.outcome_unknown {
            f.write_str(" (outcome unknown: it may have taken effect)")?;
        }
        Ok(())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

/// An event could not be enqueued. Nothing was written, unless
/// [`outcome_unknown`](EnqueueError::outcome_unknown) returns true.
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

/// A transaction run by [`SqliteStore::transaction`](crate::SqliteStore::transaction) did not
/// commit.
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

/// The settings of a processor are contradictory. Detected before anything runs.
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
    /// `build` was called outside a tokio runtime, so no task can be spawned.
    #[error("no tokio runtime is running; build the processor inside one")]
    NoRuntime,
}
