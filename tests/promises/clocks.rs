//! Promises 3 and 5 when the wall clock is set: work in progress is measured by the time that has
//! really passed.
//!
//! The crash tests do the same with real processes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::store::Sleep;
use outbox_runtime::{Clock, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, enqueue, note, start, start_with, unknown, within};

const SOON: Duration = Duration::from_secs(30);

/// A clock that advances on demand, and can also be set, which takes no time.
#[derive(Debug, Clone, Default)]
struct WallClock {
    steady: ManualClock,
    offset: Arc<Mutex<TimeDelta>>,
}

impl WallClock {
    fn set_by(&self, jump: TimeDelta) {
        *self.offset.lock().unwrap() += jump;
    }

    fn offset(&self) -> TimeDelta {
        *self.offset.lock().unwrap()
    }
}

impl Clock for WallClock {
    fn now(&self) -> DateTime<Utc> {
        self.steady.now() + self.offset()
    }

    fn sleep_until(&self, deadline: DateTime<Utc>) -> Sleep {
        self.steady.sleep_until(deadline - self.offset())
    }

    fn uptime(&self) -> Duration {
        self.steady.uptime()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.steady.sleep(duration)
    }
}

/// Two runs have an event each while the clock is set, and more events follow: each is sent once,
/// and its outcome recorded.
async fn jump_during_work(store: Arc<dyn OutboxRepository>, clock: WallClock, jump: TimeDelta) {
    // The first run has no free handler, and so no reason to read the clock before its renewal.
    let (mut busy_remote, busy) = start_with(&store, |builder| builder.max_concurrency(1));
    let first = enqueue(&store, note(1).enqueue_sync()).await;
    let second = enqueue(&store, note(1).enqueue_update()).await;
    let of_busy = busy_remote.next().await;
    let (mut remote, running) = start(&store);
    let third = enqueue(&store, note(3).enqueue_sync()).await;
    let of_other = remote.next().await;
    clock.set_by(jump);
    let fourth = enqueue(&store, note(4).enqueue_sync()).await;
    let call = remote.next().await;
    assert_eq!(call.event.id, fourth.id, "no leased event is rescued");
    assert!(!of_busy.is_abandoned() && !of_other.is_abandoned());
    for call in [call, of_other, of_busy] {
        call.ok();
    }
    let call = tokio::select! {
        call = busy_remote.next() => call,
        call = remote.next() => call,
    };
    assert_eq!(call.event.id, second.id);
    call.ok();
    for id in [1, 3, 4] {
        let flushed = within(running.flush(id, SOON)).await.unwrap();
        assert!(flushed.is_delivered(), "{flushed:?}");
    }
    assert!(
        busy_remote.is_quiet() && remote.is_quiet(),
        "each event is sent once"
    );
    for event in [first, second, third, fourth] {
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(event.attempt_count, 1);
    }
    busy.stop().await.unwrap();
    running.stop().await.unwrap();
}

async fn on_each_store(jump: TimeDelta) {
    let clock = WallClock::default();
    let memory = MemoryStore::with_clock(clock.clone());
    jump_during_work(Arc::new(memory), clock, jump).await;
    let clock = WallClock::default();
    let sqlite = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    jump_during_work(Arc::new(sqlite.store.clone()), clock, jump).await;
}

#[tokio::test]
async fn a_clock_set_forward_takes_no_work_from_a_run() {
    on_each_store(TimeDelta::days(1)).await;
}

#[tokio::test]
async fn a_clock_set_back_delays_nothing_in_a_run() {
    on_each_store(TimeDelta::hours(-1)).await;
}

#[tokio::test]
async fn work_of_a_dead_process_is_rescued_one_lease_after_the_clock_was_set_back() {
    const LEASE: Duration = Duration::from_secs(60);
    let clock = WallClock::default();
    let store: Arc<dyn OutboxRepository> = Arc::new(MemoryStore::with_clock(clock.clone()));
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    let _dead = store.mark_as_processing(event.id, LEASE).await.unwrap();
    clock.set_by(TimeDelta::hours(-1));
    let (mut remote, running) = start(&store);
    let lease_ends = clock.steady.now() + LEASE;
    within(clock.steady.until_asleep(lease_ends)).await;
    assert!(remote.is_quiet());
    clock.steady.advance(LEASE);
    let call = remote.next().await;
    assert_eq!((call.event.id, call.event.crashes), (event.id, 1));
    call.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_run_sleeps_while_it_spares_leases_that_ended_in_a_clock_jump() {
    let clock = WallClock::default();
    let store = MemoryStore::with_clock(clock.clone());
    let lease = Duration::from_secs(60);
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    let _of_another = store.mark_as_processing(event.id, lease).await.unwrap();
    let (mut remote, running) = start_with(&store, |builder| builder.lease(lease));
    within(clock.steady.until_asleep(clock.steady.now() + lease)).await;
    clock.set_by(TimeDelta::hours(1));
    running.trigger();
    // The run rescues nothing until the owner had time to renew.
    let from = clock.steady.now() + lease;
    within(clock.steady.until_asleep(from)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        clock.steady.next_deadline(),
        Some(from),
        "the run sleeps until the lease has ended"
    );
    clock.steady.set(from);
    remote.next().await.ok();
    running.stop().await.unwrap();
}

#[test]
fn a_manual_clock_that_several_threads_advance_moves_by_the_sum() {
    let clock = ManualClock::new();
    let begin = clock.now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    clock.advance(Duration::from_millis(1));
                }
            });
        }
    });
    assert_eq!(clock.now() - begin, TimeDelta::seconds(80));
}

