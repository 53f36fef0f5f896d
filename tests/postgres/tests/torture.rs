//! Everything at once, against three oracles: no two events of a lane are with handlers at the same
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

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_postgres::tokio_postgres::{Client, IsolationLevel};
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{Server, config, connect, new_schema};
use outbox_runtime::store::{
    Claim, ClaimRequest, DeleteUnit, Disposition, OutboxQueue, Settled, Settlement, SystemClock,
};
use outbox_runtime::{
    Clock, Coalesce, DeadReason, EventSink, NewEvent, OnDead, Operation, OutboxRepository,
    RawMetadata,
};
use outbox_testing::SeededRng;

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
}

/// Longer than any stall of a busy machine: a worker that is merely slow must not lose its events.
const LEASE: Duration = Duration::from_millis(2_000);

/// The undelivered events at which applications pause. Few enough to be delivered within the wait
/// for the end, in the fewest lanes.
const MOST_OPEN: u64 = 1_000;

/// The length of a run from which a line a minute tells how it goes.
const LONG: Duration = Duration::from_secs(60);

/// How many violations are told one by one.
const MOST_TOLD: u64 = 20;

/// An event with a handler.
#[derive(Debug)]
struct Held {
    seq: i64,
    lease_ends: DateTime<Utc>,
}

