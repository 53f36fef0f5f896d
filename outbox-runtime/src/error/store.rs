//! The error of a storage operation.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::text::BoxError;

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
///
/// What to do about it:
///
/// ```
/// use outbox_runtime::{StoreError, StoreErrorKind};
///
/// fn advice(error: &StoreError) -> String {
///     match error.kind() {
///         StoreErrorKind::StorageFull => "free some space; nothing is lost".to_owned(),
///         StoreErrorKind::SchemaTooNew => "update the app".to_owned(),
///         _ if error.is_transient() => "try again".to_owned(),
///         _ => format!("`{}` failed: {error}", error.operation()),
///     }
/// }
///
/// let full = StoreError::new(StoreErrorKind::StorageFull, "claim", "app.db: the disk is full");
/// assert_eq!(advice(&full), "free some space; nothing is lost");
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
///
/// The guide has cause and cure of each kind:
/// [errors](https://docs.rs/outbox-guide/latest/outbox_guide/errors/).
///
/// # Kinds by call
///
/// Any call on an open store may fail as [`Unavailable`](Self::Unavailable),
/// [`Corrupt`](Self::Corrupt), [`FileReplaced`](Self::FileReplaced),
/// [`Suspended`](Self::Suspended), [`Closed`](Self::Closed) or [`Other`](Self::Other), and a call
/// that waits for the store inside one of its transactions as
/// [`NotAllowedHere`](Self::NotAllowedHere). Further kinds:
///
/// | call | kinds |
/// |---|---|
/// | opening, resuming | [`CannotOpen`](Self::CannotOpen), [`ReadOnly`](Self::ReadOnly), [`NotADatabase`](Self::NotADatabase), [`SchemaTooNew`](Self::SchemaTooNew), [`NotInstalled`](Self::NotInstalled), [`DriverTooOld`](Self::DriverTooOld), [`InvalidArgument`](Self::InvalidArgument) |
/// | reading | none |
/// | writing | [`StorageFull`](Self::StorageFull), [`ReadOnly`](Self::ReadOnly) |
/// | writing in a transaction of the caller | those of writing, [`StaleTransaction`](Self::StaleTransaction), [`NotInstalled`](Self::NotInstalled) |
/// | changing one event that must exist | those of writing, [`NotFound`](Self::NotFound), [`Conflict`](Self::Conflict) |
/// | with a value that a rule forbids | [`InvalidArgument`](Self::InvalidArgument) |
///
/// # Examples
///
/// ```
/// use outbox_runtime::StoreErrorKind;
///
/// /// Whether the app may offer to restore a backup.
/// fn is_damage(kind: StoreErrorKind) -> bool {
///     matches!(kind, StoreErrorKind::Corrupt | StoreErrorKind::NotADatabase)
/// }
///
/// assert!(!is_damage(StoreErrorKind::Unavailable));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another connection holds the lock, or the medium reported a transient fault. Retrying may
    /// succeed.
    ///
    /// PostgreSQL: the server is away or restarts, it ended the session or the statement, or no
    /// connection of the pool is free.
    Unavailable,
    /// No disk space is left, on this machine or on the server. Retrying succeeds once space is
    /// available. No acknowledged data is lost.
    StorageFull,
    /// The file or its directory is not writable, or the store was opened for reading. Change the
    /// permissions.
    ///
    /// PostgreSQL: the role lacks a privilege, the server is a standby, or the transaction or the
    /// store only reads. Grant the role [what it needs], or connect to the primary.
    ///
    /// [what it needs]: https://docs.rs/outbox-guide/latest/outbox_guide/postgresql_server/
    ReadOnly,
    /// The file cannot be opened or created: the directory is missing, permission is denied, or the
    /// path is a directory.
    ///
    /// PostgreSQL: the server refuses the password or the role, or does not have the database.
    CannotOpen,
    /// The file is not a database, or is encrypted with another key. It was not modified. SQLite
    /// only.
    NotADatabase,
    /// The database is damaged or the medium cannot read one of its pages; SQLite does not
    /// distinguish the two. Stop writing to it and recover it from a backup.
    ///
    /// PostgreSQL: the server reports damaged data or a damaged index.
    Corrupt,
    /// A newer version of this library wrote the outbox tables. They were not modified.
    SchemaTooNew,
    /// The file, or its `-wal`, was deleted or replaced while the store had it open. The store no
    /// longer has a file that others can open, so it wrote nothing and returns no data. Close the
    /// store and open it again; runs on it end. To exchange files,
    /// [`suspend`](crate::OutboxRepository::suspend) the store first. (Detected on Unix; Windows
    /// does not allow an open database to be deleted or replaced.) SQLite only.
    FileReplaced,
    /// The call is not allowed inside
    /// [`SqliteStore::transaction`](crate::SqliteStore::transaction): a statement that begins or
    /// ends the transaction or changes the whole connection's state, or a call that waits for the
    /// store on the store's own thread. Nothing was written. The message gives the alternative.
    ///
    /// PostgreSQL: a cancellation or an event with a [key](crate::Enqueue::key), outside of a
    /// transaction or at another isolation level than READ COMMITTED; or a batch with events that
    /// coalesce, expire, or have a key or parents, outside of a transaction. Begin one.
    NotAllowedHere,
    /// The caller's transaction can no longer write: it began with a read, without `IMMEDIATE`, and
    /// another connection has since committed (`SQLITE_BUSY_SNAPSHOT`) or holds the write lock.
    /// Neither retrying inside that transaction nor a longer busy timeout helps. Repeat the whole
    /// transaction, started with `BEGIN IMMEDIATE`. See
    /// [`needs_new_transaction`](StoreError::needs_new_transaction).
    ///
    /// PostgreSQL: a serialization failure, a deadlock or an earlier error has aborted the
    /// transaction. Roll it back and repeat all of it.
    StaleTransaction,
    /// The linked SQLite version has a bug that can corrupt data. SQLite only.
    DriverTooOld,
    /// The database has no outbox tables because it was never opened as a store.
    ///
    /// PostgreSQL: the schema has no outbox, or an older one; run the migration.
    NotInstalled,
    /// The event does not exist, or no longer exists.
    NotFound,
    /// The event's state does not allow the operation.
    Conflict,
    /// The store is closed, or its thread has ended.
    ///
    /// PostgreSQL: the pool is closed, or the runtime in which the store was opened has ended.
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

    /// Sets the driver's error as the source. For stores.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Marks the outcome as unknown: the commit failed but may have taken effect. For stores.
    #[must_use]
    pub fn with_unknown_outcome(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// Creates the error for an event that does not exist. For stores.
    #[must_use]
    pub fn not_found(operation: &'static str, id: Uuid) -> Self {
        let message = format!("event {id} does not exist");
        Self::new(StoreErrorKind::NotFound, operation, message)
    }

    /// Creates the error of a suspended store. For stores.
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
    /// On PostgreSQL this happens after a serialization failure, a deadlock, and any error that
    /// aborts the transaction.
    ///
    /// On SQLite it happens to a transaction that reads before it writes, because `BEGIN` means
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
