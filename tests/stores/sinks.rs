//! The connections of rusqlite keep the promises that `sink_conformance!` lists for sinks.

use async_trait::async_trait;
use outbox_runtime::rusqlite::{Connection, Savepoint, Transaction, TransactionBehavior};
use outbox_runtime::store::{BatchSink, BoxError};
use outbox_runtime::{EventSink, SqliteStore};
use outbox_testing::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest, sink_conformance};
use outbox_tests::Temporary;

/// A connection and another one on the same file.
struct Connections {
    conn: Connection,
    other: Connection,
}

async fn connections() -> (Connections, SqliteStore, Temporary) {
    let temporary = Temporary::open().await;
    let connections = Connections {
        conn: temporary.connect(),
        other: temporary.connect(),
    };
    (connections, temporary.store.clone(), temporary)
}

/// Statements begin and end the transactions of a plain connection.
struct OnConnection(Connections);

impl OnConnection {
    fn steps(&self, steps: Vec<SinkStep>, answers: &mut Vec<SinkAnswer>) -> Result<(), BoxError> {
        let conn = &self.0.conn;
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
                SinkStep::Elsewhere(event) => drop(self.0.other.enqueue(Ok(event))?),
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
impl SinkUnderTest for OnConnection {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let (begin, end) = (script.begin_in_sqlite(), script.end());
        let mut answers = Vec::new();
        self.0.conn.execute_batch(begin)?;
        self.steps(script.steps, &mut answers)?;
        self.0.conn.execute_batch(end)?;
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

/// The types of rusqlite for transactions and savepoints.
struct OnTransaction(Connections);

/// Does a step that is no savepoint.
macro_rules! do_step {
    ($step:expr, $sink:expr, $other:expr, $answers:expr) => {
        match $step {
            SinkStep::Enqueue(event) => {
                $answers.push($sink.enqueue(Ok(event)).map(|enqueued| vec![enqueued]));
            }
            SinkStep::EnqueueAll(events) => {
                $answers.push($sink.enqueue_all(events.into_iter().map(Ok)));
            }
            SinkStep::Read => {
                $sink.query_row("SELECT count(*) FROM outbox_events", [], |_| Ok(()))?;
            }
            SinkStep::Elsewhere(event) => drop($other.enqueue(Ok(event))?),
            SinkStep::Savepoint { steps, is_kept } => {
                let mut inner = $sink.savepoint()?;
                in_savepoint(&mut inner, $other, steps, $answers)?;
                match is_kept {
                    true => inner.commit()?,
                    false => drop(inner),
                }
            }
        }
    };
}

fn in_transaction(
    tx: &mut Transaction<'_>,
    other: &Connection,
    steps: Vec<SinkStep>,
    answers: &mut Vec<SinkAnswer>,
) -> Result<(), BoxError> {
    for step in steps {
        do_step!(step, tx, other, answers);
    }
    Ok(())
}

fn in_savepoint(
    savepoint: &mut Savepoint<'_>,
    other: &Connection,
    steps: Vec<SinkStep>,
    answers: &mut Vec<SinkAnswer>,
) -> Result<(), BoxError> {
    for step in steps {
        do_step!(step, savepoint, other, answers);
    }
    Ok(())
}

#[async_trait]
impl SinkUnderTest for OnTransaction {
    async fn run(&mut self, script: SinkScript) -> Result<Vec<SinkAnswer>, BoxError> {
        let behavior = match script.begins_to_write {
            true => TransactionBehavior::Immediate,
            false => TransactionBehavior::Deferred,
        };
        let mut answers = Vec::new();
        let mut tx = self.0.conn.transaction_with_behavior(behavior)?;
        in_transaction(&mut tx, &self.0.other, script.steps, &mut answers)?;
        match script.commits {
            true => tx.commit()?,
            false => tx.rollback()?,
        }
        Ok(answers)
    }

    fn can_become_stale(&self) -> bool {
        true
    }
}

mod on_a_connection {
    use super::*;

    async fn make() -> (OnConnection, SqliteStore, Temporary) {
        let (connections, store, temporary) = connections().await;
        (OnConnection(connections), store, temporary)
    }

    sink_conformance!(make);
}

mod on_a_transaction {
    use super::*;

    async fn make() -> (OnTransaction, SqliteStore, Temporary) {
        let (connections, store, temporary) = connections().await;
        (OnTransaction(connections), store, temporary)
    }

    sink_conformance!(make);
}
