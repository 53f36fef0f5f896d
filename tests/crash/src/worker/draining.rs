//! Draining: delivering until nothing is left that could be delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::{EntityId, StoreError};

use super::{Worker, pause};
use crate::ledger::Record;

/// Longer than any lease and any delay of a plan.
const LONG: Duration = Duration::from_secs(30);

/// Returns once every entity's events are delivered, or wait behind a dead one. Asks again where the store fails.
pub(super) async fn drain(worker: &Worker, store: &SqliteStore, running: &Running) {
    let mut stuck = 0;
    while stuck < 3 {
        match flush_all(store, running).await {
            Ok(true) => {
                worker.ledger.write(&Record::Drained);
                return;
            }
            Ok(false) => stuck += 1,
            Err(error) => {
                worker.failed("drain", &error);
                pause(50).await;
            }
        }
    }
}

/// Returns once no delivered event is left to be cleaned up, and none to be delivered.
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
async fn flush_all(store: &SqliteStore, running: &Running) -> Result<bool, StoreError> {
    let mut entities = BTreeSet::new();
    for status in [
        OutboxStatus::Pending,
        OutboxStatus::Processing,
        OutboxStatus::Failed,
    ] {
        let events = store.fetch_events(status, None, None).await?;
        entities.extend(
            events
                .iter()
                .filter_map(|event| event.entity_id.as_integer()),
        );
    }
    let mut done = true;
    for entity in entities {
        let flushed = running.flush(EntityId::from(entity), LONG).await?;
        done &= !matches!(flushed, outbox_runtime::Flushed::TimedOut(_));
    }
    Ok(done)
}
