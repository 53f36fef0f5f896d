//! A day of work, hour by hour on a manual clock: memory, tasks and rows do not grow with the work
//! done.
//!
//! In a binary of its own, because it measures the memory of its process.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::{Durability, Processor, enqueue_all, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, note_of, within};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Events per hour, each of a new user who never returns.
const EVENTS: i64 = 200;

/// Resident memory of this process, in kibibytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.unwrap().trim().trim_end_matches(" kB");
    text.trim().parse().unwrap()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Delivers; but of every five events, one is refused once for its user's credentials, and one
/// fails.
fn start(store: &SqliteStore) -> Running {
    let (known, met) = (
        Arc::new(Mutex::new(HashSet::new())),
        Mutex::new(HashSet::new()),
    );
    let granted = known.clone();
    Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let number = event.entity_id.as_integer().unwrap();
            let answer = match number % 5 {
                0 if !granted.lock().unwrap().remove(&event.user_id) => {
                    Err(HandlerError::unauthenticated())
                }
                1 if met.lock().unwrap().insert(number) => Err(HandlerError::retry("503")),
                1 => {
                    met.lock().unwrap().remove(&number);
                    Ok(())
                }
                _ => Ok(()),
            };
            std::future::ready(answer)
        })
        .on_unauthenticated(move |user| {
            known.lock().unwrap().insert(user);
            std::future::ready(Ok(()))
        })
        .max_concurrency(8)
        .keep_completed(2 * HOUR)
        .build()
        .unwrap()
        .start_all_users()
}

/// Waits until this many events have failed, and no other work is left for now.
async fn until_failed(store: &SqliteStore, failed: i64) {
    within(async {
        loop {
            let now = store.statistics(None).await.unwrap();
            let is_done = now.pending_count + now.processing_count == 0;
            if is_done && now.failed_count == failed.unsigned_abs() {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_day_at_work_leaves_nothing_behind_in_memory() {
    let clock = ManualClock::new();
    let temporary =
        Temporary::open_with(|builder| builder.clock(clock.clone()).durability(Durability::Normal))
            .await;
    let store = &temporary.store;
    let running = start(store);
    let mut early = 0;
    for hour in 0..24 {
        let notes: Vec<_> = (0..EVENTS)
            .map(|number| number + hour * EVENTS)
            .map(|number| note_of(&format!("user {number}"), number))
            .collect();
        enqueue_all(&notes).on(store).await.unwrap();
        until_failed(store, EVENTS / 5).await;
        clock.advance(Duration::from_secs(2));
        until_failed(store, 0).await;
        assert_eq!(tasks(), 1, "only the run's own task is left");
        clock.advance(HOUR);
        let rows = store.statistics(None).await.unwrap();
        assert!(rows.total_events <= 4 * EVENTS.unsigned_abs(), "{rows:?}");
        assert_eq!(rows.completed_total, (EVENTS * (hour + 1)).unsigned_abs());
        if hour == 8 {
            early = memory();
        }
    }
    let late = memory();
    assert!(late < early + 4 * 1_024, "{early} KiB, then {late} KiB");
    within(running.stop()).await.unwrap();
}