#[test]
fn a_manual_clock_adds_up_steps_below_a_microsecond() {
    let clock = ManualClock::new();
    let begin = clock.now();
    for _ in 0..2_500 {
        clock.advance(Duration::from_nanos(400));
        assert_eq!(clock.now().timestamp_subsec_nanos() % 1_000, 0);
    }
    assert_eq!(clock.now() - begin, TimeDelta::milliseconds(1));
}

#[tokio::test]
async fn a_manual_clock_set_to_its_next_deadline_wakes_its_sleepers() {
    let clock = ManualClock::new();
    for nanoseconds in [1_i64, 400, 999, 1_000, 1_001, 1_999_999, 5_000_000_001] {
        for how in ["until", "for"] {
            let mut sleep = match how {
                "until" => clock.sleep_until(clock.now() + TimeDelta::nanoseconds(nanoseconds)),
                _ => clock.sleep(Duration::from_nanos(nanoseconds.unsigned_abs())),
            };
            // Also on a clock between two microseconds.
            clock.advance(Duration::from_nanos(300));
            let begin = clock.now();
            tokio::select! {
                biased;
                () = &mut sleep => assert!(nanoseconds < 10_000, "{how} {nanoseconds} ns"),
                () = async {} => {
                    let next = clock.next_deadline().expect("a task sleeps");
                    assert!(next > begin, "{how} {nanoseconds} ns");
                    clock.set(next);
                    within(sleep).await;
                }
            }
            assert_eq!(clock.next_deadline(), None, "{how} {nanoseconds} ns");
        }
    }
}

#[tokio::test]
async fn no_sleeper_is_woken_early() {
    let clock = ManualClock::new();
    let deadline = clock.now() + TimeDelta::nanoseconds(1_500);
    let sleeper = tokio::spawn(clock.sleep_until(deadline));
    within(clock.until_asleep(deadline)).await;
    clock.set(deadline);
    tokio::task::yield_now().await;
    assert!(!sleeper.is_finished(), "the clock says {}", clock.now());
    clock.set(deadline + TimeDelta::microseconds(1));
    within(sleeper).await.unwrap();
}

#[test]
fn uptime_advances_in_any_year() {
    let clock = ManualClock::new();
    for year in [-200_000, 1, 1969, 1970, 2026, 9999, 200_000] {
        let begin = chrono::NaiveDate::from_ymd_opt(year, 12, 31).unwrap();
        clock.set(begin.and_hms_opt(23, 59, 59).unwrap().and_utc());
        let before = clock.uptime();
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.uptime() - before, Duration::from_secs(2), "{year}");
    }
}

/// Each nap is a jump; the machine's time awake adds up.
#[test]
fn only_work_of_dead_processes_is_rescued_on_a_machine_that_naps() {
    for awake in [5, 15, 30] {
        for lives in [false, true] {
            naps(awake, lives);
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn naps(awake: u64, lives: bool) {
    const LEASE: Duration = Duration::from_secs(60);
    let clock = WallClock::default();
    let memory: Arc<dyn OutboxRepository> = Arc::new(MemoryStore::with_clock(clock.clone()));
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    for store in [memory, Arc::new(temporary.store.clone())] {
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let held = store.mark_as_processing(event.id, LEASE).await.unwrap();
        store.create_event(unknown(2)).await.unwrap();
        let (mut remote, running) = start(&store);
        let mut rescued_after = None;
        for cycle in 1..=240 / awake {
            for _ in 0..awake {
                clock.steady.advance(Duration::from_secs(1));
                running.trigger();
                // The run answers after it has looked for work.
                running.explain(2).await.unwrap();
                running.explain(2).await.unwrap();
            }
            if lives && cycle % (20 / awake.min(20)) == 0 {
                // The owner renews after a third of the lease awake.
                let renewed = store.extend(&[held.lease], LEASE).await.unwrap();
                assert!(
                    renewed[0].is_some(),
                    "taken from a live process in cycle {cycle}"
                );
            }
            running.explain(2).await.unwrap();
            if !remote.is_quiet() {
                rescued_after = Some(cycle * awake);
                break;
            }
            clock.set_by(TimeDelta::minutes(5));
        }
        if lives {
            assert_eq!(rescued_after, None, "awake for {awake} s at a time");
        } else {
            let after = rescued_after.expect("the event is rescued");
            assert!(after <= 180, "after {after} s awake, {awake} s at a time");
        }
        running.stop().await.unwrap();
    }
}
