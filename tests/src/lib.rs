//! What the tests have in common: two entities, a remote service that the test answers for, and stores to run on.
//!
//! The tests themselves are in `tests/`, one file per guarantee, through the public API only.

mod broken;
pub mod core_data;
pub mod fuzzed;
mod log;

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

pub use crate::broken::{Broken, Flaw};
pub use crate::log::Log;

/// An entity with an integer id.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "note", priority = 5)]
pub struct Note {
    /// Its key in the app's table.
    #[outbox(entity_id)]
    pub id: i64,
    /// Whose it is.
    #[outbox(user_id)]
    pub user_id: String,
    /// What travels.
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
    /// Whose it is.
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

/// An event of a type that no handler of these tests takes.
pub fn unknown(id: i64) -> NewEvent {
    NewEvent::new("mood.created", id, "u1", Operation::Create)
}

/// The far end of the handlers: every attempt comes here, and the test answers it.
#[derive(Debug)]
pub struct Remote {
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One attempt, waiting for its answer.
#[derive(Debug)]
pub struct Call {
    /// What was to be delivered.
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

    /// The next attempt, however long that takes: where time is paused, days pass at once.
    pub async fn next_ever(&mut self) -> Call {
        self.calls.recv().await.expect("the processor is running")
    }

    /// Whether no attempt has come that was not looked at. Says something only once the processor is known to sleep.
    pub fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl Call {
    /// The entity's id.
    pub fn id(&self) -> i64 {
        self.event.entity_id.as_integer().unwrap()
    }

    /// Delivered.
    pub fn ok(self) {
        let _ = self.answer.send(Ok(()));
    }

    /// Not delivered.
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

/// Starts delivering notes of user u1 from `store` to a remote service, with default settings.
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

/// A test that hangs fails instead. Nothing is ever measured with this.
#[allow(
    clippy::disallowed_methods,
    reason = "the guard against a hanging test must not depend on what is tested"
)]
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it should have happened long ago")
}

/// The [`SqliteInsert`] of an event, with its values for a driver that the library does not know,
/// which rusqlite stands for.
pub fn foreign_insert(event: &NewEvent) -> (&'static str, [Value; 14]) {
    let insert = SqliteInsert::new(event).unwrap();
    let sql = insert.sql();
    let params = insert.into_params().map(|value| match value {
        SqlValue::Integer(number) => Value::Integer(number),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob(bytes) => Value::Blob(bytes),
        _ => Value::Null,
    });
    (sql, params)
}

/// A SQLite store in a folder of its own.
#[derive(Debug)]
pub struct Temporary {
    /// The store.
    pub store: SqliteStore,
    /// Where it is.
    pub path: PathBuf,
    _folder: TempDir,
}

impl Temporary {
    /// On the machine's clock.
    pub async fn open() -> Self {
        Self::open_with(|builder| builder).await
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

    /// A connection of the application's own on the same file.
    pub fn connect(&self) -> outbox_runtime::rusqlite::Connection {
        outbox_runtime::rusqlite::Connection::open(&self.path).unwrap()
    }
}

/// Runs a case on each store of ours, with a clock that the case moves.
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
