//! All promises at once for batch handlers: the real processor in a world with every kind of fault,
//! deterministic by seed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outbox_runtime::{Batch, BatchOrder, Batching, HandlerSet, prelude::*};
use outbox_testing::{Invariant, Simulation, simulate};
use outbox_tests::simulated::{first_violation, with_flaw};
use outbox_tests::{Flaw, Note, assert_that_faults_happened, note_of};

/// Batches of more than one event.
static SEVERAL: AtomicU64 = AtomicU64::new(0);

/// Few entities, so that most events wait behind another one of their lane.
fn with_batches(simulation: Simulation) -> Simulation {
    simulation
        .users(["ada", "ben"])
        .changes(|draw, user| {
            let note = note_of(user, draw.below(4) as i64);
            match draw.below(3) {
                0 => note.enqueue_sync(),
                1 => note.enqueue_update(),
                _ => note.enqueue_delete(),
            }
            .into_event()
        })
        .handlers(|remote| {
            let batching = Batching::of(3).within(Batching::LONGEST_WAIT);
            HandlerSet::new().with_batch::<Note>(batching, move |batch: Batch<Event<Note>>| {
                let remote = remote.clone();
                async move {
                    SEVERAL.fetch_add(u64::from(batch.len() > 1), Ordering::Relaxed);
                    for (index, event) in batch.iter().enumerate() {
                        match remote.send(event).await {
                            Ok(()) => batch.ok(index),
                            Err(error) => batch.fail(index, error),
                        }
                    }
                    Ok(())
                }
            })
        })
        .processor(|builder| builder.max_concurrency(2).timeout(Duration::from_secs(50)))
}

/// Runs the seeds, in which more than a hundred of these batches are sent.
fn every_promise_holds(
    seeds: Range<u64>,
    configure: fn(Simulation) -> Simulation,
    (sent, of_what): (&AtomicU64, &str),
) {
    let report = simulate(seeds, configure);
    println!("{report}");
    let sent = sent.load(Ordering::Relaxed);
    println!("{sent} batches {of_what}");
    assert!(sent > 100);
    assert_that_faults_happened(&report);
}

fn every_promise_holds_for_batches(seeds: Range<u64>) {
    every_promise_holds(seeds, with_batches, (&SEVERAL, "of several events"));
}

#[test]
fn every_promise_holds_for_batches_of_seeds_0_to_999() {
    every_promise_holds_for_batches(0..1_000);
}

#[test]
fn every_promise_holds_for_batches_of_seeds_1000_to_1999() {
    every_promise_holds_for_batches(1_000..2_000);
}

/// Batches of more than one event of a lane.
static LANES: AtomicU64 = AtomicU64::new(0);

/// The same for batches that keep the order of their lanes. A lane is not sent on after a failure.
fn in_order(simulation: Simulation) -> Simulation {
    with_batches(simulation).handlers(|remote| {
        let batching = Batching::of(4)
            .within(Batching::LONGEST_WAIT)
            .in_order(BatchOrder::Keep);
        HandlerSet::new().with_batch::<Note>(batching, move |batch: Batch<Event<Note>>| {
            let remote = remote.clone();
            async move {
                let lanes: BTreeSet<&EntityId> = batch.iter().map(|it| &it.entity_id).collect();
                LANES.fetch_add(u64::from(lanes.len() < batch.len()), Ordering::Relaxed);
                let mut failed = BTreeSet::new();
                for (index, event) in batch.iter().enumerate() {
                    if failed.contains(&event.entity_id) {
                        batch.fail(index, HandlerError::retry("behind one that failed"));
                        continue;
                    }
                    match remote.send(event).await {
                        Ok(()) => batch.ok(index),
                        Err(error) => {
                            failed.insert(event.entity_id.clone());
                            batch.fail(index, error);
                        }
                    }
                }
                Ok(())
            }
        })
    })
}

fn every_promise_holds_in_order(seeds: Range<u64>) {
    every_promise_holds(seeds, in_order, (&LANES, "with several events of a lane"));
}

#[test]
fn every_promise_holds_for_batches_in_order_of_seeds_0_to_999() {
    every_promise_holds_in_order(0..1_000);
}

#[test]
fn every_promise_holds_for_batches_in_order_of_seeds_1000_to_1999() {
    every_promise_holds_in_order(1_000..2_000);
}

#[test]
fn a_store_that_follows_with_gaps_is_caught() {
    let found = first_violation(100, |simulation| {
        with_flaw(in_order(simulation), Flaw::FollowsWithGaps)
    });
    assert_eq!(found, Some(Invariant::InOrder));
}

#[test]
fn a_handler_that_sends_a_lane_out_of_order_is_caught() {
    let found = first_violation(100, |simulation| {
        in_order(simulation).handlers(|remote| {
            let batching = Batching::of(4).in_order(BatchOrder::Keep);
            HandlerSet::new().with_batch::<Note>(batching, move |batch: Batch<Event<Note>>| {
                let remote = remote.clone();
                async move {
                    for (index, event) in batch.iter().enumerate().rev() {
                        match remote.send(event).await {
                            Ok(()) => batch.ok(index),
                            Err(error) => batch.fail(index, error),
                        }
                    }
                    Ok(())
                }
            })
        })
    });
    assert_eq!(found, Some(Invariant::InOrder));
}

#[test]
fn a_store_that_ignores_order_is_caught_with_batches() {
    let found = first_violation(50, |simulation| {
        with_flaw(with_batches(simulation), Flaw::IgnoresOrder)
    });
    assert_eq!(found, Some(Invariant::InOrder));
}
