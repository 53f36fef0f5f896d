//! Connections of PostgreSQL.

use std::fmt;

use diesel::connection::TransactionManager;
use diesel::deserialize::{self, FromSqlRow};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::row::{Field as _, Row};
use diesel::sql_types::{BigInt, Nullable, Text, Untyped};
use outbox_postgres::{Outbox, PostgresFailure, PostgresStatement, PostgresStep, PostgresValue};
use outbox_runtime::store::{BatchSink, CancelSink, Completion};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};

use crate::Diesel;

type Transactions = <PgConnection as Connection>::TransactionManager;

/// A sink for the events of an outbox in a schema other than `outbox`, on one connection. Made by
/// [`in_outbox`].
///
/// # Examples
///
/// ```
/// use diesel::pg::PgConnection;
/// use outbox_diesel::{InOutbox, in_outbox};
/// use outbox_postgres::Outbox;
///
/// /// Each tenant has a schema with an outbox.
/// struct Tenant {
///     outbox: Outbox,
/// }
///
/// impl Tenant {
///     /// For `change.on(tenant.sink(conn))?`.
///     fn sink<'c>(&self, conn: &'c mut PgConnection) -> InOutbox<'c> {
///         in_outbox(&self.outbox, conn)
///     }
/// }
/// ```
pub struct InOutbox<'c> {
    outbox: Outbox,
    conn: &'c mut PgConnection,
}

/// A sink that writes to this outbox. A connection passed to `.on(..)` by itself means the schema
/// `outbox`.
///
/// # Examples
///
/// ```no_run
/// use diesel::prelude::*;
/// use outbox_diesel::in_outbox;
/// use outbox_postgres::Outbox;
/// use outbox_runtime::Enqueue;
///
/// # fn bill(conn: &mut PgConnection, change: Enqueue) -> Result<(), Box<dyn std::error::Error>> {
/// let billing = Outbox::in_schema("billing_outbox")?;
/// change.on(in_outbox(&billing, conn))?;
/// # Ok(())
/// # }
/// ```
pub fn in_outbox<'c>(outbox: &Outbox, conn: &'c mut PgConnection) -> InOutbox<'c> {
    let outbox = outbox.clone();
    InOutbox { outbox, conn }
}

impl fmt::Debug for InOutbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InOutbox")
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

/// Synchronous; the event exists if and only if the transaction that is open on the connection
/// commits. Without one it is committed when the call returns.
impl EventSink<Diesel> for InOutbox<'_> {
    type Output = Result<Enqueued, EnqueueError>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        let step = self.outbox.enqueue_step(event?);
        run_whole(self.conn, "enqueue", step)
    }
}

/// Synchronous, as for a single event: all of the events or none, in the order given. An error
/// leaves the transaction open.
impl BatchSink<Diesel> for InOutbox<'_> {
    type Output = Result<Vec<Enqueued>, EnqueueError>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        let step = self.outbox.enqueue_all_step(events);
        run_whole(self.conn, "enqueue", step)
    }
}

/// Synchronous; the events are canceled if and only if the transaction that is open on the
/// connection commits. Without one they are when the call returns.
impl CancelSink<Diesel> for InOutbox<'_> {
    type Output = Result<Canceled, StoreError>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        let step = self.outbox.cancel_step(cancel);
        run_whole(self.conn, "cancel", step)
    }
}

/// Synchronous; the event is completed if and only if the transaction that is open on the
/// connection commits. Without one it is completed when the call returns.
impl CompletionSink<Diesel> for InOutbox<'_> {
    type Output = Result<(), CompleteError>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let step = self.outbox.complete_step(completion?);
        run_whole(self.conn, "complete", step)
    }
}

/// Synchronous; both take effect if and only if the transaction that is open on the connection
/// commits. Without one they have when the call returns.
impl SupersedingSink<Diesel> for InOutbox<'_> {
    type Output = Result<Enqueued, CompleteError>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let (completion, next) = step?;
        let step = self.outbox.supersede_step(completion, next);
        run_whole(self.conn, "complete", step)
    }
}

/// Runs work in the transaction that is open on the connection, or in one of its own.
fn run_whole<T, E: From<StoreError>>(
    conn: &mut PgConnection,
    operation: &'static str,
    step: PostgresStep<Result<T, E>>,
) -> Result<T, E> {
    let status = Transactions::transaction_manager_status_mut(conn);
    if !matches!(status.transaction_depth(), Ok(None)) {
        return run(conn, step);
    }
    let fails = |error| failure(error).into_store_error(operation);
    Transactions::begin_transaction(conn).map_err(fails)?;
    let done = match run(conn, step) {
        Ok(done) => done,
        Err(error) => {
            // The first error is the one to report.
            let _ = Transactions::rollback_transaction(conn);
            return Err(error);
        }
    };
    Transactions::commit_transaction(conn).map_err(|error| fails(error).with_unknown_outcome())?;
    Ok(done)
}

