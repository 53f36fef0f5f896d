//! Each store against a reference model: the same random steps, with answers and content compared
//! after each step.

mod reference;
mod statistics;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    ClaimOrder, ClaimRequest, Disposition, Lease, Selector, Settled, Settlement,
};
use outbox_runtime::{
    Clock, DeadReason, Durability, EnqueueError, MemoryStore, NewEvent, OutboxEvent,
    OutboxRepository, OutboxStatus, Pause, PauseScope, RawMetadata, Refusal, RefusalClass,
    StoreErrorKind,
};
use outbox_testing::ManualClock;
use outbox_tests::{Broken, Flaw, Temporary};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::reference::{Answer, Change, Choice, Millis, Options, Reference, Report, Row, Step};

/// A store under test.
trait MakeStore: 'static {
    /// A store on this clock, with a guard that must outlive it.
    fn make(clock: ManualClock) -> impl Future<Output = (Arc<dyn OutboxRepository>, Box<dyn Any>)>;
}

struct Memory;

impl MakeStore for Memory {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        (Arc::new(MemoryStore::with_clock(clock)), Box::new(()))
    }
}

struct Sqlite;

impl MakeStore for Sqlite {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let made =
            Temporary::open_with(|builder| builder.clock(clock).durability(Durability::Normal));
        let made = made.await;
        (Arc::new(made.store.clone()), Box::new(made))
    }
}

/// The same on a file in which events are hundreds of rows apart, as if others had been between
/// them: statistics come from counts of many blocks.
struct Spread;

impl MakeStore for Spread {
    async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
        let made =
            Temporary::open_with(|builder| builder.clock(clock).durability(Durability::Normal));
        let made = made.await;
        let spread = "CREATE TRIGGER spread AFTER INSERT ON outbox_events BEGIN
             UPDATE outbox_events SET seq = seq + 300 WHERE seq = new.seq;
         END";
        made.connect().execute_batch(spread).unwrap();
        (Arc::new(made.store.clone()), Box::new(Counted(made)))
    }
}

/// Records on drop whether blocks were counted.
struct Counted(Temporary);

impl Drop for Counted {
    fn drop(&mut self) {
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox_tally WHERE fresh + retrying + completed + dead > 0)";
        let is_counted = self.0.connect().query_row(sql, [], |row| row.get(0));
        if is_counted == Ok(true) {
            MET.with_borrow_mut(|met| met.insert("counted"));
        }
    }
}

