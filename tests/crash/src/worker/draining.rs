//! Draining: delivers until nothing deliverable is left.

use std::time::Duration;

use outbox_runtime::EntityId;
use outbox_runtime::prelude::*;
use outbox_runtime::store::BoxError;

use super::{Worker, pause};
use crate::ledger::Record;
use crate::rows::Database;

/// Longer than any lease and any delay of a plan.
const LONG: Duration = Duration::from_secs(30);

/// Returns once every entity's events are delivered, or wait behind a dead one. Repeats queries
/// that fail.
pub(super) async fn drain(worker: &Worker, running: &Running) {
    let mut stuck = 0;
    while stuck < 3 {
        match flush_all(worker, running).await {
            Ok(true) => {
                worker.ledger.write(&Record::Drained);
                return;
            }
            Ok(false) => stuck += 1,
            Err(error) => {
                worker.ledger.write(&Record::Failed {
                    operation: "drain".to_owned(),
                    kind: "Drain".to_owned(),
                    text: error.to_string(),
                });
                pause(50).await;
            }
        }
    }
}

/// Returns once every event is delivered and cleaned up.
pub(super) async fn until_cleaned_up(worker: &Worker, store: &SqliteStore) {
    loop {
        match store.statistics(None).await {
            Ok(statistics) if statistics.total_events == statistics.dead_count => return,
            Ok(_) => {}
            Err(error) => worker.failed("statistics", &error),
        }
        pause(10).await;
    }
}

/// Whether nothing is left.
async fn flush_all(worker: &Worker, running: &Running) -> Result<bool, BoxError> {
    let path = worker.plan.database.clone();
    let busy_timeout = Duration::from_millis(worker.plan.busy_timeout);
    // Plain SQL: the library has no consistent listing of all undelivered events.
    let undelivered =
        tokio::task::spawn_blocking(move || Database::undelivered(&path, busy_timeout));
    let mut done = true;
    for entity in undelivered.await?? {
        let flushed = running.flush(EntityId::from(entity), LONG).await?;
        done &= !matches!(flushed, outbox_runtime::Flushed::TimedOut(_));
    }
    Ok(done)
}
