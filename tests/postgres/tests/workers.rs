//! Several stores on one outbox, as in several processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{config, connect, new_schema, open_in, soon};
use outbox_runtime::prelude::*;
use outbox_runtime::store::{ClaimRequest, Sleep, SystemClock};
use outbox_runtime::{Clock, NewEvent, Running};

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    version: i64,
}

fn note(id: i64, version: i64) -> Note {
    let user_id = format!("u{}", id % 3);
    Note {
        id,
        user_id,
        version,
    }
}

/// The deliveries: entity and version.
type Delivered = Arc<Mutex<Vec<(i64, i64)>>>;

/// Waits for a first delivery.
async fn some_event_of(delivered: &Delivered) {
    soon("the event is delivered", async {
        while delivered.lock().unwrap().is_empty() {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn start(store: &PostgresStore, delivered: &Delivered) -> Running {
    let delivered = Arc::clone(delivered);
    Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let delivered = Arc::clone(&delivered);
            async move {
                let id = event.entity_id.as_integer().unwrap_or_default();
                tokio::task::yield_now().await;
                delivered
                    .lock()
                    .unwrap()
                    .push((id, event.metadata().version));
                Ok(())
            }
        })
        .build()
        .unwrap()
        .start_all_users()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_deliver_each_event_once_and_each_entity_in_order() {
    let schema = new_schema();
    let stores = [open_in(&schema).await, open_in(&schema).await];
    let delivered = Delivered::default();
    let running = stores.each_ref().map(|store| start(store, &delivered));
    let outbox = stores[0].outbox();
    let mut client = connect().await;
    for version in 0..40 {
        let tx = client.transaction().await.unwrap();
        for id in 0..10 {
            note(id, version)
                .enqueue_update()
                .on(outbox.on(&tx))
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    }
    soon("everything is delivered", async {
        while delivered.lock().unwrap().len() < 400 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for running in running {
        running.stop().await.unwrap();
    }
    let mut versions: HashMap<i64, Vec<i64>> = HashMap::new();
    for (id, version) in delivered.lock().unwrap().iter() {
        versions.entry(*id).or_default().push(*version);
    }
    let in_order: Vec<i64> = (0..40).collect();
    assert!(
        versions.values().all(|versions| *versions == in_order),
        "{versions:?}"
    );
    let statistics = stores[0].statistics(None).await.unwrap();
    assert_eq!(
        (statistics.completed_count, statistics.total_events),
        (400, 400)
    );
}

/// When each session with this name last began a statement; none where it has not begun one.
async fn last_activity(
    client: &outbox_postgres::tokio_postgres::Client,
    name: &str,
) -> Vec<Option<DateTime<Utc>>> {
    let sql = "SELECT query_start FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid";
    let rows = client.query(sql, &[&name]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_worker_is_woken_by_a_commit_elsewhere_and_asks_nothing_meanwhile() {
    let schema = new_schema();
    let store = PostgresStore::builder()
        .schema(&schema)
        .pool_size(2)
        .application_name(&schema)
        .connect_with(config())
        .await
        .unwrap();
    let delivered = Delivered::default();
    let running = start(&store, &delivered);
    let mut client = connect().await;
    for version in 1..=3 {
        // Asleep as soon as nothing has been asked for a second.
        soon("the worker falls asleep", async {
            let mut before = last_activity(&client, &schema).await;
            let mut since = SystemClock.uptime();
            loop {
                SystemClock.sleep(Duration::from_millis(100)).await;
                let now = last_activity(&client, &schema).await;
                if now != before {
                    (before, since) = (now, SystemClock.uptime());
                } else if SystemClock.uptime() - since > Duration::from_millis(1_500) {
                    break;
                }
            }
        })
        .await;
        let tx = client.transaction().await.unwrap();
        note(1, version)
            .enqueue_update()
            .on(store.outbox().on(&tx))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let committed = SystemClock.uptime();
        soon("the event is delivered", async {
            while delivered.lock().unwrap().len() < usize::try_from(version).unwrap() {
                SystemClock.sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let took = SystemClock.uptime() - committed;
        assert!(
            took < Duration::from_millis(450),
            "woken, not polled: {took:?}"
        );
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_from_before_the_worker_fell_asleep_is_not_missed() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let mut client = connect().await;
    let tx = client.transaction().await.unwrap();
    note(1, 1)
        .enqueue_update()
        .on(store.outbox().on(&tx))
        .await
        .unwrap();
    let delivered = Delivered::default();
    let running = start(&store, &delivered);
    SystemClock.sleep(Duration::from_millis(700)).await;
    tx.commit().await.unwrap();
    some_event_of(&delivered).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_a_pool_of_the_application_looks_for_itself() {
    let schema = new_schema();
    let first = open_in(&schema).await;
    let builder = PostgresStore::builder().schema(&schema);
    let store = builder.with_pool(first.pool().clone()).await.unwrap();
    let delivered = Delivered::default();
    let running = start(&store, &delivered);
    let client = connect().await;
    SystemClock.sleep(Duration::from_millis(300)).await;
    note(1, 1)
        .enqueue_update()
        .on(first.outbox().on(&client))
        .await
        .unwrap();
    some_event_of(&delivered).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_survives_the_loss_of_all_its_connections() {
    let schema = new_schema();
    let store = PostgresStore::builder()
        .schema(&schema)
        .application_name(&schema)
        .connect_with(config())
        .await
        .unwrap();
    let delivered = Delivered::default();
    let running = start(&store, &delivered);
    let client = connect().await;
    for version in 1..=5 {
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        client.query(end, &[&schema]).await.unwrap();
        note(1, version)
            .enqueue_update()
            .on(store.outbox().on(&client))
            .await
            .unwrap();
        soon("the event is delivered", async {
            while delivered
                .lock()
                .unwrap()
                .iter()
                .all(|(_, of)| *of != version)
            {
                SystemClock.sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    running.stop().await.unwrap();
}

/// Times in rows are the server's, whatever this machine's clock says.
#[tokio::test]
async fn times_are_those_of_the_server() {
    let store = open_in(&new_schema()).await;
    let client = connect().await;
    let row = client
        .query_one("SELECT clock_timestamp()", &[])
        .await
        .unwrap();
    let server: DateTime<Utc> = row.get(0);
    let off = (store.clock().now() - server).abs();
    assert!(off < TimeDelta::milliseconds(500), "{off}");
}

/// A clock that is off.
#[derive(Debug, Clone, Copy)]
struct Off(TimeDelta);

impl Clock for Off {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        SystemClock.sleep_until(deadline - self.0)
    }
}

#[tokio::test]
async fn an_enqueuer_whose_clock_is_an_hour_off_does_no_harm() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    for (id, hours) in [(1, -1), (2, 1)] {
        let off = Off(TimeDelta::hours(hours));
        let builder = PostgresStore::builder().schema(&schema).clock(off);
        let other = builder.connect_with(config()).await.unwrap();
        let event = NewEvent::new("note", id, "u1", outbox_runtime::Operation::Update);
        (&other).enqueue(Ok(event)).await.unwrap();
    }
    let request = ClaimRequest::new(9, Duration::from_secs(60));
    assert_eq!(store.claim(&request).await.unwrap().len(), 2);
}
