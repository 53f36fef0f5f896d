//! Enqueueing and completing with drivers unknown to this library: statements out, rows in.

mod desk; // such a connection, to our code
mod failure; // errors of such drivers
mod statement; // statements, and what comes of them
mod work; // enqueueing and completing on such a connection

use std::future::Future;
use std::pin::Pin;

use self::desk::Foreign;
pub use self::failure::SqliteFailure;
pub use self::statement::{SqliteReply, SqliteStatement};
use crate::cancellation::{Cancel, Canceled};
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{CompleteError, EnqueueError, StoreError};
use crate::store::kit::Step;

/// Enqueueing or completing on a SQLite connection of any driver: the next statement to run, or
/// the result.
///
/// Everything that happens on a connection of rusqlite happens here too, by the same code: events
/// fold and replace each other, the content of a known id is compared, a batch is written as a
/// whole, and a handler completes its event under its lease. The processors of this process are
/// told to expect the commit, so they deliver within milliseconds of it. The driver only runs
/// statements, in sequence, on one connection.
///
/// To write `.on(&mut tx)` with such a driver, implement [`EventSink`](crate::EventSink),
/// [`BatchSink`](super::super::BatchSink), [`CancelSink`](super::super::CancelSink),
/// [`CompletionSink`](crate::CompletionSink) and [`SupersedingSink`](crate::SupersedingSink) with
/// this type for its connection. `outbox-sqlx` and `outbox-diesel` do that.
///
/// # Transactions
///
/// Run the statements in the transaction that changes the entity. The first waits for SQLite's
/// write lock. If the transaction reads before that, begin it with `BEGIN IMMEDIATE`: a
/// deferred transaction that has read fails at once if another connection is writing or has
/// committed since ([`needs_new_transaction`](EnqueueError::needs_new_transaction)).
///
/// Work that writes more than one row uses a savepoint called `outbox`. A driver that stops
/// half-way, without a report of a failure, must roll the transaction back.
///
/// # Examples
///
/// ```
/// use outbox_runtime::rusqlite::{Connection, params_from_iter, types::Value};
/// use outbox_runtime::store::{SqlValue, SqliteFailure, SqliteReply, SqliteStatement, SqliteStep};
/// use outbox_runtime::{Enqueued, NewEvent, Operation, SqliteStore};
///
/// /// Any driver will do; rusqlite stands for it.
/// fn run(
///     driver: &Connection,
///     in_transaction: bool,
///     statement: &SqliteStatement,
/// ) -> Result<SqliteReply, SqliteFailure> {
///     let fails = |error| SqliteFailure::new(error).in_transaction(in_transaction);
///     let params = statement.params().iter().map(|value| match value {
///         SqlValue::Integer(number) => Value::Integer(*number),
///         SqlValue::Text(text) => Value::Text(text.clone()),
///         SqlValue::Blob(bytes) => Value::Blob(bytes.clone()),
///         _ => Value::Null,
///     });
///     let mut prepared = driver.prepare_cached(statement.sql()).map_err(fails)?;
///     if !statement.returns_rows() {
///         let changed = prepared.execute(params_from_iter(params)).map_err(fails)?;
///         return Ok(SqliteReply::Changed(changed as u64));
///     }
///     let columns = prepared.column_count();
///     let rows = prepared.query_map(params_from_iter(params), |row| {
///         (0..columns).map(|at| Ok(match row.get(at)? {
///             Value::Null => SqlValue::Null,
///             Value::Integer(number) => SqlValue::Integer(number),
///             Value::Real(number) => SqlValue::Real(number),
///             Value::Text(text) => SqlValue::Text(text),
///             Value::Blob(bytes) => SqlValue::Blob(bytes),
///         })).collect()
///     });
///     Ok(SqliteReply::Rows(rows.and_then(Iterator::collect).map_err(fails)?))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let store = SqliteStore::open(&path).await?;
/// let driver = Connection::open(&path)?;
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Create);
/// let id = event.id();
///
/// // Before the first statement, which may begin a savepoint.
/// let in_transaction = !driver.is_autocommit();
/// let mut step = SqliteStep::enqueue(event);
/// let enqueued = loop {
///     match step {
///         SqliteStep::Run(statement, work) => {
///             step = work.answer(run(&driver, in_transaction, &statement));
///         }
///         SqliteStep::Done(enqueued) => break enqueued,
///     }
/// };
/// assert_eq!(enqueued?, Enqueued::New(id));
/// # Ok(())
/// # }
/// ```
pub type SqliteStep<T> = Step<SqliteStatement, Result<SqliteReply, SqliteFailure>, T>;

impl SqliteStep<Result<Enqueued, EnqueueError>> {
    /// Enqueues one event. Its time is that of the clock of the store on that file in this process,
    /// or else the time of the machine.
    pub fn enqueue(event: NewEvent) -> Self {
        begin("enqueue", |db| Box::pin(work::one(db, event)))
    }
}

impl SqliteStep<Result<Vec<Enqueued>, EnqueueError>> {
    /// Enqueues all of these events, in order, or none. An error among them, as well as one of the
    /// database, is returned with the index of its event.
    pub fn enqueue_all(events: impl Iterator<Item = Result<NewEvent, EnqueueError>>) -> Self {
        let events = events.enumerate();
        let events = events.map(|(index, event)| event.map_err(|error| error.at(index)));
        match events.collect() {
            Ok(events) => begin("enqueue", |db| Box::pin(work::all(db, events))),
            Err(error) => Self::Done(Err(error)),
        }
    }
}

impl SqliteStep<Result<Canceled, StoreError>> {
    /// Cancels events that were not claimed yet.
    pub fn cancel(cancel: Cancel) -> Self {
        begin("cancel", |db| Box::pin(work::cancel(db, cancel)))
    }
}

impl SqliteStep<Result<(), CompleteError>> {
    /// Completes an event under its lease.
    pub fn complete(completion: Completion) -> Self {
        begin("complete", |db| Box::pin(work::complete(db, completion)))
    }
}

impl SqliteStep<Result<Enqueued, CompleteError>> {
    /// Completes an event under its lease and enqueues the next, both or neither.
    pub fn supersede(completion: Completion, next: NewEvent) -> Self {
        begin("complete", |db| {
            Box::pin(work::supersede(db, completion, next))
        })
    }
}

fn begin<T>(
    operation: &'static str,
    work: impl FnOnce(Foreign) -> Pin<Box<dyn Future<Output = T> + Send>>,
) -> SqliteStep<T> {
    Step::begin(|desk| work(Foreign::new(operation, desk)))
}
