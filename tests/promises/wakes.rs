//! No wake-up is lost: every interleaving of the latch that stores and processors share, up to a bound, in a model.

use std::process::Command;
use std::sync::Arc;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use outbox_runtime::store::Revision;

use self::signal::Signal;

/// The runtime's own file. It takes its mutex from here, where it is the model's.
#[path = "../../outbox-runtime/src/store/kit/signal.rs"]
mod signal;

/// A store that commits so many times, each time making one more event claimable, and a processor that takes them.
///
/// The model reports a deadlock where the processor sleeps although there is work.
fn model(commits: usize, revision_first: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let signal = Arc::new(Signal::new());
        let claimable = Arc::new(AtomicUsize::new(0));
        let committers: Vec<_> = (0..commits)
            .map(|_| {
                let (signal, claimable) = (Arc::clone(&signal), Arc::clone(&claimable));
                loom::thread::spawn(move || {
                    claimable.fetch_add(1, Ordering::Release);
                    signal.raise();
                })
            })
            .collect();
        let mut taken = 0;
        while taken < commits {
            let before = signal.revision();
            taken += claimable.swap(0, Ordering::Acquire);
            let seen = if revision_first {
                before
            } else {
                signal.revision()
            };
            if taken < commits {
                let now: Revision = block_on(signal.changed(seen));
                assert_ne!(now, seen);
            }
        }
        for committer in committers {
            committer.join().unwrap();
        }
    });
}

#[test]
fn a_commit_while_the_processor_looks_is_not_missed() {
    model(1, true);
    model(2, true);
}

/// Not a test of ours: what `the_model_sees_a_wake_up_that_is_lost` runs, in a process of its own, as it ends that.
#[test]
#[ignore = "it is there to fail"]
fn a_processor_that_looks_before_it_takes_the_revision() {
    model(1, false);
}

#[test]
fn the_model_sees_a_wake_up_that_is_lost() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "--exact"])
        .arg("a_processor_that_looks_before_it_takes_the_revision")
        .output()
        .unwrap();
    assert!(!child.status.success());
    let told = String::from_utf8_lossy(&child.stderr);
    assert!(told.contains("deadlock"), "{told}");
}
