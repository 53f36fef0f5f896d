//! Producing: enqueues in each of the three ways, and dies during a transaction.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{self, Connection, TransactionBehavior};
use outbox_runtime::store::BoxError;
use outbox_runtime::{StoreError, TransactionError};
use uuid::Uuid;

use super::{Worker, pause};
use crate::ledger::Record;
use crate::plan::{Point, Transaction};
use crate::task::{Chore, Task};

/// The application's own table: one row for each task that is enqueued together with a change.
pub(super) const NOTES: &str =
    "CREATE TABLE IF NOT EXISTS note (event BLOB PRIMARY KEY, number INTEGER NOT NULL)";

/// The error of an enqueue, as the producer sees it.
#[derive(Debug)]
struct Refusal {
    kind: String,
    unknown: bool,
    transient: bool,
    text: String,
}

impl Worker {
    /// Enqueues one event; after a transient failure, repeats it under the same id until it
    /// succeeds.
    pub(super) async fn enqueue_with_retries(
        &self,
        store: &SqliteStore,
        producer: u32,
        task: &Task,
    ) {
        let mut delay = 5;
        while !self.enqueue_once(store, producer, task.clone()).await {
            pause(delay).await;
            delay = (delay * 2).min(200);
        }
    }

    /// Enqueues one event and records the result. Returns `true` if repeating is pointless.
    async fn enqueue_once(&self, store: &SqliteStore, producer: u32, task: Task) -> bool {
        let event = Task::event_id(producer, task.number);
        self.ledger.write(&Record::Intended {
            event,
            user: task.user.clone(),
            entity: task.entity,
            number: task.number,
        });
        if self.plan.acknowledges_early {
            self.ledger.write(&Record::Acknowledged { event });
        }
        match self.enqueue(store, task, event).await {
            Ok(()) => {
                self.ledger.write(&Record::Acknowledged { event });
                true
            }
            Err(refusal) => {
                self.ledger.write(&Record::Refused {
                    event,
                    kind: refusal.kind,
                    unknown: refusal.unknown,
                    text: refusal.text,
                });
                !refusal.transient
            }
        }
    }

    /// Enqueues in one of three ways; the number selects it.
    async fn enqueue(&self, store: &SqliteStore, task: Task, id: Uuid) -> Result<(), Refusal> {
        let max_attempts = self.plan.max_attempts;
        match task.number % 3 {
            0 => {
                let enqueued = task.enqueue(id, max_attempts).on(store).await;
                enqueued.map(drop).map_err(Refusal::from)
            }
            1 => {
                let saved = store
                    .transaction(move |tx| {
                        save(tx, &task, id)?;
                        task.enqueue(id, max_attempts).on(tx)?;
                        Ok(())
                    })
                    .await;
                saved.map_err(Refusal::from)
            }
            _ => {
                let path = self.plan.database.clone();
                let busy_timeout = Duration::from_millis(self.plan.busy_timeout);
                let saved = tokio::task::spawn_blocking(move || {
                    let mut conn = connect(&path, busy_timeout)?;
                    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    save(&tx, &task, id)?;
                    task.enqueue(id, max_attempts).on(&tx)?;
                    Ok(tx.commit()?)
                });
                let saved: Result<(), BoxError> = saved.await.expect("the task does not panic");
                saved.map_err(|error| Refusal::from(TransactionError::Aborted(error)))
            }
        }
    }
}

pub(super) fn connect(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(busy_timeout)?;
    conn.execute_batch("PRAGMA synchronous = FULL")?;
    Ok(conn)
}

/// Saves the change that the event describes.
fn save(conn: &Connection, task: &Task, id: Uuid) -> rusqlite::Result<()> {
    conn.execute_batch(NOTES)?;
    conn.execute(
        "INSERT OR IGNORE INTO note VALUES (?1, ?2)",
        rusqlite::params![id.as_bytes(), task.number],
    )?;
    Ok(())
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        Self {
            kind: format!("{:?}", error.kind()),
            unknown: error.outcome_unknown(),
            transient: error.is_transient() || error.outcome_unknown(),
            text: error.to_string(),
        }
    }
}

impl From<EnqueueError> for Refusal {
    fn from(error: EnqueueError) -> Self {
        match &error {
            EnqueueError::Store(error) => error.into(),
            other => Self {
                kind: "Enqueue".to_owned(),
                unknown: false,
                transient: false,
                text: other.to_string(),
            },
        }
    }
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Store(error) => (&error).into(),
            TransactionError::Aborted(error) => match error.downcast::<EnqueueError>() {
                Ok(error) => (*error).into(),
                // A driver's error: on the application's connection, the library does not translate
                // it.
                Err(error) => Self {
                    kind: "Driver".to_owned(),
                    unknown: true,
                    transient: true,
                    text: error.to_string(),
                },
            },
            other => Self {
                kind: "Transaction".to_owned(),
                unknown: false,
                transient: false,
                text: other.to_string(),
            },
        }
    }
}

/// Enqueues `count` events in store transactions that wait together while another one runs.
pub(super) async fn enqueue_concurrently(worker: &Arc<Worker>, store: &SqliteStore, count: u32) {
    let (entered, is_in) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let busy = store.transaction(move |_| {
        let _ = entered.send(());
        let _ = released.recv();
        Ok(())
    });
    let waiting = async {
        let _ = is_in.await;
        let mut all = tokio::task::JoinSet::new();
        for number in 0..count {
            let (worker, store) = (Arc::clone(worker), store.clone());
            // These numbers select a store transaction.
            let task = Task::new(number.into(), 3 * number + 1, Chore::Deliver);
            all.spawn(async move { worker.enqueue_with_retries(&store, 0, &task).await });
        }
        // Lets most of them start waiting; the exact number does not matter.
        pause(100).await;
        drop(release);
        all.join_all().await;
    };
    let (done, ()) = tokio::join!(busy, waiting);
    // This transaction wrote nothing, but shares the result of the group's sync.
    let _ = done;
}

/// Writes an entity and its event, and dies at the given point.
pub(super) async fn die_in(transaction: Transaction, point: Point, store: &SqliteStore) {
    let task = Task::new(1, 1, Chore::Deliver);
    let id = Task::event_id(0, task.number);
    let write = move |conn: &Connection| -> Result<(), BoxError> {
        save(conn, &task, id)?;
        if point == Point::BetweenTheWrites {
            std::process::abort();
        }
        task.enqueue(id, 5).on(conn)?;
        if point == Point::BeforeTheCommit {
            std::process::abort();
        }
        Ok(())
    };
    match transaction {
        Transaction::Stores => {
            let done = store.transaction(move |tx| write(tx)).await;
            done.expect("the transaction succeeds");
        }
        Transaction::Callers => {
            let path = store.path().to_owned();
            let done = tokio::task::spawn_blocking(move || -> Result<(), BoxError> {
                let mut conn = connect(&path, Duration::from_secs(5))?;
                let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
                write(&tx)?;
                Ok(tx.commit()?)
            });
            let done = done.await.expect("the task does not panic");
            done.expect("the transaction succeeds");
        }
    }
    std::process::abort();
}
