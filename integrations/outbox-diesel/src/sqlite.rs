//! Connections of SQLite.

use diesel::connection::TransactionManager as _;
use diesel::deserialize::{self, FromSqlRow};
use diesel::prelude::*;
use diesel::row::{Field as _, Row};
use diesel::sql_types::{BigInt, Binary, Double, Nullable, Text, Untyped};
use diesel::sqlite::{Sqlite, SqliteType};
use outbox_runtime::store::{
    BatchSink, CancelSink, Completion, SqlValue, SqliteFailure, SqliteReply, SqliteStatement,
    SqliteStep,
};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};

use crate::Diesel;

type Transactions = <SqliteConnection as Connection>::TransactionManager;

/// Synchronous; the event exists if and only if the transaction that is open on the connection
/// commits. Without one it is committed when the call returns. A transaction that reads before it
/// enqueues is an `immediate_transaction`.
impl EventSink<Diesel> for &mut SqliteConnection {
    type Output = Result<Enqueued, EnqueueError>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        run(self, SqliteStep::enqueue(event?))
    }
}

/// Synchronous, as for a single event: all of the events or none, in the order given. An error
/// leaves the transaction open.
impl BatchSink<Diesel> for &mut SqliteConnection {
    type Output = Result<Vec<Enqueued>, EnqueueError>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        run(self, SqliteStep::enqueue_all(events))
    }
}

/// Synchronous, as for enqueueing.
impl CancelSink<Diesel> for &mut SqliteConnection {
    type Output = Result<Canceled, StoreError>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        run(self, SqliteStep::cancel(cancel))
    }
}

/// Synchronous; the event is completed if and only if the transaction that is open on the
/// connection commits. Without one it is completed when the call returns.
impl CompletionSink<Diesel> for &mut SqliteConnection {
    type Output = Result<(), CompleteError>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        run(self, SqliteStep::complete(completion?))
    }
}

/// Synchronous; both take effect if and only if the transaction that is open on the connection
/// commits. Without one they have when the call returns.
impl SupersedingSink<Diesel> for &mut SqliteConnection {
    type Output = Result<Enqueued, CompleteError>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let (completion, next) = step?;
        run(self, SqliteStep::supersede(completion, next))
    }
}

fn run<T>(conn: &mut SqliteConnection, step: SqliteStep<T>) -> T {
    let status = Transactions::transaction_manager_status_mut(conn);
    let in_transaction = !matches!(status.transaction_depth(), Ok(None));
    step.run_with(|statement| {
        let reply = run_statement(conn, statement);
        reply.map_err(|error| SqliteFailure::new(error).in_transaction(in_transaction))
    })
}

fn run_statement(
    conn: &mut SqliteConnection,
    statement: &SqliteStatement,
) -> QueryResult<SqliteReply> {
    let mut query = diesel::sql_query(statement.sql()).into_boxed::<Sqlite>();
    for value in statement.params() {
        query = match value {
            SqlValue::Integer(number) => query.bind::<BigInt, _>(*number),
            SqlValue::Real(number) => query.bind::<Double, _>(*number),
            SqlValue::Text(text) => query.bind::<Text, _>(text.as_str()),
            SqlValue::Blob(bytes) => query.bind::<Binary, _>(bytes.as_slice()),
            _ => query.bind::<Nullable<BigInt>, _>(None::<i64>),
        };
    }
    if statement.returns_rows() {
        let rows: Vec<Values> = query.load(conn)?;
        let rows = rows.into_iter().map(|row| row.0).collect();
        return Ok(SqliteReply::Rows(rows));
    }
    let changed = query.execute(conn)?;
    Ok(SqliteReply::Changed(
        u64::try_from(changed).unwrap_or(u64::MAX),
    ))
}

/// A row, by what SQLite stores rather than by types that are known in advance.
struct Values(Vec<SqlValue>);

impl FromSqlRow<Untyped, Sqlite> for Values {
    fn build_from_row<'a>(row: &impl Row<'a, Sqlite>) -> deserialize::Result<Self> {
        let value = |at| {
            let field = row.get(at);
            let Some(mut value) = field.as_ref().and_then(|field| field.value()) else {
                return SqlValue::Null;
            };
            match value.value_type() {
                Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => {
                    SqlValue::Integer(value.read_long())
                }
                Some(SqliteType::Float | SqliteType::Double) => SqlValue::Real(value.read_double()),
                // Text that is not UTF-8 stays bytes.
                Some(SqliteType::Text) => {
                    let bytes = value.read_blob().to_vec();
                    String::from_utf8(bytes)
                        .map_or_else(|error| SqlValue::Blob(error.into_bytes()), SqlValue::Text)
                }
                Some(SqliteType::Binary) => SqlValue::Blob(value.read_blob().to_vec()),
                None => SqlValue::Null,
            }
        };
        Ok(Self((0..row.field_count()).map(value).collect()))
    }
}
