//! Transactions of sea-orm keep the promises that `sink_conformance!` lists for sinks.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::pin::Pin;

use async_trait::async_trait;
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{EventSink, SqliteStore};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};
use outbox_with_sea_orm as _;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tempfile::TempDir;

struct OnTransaction(DatabaseConnection);

fn run<'a>(
    tx: &'a DatabaseTransaction,
    db: &'a DatabaseConnection,
    steps: Vec<SinkStep>,
    answers: &'a mut Vec<SinkAnswer>,
) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>> {
    Box::pin(async move {
        for step in steps {
            match step {
                SinkStep::Enqueue(event) => {
                    let answer = tx.enqueue(Ok(event)).await;
                    answers.push(answer.map(|enqueued| vec![enqueued]));
                }
                SinkStep::EnqueueAll(events) => {
                    answers.push(tx.enqueue_all(events.into_iter().map(Ok)).await);
                }
                SinkStep::Read => {
                    let read = "SELECT count(*) FROM outbox_events";
                    tx.execute_unprepared(read).await?;
                }
                SinkStep::Elsewhere(event) => {
                    let other = db.begin().await?;
                    (&other).enqueue(Ok(event)).await?;
                    other.commit().await?;
                }
                SinkStep::Savepoint { steps, is_kept } => {
                    let inner = tx.begin().await?;
                    run(&inner, db, steps, answers).await?;
                    match is_kept {
                        true => inner.commit().await?,
                        false => inner.rollback().await?,
                    }
                }
            }
        }
        Ok(())
    })
}

#[async_trait]
impl SinkUnderTest for OnTransaction {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let mode = match script.begins_to_write {
            true => SqliteTransactionMode::Immediate,
            false => SqliteTransactionMode::Deferred,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(mode),
            ..TransactionOptions::default()
        };
        let mut answers = Vec::new();
        let tx = self.0.begin_with_options(options).await?;
        run(&tx, &self.0, script.steps, &mut answers).await?;
        match script.commits {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

async fn make() -> (OnTransaction, SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let url = format!("sqlite://{}", path.display());
    // By default sea-orm keeps a single connection to a file.
    let mut options = ConnectOptions::new(url);
    options.max_connections(3);
    let db = Database::connect(options).await.unwrap();
    (OnTransaction(db), store, folder)
}

sink_conformance!(make);
