//! Connections and transactions of SQLite.

use outbox_runtime::store::{
    BatchSink, BoxError, CancelSink, CompleteFuture, Completion, SqlValue, SqliteFailure,
    SqliteReply, SqliteStatement, SqliteStep,
};
use outbox_runtime::{
    Cancel, Canceled, CompleteError, CompletionSink, EnqueueError, Enqueued, EventSink, NewEvent,
    StoreError, SupersedingSink,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{
    Column as _, Connection as _, Decode, Row as _, Sqlite, SqliteConnection, Transaction,
    TypeInfo as _, Value as _, ValueRef as _,
};

use crate::{Sqlx, SqlxFuture};

fn enqueue<'c>(
    conn: &'c mut SqliteConnection,
    event: Result<NewEvent, EnqueueError>,
) -> SqlxFuture<'c, Result<Enqueued, EnqueueError>> {
    SqlxFuture::new(async move {
        let event = event?;
        let is_one_row = !event.may_fold() && !event.is_special();
        let step = SqliteStep::enqueue(event);
        match is_one_row {
            // Only one of its statements writes.
            true => {
                let in_transaction = conn.is_in_transaction();
                run(conn, in_transaction, step).await
            }
            false => run_whole(conn, "enqueue", step).await,
        }
    })
}

fn enqueue_all<'c>(
    conn: &'c mut SqliteConnection,
    events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
) -> SqlxFuture<'c, Result<Vec<Enqueued>, EnqueueError>> {
    let step = SqliteStep::enqueue_all(events);
    SqlxFuture::new(run_whole(conn, "enqueue", step))
}

fn cancel<'c>(
    conn: &'c mut SqliteConnection,
    cancel: Cancel,
) -> SqlxFuture<'c, Result<Canceled, StoreError>> {
    let step = SqliteStep::cancel(cancel);
    SqlxFuture::new(run_whole(conn, "cancel", step))
}

fn complete<'c>(
    conn: &'c mut SqliteConnection,
    completion: Result<Completion, CompleteError>,
) -> CompleteFuture<'c> {
    CompleteFuture::new(async move {
        let step = SqliteStep::complete(completion?);
        run_whole(conn, "complete", step).await
    })
}

fn supersede<'c>(
    conn: &'c mut SqliteConnection,
    step: Result<(Completion, NewEvent), CompleteError>,
) -> CompleteFuture<'c, Enqueued> {
    CompleteFuture::new(async move {
        let (completion, next) = step?;
        let step = SqliteStep::supersede(completion, next);
        run_whole(conn, "complete", step).await
    })
}

/// Runs work in a savepoint of sqlx, or in a transaction where none is open. If this future is
/// dropped half-way, sqlx rolls it back before the connection does anything else.
async fn run_whole<T, E: From<StoreError>>(
    conn: &mut SqliteConnection,
    operation: &'static str,
    step: SqliteStep<Result<T, E>>,
) -> Result<T, E> {
    let in_transaction = conn.is_in_transaction();
    let fails = |error| failure(error, in_transaction).into_store_error(operation);
    let mut whole = conn.begin().await.map_err(fails)?;
    let done = run(&mut whole, in_transaction, step).await?;
    whole.commit().await.map_err(|error| match in_transaction {
        true => fails(error),
        false => fails(error).with_unknown_outcome(),
    })?;
    Ok(done)
}

async fn run<T>(conn: &mut SqliteConnection, in_transaction: bool, step: SqliteStep<T>) -> T {
    let mut step = step;
    loop {
        match step {
            SqliteStep::Run(statement, work) => {
                let reply = run_statement(conn, &statement).await;
                step = work.answer(reply.map_err(|error| failure(error, in_transaction)));
            }
            SqliteStep::Done(done) => return done,
        }
    }
}

/// Runs one statement of a [`SqliteStep`], for sinks of libraries that build on sqlx.
///
/// # Errors
///
/// The error of sqlx.
///
/// # Examples
///
/// ```
/// use outbox_runtime::store::{SqliteFailure, SqliteStep};
/// use outbox_runtime::{EnqueueError, Enqueued, NewEvent};
/// use sqlx::SqliteConnection;
///
/// async fn enqueue(conn: &mut SqliteConnection, event: NewEvent) -> Result<Enqueued, EnqueueError> {
///     let mut step = SqliteStep::enqueue(event);
///     loop {
///         match step {
///             SqliteStep::Run(statement, work) => {
///                 let reply = outbox_sqlx::run_statement(conn, &statement).await;
///                 step = work.answer(reply.map_err(SqliteFailure::new));
///             }
///             SqliteStep::Done(enqueued) => return enqueued,
///         }
///     }
/// }
/// ```
pub async fn run_statement(
    conn: &mut SqliteConnection,
    statement: &SqliteStatement,
) -> Result<SqliteReply, sqlx::Error> {
    let mut query = sqlx::query::<Sqlite>(statement.sql());
    for value in statement.params() {
        query = match value.clone() {
            SqlValue::Integer(number) => query.bind(number),
            SqlValue::Real(number) => query.bind(number),
            SqlValue::Text(text) => query.bind(text),
            SqlValue::Blob(bytes) => query.bind(bytes),
            _ => query.bind(None::<i64>),
        };
    }
    if !statement.returns_rows() {
        let done = query.execute(conn).await?;
        return Ok(SqliteReply::Changed(done.rows_affected()));
    }
    let rows = query.fetch_all(conn).await?;
    let rows: Result<Vec<_>, _> = rows.iter().map(row_values).collect();
    Ok(SqliteReply::Rows(rows?))
}

