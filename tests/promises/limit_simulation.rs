//! Limits in a world with every kind of fault: never more calls under way than a processor may
//! have, and all other promises as before. Deterministic by seed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::{HandlerSet, prelude::*};
use outbox_testing::{Report, Simulation, simulate};
use outbox_tests::{Note, assert_that_faults_happened, note_of};

const LIMITED: &str = "north";
const MOST: usize = 2;

/// A call under way, until it is dropped: answered, timed out, or gone with its process.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Half of the changes go to the limited destination. `most` becomes the largest number of calls
/// that one process had under way there.
fn with_destinations(simulation: Simulation, most: Arc<AtomicUsize>) -> Simulation {
    simulation
        .users(["ada", "ben", "eve"])
        .steps(80)
        .changes(|draw, user| {
            let note = note_of(user, draw.below(8) as i64);
            let change = match draw.below(3) {
                0 => note.enqueue_sync(),
                1 => note.enqueue_update(),
                _ => note.enqueue_delete(),
            };
            let change = match draw.below(4) {
                0 | 1 => change.destination(LIMITED),
                2 => change.destination("south"),
                _ => change,
            };
            change.into_event()
        })
        .handlers(move |remote| {
            // Each process counts for itself.
            let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
            HandlerSet::new().with::<Note>(move |event| {
                let (remote, most) = (remote.clone(), Arc::clone(&most));
                let under_way = Arc::clone(&under_way);
                async move {
                    let _under_way = (event.destination.as_deref() == Some(LIMITED)).then(|| {
                        let count = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(count, Ordering::SeqCst);
                        UnderWay(under_way)
                    });
                    Ok(remote.send(&event).await?)
                }
            })
        })
        .processor(|builder| builder.max_concurrency(6).timeout(Duration::from_secs(50)))
}

fn run(seeds: Range<u64>, limits: impl Fn(Simulation) -> Simulation) -> (Report, usize) {
    let most = Arc::new(AtomicUsize::new(0));
    let report = simulate(seeds, |simulation| {
        limits(with_destinations(simulation, Arc::clone(&most)))
    });
    println!("{report}");
    let most = most.load(Ordering::SeqCst);
    println!("at most {most} calls under way");
    (report, most)
}

fn limited(simulation: Simulation) -> Simulation {
    simulation.processor(|builder| {
        let builder = builder.max_concurrency(6).timeout(Duration::from_secs(50));
        builder.limit(LIMITED, MOST)
    })
}

#[test]
fn no_seed_of_500_has_more_calls_under_way_than_the_limit() {
    let (report, most) = run(0..500, limited);
    assert_eq!(most, MOST, "and the limit is used");
    assert_that_faults_happened(&report);
}

#[test]
fn every_promise_holds_with_a_pace_as_well() {
    let (report, most) = run(1000..1100, |simulation| {
        simulation.processor(|builder| {
            let builder = builder.max_concurrency(6).timeout(Duration::from_secs(50));
            let pace = Pace::per_second(5).burst(2);
            builder
                .limit(LIMITED, MOST)
                .pace(LIMITED, pace)
                .pace(None, pace)
        })
    });
    assert!(most <= MOST);
    assert!(report.delivered > 0);
}

#[test]
fn limits_go_together_with_outages() {
    let (report, most) = run(2000..2100, |simulation| limited(simulation.outages()));
    assert!(most <= MOST);
    assert!(report.delivered > 0);
}

/// The control: the same world exceeds the limit where none is set.
#[test]
fn without_the_limit_the_same_seeds_exceed_it() {
    let (_, most) = run(0..50, |simulation| simulation);
    assert!(most > MOST, "{most}");
}
