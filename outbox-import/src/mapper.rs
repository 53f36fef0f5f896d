//! The application's mapping of rows: the event that each row becomes, or the reason to reject it.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use uuid::Uuid;

use super::error::ImportError;
use super::row::SourceRow;
use super::source::Source;
use outbox_runtime::__private::bounded;
use outbox_runtime::BoxError;
use outbox_runtime::NewEvent;
use outbox_runtime::{DeadReason, OutboxEvent, OutboxStatus};

/// Turns an application's old rows into events of the outbox and rows of its own.
///
/// A closure `FnMut(&SourceRow, &Source) -> Result<Mapped, Reject>` is a mapper that writes no rows
/// of its own.
///
/// Everything runs in one transaction, on the store's writer thread. If anything ends the import,
/// everything that was written is rolled back.
pub trait RowMapper: Send + 'static {
    /// Maps one row. It may look up other rows in `source`, from the same table or another.
    ///
    /// Not called for a row that an earlier import has taken, unless the row was rejected or has
    /// changed since.
    ///
    /// # Errors
    ///
    /// A [`Reject`] puts the row aside, whole and with the reason, and the import continues. An
    /// [`ImportError`] that comes through `?`, or a [`Reject::fatal`], ends the import.
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject>;

    /// Writes the application's own rows for this row, in the transaction of the import. Called
    /// after the row's event was written; not called when the event was already there, nor for
    /// [`Mapped::AlreadyDelivered`].
    ///
    /// # Errors
    ///
    /// A [`Reject`] undoes what was written for this row, including its event, and puts the row
    /// aside. A `rusqlite::Error` that comes through `?` ends the import.
    fn write(
        &mut self,
        _row: &SourceRow,
        _mapped: &Mapped,
        _conn: &Connection,
    ) -> Result<(), Reject> {
        Ok(())
    }

    /// Called once before the first row: the place to create the application's own tables.
    ///
    /// # Errors
    ///
    /// Any error ends the import.
    fn begin(&mut self, _source: &Source, _conn: &Connection) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once after the last row, before verification and commit.
    ///
    /// # Errors
    ///
    /// Any error ends the import.
    fn finish(&mut self, _source: &Source, _conn: &Connection) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<F> RowMapper for F
where
    F: FnMut(&SourceRow, &Source) -> Result<Mapped, Reject> + Send + 'static,
{
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        self(row, source)
    }
}

/// The result of mapping a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// The row becomes an event of the outbox.
    Event(Box<ImportedEvent>),
    /// The row has nothing to deliver: [`RowMapper::write`] keeps whatever the application needs.
    Entity,
    /// The remote service already has it. The ledger records the row; nothing else is written.
    AlreadyDelivered,
}

impl From<ImportedEvent> for Mapped {
    fn from(event: ImportedEvent) -> Self {
        Self::Event(Box::new(event))
    }
}

/// An event of another outbox: the change, its time, and the state of its delivery.
///
/// # Default
///
/// Pending, without attempts, due at its creation time (plus the event's
/// [delay](NewEvent::with_delay)).
///
/// # Examples
///
/// ```
/// use chrono::DateTime;
/// use outbox_import::ImportedEvent;
/// use outbox_runtime::{NewEvent, Operation, OutboxStatus};
///
/// let event = NewEvent::new("goal", 7, "user-1", Operation::Update).with_priority(5);
/// let imported = ImportedEvent::new(event, DateTime::UNIX_EPOCH)
///     .failed()
///     .attempts(2)
///     .error_message("HTTP 503");
/// assert_eq!(imported.status(), OutboxStatus::Failed);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "return it as `Mapped::Event`"]
pub struct ImportedEvent {
    event: NewEvent,
    /// Whether the mapper gave the event its id.
    has_own_id: bool,
    created_at: DateTime<Utc>,
    state: State,
    attempts: u32,
    last_attempt_at: Option<DateTime<Utc>>,
    error_message: Option<String>,
    due_at: Option<DateTime<Utc>>,
    raw_payload: Option<Payload>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Pending,
    Failed,
    Completed(DateTime<Utc>),
    Dead(DeadReason),
}