/// The state of each lane, by entity.
#[derive(Debug, Default)]
struct Book {
    /// The event with a handler, of each lane.
    with_handler: HashMap<i64, Held>,
    /// The last version delivered.
    delivered: HashMap<i64, i64>,
    two_at_once: u64,
    out_of_order: u64,
    deliveries: u64,
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

impl Run {
    /// Transactions of an application: one to three lanes in any order, some held for a while, some
    /// rolled back.
    async fn enqueue(self: Arc<Self>, seed: u64) {
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

    fn begin(&self, claim: &Claim) {
        let mut book = self.book.lock().unwrap();
        let lane = claim.event.entity_id.as_integer().unwrap();
        book.deliveries += 1;
        let held = Held {
            seq: claim.event.seq,
            lease_ends: claim.lease.expires_at,
        };
        let claimed_at = claim.event.last_attempt_at.unwrap();
        let Some(other) = book.with_handler.insert(lane, held) else {
            return;
        };
        // A worker that this machine has stopped for longer than its lease loses its event.
        if other.lease_ends > claimed_at {
            book.two_at_once += 1;
            if book.two_at_once <= MOST_TOLD {
                eprintln!("lane {lane}: {} beside {}", claim.event.seq, other.seq);
            }
        }
    }

    /// The attempt is over, before the store is told of it: afterward another may begin.
    fn end(&self, claim: &Claim, is_delivered: bool) {
        let mut book = self.book.lock().unwrap();
        let lane = claim.event.entity_id.as_integer().unwrap();
        let held = book.with_handler.get(&lane);
        if held.is_some_and(|held| held.seq == claim.event.seq) {
            book.with_handler.remove(&lane);
        }
        if !is_delivered || !self.plan.locks_row {
            return;
        }
        let metadata = claim.event.metadata.as_ref().and_then(|raw| raw.as_str());
        let version: i64 = metadata.unwrap().parse().unwrap();
        let before = book.delivered.insert(lane, version).unwrap_or(0);
        // After a lost lease, an event may be delivered twice.
        let is_again = version == before && claim.event.crashes > 0;
        if version <= before && !is_again && !self.plan.edits {
            book.out_of_order += 1;
            if book.out_of_order <= MOST_TOLD {
                eprintln!("lane {lane}: {version} after {before}");
            }
        }
    }

    /// A worker: claims, delivers, reports, and now and then falls silent past its lease.
    async fn work(self: Arc<Self>, store: PostgresStore, seed: u64) {
        let mut rng = rng(seed);
        let request = ClaimRequest::new(10, LEASE);
        let mut next = Vec::new();
        loop {
            let began = SystemClock.uptime();
            let claims = match std::mem::take(&mut next) {
                none if none.is_empty() => store.claim(&request).await.unwrap(),
                claims => claims,
            };
            self.note_step(began);
            if claims.is_empty() {
                if self.is_over.load(Ordering::SeqCst) && self.is_drained(&store).await {
                    return;
                }
                if below(&mut rng, 4) == 0 {
                    let rescued = store.rescue().await.unwrap();
                    self.rescued
                        .fetch_add(rescued.requeued + rescued.buried, Ordering::SeqCst);
                }
                nap(2).await;
                continue;
            }
            claims.iter().for_each(|claim| self.begin(claim));
            nap(below(&mut rng, 4)).await;
            let calm = self.stops.load(Ordering::SeqCst);
            let mut settlements = Vec::new();
            for claim in &claims {
                let dice = below(&mut rng, 100);
                let abandons = dice < self.plan.abandons && !calm;
                let fails = !abandons && dice < self.plan.abandons + self.plan.fails && !calm;
                self.end(claim, !abandons && !fails);
                if abandons {
                    continue;
                }
                let later = store.clock().now()
                    + chrono::TimeDelta::milliseconds(below(&mut rng, 30).cast_signed());
                let disposition = match below(&mut rng, 4) {
                    _ if !fails => Disposition::Complete,
                    0 => Disposition::GiveBack {
                        next_attempt_at: None,
                        refusal: None,
                    },
                    1 if self.plan.edits => Disposition::Bury {
                        reason: DeadReason::Rejected,
                        message: "no".into(),
                    },
                    _ => Disposition::Fail {
                        next_attempt_at: later,
                        message: "no".into(),
                    },
                };
                settlements.push(Settlement {
                    lease: claim.lease,
                    disposition,
                });
            }
            let began = SystemClock.uptime();
            let outcomes = settlements.clone();
            let settled = if below(&mut rng, 2) == 0 {
                store.settle(outcomes).await.unwrap()
            } else {
                let exchange = store.settle_and_claim(outcomes, &request).await;
                next = exchange.claimed.unwrap();
                exchange.settled.unwrap()
            };
            self.note_step(began);
            self.settle_the_rest(&store, settlements, settled).await;
        }
    }

    /// Settles those again that were locked, and checks the results of the others.
    async fn settle_the_rest(
        &self,
        store: &PostgresStore,
        mut settlements: Vec<Settlement>,
        mut settled: Vec<Settled>,
    ) {
        loop {
            let mut locked = Vec::new();
            for (settlement, settled) in settlements.into_iter().zip(settled) {
                match settled {
                    Settled::Recorded => {}
                    Settled::Locked => locked.push(settlement),
                    // A worker that was too slow is no fault of the store's.
                    _ => assert!(
                        self.plan.edits || settlement.lease.expires_at <= store.clock().now(),
                        "{settled:?} of {settlement:?}"
                    ),
                }
            }
            if locked.is_empty() {
                return;
            }
            nap(1).await;
            settlements = locked;
            settled = store.settle(settlements.clone()).await.unwrap();
        }
    }

    /// Cleans up what is delivered, and holds applications up while there is a backlog.
    async fn keep_small(self: Arc<Self>, store: PostgresStore) {
        let began = SystemClock.uptime();
        let mut told = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            let open = store.statistics(None).await.unwrap().undelivered();
            self.is_full.store(open > MOST_OPEN, Ordering::SeqCst);
            let since = store.clock().now() - chrono::TimeDelta::seconds(1);
            let deleted = store.delete_completed_events(since).await.unwrap();
            self.cleaned_up.fetch_add(deleted, Ordering::SeqCst);
            let minutes = (SystemClock.uptime() - began).as_secs() / LONG.as_secs();
            if minutes > told {
                told = minutes;
                println!("after {minutes} minutes: {}", self.summary());
            }
            nap(100).await;
        }
    }

    fn summary(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        format!(
            "{} committed, {} deliveries, {} rescued, {} refused, {} cleaned up, slowest step {} us",
            count(&self.committed),
            self.book.lock().unwrap().deliveries,
            count(&self.rescued),
            count(&self.refused),
            count(&self.cleaned_up),
            count(&self.slowest_micros),
        )
    }

    fn note_step(&self, began: Duration) {
        let took = SystemClock.uptime().saturating_sub(began);
        let micros = u64::try_from(took.as_micros()).unwrap();
        self.slowest_micros.fetch_max(micros, Ordering::SeqCst);
    }

    async fn is_drained(&self, store: &PostgresStore) -> bool {
        store.rescue().await.unwrap();
        for dead in store
            .fetch_events(outbox_runtime::OutboxStatus::Dead, None, None)
            .await
            .unwrap()
        {
            store.reset_for_retry(&[dead.id]).await.unwrap();
        }
        store.statistics(None).await.unwrap().undelivered() == 0
    }

    /// Somebody at a console.
    async fn edit(self: Arc<Self>, store: PostgresStore, seed: u64) {
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
