//! What can go wrong, and what to do about it.
//!
//! Storage errors carry a kind, the operation that met them and the driver's own error as their source; they never
//! carry a payload. What a handler answers is not an error of ours: see [`HandlerError`](crate::HandlerError).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

/// Any error that an application wants to pass through.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Takes the URL out of an error of an HTTP client: it may hold a secret.
pub(crate) fn without_url(error: BoxError) -> BoxError {
    #[cfg(feature = "reqwest")]
    let error = match error.downcast::<reqwest::Error>() {
        Ok(error) => error.without_url().into(),
        Err(other) => other,
    };
    error
}

/// At most so many causes of an error are told: somebody's may be a circle.
const MOST_CAUSES: usize = 16;

/// An error and what it was caused by.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(MOST_CAUSES)
}

/// What reqwest's connector says to an `https` URL where no TLS was built in.
#[cfg(feature = "reqwest")]
pub(crate) const LACKS_TLS: &str = "invalid URL, scheme is not http";

/// An error and what it was caused by on one line, without the URLs of HTTP clients among them.
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

/// A store could not do what it was asked.
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

/// What kind of storage error it was, and so what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another connection holds the lock, or the medium answered with a passing fault. Trying again MAY help.
    Unavailable,
    /// No space is left. Trying again helps once space was made; nothing that was acknowledged is lost.
    StorageFull,
    /// The file or its folder cannot be written. Nothing helps but other permissions.
    ReadOnly,
    /// The file cannot be opened or created: no such folder, no permission, a folder of that name.
    CannotOpen,
    /// The file is not a database. It was left as it is.
    NotADatabase,
    /// The database is damaged, or the medium cannot read a page of it, which SQLite does not tell apart. Stop writing to it
    /// and recover it from a copy.
    Corrupt,
    /// A newer version of this library wrote the outbox tables. They were left as they are.
    SchemaTooNew,
    /// The file, or the `-wal` beside it, was deleted or replaced while the store had it open. What
    /// the store would write or read now is in no file that anybody else can open, so nothing was
    /// written and nothing is told. Close the store and open it again; runs on it end. To exchange
    /// files, [`suspend`](crate::OutboxRepository::suspend) the store first. (Noticed on Unix;
    /// Windows does not let an open database be deleted or replaced.)
    FileReplaced,
    /// What was asked is not possible inside
    /// [`SqliteStore::transaction`](crate::SqliteStore::transaction): a statement that begins or
    /// ends the transaction, or that sets something for the whole connection; or waiting, on the
    /// store's own thread, for the store. Nothing was written; the text says what to do instead.
    NotAllowedHere,
    /// The caller's own transaction cannot write any more: it began with reading, without
    /// `IMMEDIATE`, and meanwhile another connection has committed (`SQLITE_BUSY_SNAPSHOT`) or has
    /// the write lock. Neither trying again in that transaction nor a longer busy timeout helps;
    /// repeating the whole transaction, begun with `BEGIN IMMEDIATE`, does. See
    /// [`needs_new_transaction`](StoreError::needs_new_transaction).
    StaleTransaction,
    /// The SQLite that the program is linked with has a fault that could destroy data.
    DriverTooOld,
    /// The database has no outbox tables: it was never opened as a store.
    NotInstalled,
    /// The event is not there, or no longer.
    NotFound,
    /// The event is in a state that forbids the operation.
    Conflict,
    /// The store was closed, or its thread has ended.
    Closed,
    /// The store is suspended; [`resume`](crate::OutboxRepository::resume) opens it again.
    Suspended,
    /// The call itself made no sense.
    InvalidArgument,
    /// None of the above; the source has the driver's words.
    Other,
}

impl StoreError {
    /// An error for an implementation of [`OutboxRepository`](crate::OutboxRepository) to return.
    ///
    /// `operation` is the name of the operation, `message` says what, where and what to do.
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

