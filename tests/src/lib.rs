//! Shared by the tests: two entities, a remote service answered by the test, and stores to run on.
//!
//! The tests use only the public API, one file per guarantee.

mod any_store;
mod broken;
mod by_statements;
pub mod core_data;
mod counting;
mod faults;
pub mod fuzzed;
pub mod hostile;
pub mod languages;
mod log;
pub mod reference;
pub mod simulated;
pub mod sources;
pub mod traced;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::store::{SqlValue, SqliteInsert, SqliteStoreBuilder};
use outbox_runtime::{Enqueue, HandlerSet, NewEvent, ProcessorBuilder};
use outbox_testing::ManualClock;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

pub use crate::any_store::{Any, AnyStore};
pub use crate::broken::{Broken, Flaw};
pub use crate::counting::Counting;
pub use crate::faults::assert_that_faults_happened;
pub use crate::log::Log;

/// An entity with an integer id.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "note", priority = 5)]
pub struct Note {
    /// Its key in the app's table.
    #[outbox(entity_id)]
    pub id: i64,
    /// Its user.
    #[outbox(user_id)]
    pub user_id: String,
    /// The metadata.
    #[outbox(metadata)]
    pub text: String,
}

/// Another entity, in the same set.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "task")]
pub struct Task {
    /// Its key.
    #[outbox(entity_id)]
    pub id: i64,
    /// Its user.
    #[outbox(user_id)]
    pub user_id: String,
}

/// A note of user u1.
pub fn note(id: i64) -> Note {
    note_of("u1", id)
}

/// A note of any user.
pub fn note_of(user_id: &str, id: i64) -> Note {
    Note {
        id,
        user_id: user_id.to_owned(),
        text: format!("note {id}"),
    }
}

/// Enqueues on any store.
pub async fn enqueue(store: &dyn OutboxRepository, change: Enqueue) -> OutboxEvent {
    store
        .create_event(change.into_event().unwrap())
        .await
        .unwrap()
}

/// An event of a type without a handler in these tests.
pub fn unknown(id: i64) -> NewEvent {
    NewEvent::new("mood.created", id, "u1", Operation::Create)
}

/// The remote service: every attempt arrives here, and the test answers it.
#[derive(Debug)]
pub struct Remote {
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One attempt, waiting for its answer.
#[derive(Debug)]
pub struct Call {
    /// The event to deliver.
    pub event: OutboxEvent,
    answer: oneshot::Sender<Result<(), HandlerError>>,
}

impl Remote {
    /// A remote service, and the handler that delivers notes to it.
    pub fn new() -> (Self, HandlerSet) {
        Self::of::<Note>()
    }

    /// The same for another entity.
    pub fn of<E: OutboxEntity>() -> (Self, HandlerSet) {
        let (sender, calls) = mpsc::unbounded_channel();
        let set = HandlerSet::new().with::<E>(move |event: Event<E>| {
            let sender = sender.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let event = event.into_record();
                let _ = sender.send(Call { event, answer });
                answered
                    .await
                    .unwrap_or_else(|_| Err(HandlerError::offline()))
            }
        });
        (Self { calls }, set)
    }

    /// The next attempt.
    pub async fn next(&mut self) -> Call {
        within(self.calls.recv())
            .await
            .expect("the processor is running")
    }

    /// The next attempt, without a time limit: with paused time, days pass at once.
    pub async fn next_eventually(&mut self) -> Call {
        self.calls.recv().await.expect("the processor is running")
    }

    /// Whether no unseen attempt has arrived. Meaningful only while the processor is known to
    /// sleep.
    pub fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    /// The entity's id.
    pub fn id(&self) -> i64 {
        self.event.entity_id.as_integer().unwrap()
    }

    /// Answers that it was delivered.
    pub fn ok(self) {
        let _ = self.answer.send(Ok(()));
    }

    /// Answers with an error.
    pub fn fail(self, error: HandlerError) {
        let _ = self.answer.send(Err(error));
    }

    /// Whether the handler was dropped meanwhile.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Waits until the handler is dropped.
    pub async fn abandoned(&mut self) {
        within(self.answer.closed()).await;
    }
}

