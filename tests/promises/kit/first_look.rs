//! Tokio's paused time in a process whose first look at a clock comes long after the pause: each
//! test runs in a process of its own, as other tests of the same process may have looked before.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use outbox_runtime::Clock as _;
use outbox_runtime::prelude::*;
use outbox_runtime::store::SystemClock;
use outbox_testing::{drain, run_until_failed};

use crate::{Goal, goal, stores};

const IS_ALONE: &str = "OUTBOX_TEST_FIRST_LOOK";
/// By the machine's clock, between the pause and the first look; far longer than a drain takes to
/// tell a clock that stands still.
const BEFORE_THE_LOOK: Duration = Duration::from_millis(250);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Runs the test of this name in a process of its own, in paused time.
fn alone(name: &str, test: impl Future<Output = ()>) {
    if std::env::var_os(IS_ALONE).is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &format!("first_look::{name}")]);
        let output = child.env(IS_ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("running 1 test"), "no such test: {name}");
        assert!(output.status.success(), "{said}");
        return;
    }
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    let (_sender, nothing) = mpsc::channel::<()>();
    assert!(nothing.recv_timeout(BEFORE_THE_LOOK).is_err());
    runtime.block_on(test);
}

#[test]
fn the_system_clock_measures_what_passes_in_time_that_was_paused_before() {
    const STEP: Duration = Duration::from_millis(1);
    alone(
        "the_system_clock_measures_what_passes_in_time_that_was_paused_before",
        async {
            let (now, uptime) = (SystemClock.now(), SystemClock.uptime());
            for steps in 1..=3 {
                tokio::time::advance(STEP).await;
                assert_eq!(SystemClock.uptime() - uptime, STEP * steps);
                assert_eq!((SystemClock.now() - now).to_std(), Ok(STEP * steps));
            }
        },
    );
}

#[test]
fn a_drain_waits_for_retries_in_time_that_was_paused_before() {
    alone(
        "a_drain_waits_for_retries_in_time_that_was_paused_before",
        async {
            for store in stores().await {
                let event = store.create_event(goal(1).enqueue_create().into_event().unwrap());
                event.await.unwrap();
                let calls = AtomicU32::new(0);
                let handler = move |_: Event<Goal>| {
                    let call = calls.fetch_add(1, Ordering::SeqCst);
                    async move {
                        match call {
                            0..3 => Err(HandlerError::unavailable("away")),
                            _ => Ok(()),
                        }
                    }
                };
                let processor = Processor::builder(store).handle(handler).build().unwrap();
                assert_eq!(drain(&processor, DAY).await.unwrap().assert_empty(), 1);
            }
        },
    );
}

#[test]
fn a_run_until_a_failure_waits_for_the_first_attempt_in_time_that_was_paused_before() {
    alone(
        "a_run_until_a_failure_waits_for_the_first_attempt_in_time_that_was_paused_before",
        async {
            for store in stores().await {
                let later = goal(1).enqueue_create().delay(Duration::from_secs(3_600));
                let later = store.create_event(later.into_event().unwrap());
                let later = later.await.unwrap();
                let processor = Processor::builder(store)
                    .handle::<Goal>(|_| async { Err(HandlerError::permanent("no such goal")) })
                    .build()
                    .unwrap();
                let failed = run_until_failed(&processor, DAY).await.unwrap();
                assert_eq!(failed.map(|failed| failed.id), Some(later.id));
            }
        },
    );
}
