//! All promises at once: the real processor in a world with every kind of fault, deterministic by
//! seed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use outbox_runtime::{
    Charge, HandlerError, HandlerSet, Headers, Operation, OutboxEvent, OutboxEventHandler,
    async_trait,
};
use outbox_testing::{FaultRates, Invariant, Remote, Report, Simulation, simulate};
use outbox_tests::simulated::{first_violation, on_sqlite, with_flaw};
use outbox_tests::{Flaw, Note, note_of};
use uuid::Uuid;

/// A simulation without any of the faults would prove nothing.
fn assert_that_everything_happened(report: &Report) {
    println!("{report}");
    for count in [
        report.enqueued,
        report.recovered,
        report.delivered,
        report.obsolete,
        report.dead,
        report.duplicates,
        report.crashes,
        report.stops,
        report.freezes,
        report.clock_jumps,
        report.leases_lost,
        report.remote_faults,
        report.injected.failures,
        report.injected.failures_after_commit,
        report.injected.delays,
        report.injected.delayed_answers,
        report.injected.stale,
    ] {
        assert!(count > 0, "{report:?}");
    }
}

/// Two thousand seeds, in parts that run in parallel.
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

/// Typed handlers that enqueue, like those of an application.
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
    let report = simulate(0..40, |simulation| on_sqlite(with_entities(simulation)));
    println!("{report}");
    assert!(report.delivered > 0 && report.leases_lost > 0 && report.injected.total() > 0);
}

#[test]
fn the_same_seed_replays_the_same_run() {
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

#[test]
fn a_store_that_breaks_a_promise_is_caught() {
    let found_by: [(Flaw, &[Invariant]); 12] = [
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
        (
            Flaw::NeverRescues,
            &[Invariant::AtRest, Invariant::NothingStuck],
        ),
        (Flaw::ForgetsDueTimes, &[Invariant::NothingStuck]),
        (Flaw::IgnoresUsers, &[Invariant::OneUser]),
        (Flaw::DropsHeaders, &[Invariant::SameHeaders]),
        (Flaw::KeepsOldHeaders, &[Invariant::SameHeaders]),
    ];
    for (flaw, invariants) in found_by {
        let found = first_violation(300, |simulation| with_flaw(simulation, flaw));
        let found = found.unwrap_or_else(|| panic!("no seed exposes {flaw:?}"));
        assert!(invariants.contains(&found), "{flaw:?}: {found:?}");
    }
    let none = |simulation| with_flaw(simulation, Flaw::None);
    assert_eq!(first_violation(50, none), None);
}

/// Typed handlers that complete what was accepted before they answer, and answer with whatever then
/// happens.
fn with_completions(simulation: Simulation) -> Simulation {
    with_entities(simulation).handlers(|remote| {
        HandlerSet::new().with::<Note>(move |event| {
            let remote = remote.clone();
            async move {
                remote.send(&event).await?;
                remote.complete(&event).await?;
                // Some fail after their commit.
                match event.operation == Operation::Delete && event.entity_id == 3.into() {
                    true => Err(HandlerError::retry("cannot tell anybody")),
                    false => Ok(()),
                }
            }
        })
    })
}

#[test]
fn a_completion_by_a_handler_is_fenced_and_lasts_for_seeds_0_to_499() {
    let report = simulate(0..500, with_completions);
    println!("{report}");
    assert!(report.completed_by_handlers > report.seeds, "{report}");
    for count in [
        report.crashes,
        report.leases_lost,
        report.injected.failures_after_commit,
        report.injected.delays,
    ] {
        assert!(count > 0, "{report}");
    }
}

#[test]
fn a_completion_by_a_handler_is_fenced_and_lasts_on_sqlite() {
    let report = simulate(0..40, |simulation| on_sqlite(with_completions(simulation)));
    println!("{report}");
    assert!(report.completed_by_handlers > 0 && report.injected.total() > 0);
}

#[test]
fn a_store_that_completes_for_anybody_or_forgets_completions_is_caught() {
    let found = |flaw| {
        first_violation(500, |simulation| {
            with_flaw(with_completions(simulation), flaw)
        })
    };
    let flaws = [Flaw::CompletesForAnybody, Flaw::ForgetsHandlersCompletions];
    for flaw in flaws {
        assert_eq!(found(flaw), Some(Invariant::CompletedByHandler), "{flaw:?}");
    }
    assert_eq!(found(Flaw::None), None);
}

/// A handler that misreports deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    SendsNothing,
    IgnoresTheError,
    TakesAFailureForObsolete,
    SendsInATaskOfItsOwn,
    SkipsWhatItHasSeen,
    SendsThePreviousEvent,
    SendsAsAnotherUser,
    SendsWithoutMetadata,
    SendsWithoutHeaders,
    SendsUnderANewId,
    SleepsByTheMachinesClock,
    SleepsByTheMachinesClockAfterwards,
    CallsEverythingObsolete,
    RejectsEverything,
    TakesEveryFailureForGood,
    FailsAfterwards,
    SnoozesAfterwards,
    PanicsAfterwards,
}

