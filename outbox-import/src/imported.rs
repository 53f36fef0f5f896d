//! An event of another outbox, as the application's mapper describes it.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::reject::{Reject, RejectReason};
use outbox_runtime::__private::bounded;
use outbox_runtime::{DeadReason, NewEvent, OutboxEvent, OutboxStatus, TraceContext};

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
///
/// The states of an outbox whose rows have a status and the times of their attempts:
///
/// ```
/// use outbox_import::{ImportedEvent, Mapped, Reject, SourceRow};
/// use outbox_runtime::{DeadReason, NewEvent, Operation};
///
/// fn map(row: &SourceRow) -> Result<Mapped, Reject> {
///     let event = NewEvent::new("goal", row.uuid("goal")?, row.text("user")?, Operation::Update)
///         .with_id(row.uuid("id")?);
///     let event = ImportedEvent::new(event, row.date("created_at")?)
///         .attempts(row.integer("attempts")?.try_into().unwrap_or(u32::MAX))
///         .last_attempt_at(row.opt_date("attempted_at")?)
///         .raw_payload(row.bytes("payload")?);
///     let event = match row.text("status")?.as_str() {
///         "sent" => event.completed(row.date("sent_at")?),
///         "given up" => event.dead(DeadReason::AttemptsExhausted),
///         "waiting" => event.failed().due_at(row.date("retry_at")?),
///         // Also what was in progress when the old program ended.
///         _ => event.pending(),
///     };
///     Ok(event.into())
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE goal (id BLOB, goal BLOB, user, created_at, attempts, attempted_at, payload,
/// #          status, sent_at, retry_at);
/// #      INSERT INTO goal VALUES (x'0190b5e27b1c4cc38f4e3d1a0a6c9e11',
/// #          x'7d1c3b8e51f04e5a9c770b9e1c0c2f10', 'ann', 1, 2, 60, '{}', 'waiting', NULL, 120)")?;
/// # let source = outbox_import::Source::open(&path)?;
/// # let row = source.get(&outbox_import::SourceTable::plain("goal"), 1)?.ok_or("no row")?;
/// # let Mapped::Event(event) = map(&row)? else { panic!("no event") };
/// # assert_eq!(event.status(), outbox_runtime::OutboxStatus::Failed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// folds into another, whatever its [`Coalesce`](outbox_runtime::Coalesce), and has no trace
    /// context: the span in which an import runs has not enqueued it.
    ///
    /// An event without an id gets one derived from the source, the table, the row's key and
    /// `created_at`, so that a repeated import finds it even if the row has changed. Therefore take
    /// `created_at` from the row, never from a clock.
    pub fn new(event: NewEvent, created_at: DateTime<Utc>) -> Self {
        Self {
            has_own_id: event.has_given_id(),
            event: event.with_trace_context(None::<TraceContext>),
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::ImportedEvent;
    /// # use outbox_runtime::{NewEvent, Operation, OutboxStatus};
    /// # let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// # let event = ImportedEvent::new(event, chrono::DateTime::UNIX_EPOCH);
    /// assert_eq!(event.clone().pending().status(), OutboxStatus::Pending);
    /// assert_eq!(event.attempts(1).pending().status(), OutboxStatus::Failed);
    /// ```
    pub fn pending(mut self) -> Self {
        self.state = State::Pending;
        self
    }

    /// The last attempt failed, and the event will be retried.
    pub fn failed(mut self) -> Self {
        self.state = State::Failed;
        self
    }

    /// The event was delivered at this time, and is kept as completed until clean-up. A row that
    /// nobody needs any more is [`Mapped::AlreadyDelivered`](crate::Mapped::AlreadyDelivered)
    /// instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::ImportedEvent;
    /// # use outbox_runtime::{NewEvent, Operation, OutboxStatus};
    /// # let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// # let created_at = chrono::DateTime::UNIX_EPOCH;
    /// # let sent_at = created_at + chrono::TimeDelta::minutes(1);
    /// let event = ImportedEvent::new(event, created_at).completed(sent_at);
    /// assert_eq!(event.status(), OutboxStatus::Completed);
    /// ```
    pub fn completed(mut self, at: DateTime<Utc>) -> Self {
        self.state = State::Completed(at);
        self
    }

    /// The event was given up and becomes a dead letter. By default it blocks later events of its
    /// entity.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::ImportedEvent;
    /// # use outbox_runtime::{DeadReason, NewEvent, Operation, OutboxStatus};
    /// # let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// # let event = ImportedEvent::new(event, chrono::DateTime::UNIX_EPOCH);
    /// let event = event.attempts(5).dead(DeadReason::AttemptsExhausted).error_message("HTTP 500");
    /// assert_eq!(event.status(), OutboxStatus::Dead);
    /// ```
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
    /// [`MAX_MESSAGE_BYTES`](outbox_runtime::store::MAX_MESSAGE_BYTES). Default: none.
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
    /// table `outbox_import_rows` until somebody deletes them there. Default: none are kept.
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