/// Bytes that `Debug` does not show.
#[derive(Clone, PartialEq)]
struct Payload(Vec<u8>);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl ImportedEvent {
    /// Creates a pending event. Give it its old id with [`NewEvent::with_id`]: the id stays its
    /// idempotency key, and a repeated import recognizes the event by it. An imported event never
    /// folds into another, whatever its [`Coalesce`](outbox_runtime::Coalesce).
    ///
    /// An event without an id gets one derived from the source, the table, the row's key and
    /// `created_at`, so that a repeated import finds it even if the row has changed. Therefore take
    /// `created_at` from the row, never from a clock.
    pub fn new(event: NewEvent, created_at: DateTime<Utc>) -> Self {
        Self {
            has_own_id: event.has_given_id(),
            event,
            created_at,
            state: State::Pending,
            attempts: 0,
            last_attempt_at: None,
            error_message: None,
            due_at: None,
            raw_payload: None,
        }
    }

    /// The event waits for its first attempt, or for another one if it already has
    /// [`attempts`](Self::attempts). This is the default. Use it also for rows that were in
    /// progress when their application ended: they become claimable again.
    pub fn pending(mut self) -> Self {
        self.state = State::Pending;
        self
    }

    /// The last attempt failed, and the event will be retried.
    pub fn failed(mut self) -> Self {
        self.state = State::Failed;
        self
    }

    /// The event was delivered, and is kept as completed until clean-up.
    pub fn completed(mut self, at: DateTime<Utc>) -> Self {
        self.state = State::Completed(at);
        self
    }

    /// The event was given up and becomes a dead letter. By default it blocks later events of its
    /// entity.
    pub fn dead(mut self, reason: DeadReason) -> Self {
        self.state = State::Dead(reason);
        self
    }

    /// Sets the number of attempts that count against the event. Default: none.
    pub fn attempts(mut self, count: u32) -> Self {
        self.attempts = count;
        self
    }

    /// Sets the time of the last attempt. Default: unknown.
    pub fn last_attempt_at(mut self, at: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.last_attempt_at = at.into();
        self
    }

    /// Sets the error message of the last failed attempt. It is stored as one line of at most
    /// [`MAX_MESSAGE_BYTES`](outbox_runtime::MAX_MESSAGE_BYTES). Default: none.
    pub fn error_message(mut self, message: impl Into<String>) -> Self {
        self.error_message = Some(message.into());
        self
    }

    /// Sets the earliest time of the next attempt. Default: the creation time, so at once, even if
    /// that lies in the future.
    pub fn due_at(mut self, at: DateTime<Utc>) -> Self {
        self.due_at = Some(at);
        self
    }

    /// Sets the row's original bytes. They are kept unchanged in the column `raw_payload` of the
    /// table `outbox_import_rows` until somebody deletes them there.
    pub fn raw_payload(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_payload = Some(Payload(bytes.into()));
        self
    }

    /// The event that the row becomes.
    pub fn event(&self) -> &NewEvent {
        &self.event
    }

    /// The event's status. A pending event that was attempted before counts as failed.
    #[must_use]
    pub fn status(&self) -> OutboxStatus {
        match self.state {
            State::Pending if self.attempts == 0 => OutboxStatus::Pending,
            State::Pending | State::Failed => OutboxStatus::Failed,
            State::Completed(_) => OutboxStatus::Completed,
            State::Dead(_) => OutboxStatus::Dead,
        }
    }

    pub(super) fn payload(&self) -> Option<&[u8]> {
        self.raw_payload
            .as_ref()
            .map(|payload| payload.0.as_slice())
    }

    /// The creation time that the mapper gave.
    pub(super) fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Returns the same event, with the id from `make` if the mapper gave none.
    pub(super) fn identified(mut self, make: impl FnOnce() -> Uuid) -> Self {
        if !self.has_own_id {
            self.event = self.event.with_id(make());
        }
        self
    }

    /// Whether the mapper gave the event its id.
    pub(super) fn has_own_id(&self) -> bool {
        self.has_own_id
    }

    /// The row to write at `now`.
    pub(super) fn row(&self, now: DateTime<Utc>) -> Result<OutboxEvent, Reject> {
        let status = self.status();
        let mut row = self.event.clone().into_pending(self.created_at);
        if self.event.delay().is_zero() && status == OutboxStatus::Failed {
            // Another device's clock may have been ahead: do not wait for it. The store does the
            // same for events that were never attempted.
            row.next_attempt_at = self.created_at.min(now);
        }
        row.status = status;
        row.attempt_count = self.attempts;
        row.last_attempt_at = self.last_attempt_at;
        row.error_message = self.error_message.as_deref().map(bounded);
        row.next_attempt_at = self.due_at.unwrap_or(row.next_attempt_at);
        match self.state {
            State::Completed(at) => row.completed_at = Some(at),
            State::Dead(reason) => row.dead_reason = Some(reason),
            State::Pending | State::Failed => {}
        }
        check_metadata(&row)?;
        if status == OutboxStatus::Failed && row.attempt_count >= row.max_attempts {
            let detail = format!(
                "it failed {} times and may be attempted {} times; mark it `dead` or allow more attempts",
                row.attempt_count, row.max_attempts
            );
            return Err(Reject::new(
                RejectReason::Invalid {
                    field: "attempts".into(),
                },
                detail,
            ));
        }
        in_micros(&mut row);
        Ok(row)
    }
}

