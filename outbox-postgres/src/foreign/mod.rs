//! Enqueueing, canceling and completing with drivers unknown to this library: statements out, rows
//! in.

mod failure; // errors of such drivers
mod statement; // statements and values
mod work; // enqueueing and completing on such a connection

use std::future::Future;
use std::pin::Pin;

use outbox_runtime::store::Completion;
use outbox_runtime::store::kit::Step;
use outbox_runtime::{
    Cancel, Canceled, CompleteError, EnqueueError, Enqueued, NewEvent, StoreError,
};

pub use self::failure::PostgresFailure;
pub use self::statement::PostgresStatement;
use self::work::Foreign;
use crate::sink::Outbox;
use crate::value::PostgresValue;

/// Enqueueing, canceling or completing on a PostgreSQL connection of any driver: the next statement
/// to run, or the result. The methods of [`Outbox`] that end in `_step` begin one.
///
/// The counterpart of `outbox_runtime::store::SqliteStep`. Events fold and replace each other, the
/// content of a known id is compared, and a batch is written as a whole; the statements notify
/// sleeping workers, so they deliver within milliseconds of the commit. The driver only runs
/// statements, in sequence, on one connection with a transaction open, and answers with the rows of
/// each, with their columns in order; there are none unless it
/// [returns rows](PostgresStatement::returns_rows). `outbox-sqlx` and `outbox-diesel` do that.
///
/// # Transactions
///
/// The driver must have a transaction open: work that writes more than one row uses savepoints. A
/// driver that stops half-way, without a report of a failure, must roll it back.
///
/// An event with a [key](outbox_runtime::Enqueue::key), and a cancellation, take a transaction at
/// the isolation level READ COMMITTED, PostgreSQL's default; at others they are refused with
/// [`NotAllowedHere`](outbox_runtime::StoreErrorKind::NotAllowedHere).
///
/// # Examples
///
/// ```
/// use outbox_postgres::{Outbox, PostgresFailure, PostgresStatement, PostgresStep, PostgresValue};
/// use outbox_runtime::{EnqueueError, Enqueued, NewEvent};
///
/// /// A driver.
/// trait Driver {
///     fn run(&mut self, statement: &PostgresStatement) -> Result<Vec<Vec<PostgresValue>>, PostgresFailure>;
/// }
///
/// fn enqueue(driver: &mut dyn Driver, event: NewEvent) -> Result<Enqueued, EnqueueError> {
///     Outbox::default().enqueue_step(event).run_with(|statement| driver.run(statement))
/// }
///
/// /// An asynchronous one.
/// trait AsyncDriver {
///     async fn run(&mut self, statement: &PostgresStatement) -> Result<Vec<Vec<PostgresValue>>, PostgresFailure>;
/// }
///
/// async fn run<T>(driver: &mut impl AsyncDriver, mut step: PostgresStep<T>) -> T {
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
pub type PostgresStep<T> =
    Step<PostgresStatement, Result<Vec<Vec<PostgresValue>>, PostgresFailure>, T>;

/// What a driver unknown to this library does in a transaction that it has open.
impl Outbox {
    /// Enqueues one event. See [`PostgresStep`] for an example.
    pub fn enqueue_step(&self, event: NewEvent) -> PostgresStep<Result<Enqueued, EnqueueError>> {
        self.begin("enqueue", |db| Box::pin(work::one(db, event)))
    }

    /// Enqueues all of these events, in order, or none. An error among them, as well as one of the
    /// database, is returned with the index of its event.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_postgres::{Outbox, PostgresStep};
    ///
    /// // There is nothing to run for no events.
    /// let step = Outbox::default().enqueue_all_step(std::iter::empty());
    /// assert!(matches!(step, PostgresStep::Done(Ok(enqueued)) if enqueued.is_empty()));
    /// ```
    pub fn enqueue_all_step(
        &self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> PostgresStep<Result<Vec<Enqueued>, EnqueueError>> {
        match crate::sink::collect(events) {
            Ok(events) => self.begin("enqueue", |db| Box::pin(work::all(db, events))),
            Err(error) => PostgresStep::Done(Err(error)),
        }
    }

    /// Cancels events that were not claimed yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_postgres::{Outbox, PostgresStep};
    /// use outbox_runtime::{Cancel, Canceled, StoreError};
    ///
    /// fn step(cancel: Cancel) -> PostgresStep<Result<Canceled, StoreError>> {
    ///     Outbox::default().cancel_step(cancel)
    /// }
    /// ```
    pub fn cancel_step(&self, cancel: Cancel) -> PostgresStep<Result<Canceled, StoreError>> {
        self.begin("cancel", |db| Box::pin(work::cancel(db, cancel)))
    }

    /// Completes an event under its lease.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_postgres::{Outbox, PostgresStep};
    /// use outbox_runtime::CompleteError;
    /// use outbox_runtime::store::Completion;
    ///
    /// /// For the transaction that writes what the handler of the event did.
    /// fn step(completion: Completion) -> PostgresStep<Result<(), CompleteError>> {
    ///     Outbox::default().complete_step(completion)
    /// }
    /// ```
    pub fn complete_step(&self, completion: Completion) -> PostgresStep<Result<(), CompleteError>> {
        self.begin("complete", |db| Box::pin(work::complete(db, completion)))
    }

    /// Completes an event under its lease and enqueues the next, both or neither.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_postgres::{Outbox, PostgresStep};
    /// use outbox_runtime::store::Completion;
    /// use outbox_runtime::{CompleteError, Enqueued, NewEvent};
    ///
    /// fn step(
    ///     completion: Completion,
    ///     next: NewEvent,
    /// ) -> PostgresStep<Result<Enqueued, CompleteError>> {
    ///     Outbox::default().supersede_step(completion, next)
    /// }
    /// ```
    pub fn supersede_step(
        &self,
        completion: Completion,
        next: NewEvent,
    ) -> PostgresStep<Result<Enqueued, CompleteError>> {
        self.begin("complete", |db| {
            Box::pin(work::supersede(db, completion, next))
        })
    }

    fn begin<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(Foreign) -> Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> PostgresStep<T> {
        let outbox = self.clone();
        Step::begin(|desk| work(Foreign::new(operation, outbox, desk)))
    }
}
