//! A driver under test, and the transactions that it is asked to run.

use async_trait::async_trait;
use outbox_runtime::store::BoxError;
use outbox_runtime::{EnqueueError, Enqueued, NewEvent};

/// A driver whose connections take events, as [`sink_conformance!`](crate::sink_conformance) sees
/// it: something that runs scripts, each in a transaction of its own.
///
/// # Examples
///
/// A connection of rusqlite, with the statements for transactions written out:
///
/// ```
/// use async_trait::async_trait;
/// use outbox_runtime::store::{BatchSink, BoxError};
/// use outbox_runtime::{EventSink, SqliteStore, rusqlite::Connection};
/// use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest};
///
/// struct ByHand { conn: Connection, other: Connection }
///
/// impl ByHand {
///     fn steps(&self, steps: Vec<SinkStep>, answers: &mut Vec<SinkAnswer>) -> Result<(), BoxError> {
///         let conn = &self.conn;
///         for step in steps {
///             match step {
///                 SinkStep::Enqueue(event) => {
///                     answers.push(conn.enqueue(Ok(event)).map(|enqueued| vec![enqueued]));
///                 }
///                 SinkStep::EnqueueAll(events) => {
///                     answers.push(conn.enqueue_all(events.into_iter().map(Ok)));
///                 }
///                 SinkStep::Read => {
///                     conn.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
///                 }
///                 SinkStep::Elsewhere(event) => drop(self.other.enqueue(Ok(event))?),
///                 SinkStep::Savepoint { steps, is_kept } => {
///                     conn.execute_batch("SAVEPOINT mine")?;
///                     self.steps(steps, answers)?;
///                     conn.execute_batch(match is_kept {
///                         true => "RELEASE mine",
///                         false => "ROLLBACK TO mine; RELEASE mine",
///                     })?;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
///
/// #[async_trait]
/// impl SinkUnderTest for ByHand {
///     async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
///         let (begin, end) = (script.begin_in_sqlite(), script.end());
///         let mut answers = Vec::new();
///         self.conn.execute_batch(begin)?;
///         self.steps(script.steps, &mut answers)?;
///         self.conn.execute_batch(end)?;
///         Ok(answers)
///     }
///
///     fn can_become_stale(&self) -> bool {
///         true
///     }
///
///     fn takes_keys(&self) -> bool {
///         true
///     }
/// }
///
/// async fn make() -> (ByHand, SqliteStore, tempfile::TempDir) {
///     let folder = tempfile::tempdir().unwrap();
///     let path = folder.path().join("app.db");
///     let store = SqliteStore::open(&path).await.unwrap();
///     let [conn, other] = [(); 2].map(|()| Connection::open(&path).unwrap());
///     (ByHand { conn, other }, store, folder)
/// }
///
/// mod by_hand {
///     outbox_testing::sink_conformance!(super::make);
/// }
/// # fn main() {}
/// ```
#[async_trait]
pub trait SinkUnderTest: Send {
    /// Runs the steps of a script in one transaction of the driver, and ends that as the script
    /// says. Returns what each enqueueing answered, in order; an answer that is an error does not
    /// end the script.
    ///
    /// # Errors
    ///
    /// Whatever else fails: beginning, reading, a savepoint, or committing.
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError>;

    /// Whether a transaction that reads first can no longer write after another one has committed,
    /// as in SQLite. Default: false.
    fn can_become_stale(&self) -> bool {
        false
    }

    /// Whether the driver takes events with a [key](outbox_runtime::Enqueue::key); otherwise it
    /// refuses them with `NotAllowedHere`. Default: true.
    fn takes_keys(&self) -> bool {
        true
    }
}

/// What an enqueueing answered: a batch with one value per event, a single event with one.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Enqueued, NewEvent, Operation};
/// use outbox_testing::SinkAnswer;
///
/// let event = NewEvent::new("moodEntry", 7, "user-1", Operation::Create);
/// let answer: SinkAnswer = Ok(vec![Enqueued::New(event.id())]);
/// assert_eq!(answer.unwrap().len(), 1);
/// ```
pub type SinkAnswer = Result<Vec<Enqueued>, EnqueueError>;

/// A transaction for a [`SinkUnderTest`] to run.
///
/// # Examples
///
/// ```
/// use outbox_testing::{SinkScript, SinkStep};
///
/// let script = SinkScript {
///     begins_to_write: true,
///     steps: vec![SinkStep::Read],
///     commits: false,
/// };
/// assert_eq!(script.begin_in_sqlite(), "BEGIN IMMEDIATE");
/// assert_eq!(script.end(), "ROLLBACK");
/// ```
#[derive(Debug)]
pub struct SinkScript {
    /// Whether the transaction begins with a lock for writing, where the database has such
    /// transactions: `BEGIN IMMEDIATE` in SQLite.
    pub begins_to_write: bool,
    /// What to do in the transaction, in order.
    pub steps: Vec<SinkStep>,
    /// Whether to commit it, or to roll it back.
    pub commits: bool,
}

impl SinkScript {
    pub(super) fn of(steps: impl IntoIterator<Item = SinkStep>) -> Self {
        Self {
            begins_to_write: true,
            steps: steps.into_iter().collect(),
            commits: true,
        }
    }

    /// The statement that begins the transaction in SQLite.
    #[must_use]
    pub fn begin_in_sqlite(&self) -> &'static str {
        match self.begins_to_write {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN",
        }
    }

    /// The statement that ends the transaction.
    #[must_use]
    pub fn end(&self) -> &'static str {
        match self.commits {
            true => "COMMIT",
            false => "ROLLBACK",
        }
    }
}

/// A step of a [`SinkScript`].
///
/// # Examples
///
/// ```
/// use outbox_testing::SinkStep;
///
/// /// How many answers a step adds to those of its script.
/// fn answers(step: &SinkStep) -> usize {
///     match step {
///         SinkStep::Enqueue(_) | SinkStep::EnqueueAll(_) => 1,
///         SinkStep::Savepoint { steps, .. } => steps.iter().map(answers).sum(),
///         SinkStep::Read | SinkStep::Elsewhere(_) => 0,
///     }
/// }
///
/// let steps = vec![SinkStep::Read, SinkStep::EnqueueAll(Vec::new())];
/// assert_eq!(answers(&SinkStep::Savepoint { steps, is_kept: true }), 1);
/// ```
#[derive(Debug)]
pub enum SinkStep {
    /// Enqueue one event, by `EventSink`.
    Enqueue(NewEvent),
    /// Enqueue these events together, by `BatchSink`.
    EnqueueAll(Vec<NewEvent>),
    /// Read any table, so that the transaction has a snapshot.
    Read,
    /// Enqueue an event on another connection, and commit it there.
    Elsewhere(NewEvent),
    /// Do these steps in a savepoint.
    Savepoint {
        /// The steps.
        steps: Vec<SinkStep>,
        /// Whether to release the savepoint, or to roll back to it.
        is_kept: bool,
    },
}
