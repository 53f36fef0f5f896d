//! What the application says about each row: the event it becomes, or why it cannot be one.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use uuid::Uuid;

use super::error::ImportError;
use super::row::SourceRow;
use super::source::Source;
use outbox_runtime::__private::bounded;
use outbox_runtime::NewEvent;
use outbox_runtime::store::BoxError;
use outbox_runtime::{DeadReason, OutboxEvent, OutboxStatus};

/// How an application's old rows become events of the outbox, and rows of its own.
///
/// A closure `FnMut(&SourceRow, &Source) -> Result<Mapped, Reject>` is one that writes nothing of its own.
///
/// All of it runs in one transaction, on the thread of the store that writes. Where anything ends the import, what was
/// written is rolled back.
pub trait RowMapper: Send + 'static {
    /// What becomes of one row. It may look up other rows in `source`, of the same table or another.
    ///
    /// It is not called for a row that an earlier import has taken, unless that was rejected or has changed since.
    ///
    /// # Errors
    ///
    /// A [`Reject`] puts the row aside, whole and with the reason, and the import goes on. An [`ImportError`] that comes
    /// through `?`, or a [`Reject::fatal`], ends the import.
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject>;

    /// Writes what the application itself keeps of the row, in the transaction of the import. Called after the event of the
    /// row was written; not where that was there already, nor for [`Mapped::AlreadyDelivered`].
    ///
    /// # Errors
    ///
    /// A [`Reject`] takes back what was written for this row, its event too, and puts the row aside. A `rusqlite::Error` that comes
    /// through `?` ends the import.
    fn write(
        &mut self,
        _row: &SourceRow,
        _mapped: &Mapped,
        _conn: &Connection,
    ) -> Result<(), Reject> {
        Ok(())
    }

    /// Called once before the first row: the place for tables of the application's own.
    ///
    /// # Errors
    ///
    /// Any error ends the import.
    fn begin(&mut self, _source: &Source, _conn: &Connection) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once after the last row, before what was written is verified and committed.
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

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// An event of the outbox.
    Event(Box<ImportedEvent>),
    /// Nothing to deliver: [`RowMapper::write`] keeps what the application needs of it.
    Entity,
    /// The remote service has it; nothing is written but that it was seen.
    AlreadyDelivered,
}

impl From<ImportedEvent> for Mapped {
    fn from(event: ImportedEvent) -> Self {
        Self::Event(Box::new(event))
    }
}

/// An event as another outbox had it: what happened, when, and how far its delivery came.
///
/// # Default
///
/// Pending, without attempts, due when it was created (later by the event's [delay](NewEvent::with_delay)).
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
    /// A pending event. Give it the id that it had, [`NewEvent::with_id`]: it stays its idempotency key, and an import that is
    /// run again knows it by it. It is never folded into another, whatever its [`Coalesce`](outbox_runtime::Coalesce).
    ///
    /// An event without an id gets one that follows from the source, the table, the row's key and `created_at`, so that an
    /// import that is run again finds it, also where the row has changed. Take `created_at` from the row, then, and not from a clock.
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

    /// It waits for its first attempt, or for another where [`attempts`](Self::attempts) were made. The default. For rows that
    /// somebody had when their application ended, too: they are claimable again.
    pub fn pending(mut self) -> Self {
        self.state = State::Pending;
        self
    }

    /// The last attempt failed, and it is tried again.
    pub fn failed(mut self) -> Self {
        self.state = State::Failed;
        self
    }

    /// It was delivered, and is kept as such until it is cleaned up.
    pub fn completed(mut self, at: DateTime<Utc>) -> Self {
        self.state = State::Completed(at);
        self
    }

    /// It was given up, and becomes a dead letter. By default the later events of its entity wait for it.
    pub fn dead(mut self, reason: DeadReason) -> Self {
        self.state = State::Dead(reason);
        self
    }

    /// How many attempts count against it. Default: none.
    pub fn attempts(mut self, count: u32) -> Self {
        self.attempts = count;
        self
    }

    /// When it was last attempted. Default: not known.
    pub fn last_attempt_at(mut self, at: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.last_attempt_at = at.into();
        self
    }

    /// What the last failed attempt said. Kept on one line and to [`MAX_MESSAGE_BYTES`](outbox_runtime::store::MAX_MESSAGE_BYTES). Default: nothing.
    pub fn error_message(mut self, message: impl Into<String>) -> Self {
        self.error_message = Some(message.into());
        self
    }

    /// When it may be attempted, at the earliest. Default: when it was created, so at once, also where it is dated ahead.
    pub fn due_at(mut self, at: DateTime<Utc>) -> Self {
        self.due_at = Some(at);
        self
    }

    /// What the row held, byte for byte: kept in the column `raw_payload` of the table `outbox_import_rows`, for as long as nobody
    /// deletes it there.
    pub fn raw_payload(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_payload = Some(Payload(bytes.into()));
        self
    }

    /// The event that it becomes.
    pub fn event(&self) -> &NewEvent {
        &self.event
    }

    /// The status that it gets: a pending event that was attempted before is a failed one.
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

    /// When it was created, as the mapper says.
    pub(super) fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// The same event, with the id that `make` returns where the mapper gave none.
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

    /// The row that is written at `now`.
    pub(super) fn row(&self, now: DateTime<Utc>) -> Result<OutboxEvent, Reject> {
        let status = self.status();
        let mut row = self.event.clone().into_pending(self.created_at);
        if self.event.delay().is_zero() && status == OutboxStatus::Failed {
            // The clock of another device may have been ahead: nothing waits for that. A store knows it of what was never attempted.
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
                "it failed {} times, and {} attempts are all there are; make it `dead`, or allow more",
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

/// Whether any handler could read the metadata: a payload with a marker before it, or of another format, would be imported and
/// die at its first attempt.
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
            format!("it is no JSON: {error}"),
        )),
    }
}

/// A store keeps times in microseconds; what is read back must be what was written.
fn in_micros(row: &mut OutboxEvent) {
    let cut = |at: &mut DateTime<Utc>| {
        *at = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(*at);
    };
    cut(&mut row.created_at);
    cut(&mut row.next_attempt_at);
    row.last_attempt_at.as_mut().map(cut);
    row.completed_at.as_mut().map(cut);
}

/// Why a row was put aside, or, as far as it came from an [`ImportError`] or from [`fatal`](Self::fatal), why the import ends.
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
    /// Puts the row aside. Rows are counted by `reason`; `detail` says more about this one, and should not repeat content, which is
    /// kept beside it.
    pub fn new(reason: impl Into<RejectReason>, detail: impl Into<String>) -> Self {
        Self(Rejected::Row {
            reason: reason.into(),
            detail: bounded(&detail.into()),
        })
    }

    /// Ends the import: nothing is written at all.
    pub fn fatal(error: impl Into<BoxError>) -> Self {
        Self(Rejected::Fatal(error.into()))
    }

    /// Why the row is put aside; `None` where the import ends.
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

/// What kind of fault a row has. Its text is what rows are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RejectReason {
    /// A column is NULL that must not be.
    Missing {
        /// Which one.
        column: String,
    },
    /// A column holds something else than it should.
    Damaged {
        /// Which one.
        column: String,
    },
    /// The file that holds the value of an attribute with external storage cannot be read. The detail has its path.
    FileMissing {
        /// Which attribute.
        column: String,
    },
    /// Another event with this id has other content, or, in the same import, another state. The first is kept.
    DuplicateId,
    /// The event breaks a rule of the outbox.
    Invalid {
        /// Which of its fields.
        field: Cow<'static, str>,
    },
    /// What the application says.
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
