//! Transactions of applications that enqueue, and somebody at a console.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::connect;
use outbox_runtime::store::DeleteUnit;
use outbox_runtime::{
    Coalesce, EventSink, NewEvent, OnDead, Operation, OutboxRepository, RawMetadata,
};

use crate::{Run, below, nap, rng};

impl Run {
    /// Transactions of an application: one to three lanes in any order, some held for a while, some
    /// rolled back.
    pub(crate) async fn enqueue(self: Arc<Self>, seed: u64) {
        let outbox = Outbox::in_schema(&self.schema).unwrap();
        let mut rng = rng(seed);
        let mut client = connect().await;
        while !self.stops.load(Ordering::SeqCst) {
            if self.is_full.load(Ordering::SeqCst) {
                nap(5).await;
                continue;
            }
            let begin = client.build_transaction().isolation_level(self.plan.level);
            let tx = begin.start().await.unwrap();
            let mut count = 0;
            let mut is_broken = false;
            let mut lanes: Vec<i64> = (0..=below(&mut rng, 3))
                .map(|_| below(&mut rng, self.plan.lanes).cast_signed())
                .collect();
            lanes.dedup();
            if self.plan.locks_row {
                // Else applications would wait crosswise for each other's rows.
                lanes.sort_unstable();
            }
            for lane in lanes {
                let version = if self.plan.locks_row {
                    let update = format!(
                        "UPDATE {}_entity SET version = version + 1 WHERE id = $1 RETURNING version",
                        self.schema
                    );
                    match tx.query_one(&update, &[&lane]).await {
                        Ok(row) => row.get(0),
                        Err(_) => {
                            is_broken = true;
                            break;
                        }
                    }
                } else {
                    0_i64
                };
                let mut event = NewEvent::new("thing", lane, "u", Operation::Update)
                    .with_metadata(RawMetadata::from_bytes(version.to_string()))
                    .with_max_attempts(1_000_000);
                if self.plan.folds && below(&mut rng, 2) == 0 {
                    event = event.with_coalesce(Coalesce::Latest);
                }
                if self.plan.edits {
                    event = event.with_priority(i32::try_from(below(&mut rng, 3)).unwrap());
                    if below(&mut rng, 8) == 0 {
                        event = event.with_delay(Duration::from_millis(below(&mut rng, 60)));
                    }
                    if below(&mut rng, 10) == 0 {
                        event = event.with_on_dead(OnDead::Skip);
                    }
                }
                match outbox.on(&tx).enqueue(Ok(event)).await {
                    Ok(_) => count += 1,
                    Err(error) => {
                        assert!(error.is_transient(), "{error:?}");
                        is_broken = true;
                        break;
                    }
                }
                if below(&mut rng, 4) == 0 {
                    nap(below(&mut rng, 20)).await;
                }
            }
            if below(&mut rng, 40) == 0 {
                nap(200).await;
            }
            if is_broken || below(&mut rng, 7) == 0 {
                let _ = tx.rollback().await;
                self.refused
                    .fetch_add(u64::from(is_broken), Ordering::SeqCst);
            } else if tx.commit().await.is_ok() {
                self.committed.fetch_add(count, Ordering::SeqCst);
            }
        }
    }

    /// Somebody at a console.
    pub(crate) async fn edit(self: Arc<Self>, store: PostgresStore, seed: u64) {
        let mut rng = rng(seed);
        while !self.stops.load(Ordering::SeqCst) {
            let pending = store.fetch_pending_events(None, Some(50)).await.unwrap();
            if pending.is_empty() {
                nap(5).await;
                continue;
            }
            let nth = usize::try_from(below(&mut rng, pending.len() as u64)).unwrap();
            let mut event = pending[nth].clone();
            match below(&mut rng, 4) {
                0 => {
                    // Not if a worker has it by now: its successor would begin beside it.
                    let seen = store.delete_seen(&[event], DeleteUnit::Event).await;
                    seen.unwrap();
                }
                1 => drop(store.reset_for_retry(&[event.id]).await.unwrap()),
                2 => {
                    event.priority = 2;
                    let _ = store.update_event(&event).await;
                }
                _ => {
                    let dead = store
                        .fetch_events(outbox_runtime::OutboxStatus::Dead, None, Some(20))
                        .await;
                    let dead: Vec<_> = dead.unwrap().iter().map(|event| event.id).collect();
                    store.reset_for_retry(&dead).await.unwrap();
                }
            }
            nap(below(&mut rng, 10)).await;
        }
    }
}
