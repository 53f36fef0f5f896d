//! Enqueueing and completing with drivers unknown to this library: statements out, rows in.

mod failure; // errors of such drivers
mod statement; // statements and values
mod work; // enqueueing and completing on such a connection

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use outbox_runtime::store::Completion;
use outbox_runtime::store::kit::Desk;
use outbox_runtime::{CompleteError, EnqueueError, Enqueued, NewEvent};

pub use self::failure::PostgresFailure;
use self::statement::Answer;
pub use self::statement::{PostgresStatement, PostgresValue};
use self::work::Foreign;
use crate::sink::Outbox;

/// Enqueueing or completing on a PostgreSQL connection of any driver: the next statement to run, or
/// the result.
///
/// The counterpart of `outbox_runtime::store::SqliteStep`. Events fold, the content of a known id
/// is compared, and a batch is written as a whole; the statements notify sleeping workers, so they
/// deliver within milliseconds of the commit. The driver only runs statements, in sequence, on one
/// connection with a transaction open. `outbox-sqlx` and `outbox-diesel` do that.
///
/// An event with a [key](outbox_runtime::Enqueue::key) is refused: that takes a connection of
/// tokio-postgres, or the store.
///
/// # Transactions
///
/// The driver must have a transaction open: work that writes more than one row uses savepoints. A
/// driver that stops half-way, without a report of a failure, must roll it back.
///
/// # Examples
///
/// ```
/// use outbox_postgres::{Outbox, PostgresFailure, PostgresStatement, PostgresStep, PostgresValue};
/// use outbox_runtime::store::Completion;
/// use outbox_runtime::{CompleteError, EnqueueError, Enqueued, NewEvent};
///
/// /// A driver.
/// trait Driver {
///     fn run(&mut self, statement: &PostgresStatement) -> Result<Vec<Vec<PostgresValue>>, PostgresFailure>;
/// }
///
/// fn enqueue(driver: &mut dyn Driver, event: NewEvent) -> Result<Enqueued, EnqueueError> {
///     PostgresStep::enqueue(&Outbox::default(), event).run_with(|statement| driver.run(statement))
/// }
///
/// fn enqueue_all(driver: &mut dyn Driver, events: Vec<NewEvent>) -> Result<Vec<Enqueued>, EnqueueError> {
///     let step = PostgresStep::enqueue_all(&Outbox::default(), events.into_iter().map(Ok));
///     step.run_with(|statement| driver.run(statement))
/// }
///
/// /// Completes the event of a handler, in the transaction that writes what it did.
/// fn complete(driver: &mut dyn Driver, completion: Completion) -> Result<(), CompleteError> {
///     let step = PostgresStep::complete(&Outbox::default(), completion);
///     step.run_with(|statement| driver.run(statement))
/// }
///
/// fn supersede(
///     driver: &mut dyn Driver,
///     completion: Completion,
///     next: NewEvent,
/// ) -> Result<Enqueued, CompleteError> {
///     let step = PostgresStep::supersede(&Outbox::default(), completion, next);
///     step.run_with(|statement| driver.run(statement))
/// }
/// ```
#[derive(Debug)]
#[must_use = "nothing is done until each statement has run"]
pub enum PostgresStep<T> {
    /// Run this statement, and [answer](PostgresWork::answer) with its rows.
    Run(PostgresStatement, PostgresWork<T>),
    /// The work is done, or has failed.
    Done(T),
}

impl PostgresStep<Result<Enqueued, EnqueueError>> {
    /// Enqueues one event.
    pub fn enqueue(outbox: &Outbox, event: NewEvent) -> Self {
        Self::begin("enqueue", outbox, |db| Box::pin(work::one(db, event)))
    }
}

impl PostgresStep<Result<Vec<Enqueued>, EnqueueError>> {
    /// Enqueues all of these events, in order, or none. An error among them, as well as one of the
    /// database, is returned with the index of its event.
    pub fn enqueue_all(
        outbox: &Outbox,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self {
        match crate::sink::collect(events) {
            Ok(events) => Self::begin("enqueue", outbox, |db| Box::pin(work::all(db, events))),
            Err(error) => Self::Done(Err(error)),
        }
    }
}

impl PostgresStep<Result<(), CompleteError>> {
    /// Completes an event under its lease.
    pub fn complete(outbox: &Outbox, completion: Completion) -> Self {
        Self::begin("complete", outbox, |db| {
            Box::pin(work::complete(db, completion))
        })
    }
}

impl PostgresStep<Result<Enqueued, CompleteError>> {
    /// Completes an event under its lease and enqueues the next, both or neither.
    pub fn supersede(outbox: &Outbox, completion: Completion, next: NewEvent) -> Self {
        Self::begin("complete", outbox, |db| {
            Box::pin(work::supersede(db, completion, next))
        })
    }
}

impl<T> PostgresStep<T> {
    fn begin(
        operation: &'static str,
        outbox: &Outbox,
        work: impl FnOnce(Foreign) -> Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Self {
        let desk = Desk::default();
        let work = PostgresWork {
            work: work(Foreign::new(operation, outbox.clone(), desk.clone())),
            desk,
        };
        work.go_on()
    }

    /// Runs all statements with a synchronous driver, and returns the result.
    pub fn run_with(
        self,
        mut run: impl FnMut(&PostgresStatement) -> Result<Vec<Vec<PostgresValue>>, PostgresFailure>,
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

/// Work that waits for the answer to a statement: see [`PostgresStep`].
///
/// # Examples
///
/// An asynchronous driver:
///
/// ```
/// use outbox_postgres::{PostgresFailure, PostgresStatement, PostgresStep, PostgresValue};
///
/// trait Driver {
///     async fn run(&mut self, statement: &PostgresStatement) -> Result<Vec<Vec<PostgresValue>>, PostgresFailure>;
/// }
///
/// async fn run<T>(driver: &mut impl Driver, mut step: PostgresStep<T>) -> T {
///     loop {
///         match step {
///             PostgresStep::Run(statement, work) => {
///                 step = work.answer(driver.run(&statement).await);
///             }
///             PostgresStep::Done(done) => return done,
///         }
///     }
/// }
/// ```
#[must_use = "the work is not done"]
pub struct PostgresWork<T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    desk: Desk<PostgresStatement, Answer>,
}

impl<T> PostgresWork<T> {
    /// Goes on with the rows of the statement, each with its columns in order; there are none
    /// unless it [returns rows](PostgresStatement::returns_rows). After a failure the work may
    /// still run statements, to undo what it has written; the failure comes back in the result.
    pub fn answer(
        self,
        answer: Result<Vec<Vec<PostgresValue>>, PostgresFailure>,
    ) -> PostgresStep<T> {
        self.desk.answer(answer);
        self.go_on()
    }

    fn go_on(mut self) -> PostgresStep<T> {
        match self.desk.go_on(self.work.as_mut()) {
            ControlFlow::Continue(statement) => PostgresStep::Run(statement, self),
            ControlFlow::Break(done) => PostgresStep::Done(done),
        }
    }
}

impl<T> fmt::Debug for PostgresWork<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresWork").finish_non_exhaustive()
    }
}
