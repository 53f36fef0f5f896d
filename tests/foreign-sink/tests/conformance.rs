//! The sink of a third crate keeps the promises of our own.

#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use async_trait::async_trait;
use deadpool::unmanaged::Pool;
use outbox_foreign_sink::Pooled;
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{EventSink, SqliteStore};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest};
use outbox_tests::Temporary;

struct OnPooled {
    conn: Pooled,
    other: Pooled,
}

impl OnPooled {
    fn steps(&self, steps: Vec<SinkStep>, answers: &mut Vec<SinkAnswer>) -> Result<(), BoxError> {
        let conn = &self.conn;
        for step in steps {
            match step {
                SinkStep::Enqueue(event) => {
                    answers.push(conn.enqueue(Ok(event)).map(|enqueued| vec![enqueued]));
                }
                SinkStep::EnqueueAll(events) => {
                    answers.push(conn.enqueue_all(events.into_iter().map(Ok)));
                }
                SinkStep::Read => {
                    conn.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
                }
                SinkStep::Elsewhere(event) => drop(self.other.enqueue(Ok(event))?),
                SinkStep::Savepoint { steps, is_kept } => {
                    conn.execute_batch("SAVEPOINT mine")?;
                    self.steps(steps, answers)?;
                    conn.execute_batch(match is_kept {
                        true => "RELEASE mine",
                        false => "ROLLBACK TO mine; RELEASE mine",
                    })?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SinkUnderTest for OnPooled {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let (begin, end) = (script.begin_in_sqlite(), script.end());
        let mut answers = Vec::new();
        self.conn.execute_batch(begin)?;
        self.steps(script.steps, &mut answers)?;
        self.conn.execute_batch(end)?;
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

async fn make() -> (
    OnPooled,
    SqliteStore,
    (Temporary, Pool<outbox_runtime::rusqlite::Connection>),
) {
    let temporary = Temporary::open().await;
    let pool = Pool::from(vec![temporary.connect(), temporary.connect()]);
    let sink = OnPooled {
        conn: pool.get().await.unwrap(),
        other: pool.get().await.unwrap(),
    };
    let store = temporary.store.clone();
    (sink, store, (temporary, pool))
}

outbox_testing::sink_conformance!(make);
