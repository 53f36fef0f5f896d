//! All promises at once while an older release of the application still runs: the real processor in
//! a world with every kind of fault, deterministic by seed.

use std::ops::Range;

use outbox_runtime::{
    HandlerError, HandlerSet, OutboxEvent, OutboxEventHandler, SqliteStore, async_trait,
};
use outbox_testing::{Invariant, Remote, Simulation, simulate};
use outbox_tests::simulated::{newest, with_two_releases};
use outbox_tests::{Broken, Flaw, assert_that_faults_happened};

fn renamed_and_retired_types_have_their_fate(seeds: Range<u64>) {
    let report = simulate(seeds, with_two_releases);
    println!("{report}");
    assert!(report.retired > report.seeds / 2, "{report}");
    assert_that_faults_happened(&report);
}

#[test]
fn renamed_types_are_delivered_in_order_and_retired_ones_have_their_fate_for_seeds_0_to_299() {
    renamed_and_retired_types_have_their_fate(0..300);
}

#[test]
fn renamed_types_are_delivered_in_order_and_retired_ones_have_their_fate_on_sqlite() {
    let report = simulate(0..40, |simulation| {
        with_two_releases(simulation).store(|clock| async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("outbox.db");
            let store = SqliteStore::builder(path).clock(clock).open().await;
            (store.unwrap(), folder)
        })
    });
    println!("{report}");
    assert!(report.retired > 0 && report.delivered > 0);
}

#[test]
fn two_releases_go_together_with_outages() {
    let report = simulate(0..100, |simulation| with_two_releases(simulation.outages()));
    println!("{report}");
    assert!(report.retired > 0 && report.outages > 0);
}

#[test]
fn a_store_that_mixes_up_types_is_caught() {
    for (flaw, expected) in [
        (Flaw::IgnoresTypes, Some(Invariant::Retired)),
        (Flaw::GivesAnotherReason, Some(Invariant::Retired)),
        (Flaw::OrdersTypesApart, Some(Invariant::InOrder)),
        (Flaw::None, None),
    ] {
        let found = (0..60).find_map(|seed| {
            let simulation = with_two_releases(Simulation::new(seed));
            let broken =
                simulation.store(move |clock| async move { (Broken::new(flaw, clock), ()) });
            let failure = broken.run().err()?;
            println!("seed {seed} exposes {flaw:?}: {}", failure.invariant());
            Some(failure.invariant())
        });
        assert_eq!(found, expected, "{flaw:?}");
    }
}

/// Takes every type itself, and says so of none: neither aliases nor retired types.
struct Bare(HandlerSet);

#[async_trait]
impl OutboxEventHandler for Bare {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "moodEntry"
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        self.0.handle(event).await
    }
}

#[test]
fn a_release_that_forgets_an_older_name_or_a_retired_type_is_caught() {
    let found = (0..60).find_map(|seed| {
        let simulation = with_two_releases(Simulation::new(seed));
        let forgetful = simulation.handlers(|remote: Remote| Bare(newest(remote)));
        Some(forgetful.run().err()?.invariant())
    });
    assert_eq!(found, Some(Invariant::NothingStuck));
}
