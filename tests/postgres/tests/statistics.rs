//! Counts of events, from blocks that were counted before and from rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{connect, open, soon};
use outbox_runtime::store::{
    BatchSink, ClaimRequest, Disposition, OutboxQueue, Settlement, SystemClock,
};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, EventSink, NewEvent, OnDead, Operation, OutboxRepository,
    OutboxStatistics, RawMetadata,
};
use outbox_testing::SeededRng;

fn note(entity: u64) -> NewEvent {
    NewEvent::new("note", entity.to_string(), "u1", Operation::Update).with_on_dead(OnDead::Skip)
}

async fn enqueue(store: &PostgresStore, entities: std::ops::Range<u64>) {
    let all: Vec<u64> = entities.collect();
    for some in all.chunks(1_000) {
        let events = some.iter().map(|entity| Ok(note(*entity)));
        store
            .enqueue_all(events.collect::<Vec<_>>().into_iter())
            .await
            .unwrap();
    }
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn counted_blocks(store: &PostgresStore, client: &Client) -> i64 {
    let sql = format!("SELECT count(*) FROM {}.tally", store.schema());
    number(client, &sql).await
}

/// Asks for statistics until blocks were counted for good.
async fn count_blocks(store: &PostgresStore, client: &Client, least: i64) {
    soon("blocks are counted", async {
        while counted_blocks(store, client).await < least {
            store.statistics(None).await.unwrap();
            SystemClock.sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Compares the statistics with the rows.
async fn compare(store: &PostgresStore, client: &Client) -> OutboxStatistics {
    let statistics = store.statistics(None).await.unwrap();
    let sql = format!(
        "SELECT count(*) FILTER (WHERE status = 'p'), count(*) FILTER (WHERE status = 'i'),
            count(*) FILTER (WHERE status = 'c'), count(*) FILTER (WHERE status = 'f'),
            count(*) FILTER (WHERE status = 'd'), count(*),
            min(created_at) FILTER (WHERE status = 'p'), max(completed_at) FILTER (WHERE status = 'c')
        FROM {}.events",
        store.schema()
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    let found = [
        statistics.pending_count,
        statistics.processing_count,
        statistics.completed_count,
        statistics.failed_count,
        statistics.dead_count,
        statistics.total_events,
    ];
    let rows = [0, 1, 2, 3, 4, 5].map(|column| u64::try_from(row.get::<_, i64>(column)).unwrap());
    assert_eq!(found, rows);
    assert_eq!(statistics.oldest_pending_date, row.get(6));
    assert_eq!(statistics.newest_completed_date, row.get(7));
    statistics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_follow_whatever_happens_to_counted_events() {
    let store = open(|store| store).await;
    let client = connect().await;
    enqueue(&store, 0..6_000).await;
    count_blocks(&store, &client, 5).await;
    let mut rng = SeededRng::new(7);
    let request = ClaimRequest::new(300, Duration::from_secs(600));
    for round in 0..12 {
        let claims = store.claim(&request).await.unwrap();
        compare(&store, &client).await;
        let mut settlements = Vec::new();
        for claim in &claims {
            let later = store.clock().now() + chrono::TimeDelta::milliseconds(1);
            let disposition = match rng.below(8) {
                0 => Disposition::Fail {
                    next_attempt_at: later,
                    message: "no".into(),
                },
                1 => Disposition::Bury {
                    reason: DeadReason::Rejected,
                    message: "no".into(),
                },
                2 => Disposition::GiveBack {
                    next_attempt_at: Some(later),
                    refusal: None,
                },
                3 => continue,
                _ => Disposition::Complete,
            };
            settlements.push(Settlement {
                lease: claim.lease,
                disposition,
            });
        }
        store.settle(settlements).await.unwrap();
        let some: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
        match round % 4 {
            0 => drop(store.reset_for_retry(&some[..100]).await.unwrap()),
            1 => {
                for id in &some[..20] {
                    store.delete_event(*id).await.unwrap();
                }
            }
            2 => {
                let now = store.clock().now();
                store.delete_completed_events(now).await.unwrap();
            }
            _ => {
                // One more attempt for those that were left in a lease.
                let end = format!(
                    "UPDATE {}.events SET lease_expires_at = now() - interval '1 s',
                        crashes = CASE WHEN seq % 2 = 0 THEN 1000 ELSE 0 END WHERE slot = 'l'",
                    store.schema()
                );
                client.batch_execute(&end).await.unwrap();
                let rescued = store.rescue().await.unwrap();
                assert!(rescued.buried > 0 && rescued.requeued > 0, "{rescued:?}");
            }
        }
        enqueue(&store, 10_000 + round * 500..10_500 + round * 500).await;
        compare(&store, &client).await;
    }
    // An entity that is deleted before anybody knew of it counts as completed.
    let draft = |operation| {
        NewEvent::new("draft", "d1", "u2", operation)
            .with_coalesce(Coalesce::Latest)
            .with_metadata(RawMetadata::from_bytes("1"))
    };
    (&store)
        .enqueue(Ok(draft(Operation::Create)))
        .await
        .unwrap();
    count_blocks(&store, &client, 10).await;
    let before = compare(&store, &client).await;
    let cancelled = (&store)
        .enqueue(Ok(draft(Operation::Delete)))
        .await
        .unwrap();
    assert!(
        matches!(cancelled, outbox_runtime::Enqueued::Cancelled { .. }),
        "{cancelled:?}"
    );
    let after = compare(&store, &client).await;
    assert_eq!(after.completed_count, before.completed_count + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_not_counted_for_good_while_a_transaction_may_add_to_it() {
    let store = open(|store| store).await;
    let (mut application, client) = (connect().await, connect().await);
    let late = application.transaction().await.unwrap();
    store.outbox().on(&late).enqueue(Ok(note(1))).await.unwrap();
    enqueue(&store, 2..4_000).await;
    for _ in 0..10 {
        compare(&store, &client).await;
        SystemClock.sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(counted_blocks(&store, &client).await, 0);
    late.commit().await.unwrap();
    count_blocks(&store, &client, 3).await;
    let statistics = compare(&store, &client).await;
    assert_eq!(statistics.pending_count, 3_999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_see_one_moment_while_workers_deliver_and_blocks_are_counted() {
    let store = open(|store| store.pool_size(6)).await;
    let client = connect().await;
    enqueue(&store, 0..8_000).await;
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let request = ClaimRequest::new(50, Duration::from_secs(600));
                loop {
                    let claims = store.claim(&request).await.unwrap();
                    if claims.is_empty() {
                        break;
                    }
                    let done = claims.iter().map(|claim| Settlement {
                        lease: claim.lease,
                        disposition: Disposition::Complete,
                    });
                    store.settle(done.collect()).await.unwrap();
                }
            })
        })
        .collect();
    let asking = tokio::spawn({
        let (store, is_over) = (store.clone(), std::sync::Arc::clone(&is_over));
        async move {
            let mut asked = 0;
            while !is_over.load(Ordering::SeqCst) {
                let statistics = store.statistics(None).await.unwrap();
                assert_eq!(statistics.total_events, 8_000, "{statistics:?}");
                asked += 1;
            }
            asked
        }
    });
    for worker in workers {
        worker.await.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    assert!(asking.await.unwrap() > 20);
    assert!(counted_blocks(&store, &client).await > 0);
    let statistics = compare(&store, &client).await;
    assert_eq!(statistics.completed_count, 8_000);
}