fn run<T>(conn: &mut PgConnection, step: PostgresStep<T>) -> T {
    step.run_with(|statement| run_statement(conn, statement).map_err(failure))
}

fn run_statement(
    conn: &mut PgConnection,
    statement: &PostgresStatement,
) -> QueryResult<Vec<Vec<PostgresValue>>> {
    let mut query = diesel::sql_query(statement.sql()).into_boxed::<Pg>();
    for value in statement.params() {
        query = match value {
            PostgresValue::Integer(number) => query.bind::<Nullable<BigInt>, _>(*number),
            PostgresValue::Text(text) => query.bind::<Nullable<Text>, _>(text.as_deref()),
        };
    }
    if !statement.returns_rows() {
        return query.execute(conn).map(|_| Vec::new());
    }
    let rows: Vec<Values> = query.load(conn)?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// The number of the type `bigint`.
const INT8: u32 = 20;

/// A row of columns of the types `bigint` and `text`.
struct Values(Vec<PostgresValue>);

impl FromSqlRow<Untyped, Pg> for Values {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        let value = |at| -> deserialize::Result<PostgresValue> {
            let field = row.get(at);
            let Some(value) = field.as_ref().and_then(|field| field.value()) else {
                return Ok(PostgresValue::Text(None));
            };
            let bytes = value.as_bytes();
            Ok(match value.get_oid().get() {
                INT8 => PostgresValue::Integer(Some(i64::from_be_bytes(bytes.try_into()?))),
                _ => PostgresValue::Text(Some(std::str::from_utf8(bytes)?.to_owned())),
            })
        };
        let values: deserialize::Result<_> = (0..row.field_count()).map(value).collect();
        values.map(Self)
    }
}

/// diesel tells only some of PostgreSQL's error codes. Others are told by their message, if it is
/// in English.
fn failure(error: Error) -> PostgresFailure {
    let state = match &error {
        Error::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::UniqueViolation => Some("23505"),
            DatabaseErrorKind::SerializationFailure => Some("40001"),
            DatabaseErrorKind::ReadOnlyTransaction => Some("25006"),
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                return PostgresFailure::new(error);
            }
            _ => state_in(information.message()),
        },
        Error::BrokenTransactionManager => Some("25P02"),
        _ => None,
    };
    match state {
        Some(state) => PostgresFailure::new(error).with_sqlstate(state),
        None => PostgresFailure::of_server(error),
    }
}

fn state_in(message: &str) -> Option<&'static str> {
    const MESSAGES: &[(&str, &str, &str)] = &[
        ("deadlock detected", "", "40P01"),
        ("current transaction is aborted", "", "25P02"),
        ("permission denied", "", "42501"),
        ("schema ", "does not exist", "3F000"),
        ("relation ", "does not exist", "42P01"),
        ("function ", "does not exist", "42883"),
        ("canceling statement due to", "timeout", "57014"),
    ];
    let is_it =
        |(begin, end, _): &&(&str, &str, &str)| message.starts_with(begin) && message.contains(end);
    MESSAGES.iter().find(is_it).map(|(_, _, state)| *state)
}

/// Synchronous; the event exists if and only if the transaction that is open on the connection
/// commits. Without one it is committed when the call returns.
impl EventSink<Diesel> for &mut PgConnection {
    type Output = Result<Enqueued, EnqueueError>;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        in_outbox(&Outbox::default(), self).enqueue(event)
    }
}

/// Synchronous, as for a single event: all of the events or none, in the order given. An error
/// leaves the transaction open.
impl BatchSink<Diesel> for &mut PgConnection {
    type Output = Result<Vec<Enqueued>, EnqueueError>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        in_outbox(&Outbox::default(), self).enqueue_all(events)
    }
}

/// Synchronous; the events are canceled if and only if the transaction that is open on the
/// connection commits.
impl CancelSink<Diesel> for &mut PgConnection {
    type Output = Result<Canceled, StoreError>;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        in_outbox(&Outbox::default(), self).cancel_events(cancel)
    }
}

/// Synchronous; the event is completed if and only if the transaction that is open on the
/// connection commits.
impl CompletionSink<Diesel> for &mut PgConnection {
    type Output = Result<(), CompleteError>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        in_outbox(&Outbox::default(), self).complete(completion)
    }
}

/// Synchronous; both take effect if and only if the transaction that is open on the connection
/// commits.
impl SupersedingSink<Diesel> for &mut PgConnection {
    type Output = Result<Enqueued, CompleteError>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        in_outbox(&Outbox::default(), self).supersede(step)
    }
}