    /// The same error with the driver's own error as its source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The same error, met while committing: what was asked may have been done all the same.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// The answer where there is no event with this id.
    #[must_use]
    pub fn not_found(operation: &'static str, id: Uuid) -> Self {
        let message = format!("there is no event {id}");
        Self::new(StoreErrorKind::NotFound, operation, message)
    }

    /// The answer of a suspended store.
    #[must_use]
    pub fn suspended(operation: &'static str) -> Self {
        Self::new(
            StoreErrorKind::Suspended,
            operation,
            "the store is suspended; `resume` it first",
        )
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The operation that met it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The same error with another kind, and what helps at the end of its text.
    #[cfg(feature = "sqlite")]
    pub(crate) fn explained(mut self, kind: StoreErrorKind, advice: &str) -> Self {
        self.kind = kind;
        let end = self.message.find("; ").unwrap_or(self.message.len());
        self.message.truncate(end);
        self.message.push_str("; ");
        self.message.push_str(advice);
        self
    }

    /// Whether trying again later may succeed without anybody's help: the same call, or where
    /// [`needs_new_transaction`](Self::needs_new_transaction) says so, the caller's whole
    /// transaction.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Unavailable
                | StoreErrorKind::StorageFull
                | StoreErrorKind::StaleTransaction
        )
    }

    /// Whether the caller's own transaction must be rolled back and repeated from its beginning:
    /// trying again inside it cannot succeed.
    ///
    /// It happens to a transaction that reads before it writes, as SQLite's `BEGIN` is `BEGIN
    /// DEFERRED`. One that begins with `IMMEDIATE` waits for the write lock at its beginning, for
    /// as long as the busy timeout says:
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
    /// # use outbox_runtime::{StoreError, StoreErrorKind};
    /// let error = StoreError::new(StoreErrorKind::StaleTransaction, "enqueue", "app.db: database is locked");
    /// assert!(error.is_transient() && error.needs_new_transaction());
    /// let error = StoreError::new(StoreErrorKind::Unavailable, "enqueue", "app.db: database is locked");
    /// assert!(error.is_transient() && !error.needs_new_transaction());
    /// ```
    #[must_use]
    pub fn needs_new_transaction(&self) -> bool {
        self.kind == StoreErrorKind::StaleTransaction
    }

    /// Whether the operation may have taken effect although it reports an error.
    ///
    /// A commit that fails leaves that open. Enqueueing again with the same event id is harmless then.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        self.outcome_unknown
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        if self.outcome_unknown {
            f.write_str(" (it may have been done all the same)")?;
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

/// An event could not be enqueued. Nothing was written, unless [`outcome_unknown`](EnqueueError::outcome_unknown).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// A value of the event breaks a rule of the row.
    #[error("{field} of a {event_type:?} event {reason}")]
    Invalid {
        /// The event type, as the entity declares it.
        event_type: String,
        /// Which field of the event: `user_id`, `entity_id`, …
        field: &'static str,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The metadata cannot be written as JSON.
    #[error("the metadata of a {event_type:?} event cannot be written as JSON")]
    Metadata {
        /// The event type, as the entity declares it.
        event_type: String,
        /// What the serializer said.
        source: serde_json::Error,
    },
    /// The metadata was written as JSON that its own type cannot read back, so that no handler could ever have it. Told by debug
    /// builds and with the feature `testing`; other builds write the event, and it becomes a dead letter.
    #[error(
        "the metadata of a {event_type:?} event{} could be written and cannot be read back: {reason}",
        path.as_ref().map(|path| format!(", at {path:?},")).unwrap_or_default()
    )]
    Unreadable {
        /// The event type, as the entity declares it.
        event_type: String,
        /// Where in the JSON, keys and indices separated by dots; `None` where it is not known.
        path: Option<String>,
        /// What the type said, without the value that was found.
        reason: String,
    },
    /// Another event with the same id but other content is there. It was kept; this one was not written.
    #[error(
        "event {event_id} is already enqueued with other content; a new change needs a new event id"
    )]
    Conflict {
        /// The id that both events have.
        event_id: Uuid,
    },
    /// One of many that were enqueued at once. None of them was written.
    #[error("event {index} of the batch (counted from 0)")]
    InBatch {
        /// Which of them it was, counted from 0.
        index: usize,
        /// What was wrong with it.
        source: Box<EnqueueError>,
    },
    /// The store could not write it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EnqueueError {
    /// For [`BatchSink`](crate::store::BatchSink)s: the error of the event at this place, counted from 0. What is wrong with the
    /// store is not the event's.
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

    /// Whether the event may be there although this error was reported.
    ///
    /// Enqueueing again with the same id settles it: see [`Enqueue::with_event_id`](crate::Enqueue::with_event_id).
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.outcome_unknown())
    }

    /// Whether trying again later may succeed without anybody's help: see
    /// [`StoreError::is_transient`].
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }

    /// Whether the caller's own transaction must be rolled back and repeated from its beginning:
    /// see [`StoreError::needs_new_transaction`].
    #[must_use]
    pub fn needs_new_transaction(&self) -> bool {
        matches!(self, Self::Store(error) if error.needs_new_transaction())
    }
}

