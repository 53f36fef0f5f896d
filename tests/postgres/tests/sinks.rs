//! Transactions of tokio-postgres keep the promises that `sink_conformance!` lists for sinks.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::pin::Pin;

use outbox_postgres::tokio_postgres::{Client, Transaction};
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{connect, open};
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{EventSink, async_trait};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};

struct OnTransaction {
    client: Client,
    elsewhere: Elsewhere,
}

/// The outbox on another connection.
struct Elsewhere {
    client: Client,
    outbox: Outbox,
}

fn run<'a>(
    tx: &'a mut Transaction<'_>,
    elsewhere: &'a Elsewhere,
    steps: Vec<SinkStep>,
    answers: &'a mut Vec<SinkAnswer>,
) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>> {
    let outbox = &elsewhere.outbox;
    Box::pin(async move {
        for step in steps {
            match step {
                SinkStep::Enqueue(event) => {
                    let answer = outbox.on(&*tx).enqueue(Ok(event)).await;
                    answers.push(answer.map(|enqueued| vec![enqueued]));
                }
                SinkStep::EnqueueAll(events) => {
                    let events = events.into_iter().map(Ok);
                    answers.push(outbox.on(&*tx).enqueue_all(events).await);
                }
                SinkStep::Read => drop(tx.query("SELECT 1 FROM pg_class LIMIT 1", &[]).await?),
                SinkStep::Elsewhere(event) => {
                    let there = outbox.on(&elsewhere.client);
                    there.enqueue(Ok(event)).await?;
                }
                SinkStep::Savepoint { steps, is_kept } => {
                    let mut inner = tx.transaction().await?;
                    run(&mut inner, elsewhere, steps, answers).await?;
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
        let mut answers = Vec::new();
        let mut tx = self.client.transaction().await?;
        run(&mut tx, &self.elsewhere, script.steps, &mut answers).await?;
        match script.commits {
            true => tx.commit().await?,
            false => tx.rollback().await?,
        }
        Ok(answers)
    }
}

async fn make() -> (OnTransaction, PostgresStore, ()) {
    let store = open(|store| store).await;
    let elsewhere = Elsewhere {
        client: connect().await,
        outbox: store.outbox(),
    };
    let client = connect().await;
    (OnTransaction { client, elsewhere }, store, ())
}

sink_conformance!(make);
