//! All promises at once on PostgreSQL: the real processor in a world with every kind of fault.
//!
//! The world moves its own clock and waits for every call of the store. The listener also wakes
//! processes in real time, so two runs of a seed may differ in the order of simultaneous actions.
//!
//! `OUTBOX_POSTGRES_CASES` is the number of seeds.

use std::time::Duration;

use outbox_postgres_tests::aside::{Aside, run};
use outbox_postgres_tests::{cases, index_by_destination};
use outbox_testing::{Invariant, Report, Simulation, simulate};
use shared_tests::simulated::{first_violation, with_cancellations, with_two_releases};
use shared_tests::{Broken, Flaw, note_of};

fn on_postgres(simulation: Simulation) -> Simulation {
    simulation.store(|clock| async { (Aside::open(clock).await, ()) })
}

/// A simulation without any of the faults would prove nothing.
fn assert_that_everything_happened(report: &Report) {
    println!("{report}");
    for (what, count) in [
        ("enqueued", report.enqueued),
        ("recovered", report.recovered),
        ("delivered", report.delivered),
        ("dead", report.dead),
        ("duplicates", report.duplicates),
        ("crashes", report.crashes),
        ("stops", report.stops),
        ("freezes", report.freezes),
        ("clock jumps", report.clock_jumps),
        ("leases lost", report.leases_lost),
        ("remote faults", report.remote_faults),
        ("failures of the store", report.injected.failures),
        (
            "failures after the commit",
            report.injected.failures_after_commit,
        ),
        ("delayed calls", report.injected.delays),
        ("delayed answers", report.injected.delayed_answers),
        ("stale listings", report.injected.stale),
    ] {
        assert!(count > 0, "no {what}: {report:?}");
    }
}

#[test]
fn every_promise_holds_on_postgres() {
    assert_that_everything_happened(&simulate(0..cases(40).into(), on_postgres));
}

#[test]
fn an_outage_charges_no_event_and_a_refusal_stops_no_other_on_postgres() {
    let report = simulate(0..cases(20).into(), |simulation| {
        on_postgres(simulation.outages())
    });
    assert!(report.outages > 0, "{report}");
    assert!(
        report.delivered > 0 && report.injected.total() > 0,
        "{report}"
    );
}

#[test]
fn what_was_canceled_is_never_sent_on_postgres() {
    let report = simulate(0..cases(20).into(), |simulation| {
        with_cancellations(on_postgres(simulation))
    });
    println!("{report}");
    assert!(report.canceled > 0 && report.delivered > 0, "{report}");
}

#[test]
fn renamed_and_retired_types_have_their_fate_on_postgres() {
    let report = simulate(0..cases(20).into(), |simulation| {
        with_two_releases(on_postgres(simulation))
    });
    println!("{report}");
    assert!(report.retired > 0 && report.delivered > 0, "{report}");
}

/// With limits, nearly every claim leaves a destination out.
#[test]
fn every_promise_holds_on_postgres_where_claims_look_at_each_destination() {
    let report = simulate(0..cases(20).into(), |simulation| {
        let simulation = simulation.store(|clock| async {
            let store = Aside::open(clock).await;
            let schema = store.store().schema().to_owned();
            run(async { index_by_destination(&schema).await }).await;
            (store, ())
        });
        simulation
            .users(["ada", "ben", "eve"])
            .changes(|draw, user| {
                let change = note_of(user, draw.below(8) as i64).enqueue_update();
                let change = match draw.below(4) {
                    0 | 1 => change.destination("north"),
                    2 => change.destination("south"),
                    _ => change,
                };
                change.into_event()
            })
            .processor(|builder| {
                let builder = builder.max_concurrency(6).timeout(Duration::from_secs(50));
                builder.limit("north", 1).limit(None, 2)
            })
    });
    println!("{report}");
    assert!(report.delivered > 0 && report.injected.total() > 0);
}

#[test]
fn a_postgres_store_that_breaks_a_promise_is_caught() {
    let found_by: [(Flaw, &[Invariant]); 8] = [
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
        // The run may claim the event before the flaw deletes it.
        (
            Flaw::LosesAnEvent,
            &[Invariant::NothingLost, Invariant::OneLease],
        ),
        (
            Flaw::NeverRescues,
            &[Invariant::AtRest, Invariant::NothingStuck],
        ),
        (Flaw::IgnoresUsers, &[Invariant::OneUser]),
        (Flaw::DropsHeaders, &[Invariant::SameHeaders]),
    ];
    for (flaw, invariants) in found_by {
        let found = first_violation(60, |simulation| {
            simulation.store(move |clock| async move {
                (Broken::over(flaw, Aside::open(clock).await), ())
            })
        });
        let found = found.unwrap_or_else(|| panic!("no seed exposes {flaw:?}"));
        assert!(invariants.contains(&found), "{flaw:?}: {found:?}");
    }
}