struct BadHandler {
    bad: Bad,
    remote: Remote,
    seen: Mutex<BTreeSet<Uuid>>,
    previous: Mutex<Option<OutboxEvent>>,
}

#[async_trait]
impl OutboxEventHandler for BadHandler {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        let remote = self.remote.clone();
        let mut event = event.clone();
        match self.bad {
            Bad::SendsNothing => return Ok(()),
            Bad::CallsEverythingObsolete => return Err(HandlerError::obsolete()),
            Bad::RejectsEverything => return Err(HandlerError::permanent("not today")),
            Bad::IgnoresTheError => {
                let _ = remote.send(&event).await;
                return Ok(());
            }
            Bad::TakesAFailureForObsolete => {
                let sent = remote.send(&event).await;
                return sent.map_err(|_| HandlerError::obsolete());
            }
            Bad::SendsInATaskOfItsOwn => {
                tokio::spawn(async move { remote.send(&event).await });
                return Ok(());
            }
            Bad::SkipsWhatItHasSeen => {
                if !self.seen.lock().unwrap().insert(event.id) {
                    return Ok(());
                }
            }
            Bad::SendsThePreviousEvent => {
                let previous = self.previous.lock().unwrap().replace(event.clone());
                event = previous.unwrap_or(event);
            }
            Bad::SendsAsAnotherUser => event.user_id = "eve".to_owned(),
            Bad::SendsWithoutMetadata => event.metadata = None,
            Bad::SendsWithoutHeaders => event.headers = Headers::new(),
            Bad::SendsUnderANewId => event.id = Uuid::from_u128(event.id.as_u128() ^ 1),
            Bad::TakesEveryFailureForGood => {
                let sent = remote.send(&event).await;
                return sent.map_err(HandlerError::permanent);
            }
            Bad::FailsAfterwards => {
                remote.send(&event).await?;
                return Err(HandlerError::retry("cannot parse the answer"));
            }
            Bad::SnoozesAfterwards => {
                remote.send(&event).await?;
                return Err(HandlerError::snooze(std::time::Duration::from_secs(60)));
            }
            Bad::PanicsAfterwards => {
                remote.send(&event).await?;
                std::panic::resume_unwind(Box::new("cannot parse the answer"));
            }
            Bad::SleepsByTheMachinesClock => sleep_by_the_machines_clock().await,
            Bad::SleepsByTheMachinesClockAfterwards => {
                let sent = remote.send(&event).await;
                sleep_by_the_machines_clock().await;
                return Ok(sent?);
            }
        }
        Ok(remote.send(&event).await?)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the mistake under test: real time in a simulation"
)]
async fn sleep_by_the_machines_clock() {
    tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
}