/// A transaction of [`SqliteStore::transaction`](crate::SqliteStore::transaction) did not commit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The closure returned an error. Everything it did was rolled back.
    #[error("the transaction was rolled back")]
    Aborted(#[source] BoxError),
    /// The store could not begin or commit it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settings of a processor that contradict each other, found before anything runs.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No handler was registered, so nothing could ever be delivered.
    #[error(
        "no handler is registered; add `.handlers(..)`, `.handle::<Entity>(..)` or `.handler(..)`"
    )]
    NoHandler,
    /// Two handlers claim the same event type.
    #[error(
        "two handlers are registered for event type {event_type:?}; an event is delivered by exactly one"
    )]
    DuplicateHandler {
        /// The event type in question.
        event_type: String,
    },
    /// A handler names an event type in [`entities`](crate::OutboxEventHandler::entities) and denies it in
    /// [`can_handle`](crate::OutboxEventHandler::can_handle), so nobody would ever take its events.
    #[error(
        "a handler names event type {event_type:?} in `entities` and denies it in `can_handle`; make both say the same"
    )]
    DeniedByItsHandler {
        /// The event type in question.
        event_type: String,
    },
    /// A number that must be at least one is zero.
    #[error("{setting} is 0; at least 1 is needed for anything to be delivered")]
    Zero {
        /// The builder's method.
        setting: &'static str,
    },
    /// A handler may run for as long as its lease or longer, so another worker could start beside it.
    #[error(
        "{what} ({timeout:?}) is not shorter than {of_lease} ({lease:?}); shorten the timeout or lengthen the lease"
    )]
    TimeoutNotShorterThanLease {
        /// Whose timeout: the processor's, or that of one entity.
        what: String,
        /// The timeout.
        timeout: std::time::Duration,
        /// Which lease: the processor's, or that of one entity.
        of_lease: String,
        /// The lease.
        lease: std::time::Duration,
    },
    /// A timeout in which nothing can be answered.
    #[error("{what} is 0, in which nothing can be answered; make it as long as an answer may take")]
    NoTime {
        /// Whose timeout: the processor's, or that of one entity.
        what: String,
    },
    /// A lease that ends before it could be renewed, so that a run would do nothing else.
    #[error(
        "{what} ({lease:?}) is shorter than {least:?}, too short to be renewed in time; make it longer"
    )]
    LeaseTooShort {
        /// Which lease: the processor's, or that of one entity.
        what: String,
        /// The lease.
        lease: std::time::Duration,
        /// The shortest one there may be.
        least: std::time::Duration,
    },
    /// Nothing can be spawned.
    #[error("there is no tokio runtime here; build the processor inside one")]
    NoRuntime,
}
