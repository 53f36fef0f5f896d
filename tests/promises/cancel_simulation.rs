//! All promises at once for an application that cancels: the real processor in a world with every
//! kind of fault, deterministic by seed.

use std::ops::Range;

use outbox_testing::{Invariant, simulate};
use outbox_tests::simulated::{first_violation, on_sqlite, with_cancellations, with_flaw};
use outbox_tests::{Flaw, assert_that_faults_happened};

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
        on_sqlite(with_cancellations(simulation))
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
        let found = first_violation(60, |simulation| {
            with_flaw(with_cancellations(simulation), flaw)
        });
        assert_eq!(found, expected, "{flaw:?}");
    }
}