#[test]
fn a_handler_that_misreports_deliveries_is_caught_with_the_reason() {
    use Invariant::*;
    let found_by: [(Bad, &[Invariant], &str); 18] = [
        (
            Bad::SendsNothing,
            &[CompletedMeansDelivered],
            "was not asked",
        ),
        (
            Bad::IgnoresTheError,
            &[CompletedMeansDelivered],
            "did not accept it",
        ),
        (
            Bad::TakesAFailureForObsolete,
            &[CompletedMeansDelivered],
            "is obsolete, but",
        ),
        (
            Bad::SendsInATaskOfItsOwn,
            &[CompletedMeansDelivered],
            "was not asked",
        ),
        (
            Bad::SkipsWhatItHasSeen,
            &[CompletedMeansDelivered],
            "was not asked",
        ),
        (
            Bad::SendsThePreviousEvent,
            &[CompletedMeansDelivered, OneLease],
            "was sent to the remote service while no handler",
        ),
        (
            Bad::SendsAsAnotherUser,
            &[OneUser],
            "as an event of \"eve\"",
        ),
        (
            Bad::SendsWithoutMetadata,
            &[SameEveryTime],
            "another metadata",
        ),
        (
            Bad::SendsWithoutHeaders,
            &[SameEveryTime],
            "another list of headers",
        ),
        (Bad::SendsUnderANewId, &[NothingInvented], "was sent"),
        (
            Bad::SleepsByTheMachinesClock,
            &[InTime],
            "the machine's clock",
        ),
        (
            Bad::SleepsByTheMachinesClockAfterwards,
            &[InTime],
            "the machine's clock",
        ),
        (
            Bad::CallsEverythingObsolete,
            &[CompletedMeansDelivered],
            "nothing at all",
        ),
        (
            Bad::RejectsEverything,
            &[CompletedMeansDelivered],
            "nothing at all",
        ),
        (
            Bad::TakesEveryFailureForGood,
            &[TrueAnswer],
            "is refused for good, but",
        ),
        (
            Bad::FailsAfterwards,
            &[TrueAnswer],
            "are failures to their handlers",
        ),
        (
            Bad::SnoozesAfterwards,
            &[TrueAnswer],
            "are failures to their handlers",
        ),
        (
            Bad::PanicsAfterwards,
            &[TrueAnswer],
            "are failures to their handlers",
        ),
    ];
    for (bad, invariants, why) in found_by {
        let failure = (0..20).find_map(|seed| {
            let simulation = Simulation::new(seed).handlers(move |remote| BadHandler {
                bad,
                remote,
                seen: Mutex::default(),
                previous: Mutex::default(),
            });
            simulation.run().err()
        });
        let failure = failure.unwrap_or_else(|| panic!("no seed exposes {bad:?}"));
        let told = failure.to_string();
        let last = told.lines().last().unwrap_or_default();
        println!("{bad:?}: {last}");
        assert!(invariants.contains(&failure.invariant()), "{bad:?}: {last}");
        assert!(last.contains(why), "{bad:?}: {last}");
    }
}

#[test]
fn delivered_means_accepted_by_the_remote_service() {
    let report = simulate(0..50, |simulation| simulation);
    let accepted = |line: &&String| line.contains(": Complete, Recorded");
    for seed in 0..20 {
        let report = Simulation::new(seed).run().unwrap();
        let completed = report.trace.iter().filter(accepted).count() as u64;
        // Some are completed without an attempt: a create and a delete that cancel out.
        assert!(report.delivered + report.obsolete >= completed, "{report}");
    }
    assert!(report.delivered > 10 * report.obsolete, "{report}");
    assert!(report.obsolete > 0, "{report}");
    assert_eq!(report.unanswered, 0, "{report}");
}

/// Outages of everything, of a type, a destination, a user and an event, along with all other
/// faults.
fn no_outage_is_charged(seeds: impl IntoIterator<Item = u64>) {
    let report = simulate(seeds, Simulation::outages);
    println!("{report}");
    assert!(report.outages > report.seeds, "{report}");
    assert!(report.delivered > 0 && report.dead > 0, "{report}");
}

#[test]
fn an_outage_charges_no_event_and_a_refusal_stops_no_other_for_seeds_0_to_999() {
    no_outage_is_charged(0..1_000);
}

#[test]
fn an_outage_charges_no_event_and_a_refusal_stops_no_other_for_seeds_1000_to_1999() {
    no_outage_is_charged(1_000..2_000);
}

/// Found by more than ten thousand seeds: several classes of refusals in a row, and partial pauses
/// that never overlap.
#[test]
fn an_outage_charges_no_event_and_a_refusal_stops_no_other_for_seeds_that_once_failed() {
    no_outage_is_charged([
        1_456, 1_829, 2_573, 2_617, 3_547, 3_613, 3_928, 6_443, 6_504, 6_608, 6_731, 7_253, 8_736,
        8_997, 9_163, 15_842, 23_107, 25_044, 37_446, 39_059, 44_964, 49_016, 52_328,
    ]);
}

#[test]
fn a_processor_that_charges_every_failure_is_caught() {
    let failure = (0..20).find_map(|seed| {
        let simulation = Simulation::new(seed).outages();
        let charging = simulation.processor(|builder| builder.charge(Charge::Always));
        charging.run().err()
    });
    let failure = failure.expect("a processor that charges outages must fail");
    assert_eq!(failure.invariant(), Invariant::OwnFault, "{failure}");
}
