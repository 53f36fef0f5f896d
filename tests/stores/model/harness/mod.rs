//! Random steps on a store and on a reference, with answers and content compared after each step.
//!
//! The tests of each store include this folder: those of the PostgreSQL store are a package of
//! their own.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use outbox_runtime::OutboxRepository;
use outbox_runtime::store::ClaimOrder;
use outbox_testing::ManualClock;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use self::reference::{Answer, Reference, Report, Step};
use self::steps::Tested;

mod compare; // the content of the store
mod reference; // the expected content and answers
mod statistics; // the expected statistics
mod steps; // the steps, taken on a store

/// A store under test.
pub trait MakeStore: 'static {
    /// The most attempts to find shorter steps that fail.
    const MOST_SHRINKS: u32 = 2_000;

    /// A store on this clock, with a guard that must outlive it.
    fn make(clock: ManualClock) -> impl Future<Output = (Arc<dyn OutboxRepository>, Box<dyn Any>)>;
}

thread_local! {
    /// The situations met by the steps of this thread: a model that never meets a situation proves
    /// nothing about it.
    static MET: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that this situation was met.
pub fn meet(situation: &'static str) {
    MET.with_borrow_mut(|met| met.insert(situation));
}

const EVERYTHING: [&str; 20] = [
    "enqueued",
    "folded",
    "refused as a conflict",
    "claimed",
    "claimed in turns",
    "claimed as the newest",
    "claimed as the least recent",
    "claimed by id",
    "not claimable",
    "recorded",
    "deferred",
    "snoozed",
    "lease lost",
    "extended",
    "requeued",
    "buried",
    "reset",
    "edited",
    "cleaned up",
    "deleted",
];

fn what_it_was(step: &Step, answer: &Answer) -> Option<&'static str> {
    Some(match (step, answer) {
        (Step::Enqueue(id, ..), Answer::Carried(by)) if id == by => "enqueued",
        (Step::Enqueue(..), Answer::Carried(_)) => "folded",
        (Step::Enqueue(..), Answer::Conflict) => "refused as a conflict",
        (Step::Claim { choice, .. }, Answer::Claimed(ids))
            if !ids.is_empty() && choice.order == ClaimOrder::Newest =>
        {
            "claimed as the newest"
        }
        (Step::Claim { choice, .. }, Answer::Claimed(ids))
            if !ids.is_empty() && choice.order == ClaimOrder::LeastRecent =>
        {
            "claimed as the least recent"
        }
        (Step::Claim { turns: Some(_), .. }, Answer::Claimed(ids)) if !ids.is_empty() => {
            "claimed in turns"
        }
        (Step::Claim { .. }, Answer::Claimed(ids)) if !ids.is_empty() => "claimed",
        (Step::ClaimOne(..), Answer::Claimed(_)) => "claimed by id",
        (Step::ClaimOne(..), Answer::Conflict) => "not claimable",
        (Step::Settle(_, Report::Defer(_)), Answer::Recorded(true)) => "deferred",
        (Step::Settle(_, Report::Snooze(_)), Answer::Recorded(true)) => "snoozed",
        (Step::Settle(..), Answer::Recorded(true)) => "recorded",
        (Step::Settle(..), Answer::Recorded(false)) => "lease lost",
        (Step::Extend(..), Answer::Recorded(true)) => "extended",
        (Step::Rescue, Answer::Rescued(_, 1..)) => "buried",
        (Step::Rescue, Answer::Rescued(1.., _)) => "requeued",
        (Step::Reset(_), Answer::Count(1..)) => "reset",
        (Step::Edit(..), Answer::Nothing) => "edited",
        (Step::CleanUp(_), Answer::Count(1..)) => "cleaned up",
        (Step::Delete(_), Answer::Count(1..)) => "deleted",
        _ => return None,
    })
}

/// Runs the steps on a store of this kind.
struct Model<S>(PhantomData<S>);

impl<S: MakeStore> StateMachineTest for Model<S> {
    type SystemUnderTest = Tested;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Tested {
        Tested::new::<S>()
    }

    fn apply(mut tested: Tested, reference: &Reference, step: Step) -> Tested {
        let answer = tested.take(reference, &step);
        assert_eq!(answer, reference.answer, "the answer to {step:?}");
        MET.with_borrow_mut(|met| met.extend(what_it_was(&step, &answer)));
        reference.assert_in_the_table(&tested.before);
        tested.before.clone_from(&reference.rows);
        tested
    }

    fn check_invariants(tested: &Tested, reference: &Reference) {
        tested.compare(reference);
        tested.compare_statistics(reference);
    }
}

/// Runs the same cases on every machine and in every run.
pub fn run<S: MakeStore>(cases: u32, seed: u64) -> Result<(), TestError<String>> {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: S::MOST_SHRINKS,
        ..Config::default()
    };
    let steps = Reference::sequential_strategy(1..80);
    let mut runner = TestRunner::new(config.clone());
    let ran = runner.run(&steps, |(reference, steps, seen)| {
        Model::<S>::test_sequential(config.clone(), reference, steps, seen);
        Ok(())
    });
    ran.map_err(|error| match error {
        TestError::Abort(reason) => TestError::Abort(reason),
        TestError::Fail(reason, (_, steps, _)) => TestError::Fail(reason, format!("{steps:#?}")),
    })
}

/// Runs the cases, which must meet every situation; returns the situations.
pub fn passes<S: MakeStore>(cases: u32, seed: u64) -> BTreeSet<&'static str> {
    if let Err(error) = run::<S>(cases, seed) {
        panic!("{error}");
    }
    let met = MET.take();
    for thing in EVERYTHING {
        assert!(met.contains(thing), "no event was {thing}");
    }
    met
}
