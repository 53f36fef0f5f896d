//! Promises 1 to 5 when a process is killed at the N-th system call on its files, for N over all
//! its calls (F02, F06, F11).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_crash::ledger::{Answer, Ledger, Record};
use outbox_crash::plan::{Plan, Then, Work, exit};
use outbox_crash::supervisor::injection::Injection;
use outbox_crash::supervisor::{Arena, was_killed};
use outbox_crash::task::{Chore, Task};
use outbox_crash::tools;
use outbox_crash::verdict::{Circumstances, Verdict};
use outbox_runtime::prelude::*;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_testing::ManualClock;

/// All calls by which SQLite accesses a file, its locks and its bytes.
const CALLS: [&str; 6] = [
    "openat",
    "fcntl",
    "pwrite64",
    "fsync",
    "ftruncate",
    "unlink",
];
const ALL_CALLS: &str = "openat,fcntl,pwrite64,fsync,ftruncate,unlink";

/// Kills at `points` calls, evenly spread over those of a run without faults, and judges each
/// result.
fn sweep(
    points: usize,
    prepare: impl Fn(&Arena) -> Plan + Sync,
    circumstances: Circumstances,
) -> Vec<Verdict> {
    let arena = Arena::new();
    let unharmed = Injection::none(&arena, ALL_CALLS);
    let ended = unharmed.start(&arena, &prepare(&arena)).wait();
    assert_eq!(
        ended.code(),
        Some(exit::FINE),
        "a run without faults completes"
    );
    arena.drain_and_judge(circumstances);
    let counts = CALLS.map(|call| (call, unharmed.calls_of_one_thread(call)));
    let all: Vec<(&'static str, usize)> = counts
        .iter()
        .flat_map(|(call, count)| (1..=*count).map(|n| (*call, n)))
        .collect();
    assert!(all.len() >= points, "too few calls: {counts:?}");

    // A run may make one call fewer than the counted one and survive; kill it at the previous call
    // instead.
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let point = next.fetch_add(1, Ordering::SeqCst);
                    if point >= points {
                        break;
                    }
                    let (call, mut n) = all[point * all.len() / points];
                    let verdict = loop {
                        let arena = Arena::new();
                        let injection = Injection::kill(&arena, call, n);
                        let ended = injection.start(&arena, &prepare(&arena)).wait();
                        if was_killed(ended) {
                            assert_eq!(injection.fired(), 1, "{call} {n}");
                            arena.drain();
                            break arena.judge(circumstances);
                        }
                        assert!(n > 1, "no run reaches the first {call}");
                        n -= n.div_ceil(10);
                    };
                    verdicts.lock().unwrap().push(verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    println!(
        "killed at {} of {} points: {counts:?}",
        verdicts.len(),
        all.len()
    );
    assert_eq!(verdicts.len(), points);
    verdicts
}

const ONE_DEATH: Circumstances = Circumstances {
    deaths: 1,
    cleaned_up: false,
};

#[test]
fn a_kill_at_any_call_while_a_new_file_is_opened_leaves_one_that_opens() {
    if !tools::has_strace() {
        return;
    }
    for verdict in sweep(30, |arena| arena.plan(Work::Open), ONE_DEATH) {
        verdict.assert_sound();
    }
}

#[test]
fn a_kill_at_any_call_at_work_loses_nothing_and_leaves_nothing_stuck() {
    if !tools::has_strace() {
        return;
    }
    for verdict in sweep(60, |arena| arena.mix(12, Then::Drain), ONE_DEATH) {
        verdict.assert_sound();
    }
}

/// The positive control: the same sweep over a worker that acknowledges before the commit.
#[test]
fn a_worker_that_acknowledges_too_early_is_caught() {
    if !tools::has_strace() {
        return;
    }
    let prepare = |arena: &Arena| {
        let mut plan = arena.mix(12, Then::Drain);
        plan.acknowledges_early = true;
        plan
    };
    let verdicts = sweep(12, prepare, ONE_DEATH);
    let lost = verdicts.iter().filter(|verdict| !verdict.lost.is_empty());
    assert!(lost.count() > 0, "{verdicts:#?}");
}

/// Delivered long ago; more than one clean-up batch.
const DELIVERED: u32 = 2_400;
/// Claimed long ago by a process that disappeared.
const ABANDONED: u32 = 40;
/// Never claimed.
const WAITING: u32 = 5;

#[test]
fn a_kill_at_any_call_during_clean_up_or_rescue_loses_no_undelivered_event() {
    if !tools::has_strace() {
        return;
    }
    let template = Arena::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fill(&template));
    let prepare = |arena: &Arena| {
        let mut plan = arena.plan(Work::Upkeep);
        std::fs::copy(template.database(), arena.database()).unwrap();
        std::fs::copy(template.plan(Work::Open).ledger, &plan.ledger).unwrap();
        plan.keep_completed = Some(20);
        plan
    };
    let circumstances = Circumstances {
        // The process that abandoned the events, and the killed one.
        deaths: 2,
        cleaned_up: true,
    };
    for verdict in sweep(30, prepare, circumstances) {
        verdict.assert_sound();
        assert_eq!(
            verdict.acknowledged,
            (DELIVERED + ABANDONED + WAITING) as usize
        );
    }
}

/// Fills the arena with the data of a worker that worked for long and died half a year ago.
async fn fill(arena: &Arena) {
    let clock = ManualClock::new();
    let store = SqliteStore::builder(arena.database())
        .clock(clock)
        .open()
        .await
        .unwrap();
    let ledger = Ledger::open(&arena.plan(Work::Open).ledger);
    // These numbers are enqueued without an own change, each for its own entity.
    let tasks: Vec<Task> = (0..DELIVERED + ABANDONED + WAITING)
        .map(|n| Task::new(n.into(), n * 3, Chore::Deliver))
        .collect();
    for task in &tasks {
        ledger.write(&Record::Intended {
            event: Task::event_id(0, task.number),
            user: task.user.clone(),
            entity: task.entity,
            number: task.number,
        });
    }
    let enqueued = tasks.clone();
    store
        .transaction(move |tx| {
            for task in &enqueued {
                let id = Task::event_id(0, task.number);
                // Equal priorities: the first events are claimed first.
                task.enqueue(id, 100).priority(0).on(tx)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    for task in &tasks {
        let event = Task::event_id(0, task.number);
        ledger.write(&Record::Acknowledged { event });
    }
    let lease = Duration::from_secs(60);
    let claim = |count| ClaimRequest::new(count as usize, lease);
    let claims = store.claim(&claim(DELIVERED)).await.unwrap();
    for claim in &claims {
        ledger.write(&Record::Answered {
            event: claim.event.id,
            attempt: 1,
            answer: Answer::Ok,
        });
    }
    let settlements = claims.iter().map(|claim| Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    });
    let settled = store.settle(settlements.collect()).await.unwrap();
    assert_eq!(settled.len(), DELIVERED as usize);
    let abandoned = store.claim(&claim(ABANDONED)).await.unwrap();
    assert_eq!(abandoned.len(), ABANDONED as usize);
    store.close().await;
}
