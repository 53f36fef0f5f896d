//! Enqueueing with drivers unknown to this library: statements out, rows in.
//!
//! The work is an `async` function that waits for nothing but the answers to its statements
//! ([`Foreign`](desk::Foreign)). [`SqliteWork`] polls it once per answer, so it needs no runtime,
//! and the driver may be synchronous or asynchronous.

mod desk; // such a connection, to our code
mod enqueue; // enqueueing on such a connection
mod failure; // errors of such drivers
mod statement; // statements, and what comes of them

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use self::desk::{Desk, Foreign};
pub use self::failure::SqliteFailure;
pub use self::statement::{SqliteReply, SqliteStatement};
use crate::cancellation::{Cancel, Canceled};
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{EnqueueError, StoreError};

/// Enqueueing on a SQLite connection of any driver: the next statement to run, or the result.
///
/// Everything that enqueueing on a connection of rusqlite does happens here too, by the same code:
/// events fold and replace each other, the content of a known id is compared, and a batch is
/// written as a whole. The processors of this process are told to expect the commit, so they
/// deliver within milliseconds of it. The driver only runs statements, in sequence,
/// on one connection.
///
/// To write `.on(&mut tx)` with such a driver, implement [`EventSink`](crate::EventSink),
/// [`BatchSink`](super::super::BatchSink) and [`CancelSink`](super::super::CancelSink) with this
/// type for its connection. `outbox-sqlx` and `outbox-diesel` do that.
///
/// # Transactions
///
/// Run the statements in the transaction that changes the entity. The first waits for SQLite's
/// write lock. If the transaction reads before it enqueues, begin it with `BEGIN IMMEDIATE`: a
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
#[derive(Debug)]
#[must_use = "nothing is enqueued until each statement has run"]
pub enum SqliteStep<T> {
    /// Run this statement, and [answer](SqliteWork::answer) with what came of it.
    Run(SqliteStatement, SqliteWork<T>),
    /// The work is done, or has failed.
    Done(T),
}

impl SqliteStep<Result<Enqueued, EnqueueError>> {
    /// Enqueues one event. Its time is that of the clock of the store on that file in this process,
    /// or else the time of the machine.
    pub fn enqueue(event: NewEvent) -> Self {
        Self::begin("enqueue", |db| Box::pin(enqueue::one(db, event)))
    }
}

impl SqliteStep<Result<Vec<Enqueued>, EnqueueError>> {
    /// Enqueues all of these events, in order, or none. An error among them, as well as one of the
    /// database, is returned with the index of its event.
    pub fn enqueue_all(events: impl Iterator<Item = Result<NewEvent, EnqueueError>>) -> Self {
        let events = events.enumerate();
        let events = events.map(|(index, event)| event.map_err(|error| error.at(index)));
        match events.collect() {
            Ok(events) => Self::begin("enqueue", |db| Box::pin(enqueue::all(db, events))),
            Err(error) => Self::Done(Err(error)),
        }
    }
}

impl SqliteStep<Result<Canceled, StoreError>> {
    /// Cancels events that were not claimed yet.
    pub fn cancel(cancel: Cancel) -> Self {
        Self::begin("cancel", |db| Box::pin(enqueue::cancel(db, cancel)))
    }
}

impl<T> SqliteStep<T> {
    fn begin(
        operation: &'static str,
        work: impl FnOnce(Foreign) -> Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Self {
        let desk = Desk::default();
        let work = SqliteWork {
            work: work(Foreign::new(operation, desk.clone())),
            desk,
        };
        work.go_on()
    }

    /// Runs all statements with a synchronous driver, and returns the result.
    pub fn run_with(
        self,
        mut run: impl FnMut(&SqliteStatement) -> Result<SqliteReply, SqliteFailure>,
    ) -> T {
        let mut step = self;
        loop {
            match step {
                Self::Run(statement, work) => step = work.answer(run(&statement)),
                Self::Done(done) => return done,
            }
        }
    }
}

/// Work that waits for the answer to a statement: see [`SqliteStep`].
#[must_use = "the work is not done"]
pub struct SqliteWork<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    desk: Desk,
}

impl<T> SqliteWork<T> {
    /// Goes on with what came of the statement. After a failure the work may still run statements,
    /// to undo what it has written; the failure comes back in the result.
    pub fn answer(self, answer: Result<SqliteReply, SqliteFailure>) -> SqliteStep<T> {
        self.desk.answer(answer);
        self.go_on()
    }

    fn go_on(mut self) -> SqliteStep<T> {
        match self.desk.go_on(self.work.as_mut()) {
            ControlFlow::Continue(statement) => SqliteStep::Run(statement, self),
            ControlFlow::Break(done) => SqliteStep::Done(done),
        }
    }
}

impl<T> fmt::Debug for SqliteWork<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteWork").finish_non_exhaustive()
    }
}
