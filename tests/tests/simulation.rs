//! All promises at once: the real processor in a world where everything fails that can, in the same way for the same seed.

use std::ops::Range;

use outbox_runtime::testing::{FaultRates, Invariant, Report, Simulation, simulate};
use outbox_runtime::{HandlerSet, SqliteStore};
use outbox_tests::{Broken, Flaw, Note, note_of};

/// A simulation that met none of the faults would prove nothing.
fn assert_that_everything_happened(report: &Report) {
    println!("{report}");
    let Report {
        enqueued,
        recovered,
        delivered,
        dead,
        duplicates,
        crashes,
        stops,
        freezes,
        clock_jumps,
        leases_lost,
        remote_faults,
        injected,
        ..
    } = report;
    for count in [
        enqueued,
        recovered,
        delivered,
        dead,
        duplicates,
        crashes,
        stops,
        freezes,
        clock_jumps,
        leases_lost,
        remote_faults,
        &injected.failures,
        &injected.failures_after_commit,
        &injected.delays,
        &injected.delayed_answers,
        &injected.stale,
    ] {
        assert!(*count > 0, "{report:?}");
    }
}

/// Two thousand seeds, in parts that run side by side.
fn every_promise_holds(seeds: Range<u64>) {
    let report = simulate(seeds, |simulation| simulation);
    assert_that_everything_happened(&report);
}

#[test]
fn every_promise_holds_for_seeds_0_to_499() {
    every_promise_holds(0..500);
}

#[test]
fn every_promise_holds_for_seeds_500_to_999() {
    every_promise_holds(500..1_000);
}

#[test]
fn every_promise_holds_for_seeds_1000_to_1499() {
    every_promise_holds(1_000..1_500);
}

#[test]
fn every_promise_holds_for_seeds_1500_to_1999() {
    every_promise_holds(1_500..2_000);
}

/// Typed handlers that enqueue, as an application's do.
fn with_entities(simulation: Simulation) -> Simulation {
    simulation
        .users(["ada", "ben", "eve"])
        .changes(|draw, user| {
            let note = note_of(user, draw.below(4) as i64);
            let change = match draw.below(3) {
                0 => note.enqueue_sync(),
                1 => note.enqueue_update(),
                _ => note.enqueue_delete(),
            };
            change.into_event()
        })
        .handlers(|remote| {
            HandlerSet::new().with::<Note>(move |event| {
                let remote = remote.clone();
                async move { Ok(remote.send(&event).await?) }
            })
        })
        .processor(|builder| builder.max_concurrency(2).batch_size(2))
}

#[test]
fn every_promise_holds_for_an_applications_own_entities_and_handlers() {
    assert_that_everything_happened(&simulate(0..200, with_entities));
}

#[test]
fn every_promise_holds_on_sqlite() {
    let report = simulate(0..40, |simulation| {
        with_entities(simulation).store(|clock| async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("outbox.db");
            let store = SqliteStore::builder(path).clock(clock).open().await;
            (store.unwrap(), folder)
        })
    });
    println!("{report}");
    assert!(report.delivered > 0 && report.leases_lost > 0 && report.injected.total() > 0);
}

#[test]
fn the_same_seed_takes_the_same_course() {
    let course = |seed| Simulation::new(seed).run().unwrap();
    for seed in 0..50 {
        assert_eq!(course(seed), course(seed), "seed {seed}");
    }
    assert_ne!(course(1).trace, course(2).trace);
}

#[test]
fn without_faults_nothing_is_sent_twice_unless_the_remote_makes_it_so() {
    let calm = |simulation: Simulation| simulation.faults(FaultRates::default());
    let report = simulate(0..50, calm);
    assert_eq!(report.injected.total(), 0);
    assert_eq!(report.recovered, 0);
}

/// By what a store with this flaw is found out, within so many seeds.
fn found_out(flaw: Flaw, seeds: u64) -> Option<Invariant> {
    (0..seeds).find_map(|seed| {
        let simulation = Simulation::new(seed);
        let broken = simulation.store(move |clock| async move { (Broken::new(flaw, clock), ()) });
        let failure = broken.run().err()?;
        println!(
            "{flaw:?} is found by seed {}: {}",
            failure.seed(),
            failure.invariant()
        );
        assert!(failure.to_string().contains(&format!("seed {seed}")));
        assert!(!failure.trace().is_empty());
        Some(failure.invariant())
    })
}

#[test]
fn a_store_that_breaks_a_promise_is_found_out() {
    let found_by: [(Flaw, &[Invariant]); 10] = [
        (Flaw::IgnoresTheToken, &[Invariant::OneLease]),
        (Flaw::ForgetsToCount, &[Invariant::AttemptsCounted]),
        (
            Flaw::HandsOutTwice,
            &[Invariant::OneLease, Invariant::AttemptsCounted],
        ),
        (
            Flaw::ForgetsAnOutcome,
            &[Invariant::OneLease, Invariant::RowWhole],
        ),
        (
            Flaw::CompletesFailures,
            &[Invariant::CompletedMeansDelivered],
        ),
        (Flaw::IgnoresOrder, &[Invariant::InOrder]),
        (Flaw::LosesAnEvent, &[Invariant::NothingLost]),
        (Flaw::NeverRescues, &[Invariant::AtRest]),
        (Flaw::ForgetsDueTimes, &[Invariant::NothingStuck]),
        (Flaw::IgnoresUsers, &[Invariant::OneUser]),
    ];
    for (flaw, invariants) in found_by {
        let found = found_out(flaw, 300).unwrap_or_else(|| panic!("{flaw:?} was not found"));
        assert!(invariants.contains(&found), "{flaw:?}: {found:?}");
    }
    assert_eq!(found_out(Flaw::None, 50), None);
}