/// The values of a row, by what SQLite stores rather than by what the columns declare: for sinks of
/// libraries that build on sqlx.
///
/// # Errors
///
/// The error of sqlx.
///
/// # Examples
///
/// ```
/// use outbox_runtime::store::SqlValue;
/// use outbox_sqlx::row_values;
/// use sqlx::{Connection, SqliteConnection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut conn = SqliteConnection::connect("sqlite::memory:").await?;
/// let row = sqlx::query("SELECT 7, 'seven', NULL").fetch_one(&mut conn).await?;
/// let expected = [SqlValue::Integer(7), SqlValue::Text("seven".to_owned()), SqlValue::Null];
/// assert_eq!(row_values(&row)?, expected);
/// # Ok(())
/// # }
/// ```
pub fn row_values(row: &SqliteRow) -> Result<Vec<SqlValue>, sqlx::Error> {
    let value = |column: &sqlx::sqlite::SqliteColumn| {
        let at = column.ordinal();
        value(row, at).map_err(|source| sqlx::Error::ColumnDecode {
            index: at.to_string(),
            source,
        })
    };
    row.columns().iter().map(value).collect()
}

fn value(row: &SqliteRow, at: usize) -> Result<SqlValue, BoxError> {
    let raw = row.try_get_raw(at)?.to_owned();
    if raw.is_null() {
        return Ok(SqlValue::Null);
    }
    let name = raw.type_info().name().to_owned();
    Ok(match name.as_str() {
        "INTEGER" => SqlValue::Integer(Decode::<Sqlite>::decode(raw.as_ref())?),
        "REAL" => SqlValue::Real(Decode::<Sqlite>::decode(raw.as_ref())?),
        kind => {
            let bytes: Vec<u8> = Decode::<Sqlite>::decode(raw.as_ref())?;
            match kind {
                "TEXT" => String::from_utf8(bytes)
                    .map_or_else(|error| SqlValue::Blob(error.into_bytes()), SqlValue::Text),
                _ => SqlValue::Blob(bytes),
            }
        }
    })
}

fn failure(error: sqlx::Error, in_transaction: bool) -> SqliteFailure {
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse().ok());
    let failure = SqliteFailure::new(error).in_transaction(in_transaction);
    match code {
        Some(code) => failure.with_code(code),
        None => failure,
    }
}

macro_rules! sinks {
    ($($sink:ty: $doc:literal;)+) => {$(
        #[doc = $doc]
        impl<'c> EventSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Enqueued, EnqueueError>>;

            fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
                enqueue(self, event)
            }
        }

        #[doc = $doc]
        ///
        /// All of the events or none, in the order given; an error leaves the transaction open.
        impl<'c> BatchSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Vec<Enqueued>, EnqueueError>>;

            fn enqueue_all(
                self,
                events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
            ) -> Self::Output {
                enqueue_all(self, events)
            }
        }

        #[doc = $doc]
        impl<'c> CancelSink<Sqlx> for &'c mut $sink {
            type Output = SqlxFuture<'c, Result<Canceled, StoreError>>;

            fn cancel_events(self, cancel: Cancel) -> Self::Output {
                self::cancel(self, cancel)
            }
        }

        #[doc = $doc]
        impl<'c> CompletionSink<Sqlx> for &'c mut $sink {
            type Output = CompleteFuture<'c>;

            fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
                self::complete(self, completion)
            }
        }

        #[doc = $doc]
        impl<'c> SupersedingSink<Sqlx> for &'c mut $sink {
            type Output = CompleteFuture<'c, Enqueued>;

            fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
                self::supersede(self, step)
            }
        }
    )+};
}

sinks! {
    SqliteConnection:
        "Takes effect if and only if the transaction that is open on the connection commits; \
         without one, it is committed when the future resolves.";
    Transaction<'_, Sqlite>:
        "Takes effect if and only if the transaction commits. One that reads before that begins \
         with `pool.begin_with(\"BEGIN IMMEDIATE\")`.";
}