thread_local! {
    /// The situations met by the steps of this thread: a model that never meets a situation proves
    /// nothing about it.
    static MET: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
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

struct Tested {
    runtime: Runtime,
    clock: ManualClock,
    begin: DateTime<Utc>,
    store: Arc<dyn OutboxRepository>,
    /// The leases of all claims so far.
    leases: Vec<Lease>,
    before: BTreeMap<u64, Row>,
    _guard: Box<dyn Any>,
}

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

fn uuid(id: u8) -> Uuid {
    Uuid::from_u128(u128::from(id) + 1)
}

fn id(uuid: Uuid) -> u8 {
    u8::try_from(uuid.as_u128() - 1).unwrap()
}

fn user(user: u8) -> String {
    format!("u{user}")
}

fn event(id: u8, change: Change, wishes: Options) -> NewEvent {
    let event_type = if change.draft { "draft" } else { "note" };
    let event = NewEvent::new(
        event_type,
        change.entity,
        user(change.user),
        change.operation,
    );
    let event = match change.destination {
        Some(number) => event.with_destination(destination(number)),
        None => event,
    };
    event
        .with_id(uuid(id))
        .with_metadata(RawMetadata::from_bytes(change.text.to_string()))
        .with_priority(wishes.priority)
        .with_max_attempts(wishes.max_attempts)
        .with_delay(Duration::from_millis(wishes.delay))
        .with_order(wishes.order)
        .with_on_dead(wishes.on_dead)
        .with_coalesce(Row::coalesce(change.draft))
}

fn destination(number: u8) -> String {
    format!("d{number}")
}

/// Adds the choice of events to a request.
fn chosen(request: ClaimRequest, choice: Choice) -> ClaimRequest {
    let to = |number: Option<u8>| {
        let destination = number.map(destination);
        Selector::new().destination(destination.as_deref())
    };
    let mut request = request.in_order(choice.order);
    if let Some(only) = choice.only {
        request = request.only(to(only));
    }
    if let Some((destination, of)) = choice.except {
        let selector = match of {
            Some(number) => to(destination).user(&user(number)),
            None => to(destination),
        };
        request = request.except(selector);
    }
    match choice.avoided {
        Some(number) => request.avoiding_users(vec![user(number)]),
        None => request,
    }
}

impl Tested {
    fn new<S: MakeStore>() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let clock = ManualClock::new();
        let (store, guard) = runtime.block_on(S::make(clock.clone()));
        Self {
            runtime,
            begin: clock.now(),
            clock,
            store,
            leases: Vec::new(),
            before: BTreeMap::new(),
            _guard: guard,
        }
    }

    fn time(&self, at: Millis) -> DateTime<Utc> {
        self.begin + Duration::from_millis(at)
    }

    fn take(&mut self, reference: &Reference, step: &Step) -> Answer {
        let store = Arc::clone(&self.store);
        let mut leases = std::mem::take(&mut self.leases);
        let answer =
            self.runtime
                .block_on(self.answer(store.as_ref(), &mut leases, reference, step));
        self.leases = leases;
        answer
    }

    async fn answer(
        &self,
        store: &dyn OutboxRepository,
        leases: &mut Vec<Lease>,
        reference: &Reference,
        step: &Step,
    ) -> Answer {
        let mut claimed = |claims: Vec<outbox_runtime::store::Claim>| {
            leases.extend(claims.iter().map(|claim| claim.lease));
            Answer::Claimed(claims.iter().map(|claim| id(claim.event.id)).collect())
        };
        match *step {
            Step::Enqueue(id, change, wishes) => enqueue(store, event(id, change, wishes)).await,
            Step::EnqueueAgain(nth) => match reference.nth_enqueued(nth) {
                Some((id, change, wishes)) => enqueue(store, event(id, change, wishes)).await,
                None => Answer::Nothing,
            },
            Step::Claim {
                limit,
                user,
                turns,
                choice,
                lease,
            } => {
                let request = ClaimRequest::new(limit, Duration::from_millis(lease));
                let mut request = chosen(request, choice);
                if let Some((places, after)) = turns {
                    request = request.with_turns(places, self::user(after));
                }
                if let Some(number) = user {
                    request = request.with_user(self::user(number));
                }
                claimed(store.claim(&request).await.unwrap())
            }
            Step::ClaimOne(id, lease) => {
                let lease = Duration::from_millis(lease);
                match store.mark_as_processing(uuid(id), lease).await {
                    Ok(claim) => claimed(vec![claim]),
                    Err(error) => refused(error.kind()),
                }
            }
            Step::Settle(nth, report) => {
                let Some(lease) = nth_lease(leases, nth) else {
                    return Answer::Recorded(false);
                };
                let disposition = self.disposition(report);
                let settled = store.settle(vec![Settlement { lease, disposition }]).await;
                Answer::Recorded(settled.unwrap() == [Settled::Recorded])
            }
            Step::Extend(nth, longer) => {
                let Some(lease) = nth_lease(leases, nth) else {
                    return Answer::Recorded(false);
                };
                let longer = Duration::from_millis(longer);
                let extended = store.extend(&[lease], longer).await.unwrap();
                Answer::Recorded(extended[0].is_some())
            }
            Step::Wait(time) => {
                self.clock.advance(Duration::from_millis(time));
                Answer::Nothing
            }
            Step::Rescue => {
                let rescued = store.rescue().await.unwrap();
                Answer::Rescued(rescued.requeued, rescued.buried)
            }
            Step::Reset(id) => Answer::Count(store.reset_for_retry(&[uuid(id)]).await.unwrap()),
            Step::Edit(id, priority, due) => {
                let Some(mut event) = store.fetch_event(uuid(id)).await.unwrap() else {
                    return Answer::NotFound;
                };
                event.priority = priority;
                event.next_attempt_at = self.clock.now() + Duration::from_millis(due);
                match store.update_event(&event).await {
                    Ok(()) => Answer::Nothing,
                    Err(error) => refused(error.kind()),
                }
            }
            Step::CleanUp(age) => {
                let cutoff = self.clock.now() - Duration::from_millis(age);
                Answer::Count(store.delete_completed_events(cutoff).await.unwrap())
            }
            Step::Delete(id) => {
                Answer::Count(u64::from(store.delete_event(uuid(id)).await.unwrap()))
            }
            Step::Discard(id) => Answer::Count(store.discard(&[uuid(id)]).await.unwrap()),
            Step::DeleteEntity(entity, user) => {
                let user = user.map(self::user);
                let entities = [entity.into()];
                let deleted = store.delete_events_for_entities(&entities, user.as_deref());
                Answer::Count(deleted.await.unwrap())
            }
            Step::DeleteUser(number) => {
                let user = user(number);
                let deleted = store.delete_all_events_for_user(&user);
                Answer::Count(deleted.await.unwrap())
            }
            Step::Pause(number, length) => {
                let mut pause = Pause::user(user(number));
                if let Some(length) = length {
                    pause = pause.until(self.clock.now() + Duration::from_millis(length));
                }
                store.pause(&pause).await.unwrap();
                Answer::Nothing
            }
            Step::Unpause(number) => {
                let scope = PauseScope::User(user(number));
                Answer::Count(u64::from(store.unpause(&scope).await.unwrap()))
            }
        }
    }

    fn disposition(&self, report: Report) -> Disposition {
        let after = |delay| self.clock.now() + Duration::from_millis(delay);
        match report {
            Report::Complete => Disposition::Complete,
            Report::Fail(delay) => Disposition::Fail {
                next_attempt_at: after(delay),
                message: "no".to_owned(),
            },
            Report::Bury => Disposition::Bury {
                reason: DeadReason::Rejected,
                message: "never".to_owned(),
            },
            Report::GiveBack(delay, refused) => Disposition::GiveBack {
                next_attempt_at: delay.map(after),
                refusal: refused.then(|| Refusal::new(RefusalClass::Timeout, "30 s")),
            },
            Report::Defer(delay) => Disposition::Defer {
                next_attempt_at: after(delay),
                refusal: Refusal::new(RefusalClass::Unavailable, "503"),
            },
            Report::Snooze(delay) => Disposition::Snooze {
                next_attempt_at: after(delay),
            },
        }
    }

    /// Compares the whole content of the store, and the next due time.
    fn compare(&self, reference: &Reference) {
        let (mut stored, due) = self.runtime.block_on(async {
            let mut stored = Vec::new();
            for status in OutboxStatus::ALL {
                stored.extend(self.store.fetch_events(*status, None, None).await.unwrap());
            }
            let all = ClaimRequest::new(1, Duration::from_secs(1));
            (stored, self.store.next_due(&all).await.unwrap())
        });
        stored.sort_by_key(|event| event.seq);
        let stored_ids: Vec<u8> = stored.iter().map(|event| id(event.id)).collect();
        let expected_ids: Vec<u8> = reference.rows.values().map(|row| row.id).collect();
        assert_eq!(stored_ids, expected_ids, "the rows, in order");
        for (event, row) in stored.iter().zip(reference.rows.values()) {
            self.compare_row(event, row);
        }
        let expected = reference.next_due().map(|due| self.time(due));
        let now = self.clock.now();
        let is_due = |due: Option<DateTime<Utc>>| due.is_some_and(|due| due <= now);
        assert!(
            due == expected || (is_due(due) && is_due(expected)),
            "next due is {due:?}, not {expected:?}"
        );
    }

    fn compare_row(&self, event: &OutboxEvent, row: &Row) {
        let time = |at: Option<Millis>| at.map(|at| self.time(at));
        let (claim, ends) = row.lease.unzip();
        let event_type = if row.change.draft { "draft" } else { "note" };
        assert_eq!(
            (
                event.event_type.as_str(),
                event.entity_id.as_integer(),
                event.user_id.clone(),
                event.operation,
                event.metadata.as_ref().and_then(RawMetadata::as_str),
                event.order,
                event.on_dead,
            ),
            (
                event_type,
                Some(row.change.entity),
                user(row.change.user),
                row.change.operation,
                Some(row.change.text.to_string().as_str()),
                row.order,
                row.on_dead,
            ),
            "content of event {}",
            row.id
        );
        assert_eq!(
            (
                event.status,
                event.priority,
                Some(event.created_at),
                Some(event.next_attempt_at),
                event.last_attempt_at,
                event.attempt_count,
                event.max_attempts,
                event.error_message.as_deref(),
                event.completed_at,
                event.lease_token,
                event.lease_expires_at,
                event.dead_reason,
            ),
            (
                row.status,
                row.priority,
                time(Some(row.created)),
                time(Some(row.due)),
                time(row.last_attempt),
                row.attempts,
                row.max_attempts,
                row.error.as_deref(),
                time(row.completed),
                claim.map(|claim| self.leases[claim].token.as_uuid()),
                time(ends),
                row.dead_reason,
            ),
            "state of event {}",
            row.id
        );
        let refusal = event.last_refusal.as_ref().map(ToString::to_string);
        assert_eq!(
            (
                event.destination.clone(),
                event.deferrals,
                event.deferred_since,
                refusal.as_deref(),
                event.crashes,
                event.snoozes,
                event.revision,
            ),
            (
                row.change.destination.map(destination),
                row.deferrals,
                time(row.deferred_since),
                row.refusal,
                row.crashes,
                row.snoozes,
                row.revision,
            ),
            "notes of event {}",
            row.id
        );
    }
}

