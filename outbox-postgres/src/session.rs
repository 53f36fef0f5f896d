//! A connection of any driver, to the code that is written once for all of them: events with a key,
//! cancellations, and deletions.

use std::future::Future;

use chrono::{DateTime, Utc};
use outbox_runtime::{
    EnqueueError, Enqueued, EntityId, Headers, NewEvent, Operation, OutboxEvent, OutboxStatus,
    RawMetadata, StoreError, StoreErrorKind,
};

use crate::codes::Code;
use crate::sql::Sql;
use crate::value::{Columns, PostgresValue};

/// A connection with a transaction open, in which statements run that take and return only values
/// that any driver has.
pub(crate) trait Session: Sync {
    /// The operation that runs on it, for errors.
    fn operation(&self) -> &'static str;

    fn sql(&self) -> &Sql;

    /// The time, unless it is the server's.
    fn now(&self) -> Option<DateTime<Utc>>;

    /// Runs a statement that returns rows.
    fn rows(
        &self,
        sql: String,
        params: Vec<PostgresValue>,
    ) -> impl Future<Output = Result<Vec<Columns>, StoreError>> + Send;

    /// Writes one event, unless its id is known. Returns whether it was written.
    fn insert(&self, event: &NewEvent) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The answer for an event whose id is known, if it is.
    fn known(
        &self,
        event: &NewEvent,
    ) -> impl Future<Output = Result<Option<Result<Enqueued, EnqueueError>>, StoreError>> + Send;
}

/// Of the row `e`, what tells a repetition from a conflict and whether the event was claimed, in
/// the order in which [`event_of`] takes it.
pub(crate) const CONTENT: &str =
    "e.id::text, e.event_type, e.entity_id, e.user_id, e.operation::text,
    e.metadata, e.metadata_version, e.destination, e.dedup_key, e.headers, e.status::text, e.attempt_count::bigint,
    (e.last_attempt_at IS NOT NULL)::integer::bigint";

/// The position of the first column after those of [`CONTENT`].
pub(crate) const AFTER_CONTENT: usize = 13;

/// The event of a row that has the columns [`CONTENT`], as far as these tell.
pub(crate) fn event_of(row: &Columns) -> Result<OutboxEvent, uuid::Error> {
    let owned = |at| row.text(at).unwrap_or_default().to_owned();
    let number = |at| u32::try_from(row.integer(at).unwrap_or_default()).unwrap_or(u32::MAX);
    let operation = row.code(4).and_then(Operation::of);
    let operation = operation.unwrap_or(Operation::Update);
    let entity_id = EntityId::from(owned(2));
    let mut event = NewEvent::new(owned(1), entity_id, owned(3), operation)
        .with_id(row.uuid(0)?)
        .into_pending(DateTime::UNIX_EPOCH);
    let metadata = row.text(5).map(str::to_owned);
    event.metadata = metadata.map(RawMetadata::from_bytes);
    event.metadata_version = number(6);
    event.destination = row.text(7).map(str::to_owned);
    event.dedup_key = row.text(8).map(str::to_owned);
    // Headers that nobody can read are those of no event that is enqueued again.
    let headers = row.text(9).map(Headers::from_stored);
    event.headers = headers.and_then(Result::ok).unwrap_or_default();
    let status = row.code(10).and_then(OutboxStatus::of);
    event.status = status.unwrap_or(OutboxStatus::Dead);
    event.attempt_count = number(11);
    event.last_attempt_at = (row.integer(12) != Some(0)).then_some(DateTime::UNIX_EPOCH);
    Ok(event)
}

/// The error of a driver that changes values.
pub(crate) fn unreadable(operation: &'static str, source: uuid::Error) -> StoreError {
    let message = format!("the driver returned an id that is none: {source}");
    StoreError::new(StoreErrorKind::Other, operation, message).with_source(source)
}