/// Rejects metadata that no handler could read. A payload behind a marker, or in another format,
/// would be imported and die at its first attempt.
fn check_metadata(row: &OutboxEvent) -> Result<(), Reject> {
    let Some(metadata) = &row.metadata else {
        return Ok(());
    };
    match serde_json::from_slice::<serde::de::IgnoredAny>(metadata.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Reject::new(
            RejectReason::Invalid {
                field: "metadata".into(),
            },
            format!("not JSON: {error}"),
        )),
    }
}

/// Cuts times to microseconds, the precision of a store, so that reading back yields what was
/// written.
fn in_micros(row: &mut OutboxEvent) {
    let cut = |at: &mut DateTime<Utc>| {
        *at = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(*at);
    };
    cut(&mut row.created_at);
    cut(&mut row.next_attempt_at);
    row.last_attempt_at.as_mut().map(cut);
    row.completed_at.as_mut().map(cut);
}

/// The reason to put a row aside; or, from an [`ImportError`] or [`fatal`](Self::fatal), the error
/// that ends the import.
#[derive(Debug)]
pub struct Reject(pub(super) Rejected);

#[derive(Debug)]
pub(super) enum Rejected {
    Row {
        reason: RejectReason,
        detail: String,
    },
    Import(Box<ImportError>),
    Fatal(BoxError),
}

impl Reject {
    /// Puts the row aside. Rows are counted by `reason`. `detail` describes this row; it should not
    /// repeat the content, which is stored beside it.
    pub fn new(reason: impl Into<RejectReason>, detail: impl Into<String>) -> Self {
        Self(Rejected::Row {
            reason: reason.into(),
            detail: bounded(&detail.into()),
        })
    }

    /// Ends the import. Nothing is written.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self(Rejected::Fatal(error.into()))
    }

    /// The reason to put the row aside; `None` if the import ends.
    #[must_use]
    pub fn reason(&self) -> Option<&RejectReason> {
        match &self.0 {
            Rejected::Row { reason, .. } => Some(reason),
            Rejected::Import(_) | Rejected::Fatal(_) => None,
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rejected::Row { reason, detail } => write!(f, "{reason}: {detail}"),
            Rejected::Import(error) => error.fmt(f),
            Rejected::Fatal(error) => error.fmt(f),
        }
    }
}

impl From<ImportError> for Reject {
    fn from(error: ImportError) -> Self {
        Self(Rejected::Import(Box::new(error)))
    }
}

impl From<rusqlite::Error> for Reject {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(ImportError::Destination(error))
    }
}

/// The kind of fault that a row has. Rows are counted by its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectReason {
    /// A column that must not be NULL is NULL.
    Missing {
        /// The column.
        column: String,
    },
    /// A column holds a value of the wrong form.
    Damaged {
        /// The column.
        column: String,
    },
    /// The file with the value of an attribute with external storage cannot be read. The detail has
    /// the file's path.
    FileMissing {
        /// The attribute.
        column: String,
    },
    /// Another event with this id has other content or, in the same import, another state. The
    /// first one is kept.
    DuplicateId,
    /// The event violates a rule of the outbox.
    Invalid {
        /// The field.
        field: Cow<'static, str>,
    },
    /// A reason that the application gives.
    Other(Cow<'static, str>),
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column } => write!(f, "{column} is missing"),
            Self::Damaged { column } => write!(f, "{column} is damaged"),
            Self::FileMissing { column } => write!(f, "the file of {column} cannot be read"),
            Self::DuplicateId => f.write_str("duplicate id, other content"),
            Self::Invalid { field } => write!(f, "invalid {field}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl From<&'static str> for RejectReason {
    fn from(reason: &'static str) -> Self {
        Self::Other(Cow::Borrowed(reason))
    }
}

impl From<String> for RejectReason {
    fn from(reason: String) -> Self {
        Self::Other(Cow::Owned(reason))
    }
}

impl std::error::Error for Reject {}