fn nth_lease(leases: &[Lease], nth: usize) -> Option<Lease> {
    (!leases.is_empty()).then(|| leases[nth % leases.len()])
}

async fn enqueue(store: &dyn OutboxRepository, event: NewEvent) -> Answer {
    match store.create_event(event).await {
        Ok(row) => Answer::Carried(id(row.id)),
        Err(EnqueueError::Conflict { .. }) => Answer::Conflict,
        Err(error) => panic!("{error}"),
    }
}

fn refused(kind: StoreErrorKind) -> Answer {
    match kind {
        StoreErrorKind::NotFound => Answer::NotFound,
        StoreErrorKind::Conflict => Answer::Conflict,
        other => panic!("{other:?}"),
    }
}

/// Runs the same cases on every machine and in every run.
fn run<S: MakeStore>(cases: u32, seed: u64) -> Result<(), TestError<String>> {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
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

fn passes<S: MakeStore>(cases: u32, seed: u64) -> BTreeSet<&'static str> {
    if let Err(error) = run::<S>(cases, seed) {
        panic!("{error}");
    }
    let met = MET.take();
    for thing in EVERYTHING {
        assert!(met.contains(thing), "no event was {thing}");
    }
    met
}

#[test]
fn the_memory_store_equals_the_reference_after_every_step() {
    passes::<Memory>(400, 1);
}

