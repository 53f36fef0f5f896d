//! All promises at once for an application that cancels: the real processor in a world with every
//! kind of fault, deterministic by seed.

use std::ops::Range;

use outbox_runtime::SqliteStore;
use outbox_testing::{Invariant, Simulation, simulate};
use outbox_tests::simulated::with_cancellations;
use outbox_tests::{Broken, Flaw, assert_that_faults_happened};

fn what_was_canceled_is_never_sent(seeds: Range<u64>) {
    let report = simulate(seeds, with_cancellations);
    println!("{report}");
    assert!(report.canceled > report.seeds, "{report}");
    assert_that_faults_happened(&report);
}

#[test]
fn what_was_canceled_is_never_sent_and_nothing_else_disappears_for_seeds_0_to_299() {
    what_was_canceled_is_never_sent(0..300);
}

#[test]
fn what_was_canceled_is_never_sent_and_nothing_else_disappears_on_sqlite() {
    let report = simulate(0..40, |simulation| {
        with_cancellations(simulation).store(|clock| async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("outbox.db");
            let store = SqliteStore::builder(path).clock(clock).open().await;
            (store.unwrap(), folder)
        })
    });
    println!("{report}");
    assert!(report.canceled > 0 && report.delivered > 0);
}

#[test]
fn cancellations_go_together_with_outages() {
    let report = simulate(0..100, |simulation| {
        with_cancellations(simulation.outages())
    });
    println!("{report}");
    assert!(report.canceled > 0 && report.outages > 0);
}

#[test]
fn a_store_that_cancels_wrongly_is_caught() {
    for (flaw, expected) in [
        (Flaw::CancelsNothing, Some(Invariant::TakenBack)),
        (Flaw::KeepsCanceled, Some(Invariant::TakenBack)),
        (Flaw::CancelsClaimed, Some(Invariant::TakenBack)),
        (Flaw::CancelsLate, Some(Invariant::TakenBack)),
        (Flaw::CancelsAnother, Some(Invariant::NothingLost)),
        (Flaw::None, None),
    ] {
        let found = (0..60).find_map(|seed| {
            let simulation = with_cancellations(Simulation::new(seed));
            let broken =
                simulation.store(move |clock| async move { (Broken::new(flaw, clock), ()) });
            let failure = broken.run().err()?;
            println!("seed {seed} exposes {flaw:?}: {}", failure.invariant());
            Some(failure.invariant())
        });
        assert_eq!(found, expected, "{flaw:?}");
    }
}