/// Delivers notes of user u1 from `store` to a remote service, with default settings.
pub fn start(store: &(impl OutboxRepository + Clone)) -> (Remote, Running) {
    start_with(store, |builder| builder)
}

/// The same with other settings.
pub fn start_with(
    store: &(impl OutboxRepository + Clone),
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Remote, Running) {
    let (remote, processor) = processor(store, configure);
    (remote, processor.start("u1"))
}

/// The same for all users.
pub fn start_all_users(
    store: &(impl OutboxRepository + Clone),
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Remote, Running) {
    let (remote, processor) = processor(store, configure);
    (remote, processor.start_all_users())
}

fn processor(
    store: &(impl OutboxRepository + Clone),
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Remote, Processor) {
    let (remote, handlers) = Remote::new();
    let builder = Processor::builder(store.clone()).handlers(handlers);
    (remote, configure(builder).build().unwrap())
}

/// Makes a test that hangs fail instead. Never used for measuring.
#[allow(
    clippy::disallowed_methods,
    reason = "the guard against a hanging test must not depend on the clock under test"
)]
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("the test hangs")
}

/// The [`SqliteInsert`] of an event that does not expire, with its values for an unsupported
/// driver; rusqlite stands in for it.
pub fn foreign_insert(event: &NewEvent) -> (&'static str, [Value; 15]) {
    let (sql, params) = foreign_statement(event);
    (sql, params.try_into().unwrap())
}

/// The same of any event.
pub fn foreign_statement(event: &NewEvent) -> (&'static str, Vec<Value>) {
    let insert = SqliteInsert::new(event).unwrap();
    let sql = insert.sql();
    let params = insert.into_params().into_iter().map(|value| match value {
        SqlValue::Integer(number) => Value::Integer(number),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(bytes) => Value::Blob(bytes),
        _ => Value::Null,
    });
    (sql, params.collect())
}

/// A SQLite store in a folder of its own.
#[derive(Debug)]
pub struct Temporary {
    /// The store.
    pub store: SqliteStore,
    /// Its path.
    pub path: PathBuf,
    _folder: TempDir,
}

impl Temporary {
    /// On the system clock.
    pub async fn open() -> Self {
        Self::open_with(|builder| builder).await
    }

    /// Alone on its file, with its statements counted: it does not look for commits, which would
    /// find a run's own announcement at some moment. An idle run then makes no statement.
    pub async fn open_alone(clock: &ManualClock) -> Self {
        let clock = clock.clone();
        let open =
            |builder: SqliteStoreBuilder| builder.clock(clock).count_statements().single_process();
        Self::open_with(open).await
    }

    /// With other settings.
    pub async fn open_with(
        configure: impl FnOnce(SqliteStoreBuilder) -> SqliteStoreBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let store = configure(SqliteStore::builder(&path)).open().await.unwrap();
        Self {
            store,
            path,
            _folder: folder,
        }
    }

    /// Waits until the writer has done what follows its answers: after most requests it looks how
    /// long the log is, a statement that no caller waits for. `known` is any event of the store.
    ///
    /// The writer answers in order, so the answer to one more request is the proof. This request is
    /// a conflict, which writes nothing and wakes no run, and an enqueue, after which the writer
    /// does not look.
    pub async fn writer_rests(&self, known: &OutboxEvent) {
        let other = Note {
            text: "another content".to_owned(),
            ..note(0)
        };
        let other = other.enqueue_sync().with_event_id(known.id);
        let refused = other.on(&self.store).await.unwrap_err();
        assert!(
            matches!(refused, EnqueueError::Conflict { .. }),
            "{refused}"
        );
    }

    /// A connection of the application's own on the same file.
    pub fn connect(&self) -> outbox_runtime::rusqlite::Connection {
        outbox_runtime::rusqlite::Connection::open(&self.path).unwrap()
    }
}

/// Runs a case on each of our stores, with a manual clock.
pub fn on_each_store<F>(case: impl Fn(Arc<dyn OutboxRepository>, ManualClock) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let clock = ManualClock::new();
    let memory = MemoryStore::with_clock(clock.clone());
    runtime().block_on(case(Arc::new(memory), clock));
    runtime().block_on(async {
        let clock = ManualClock::new();
        let sqlite = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
        case(Arc::new(sqlite.store.clone()), clock).await;
    });
}
