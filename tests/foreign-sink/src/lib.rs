//! An example of a third crate that enqueues events on the connections of a driver it does not own.
//!
//! `deadpool::unmanaged::Object<rusqlite::Connection>` is defined neither by this crate nor by the
//! runtime. The traits are therefore implemented for the local marker [`Deadpool`]: without a type
//! of its own among the parameters, a crate may not implement a foreign trait for a foreign type
//! (E0117).
//!
//! The crate uses only what is public to authors of drivers: it runs the statements of a
//! [`SqliteStep`], value by value.

use deadpool::unmanaged::Object;
use outbox_runtime::rusqlite::types::{ToSqlOutput, ValueRef};
use outbox_runtime::rusqlite::{self, Connection, params_from_iter};
use outbox_runtime::store::{
    BatchSink, CancelSink, Completion, SqlValue, SqliteFailure, SqliteReply, SqliteStatement,
    SqliteStep,
};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};

/// A connection from the pool.
pub type Pooled = Object<Connection>;

/// The marker type of these implementations. Callers never name it.
#[derive(Debug)]
pub enum Deadpool {}

/// Synchronous; the event exists if and only if the transaction that is open on the connection
/// commits.
impl EventSink<Deadpool> for &Pooled {
    type Output = Result<Enqueued, EnqueueError>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        run(self, SqliteStep::enqueue(event?))
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
        run(self, SqliteStep::enqueue_all(events))
    }
}

/// Synchronous, as for enqueueing.
impl CancelSink<Deadpool> for &Pooled {
    type Output = Result<Canceled, StoreError>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        run(self, SqliteStep::cancel(cancel))
    }
}

/// Synchronous; the event is completed if and only if the transaction that is open on the
/// connection commits.
impl CompletionSink<Deadpool> for &Pooled {
    type Output = Result<(), CompleteError>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        run(self, SqliteStep::complete(completion?))
    }
}

/// Synchronous; both or neither.
impl SupersedingSink<Deadpool> for &Pooled {
    type Output = Result<Enqueued, CompleteError>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let (completion, next) = step?;
        run(self, SqliteStep::supersede(completion, next))
    }
}

fn run<T>(conn: &Connection, step: SqliteStep<T>) -> T {
    let in_transaction = !conn.is_autocommit();
    step.run_with(|statement| {
        execute(conn, statement).map_err(|error| {
            let code = error.sqlite_error().map(|error| error.extended_code);
            let failure = SqliteFailure::new(error).in_transaction(in_transaction);
            match code {
                Some(code) => failure.with_code(code),
                None => failure,
            }
        })
    })
}

fn execute(conn: &Connection, statement: &SqliteStatement) -> rusqlite::Result<SqliteReply> {
    let params = statement.params().iter().map(|value| {
        ToSqlOutput::Borrowed(match value {
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Real(number) => ValueRef::Real(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
            _ => ValueRef::Null,
        })
    });
    let params = params_from_iter(params);
    let mut prepared = conn.prepare_cached(statement.sql())?;
    if !statement.returns_rows() {
        let changed = prepared.execute(params)?;
        return Ok(SqliteReply::Changed(changed as u64));
    }
    let columns = prepared.column_count();
    let rows = prepared.query_map(params, |row| {
        let value = |at| row.get_ref(at).map(value_of);
        (0..columns).map(value).collect()
    })?;
    Ok(SqliteReply::Rows(rows.collect::<rusqlite::Result<_>>()?))
}

fn value_of(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}
