//! An example of a third crate that enqueues events on the connections of a driver it does not own.
//!
//! `deadpool::unmanaged::Object<rusqlite::Connection>` is defined neither by this crate nor by the
//! runtime. The traits are therefore implemented for the local marker [`Deadpool`]: without a type
//! of its own among the parameters, a crate may not implement a foreign trait for a foreign type
//! (E0117).
//!
//! The crate uses only what is public to authors of drivers: it executes a [`SqliteInsert`], value
//! by value.

use deadpool::unmanaged::Object;
use outbox_runtime::rusqlite::types::{ToSqlOutput, ValueRef};
use outbox_runtime::rusqlite::{self, Connection, ErrorCode, params_from_iter};
use outbox_runtime::store::{BatchSink, SqlValue, SqliteInsert};
use outbox_runtime::{EnqueueError, Enqueued, EventSink, NewEvent, StoreError, StoreErrorKind};

/// A connection from the pool.
pub type Pooled = Object<Connection>;

/// The marker type of these implementations. Callers never name it.
#[derive(Debug)]
pub enum Deadpool {}

/// Synchronous; the event exists if and only if the transaction that is open on the connection
/// commits.
///
/// The event always gets a row of its own, regardless of its `coalesce` setting. If its id is
/// already stored, nothing is written, even if the content differs.
impl EventSink<Deadpool> for &Pooled {
    type Output = Result<Enqueued, EnqueueError>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        insert(self, &event?)
    }
}

/// Synchronous, as for a single event. An error leaves none of the events, and keeps the
/// transaction open.
impl BatchSink<Deadpool> for &Pooled {
    type Output = Result<Vec<Enqueued>, EnqueueError>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        self.execute_batch("SAVEPOINT foreign_batch")
            .map_err(fault)?;
        let enqueued = events.enumerate().map(|(index, event)| {
            let enqueued = event.and_then(|event| insert(self, &event));
            enqueued.map_err(|error| error.at(index))
        });
        let enqueued: Self::Output = enqueued.collect();
        let end = match enqueued {
            Ok(_) => "RELEASE foreign_batch",
            Err(_) => "ROLLBACK TO foreign_batch; RELEASE foreign_batch",
        };
        self.execute_batch(end).map_err(fault)?;
        enqueued
    }
}

fn insert(conn: &Connection, event: &NewEvent) -> Result<Enqueued, EnqueueError> {
    let insert = SqliteInsert::new(event)?;
    let params = insert.params().iter().map(|value| {
        ToSqlOutput::Borrowed(match value {
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
            _ => ValueRef::Null,
        })
    });
    let written = conn
        .prepare_cached(insert.sql())
        .and_then(|mut statement| statement.execute(params_from_iter(params)))
        .map_err(fault)?;
    Ok(match written {
        0 => Enqueued::AlreadyThere(event.id()),
        _ => Enqueued::New(event.id()),
    })
}

fn fault(error: rusqlite::Error) -> EnqueueError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Unavailable,
        Some(ErrorCode::DiskFull) => StoreErrorKind::StorageFull,
        _ => StoreErrorKind::Other,
    };
    let message = "the pooled connection could not write the event";
    StoreError::new(kind, "enqueue", message)
        .with_source(error)
        .into()
}
