//! Everything at once, against three oracles: no two workers have events of a lane at the same
//! time, each lane is delivered in the order of its commits, and nothing is lost or stuck.
//!
//! The length of a run in seconds is in `OUTBOX_POSTGRES_TORTURE`; two by default. A long run takes
//! no more memory and room than a short one: delivered events are cleaned up meanwhile,
//! applications pause while there is a backlog, and the server logs no refused statements.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

mod application; // transactions that enqueue, and a console
mod oracle; // what must never happen
mod upkeep; // what keeps a long run small
mod worker; // deliveries

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Client, IsolationLevel};
use outbox_postgres_tests::{Server, config, connect, new_schema};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use outbox_testing::SeededRng;

use crate::oracle::Book;
use crate::upkeep::LONG;

/// What one run does.
#[derive(Debug, Clone, Copy)]
struct Plan {
    lanes: u64,
    level: IsolationLevel,
    /// Whether transactions lock the entity's row before they enqueue, as the guide says.
    locks_row: bool,
    /// In a hundred: deliveries that fail, that are put off, and that are never reported.
    fails: u64,
    abandons: u64,
    /// Whether events coalesce.
    folds: bool,
    /// Whether events are reset, deleted, and edited meanwhile.
    edits: bool,
    /// Whether workers lease several events of a lane.
    follows: bool,
}

struct Run {
    plan: Plan,
    schema: String,
    book: Mutex<Book>,
    /// No more transactions begin.
    stops: AtomicBool,
    /// No more transactions commit.
    is_over: AtomicBool,
    committed: AtomicU64,
    rescued: AtomicU64,
    refused: AtomicU64,
    /// Calls of workers that the store refused for a while.
    unavailable: AtomicU64,
    cleaned_up: AtomicU64,
    /// Whether there is a backlog.
    is_full: AtomicBool,
    slowest_micros: AtomicU64,
}

fn rng(seed: u64) -> SeededRng {
    SeededRng::new(seed)
}

fn below(rng: &mut SeededRng, bound: u64) -> u64 {
    rng.below(bound)
}

async fn nap(millis: u64) {
    SystemClock.sleep(Duration::from_millis(millis)).await;
}

async fn run(plan: Plan, seed: u64) {
    let length = std::env::var("OUTBOX_POSTGRES_TORTURE").ok();
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(2);
    let schema = new_schema();
    let open = || async {
        let builder = PostgresStore::builder()
            .schema(&schema)
            .pool_size(2)
            .wake_ups(false);
        builder.connect_with(config()).await.unwrap()
    };
    if Duration::from_secs(length) >= LONG {
        // Applications that meet each other are refused all the time, as intended.
        Server::shared().set("log_min_messages", "fatal");
    }
    let store = open().await;
    let client = connect().await;
    let entities = format!(
        "CREATE TABLE {schema}_entity (id bigint PRIMARY KEY, version bigint NOT NULL);
        INSERT INTO {schema}_entity SELECT i, 0 FROM generate_series(0, {}) i",
        plan.lanes - 1
    );
    client.batch_execute(&entities).await.unwrap();
    let run = Arc::new(Run {
        plan,
        schema: schema.clone(),
        book: Mutex::default(),
        stops: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        committed: AtomicU64::new(0),
        rescued: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        unavailable: AtomicU64::new(0),
        cleaned_up: AtomicU64::new(0),
        is_full: AtomicBool::new(false),
        slowest_micros: AtomicU64::new(0),
    });
    let mut tasks = Vec::new();
    for nth in 0..6 {
        tasks.push(tokio::spawn(Arc::clone(&run).enqueue(seed * 100 + nth)));
    }
    if plan.edits {
        tasks.push(tokio::spawn(
            Arc::clone(&run).edit(store.clone(), seed * 100 + 50),
        ));
    }
    let keeping = tokio::spawn(Arc::clone(&run).keep_small(store.clone()));
    let mut workers = Vec::new();
    for nth in 0..4 {
        let work = Arc::clone(&run).work(open().await, seed * 100 + 70 + nth);
        workers.push(tokio::spawn(work));
    }
    nap(length * 1_000).await;
    run.stops.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    run.is_over.store(true, Ordering::SeqCst);
    keeping.await.unwrap();
    let drained = async {
        for worker in workers {
            worker.await.unwrap();
        }
    };
    outbox_postgres_tests::soon("everything is delivered: no lane is stuck", drained).await;
    run.judge(&client).await;
}

impl Run {
    async fn judge(&self, client: &Client) {
        let (run, plan, schema) = (self, self.plan, &self.schema);
        let delivered = {
            println!("{plan:?}: {}", run.summary());
            let book = run.book.lock().unwrap();
            assert!(
                run.committed.load(Ordering::SeqCst) > 100,
                "something happened"
            );
            let unavailable = run.unavailable.load(Ordering::SeqCst);
            assert!(unavailable * 20 <= book.deliveries, "{unavailable} calls");
            assert_eq!(book.two_at_once, 0, "two events of a lane at once");
            assert_eq!(book.out_of_order, 0, "out of order");
            book.delivered.clone()
        };
        if plan.locks_row && !plan.edits {
            let versions = format!("SELECT id, version FROM {schema}_entity WHERE version > 0");
            for row in client.query(&versions, &[]).await.unwrap() {
                let (lane, version): (i64, i64) = (row.get(0), row.get(1));
                assert_eq!(
                    delivered.get(&lane).copied(),
                    Some(version),
                    "the last version of lane {lane} is lost"
                );
            }
        }
    }
}

const BASE: Plan = Plan {
    lanes: 20,
    level: IsolationLevel::ReadCommitted,
    locks_row: true,
    fails: 5,
    abandons: 0,
    folds: false,
    edits: false,
    follows: false,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_delivered_in_the_order_of_commits() {
    run(BASE, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_stay_in_order_when_deliveries_fail_and_workers_fall_silent() {
    let plan = Plan {
        fails: 20,
        abandons: 5,
        lanes: 40,
        ..BASE
    };
    run(plan, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_stay_in_order_when_events_fold() {
    let plan = Plan {
        folds: true,
        lanes: 10,
        ..BASE
    };
    run(plan, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_stay_in_order_under_repeatable_read() {
    let plan = Plan {
        level: IsolationLevel::RepeatableRead,
        folds: true,
        lanes: 80,
        ..BASE
    };
    run(plan, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_events_of_a_lane_are_delivered_at_once_without_a_common_row() {
    let plan = Plan {
        locks_row: false,
        folds: true,
        lanes: 5,
        abandons: 2,
        ..BASE
    };
    run(plan, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lane_is_stuck_whatever_is_edited() {
    let plan = Plan {
        edits: true,
        folds: true,
        fails: 15,
        abandons: 3,
        lanes: 12,
        ..BASE
    };
    run(plan, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_stay_in_order_when_workers_take_several_events_of_each() {
    let plan = Plan {
        follows: true,
        fails: 20,
        abandons: 5,
        lanes: 8,
        ..BASE
    };
    run(plan, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lane_is_stuck_whatever_is_edited_while_workers_have_several_events_of_each() {
    let plan = Plan {
        follows: true,
        edits: true,
        folds: true,
        fails: 15,
        abandons: 3,
        lanes: 6,
        ..BASE
    };
    run(plan, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_with_several_events_of_a_lane_share_it_with_nobody_without_a_common_row() {
    let plan = Plan {
        follows: true,
        locks_row: false,
        folds: true,
        lanes: 5,
        fails: 10,
        abandons: 2,
        ..BASE
    };
    run(plan, 9).await;
}