#[test]
fn the_sqlite_store_equals_the_reference_after_every_step() {
    passes::<Sqlite>(100, 2);
}

#[test]
fn a_sqlite_store_of_many_blocks_equals_the_reference_after_every_step() {
    let met = passes::<Spread>(100, 4);
    assert!(met.contains("counted"), "no block was counted");
}

/// Stores with a flaw, one type each.
macro_rules! flaws {
    ($($flaw:ident,)+) => {
        $(
            struct $flaw;

            impl MakeStore for $flaw {
                async fn make(clock: ManualClock) -> (Arc<dyn OutboxRepository>, Box<dyn Any>) {
                    (Arc::new(Broken::new(Flaw::$flaw, clock)), Box::new(()))
                }
            }
        )+

        #[test]
        fn a_store_that_differs_from_the_reference_is_caught() {
            $(
                let found = run::<$flaw>(100, 3);
                let error = found.expect_err(stringify!($flaw)).to_string();
                println!("{}: {error}", stringify!($flaw));
            )+
        }
    };
}

flaws! {
    IgnoresTheToken,
    ForgetsToCount,
    HandsOutTwice,
    ForgetsAnOutcome,
    CompletesFailures,
    IgnoresOrder,
    LosesAnEvent,
    NeverRescues,
    ForgetsDueTimes,
    IgnoresUsers,
    Miscounts,
}
