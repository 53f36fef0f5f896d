//! All promises at once while an older release of the application still runs: the real processor in
//! a world with every kind of fault, deterministic by seed.

use std::ops::Range;

use outbox_runtime::{HandlerError, HandlerSet, OutboxEvent, OutboxEventHandler, async_trait};
use outbox_testing::{Invariant, Remote, simulate};
use outbox_tests::simulated::{first_violation, newest, on_sqlite, with_flaw, with_two_releases};
use outbox_tests::{Flaw, assert_that_faults_happened};

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
    let report = simulate(0..40, |simulation| on_sqlite(with_two_releases(simulation)));
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
        let found = first_violation(60, |simulation| {
            with_flaw(with_two_releases(simulation), flaw)
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
    let found = first_violation(60, |simulation| {
        with_two_releases(simulation).handlers(|remote: Remote| Bare(newest(remote)))
    });
    assert_eq!(found, Some(Invariant::NothingStuck));
}
