//! The reference: the expected content and answers of a store, in the simplest form. It scans all
//! rows for every question.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use outbox_runtime::store::{ClaimOrder, TRANSITIONS};
use outbox_runtime::{Coalesce, DeadReason, OnDead, Operation, Order, OutboxStatus};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// Times and durations, in milliseconds since the start.
pub type Millis = u64;

/// Content of an event. Two events with equal id and content are the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub draft: bool,
    pub entity: i64,
    pub user: u8,
    pub operation: Operation,
    pub text: u8,
    pub destination: Option<u8>,
}

/// Options of an enqueue.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub priority: i32,
    pub max_attempts: u32,
    pub delay: Millis,
    pub order: Order,
    pub on_dead: OnDead,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, Copy)]
pub enum Report {
    Complete,
    Fail(Millis),
    Bury,
    /// And whether with a refusal.
    GiveBack(Option<Millis>, bool),
    Defer(Millis),
    Snooze(Millis),
}

/// Selected and preferred events of a claim.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Only this destination, or only events without one.
    pub only: Option<Option<u8>>,
    /// Not this destination, and not this user; both must match.
    pub except: Option<(Option<u8>, Option<u8>)>,
    pub avoided: Option<u8>,
    pub order: ClaimOrder,
}

#[derive(Debug, Clone)]
pub enum Step {
    Enqueue(u8, Change, Options),
    /// Repeats the n-th enqueue.
    EnqueueAgain(usize),
    Claim {
        limit: usize,
        user: Option<u8>,
        /// Number of places for turns, and the user of the last turn.
        turns: Option<(usize, u8)>,
        choice: Choice,
        lease: Millis,
    },
    ClaimOne(u8, Millis),
    /// Reports on the n-th claim, even if its lease has ended.
    Settle(usize, Report),
    Extend(usize, Millis),
    Wait(Millis),
    Rescue,
    Reset(u8),
    Edit(u8, i32, Millis),
    CleanUp(Millis),
    Delete(u8),
    Discard(u8),
    DeleteEntity(i64, Option<u8>),
    DeleteUser(u8),
    /// Pauses a user, perhaps only for a time.
    Pause(u8, Option<Millis>),
    Unpause(u8),
}

/// Expected answer to the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    /// Id of the event that has the change.
    Carried(u8),
    Conflict,
    NotFound,
    /// These events, in this order.
    Claimed(Vec<u8>),
    Recorded(bool),
    Count(u64),
    Rescued(u64, u64),
}

/// The expected content of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: u8,
    pub change: Change,
    pub order: Order,
    pub on_dead: OnDead,
    pub status: OutboxStatus,
    pub priority: i32,
    pub created: Millis,
    pub due: Millis,
    pub last_attempt: Option<Millis>,
    pub attempts: u32,
    pub max_attempts: u32,
    pub error: Option<String>,
    pub completed: Option<Millis>,
    /// Claim that holds the row, and end of its lease.
    pub lease: Option<(usize, Millis)>,
    pub dead_reason: Option<DeadReason>,
    pub deferrals: u32,
    pub deferred_since: Option<Millis>,
    pub refusal: Option<&'static str>,
    pub crashes: u32,
    pub snoozes: u32,
    pub revision: u64,
    /// The event that the row's trace context came with: its own, or the last that folded into it.
    pub traced_by: u8,
}

#[derive(Debug, Clone)]
pub struct Reference {
    pub now: Millis,
    /// In order of commit.
    pub rows: BTreeMap<u64, Row>,
    pub answer: Answer,
    /// Completed events of each user that were cleaned up.
    pub cleaned_up: BTreeMap<u8, u64>,
    /// First content under each id, and the row that has it now.
    known: BTreeMap<u8, (Change, u64)>,
    /// Entities by user with deleted rows that the service may have seen.
    told: BTreeSet<(u8, i64)>,
    enqueued: Vec<(u8, Change, Options)>,
    /// Paused users, and when each pause ends.
    pauses: BTreeMap<u8, Option<Millis>>,
    /// Event of each claim so far.
    claims: Vec<u8>,
    next: u64,
    cancels_beside_a_lease: bool,
}

thread_local! {
    /// Whether the store under test cancels a create although another event of its lane is leased.
    pub static CANCELS_BESIDE_A_LEASE: Cell<bool> = const { Cell::new(true) };
}

pub const LEASE_EXPIRED: &str =
    "the lease ended without an outcome: the process that held it died or stalled";

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            now: 0,
            rows: BTreeMap::new(),
            cleaned_up: BTreeMap::new(),
            answer: Answer::Nothing,
            known: BTreeMap::new(),
            told: BTreeSet::new(),
            enqueued: Vec::new(),
            pauses: BTreeMap::new(),
            claims: Vec::new(),
            next: 0,
            cancels_beside_a_lease: CANCELS_BESIDE_A_LEASE.get(),
        })
        .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let lease = 500..3_000_u64;
        let id = 0..12_u8;
        let nth = 0..64_usize;
        let enqueue = (id.clone(), change(), wishes());
        prop_oneof![
            8 => enqueue.prop_map(|(id, change, wishes)| Step::Enqueue(id, change, wishes)),
            1 => nth.clone().prop_map(Step::EnqueueAgain),
            5 => (1..4_usize, user(), turns(), choice(), lease.clone()).prop_map(
                |(limit, user, turns, choice, lease)| Step::Claim { limit, user, turns, choice, lease }
            ),
            2 => (id.clone(), lease.clone()).prop_map(|(id, lease)| Step::ClaimOne(id, lease)),
            6 => (nth.clone(), report()).prop_map(|(nth, report)| Step::Settle(nth, report)),
            1 => (nth, lease).prop_map(|(nth, lease)| Step::Extend(nth, lease)),
            4 => (1..2_000_u64).prop_map(Step::Wait),
            // Until pending events are stale, or nearly.
            1 => (250_000..301_000_u64).prop_map(Step::Wait),
            2 => Just(Step::Rescue),
            2 => id.clone().prop_map(Step::Reset),
            1 => (id.clone(), -2..3_i32, 0..2_000_u64)
                .prop_map(|(id, priority, due)| Step::Edit(id, priority, due)),
            1 => (0..3_000_u64).prop_map(Step::CleanUp),
            1 => id.clone().prop_map(Step::Delete),
            1 => id.prop_map(Step::Discard),
            1 => (0..3_i64, user()).prop_map(|(entity, user)| Step::DeleteEntity(entity, user)),
            1 => (0..2_u8).prop_map(Step::DeleteUser),
            1 => (0..2_u8, prop::option::of(1..3_000_u64))
                .prop_map(|(user, length)| Step::Pause(user, length)),
            2 => (0..2_u8).prop_map(Step::Unpause),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.answer = state.take(step);
        state
    }
}

fn user() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.3, 0..2_u8)
}

fn turns() -> impl Strategy<Value = Option<(usize, u8)>> {
    proptest::option::weighted(0.3, (1..4_usize, 0..2_u8))
}

fn destination() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.3, 0..2_u8)
}

fn choice() -> impl Strategy<Value = Choice> {
    let order = prop_oneof![
        3 => Just(ClaimOrder::Usual),
        1 => Just(ClaimOrder::Newest),
        1 => Just(ClaimOrder::LeastRecent),
    ];
    let except = (destination(), user());
    (
        proptest::option::weighted(0.2, destination()),
        proptest::option::weighted(0.3, except),
        user(),
        order,
    )
        .prop_map(|(only, except, avoided, order)| Choice {
            only,
            except,
            avoided,
            order,
        })
}

fn change() -> impl Strategy<Value = Change> {
    let operation = prop_oneof![
        Just(Operation::Create),
        Just(Operation::Update),
        Just(Operation::Delete)
    ];
    let what = (any::<bool>(), 0..3_i64, 0..2_u8);
    (what, operation, 0..3_u8, destination()).prop_map(
        |((draft, entity, user), operation, text, destination)| Change {
            draft,
            entity,
            user,
            operation,
            text,
            destination,
        },
    )
}

fn wishes() -> impl Strategy<Value = Options> {
    let order = prop_oneof![
        3 => Just(Order::Entity),
        1 => Just(Order::User),
        1 => Just(Order::None),
    ];
    let on_dead = prop_oneof![Just(OnDead::Hold), Just(OnDead::Skip)];
    let delay = prop_oneof![2 => Just(0), 1 => 0..2_000_u64];
    (-2..3_i32, 1..4_u32, delay, order, on_dead).prop_map(
        |(priority, max_attempts, delay, order, on_dead)| Options {
            priority,
            max_attempts,
            delay,
            order,
            on_dead,
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        3 => Just(Report::Complete),
        2 => (0..2_000_u64).prop_map(Report::Fail),
        1 => Just(Report::Bury),
        1 => (proptest::option::of(0..2_000_u64), any::<bool>())
            .prop_map(|(delay, refused)| Report::GiveBack(delay, refused)),
        1 => (0..2_000_u64).prop_map(Report::Defer),
        1 => (0..2_000_u64).prop_map(Report::Snooze),
    ]
}

impl Reference {
    fn take(&mut self, step: &Step) -> Answer {
        match *step {
            Step::Enqueue(id, change, wishes) => {
                self.enqueued.push((id, change, wishes));
                self.enqueue(id, change, wishes)
            }
            Step::EnqueueAgain(nth) => match self.nth_enqueued(nth) {
                Some((id, change, wishes)) => self.enqueue(id, change, wishes),
                None => Answer::Nothing,
            },
            Step::Claim {
                limit,
                user,
                turns,
                choice,
                lease,
            } => {
                let turns = turns.filter(|_| user.is_none());
                let mut claimed = Vec::new();
                let mut left = limit;
                for avoided in [choice.avoided, None] {
                    let mut seqs = self.claimable();
                    seqs.retain(|seq| {
                        let of = self.rows[seq].change.user;
                        !self.is_paused(of)
                            && user.is_none_or(|user| user == of)
                            && avoided != Some(of)
                            && choice.means(&self.rows[seq])
                    });
                    self.sort_for(choice.order, &mut seqs);
                    let turns = turns.filter(|_| choice.order == ClaimOrder::Usual);
                    if let Some((places, after)) = turns {
                        let in_order = left.saturating_sub(places.min(limit)).min(seqs.len());
                        let others = seqs.split_off(in_order);
                        seqs.append(&mut self.first_of_each(others, after));
                    }
                    seqs.truncate(left);
                    left -= seqs.len();
                    claimed.extend(seqs.into_iter().map(|seq| self.hold(seq, lease)));
                }
                Answer::Claimed(claimed)
            }
            Step::ClaimOne(id, lease) => match self.seq_of(id) {
                None => Answer::NotFound,
                Some(seq) if self.claimable().contains(&seq) => {
                    Answer::Claimed(vec![self.hold(seq, lease)])
                }
                Some(_) => Answer::Conflict,
            },
            Step::Settle(nth, report) => Answer::Recorded(self.settle(nth, report)),
            Step::Extend(nth, lease) => {
                let ends = self.now + lease;
                // Works even after the lease has ended, unless the event was claimed again.
                let held = self.taken(nth);
                if let Some(row) = held.and_then(|seq| self.rows.get_mut(&seq)) {
                    row.lease = row.lease.map(|(claim, _)| (claim, ends));
                }
                Answer::Recorded(held.is_some())
            }
            Step::Wait(time) => {
                self.now += time;
                Answer::Nothing
            }
            Step::Rescue => self.rescue(),
            Step::Reset(id) => {
                let now = self.now;
                let count = self.change_if(id, [OutboxStatus::Failed, OutboxStatus::Dead], |row| {
                    row.status = OutboxStatus::Pending;
                    row.attempts = 0;
                    row.due = now;
                    row.error = None;
                    row.dead_reason = None;
                    row.deferrals = 0;
                    row.deferred_since = None;
                    row.refusal = None;
                    row.crashes = 0;
                    row.snoozes = 0;
                });
                Answer::Count(count)
            }
            Step::Edit(id, priority, due) => {
                if self.seq_of(id).is_none() {
                    return Answer::NotFound;
                }
                let due = self.now + due;
                let may = [
                    OutboxStatus::Pending,
                    OutboxStatus::Failed,
                    OutboxStatus::Dead,
                ];
                let count = self.change_if(id, may, |row| {
                    row.priority = priority;
                    row.due = due;
                    row.revision += 1;
                });
                if count == 1 {
                    Answer::Nothing
                } else {
                    Answer::Conflict
                }
            }
            Step::CleanUp(age) => {
                let now = self.now;
                let is_old = |row: &Row| row.completed.is_some_and(|at| at + age < now);
                for row in self.rows.values().filter(|row| is_old(row)) {
                    *self.cleaned_up.entry(row.change.user).or_default() += 1;
                }
                self.delete(is_old)
            }
            Step::Delete(id) => self.delete(|row| row.id == id),
            Step::Discard(id) => {
                self.delete(|row| row.id == id && row.status == OutboxStatus::Dead)
            }
            Step::DeleteEntity(entity, user) => self.delete(|row| {
                row.change.entity == entity && user.is_none_or(|user| user == row.change.user)
            }),
            Step::DeleteUser(user) => {
                self.cleaned_up.remove(&user);
                self.delete(|row| row.change.user == user)
            }
            Step::Pause(user, length) => {
                let until = length.map(|length| self.now + length);
                self.pauses.insert(user, until);
                Answer::Nothing
            }
            Step::Unpause(user) => {
                let was_paused = self.is_paused(user);
                self.pauses.remove(&user);
                Answer::Count(u64::from(was_paused))
            }
        }
    }

    /// Whether claims leave out the events of a user.
    fn is_paused(&self, user: u8) -> bool {
        let until = self.pauses.get(&user);
        until.is_some_and(|until| until.is_none_or(|until| until > self.now))
    }

    /// The n-th enqueue, modulo their number.
    pub fn nth_enqueued(&self, nth: usize) -> Option<(u8, Change, Options)> {
        let count = self.enqueued.len();
        (count > 0).then(|| self.enqueued[nth % count])
    }

    /// Number and event of the n-th claim, modulo their number.
    pub fn nth_claim(&self, nth: usize) -> Option<(usize, u8)> {
        let count = self.claims.len();
        (count > 0).then(|| (nth % count, self.claims[nth % count]))
    }

    fn enqueue(&mut self, id: u8, change: Change, wishes: Options) -> Answer {
        if let Some((first, carrier)) = self.known.get(&id) {
            return if *first == change {
                Answer::Carried(self.rows[carrier].id)
            } else {
                Answer::Conflict
            };
        }
        if let Some(seq) = self.folds_into(change, wishes) {
            self.known.insert(id, (change, seq));
            return Answer::Carried(self.fold(id, seq, change, wishes));
        }
        self.next += 1;
        self.known.insert(id, (change, self.next));
        let row = Row {
            id,
            change,
            order: wishes.order,
            on_dead: wishes.on_dead,
            status: OutboxStatus::Pending,
            priority: wishes.priority,
            created: self.now,
            due: self.now + wishes.delay,
            last_attempt: None,
            attempts: 0,
            max_attempts: wishes.max_attempts,
            error: None,
            completed: None,
            lease: None,
            dead_reason: None,
            deferrals: 0,
            deferred_since: None,
            refusal: None,
            crashes: 0,
            snoozes: 0,
            revision: 0,
            traced_by: id,
        };
        self.rows.insert(self.next, row);
        Answer::Carried(id)
    }

    /// The row that this change folds into: the last open one in its lane, if it was never claimed.
    fn folds_into(&self, change: Change, wishes: Options) -> Option<u64> {
        let in_line = |row: &Row| {
            row.order == wishes.order
                && row.change.user == change.user
                && (row.order == Order::User || row.change.entity == change.entity)
        };
        let mut rows = self.rows.iter().rev();
        let (seq, last) = rows.find(|(_, row)| row.is_open() && in_line(row))?;
        let mut behind = self.rows.range(seq + 1..);
        if behind.any(|(_, row)| row.is_open() && row.is_kin_of(last)) {
            return None;
        }
        let kinds = (last.change.operation, change.operation);
        let folds = change.draft
            && last.change.draft
            && last.change.entity == change.entity
            && last.change.destination == change.destination
            && last.status == OutboxStatus::Pending
            && last.last_attempt.is_none()
            && kinds.0 != Operation::Delete
            && kinds.1 != Operation::Create
            && (kinds != (Operation::Create, Operation::Delete) || self.cancels(*seq, last));
        folds.then_some(*seq)
    }

    /// Whether a delete cancels this create.
    fn cancels(&self, seq: u64, row: &Row) -> bool {
        let in_lane = |other: &Row| match row.order {
            Order::Entity => other.change.entity == row.change.entity,
            Order::User => true,
            _ => false,
        };
        let is_taken = self.rows.values().any(|other| {
            other.lease.is_some()
                && other.order == row.order
                && other.change.user == row.change.user
                && in_lane(other)
        });
        self.was_never_told(seq, row) && (self.cancels_beside_a_lease || !is_taken)
    }

    /// Whether the service was not told of the entity, and will not be by another row. A cancelled
    /// row was never claimed.
    fn was_never_told(&self, seq: u64, row: &Row) -> bool {
        let same = |other: &Row| {
            (other.change.user, other.change.entity) == (row.change.user, row.change.entity)
        };
        let is_cancelled =
            |row: &Row| row.status == OutboxStatus::Completed && row.last_attempt.is_none();
        let mut others = self.rows.iter().filter(|(other, _)| **other != seq);
        !self.told.contains(&(row.change.user, row.change.entity))
            && !others.any(|(_, other)| same(other) && !is_cancelled(other))
    }

    fn fold(&mut self, id: u8, seq: u64, change: Change, wishes: Options) -> u8 {
        let now = self.now;
        let Some(row) = self.rows.get_mut(&seq) else {
            unreachable!("the row was just found")
        };
        row.revision += 1;
        match (row.change.operation, change.operation) {
            (Operation::Create, Operation::Delete) => {
                row.status = OutboxStatus::Completed;
                row.completed = Some(now);
                return row.id;
            }
            (Operation::Create, _) => {}
            (_, operation) => row.change.operation = operation,
        }
        row.change.text = change.text;
        row.traced_by = id;
        row.priority = row.priority.max(wishes.priority);
        row.max_attempts = row.max_attempts.max(wishes.max_attempts);
        row.due = row.due.min(now + wishes.delay);
        row.id
    }

    /// All claimable rows, in claim order.
    fn claimable(&self) -> Vec<u64> {
        let mut seqs: Vec<u64> = self
            .lane_heads()
            .filter(|seq| self.rows[seq].due <= self.now)
            .collect();
        seqs.sort_by_key(|seq| (-self.rows[seq].priority, self.rows[seq].due, *seq));
        seqs
    }

    /// Sorts for another claim order.
    fn sort_for(&self, order: ClaimOrder, seqs: &mut [u64]) {
        let last_attempt = |seq: &u64| self.rows[seq].last_attempt;
        match order {
            ClaimOrder::Newest => seqs.sort_by_key(|seq| match last_attempt(seq) {
                None => (None, u64::MAX - seq),
                attempted => (attempted, *seq),
            }),
            ClaimOrder::LeastRecent => seqs.sort_by_key(|seq| match last_attempt(seq) {
                None => (None, 0),
                attempted => (attempted, *seq),
            }),
            _ => {}
        }
    }

    /// The first row of each user, starting after this user and wrapping around; then the rest.
    fn first_of_each(&self, seqs: Vec<u64>, after: u8) -> Vec<u64> {
        let mut had_turn = BTreeSet::new();
        let (mut firsts, mut rest) = (Vec::new(), Vec::new());
        for seq in seqs {
            let user = self.rows[&seq].change.user;
            if had_turn.insert(user) {
                firsts.push(seq);
            } else {
                rest.push(seq);
            }
        }
        firsts.sort_by_key(|seq| {
            let user = self.rows[seq].change.user;
            (user <= after, user)
        });
        firsts.append(&mut rest);
        firsts
    }

    /// Rows that wait only for their due time.
    fn lane_heads(&self) -> impl Iterator<Item = u64> {
        let waits = |row: &Row| matches!(row.status, OutboxStatus::Pending | OutboxStatus::Failed);
        let blocks = |(other_seq, other): (&u64, &Row), seq: u64, row: &Row| {
            let together = match row.order {
                Order::Entity => row.change.entity == other.change.entity,
                Order::User => true,
                _ => false,
            };
            let leased = other.status == OutboxStatus::Processing;
            let before = *other_seq < seq && other.is_open();
            let in_lane = together && row.order == other.order && (leased || before);
            row.change.user == other.change.user && (in_lane || (before && row.is_kin_of(other)))
        };
        self.rows
            .iter()
            .filter(move |(seq, row)| {
                waits(row) && !self.rows.iter().any(|other| blocks(other, **seq, row))
            })
            .map(|(seq, _)| *seq)
    }

    /// Time of the next work.
    pub fn next_due(&self) -> Option<Millis> {
        let free = |seq: &u64| !self.is_paused(self.rows[seq].change.user);
        let due = self.lane_heads().filter(free);
        let due = due.map(|seq| self.rows[&seq].due);
        let ends = self.rows.values().filter_map(|row| Some(row.lease?.1));
        let pauses = self.pauses.values().copied().flatten();
        let pauses = pauses.filter(|until| *until > self.now);
        due.chain(ends).chain(pauses).min()
    }

    fn hold(&mut self, seq: u64, lease: Millis) -> u8 {
        let claim = self.claims.len();
        let ends = self.now + lease;
        let now = self.now;
        let Some(row) = self.rows.get_mut(&seq) else {
            unreachable!("the row is claimable")
        };
        row.status = OutboxStatus::Processing;
        row.attempts += 1;
        row.last_attempt = Some(now);
        row.lease = Some((claim, ends));
        self.claims.push(row.id);
        row.id
    }

    /// The row whose last claim is this one.
    fn taken(&self, nth: usize) -> Option<u64> {
        let (claim, _) = self.nth_claim(nth)?;
        let taken = |row: &Row| row.lease.is_some_and(|(by, _)| by == claim);
        let mut rows = self.rows.iter();
        rows.find(|(_, row)| taken(row)).map(|(seq, _)| *seq)
    }

    /// The same, if its lease has not ended.
    fn held(&self, nth: usize) -> Option<u64> {
        let seq = self.taken(nth)?;
        let (_, ends) = self.rows[&seq].lease?;
        (ends > self.now).then_some(seq)
    }

    fn settle(&mut self, nth: usize, report: Report) -> bool {
        let now = self.now;
        let Some(seq) = self.held(nth) else {
            return false;
        };
        let Some(row) = self.rows.get_mut(&seq) else {
            return false;
        };
        row.lease = None;
        row.crashes = 0;
        if let Report::GiveBack(..) | Report::Defer(_) | Report::Snooze(_) = report {
            row.give_back();
        }
        match report {
            Report::Complete => {
                row.status = OutboxStatus::Completed;
                row.completed = Some(now);
                row.error = None;
            }
            Report::Fail(delay) => {
                row.status = OutboxStatus::Failed;
                row.due = now + delay;
                row.error = Some("no".to_owned());
            }
            Report::Bury => {
                row.status = OutboxStatus::Dead;
                row.dead_reason = Some(DeadReason::Rejected);
                row.error = Some("never".to_owned());
            }
            Report::GiveBack(delay, refused) => {
                row.due = delay.map_or(row.due.min(now), |delay| now + delay);
                row.refusal = refused.then_some("timeout: 30 s").or(row.refusal);
            }
            Report::Defer(delay) => {
                row.due = now + delay;
                row.deferrals += 1;
                row.deferred_since.get_or_insert(now);
                row.refusal = Some("unavailable: 503");
            }
            Report::Snooze(delay) => {
                row.due = now + delay;
                row.snoozes += 1;
            }
        }
        true
    }

    fn rescue(&mut self) -> Answer {
        let now = self.now;
        let (mut requeued, mut buried) = (0, 0);
        for row in self.rows.values_mut() {
            if row.lease.is_none_or(|(_, ends)| ends > now) {
                continue;
            }
            row.lease = None;
            row.due = now;
            row.error = Some(LEASE_EXPIRED.to_owned());
            row.give_back();
            row.crashes += 1;
            if row.crashes < row.max_attempts {
                requeued += 1;
            } else {
                row.status = OutboxStatus::Dead;
                row.dead_reason = Some(DeadReason::CrashLoop);
                buried += 1;
            }
        }
        Answer::Rescued(requeued, buried)
    }

    fn seq_of(&self, id: u8) -> Option<u64> {
        let row = self.rows.iter().find(|(_, row)| row.id == id);
        row.map(|(seq, _)| *seq)
    }

    fn change_if<const N: usize>(
        &mut self,
        id: u8,
        statuses: [OutboxStatus; N],
        change: impl Fn(&mut Row),
    ) -> u64 {
        let mut rows = self.rows.values_mut();
        let row = rows.find(|row| row.id == id && statuses.contains(&row.status));
        let found = row.is_some();
        row.into_iter().for_each(change);
        u64::from(found)
    }

    fn delete(&mut self, which: impl Fn(&Row) -> bool) -> Answer {
        let before = self.rows.len();
        let seen = |row: &&Row| {
            row.status != OutboxStatus::Pending || row.last_attempt.is_some() || row.attempts > 0
        };
        let gone = self.rows.values().filter(|row| which(row)).filter(seen);
        let gone: Vec<_> = gone
            .map(|row| (row.change.user, row.change.entity))
            .collect();
        self.told.extend(gone);
        self.rows.retain(|_, row| !which(row));
        let rows = &self.rows;
        self.known
            .retain(|_, (_, carrier)| rows.contains_key(carrier));
        Answer::Count((before - self.rows.len()) as u64)
    }

    /// Asserts that every status change since `before` is in the table of transitions.
    pub fn assert_in_the_table(&self, before: &BTreeMap<u64, Row>) {
        for (seq, was) in before {
            let is = self.rows.get(seq).map(|row| row.status);
            let known = is == Some(was.status)
                || TRANSITIONS
                    .iter()
                    .any(|row| row.from == was.status && row.to == is);
            assert!(known, "{:?} becomes {is:?}", was.status);
        }
    }
}

impl Choice {
    fn means(&self, row: &Row) -> bool {
        let Change {
            destination, user, ..
        } = row.change;
        let left_out = self
            .except
            .is_some_and(|(to, of)| to == destination && of.is_none_or(|of| of == user));
        self.only.is_none_or(|only| only == destination) && !left_out
    }
}

impl Row {
    /// The attempt in progress does not count.
    fn give_back(&mut self) {
        self.attempts -= 1;
        self.status = match self.attempts {
            0 => OutboxStatus::Pending,
            _ => OutboxStatus::Failed,
        };
    }

    /// Whether both rows are about the same entity, but in lanes of different orders: the elder
    /// goes first.
    fn is_kin_of(&self, other: &Self) -> bool {
        let about = |row: &Self| (row.change.draft, row.change.entity, row.change.user);
        self.order != other.order && about(self) == about(other)
    }

    /// Whether it blocks later rows of its lane.
    fn is_open(&self) -> bool {
        match self.status {
            OutboxStatus::Completed => false,
            OutboxStatus::Dead => self.on_dead == OnDead::Hold,
            _ => true,
        }
    }

    /// Whether its changes are folded.
    pub fn coalesce(draft: bool) -> Coalesce {
        if draft {
            Coalesce::Latest
        } else {
            Coalesce::Never
        }
    }
}
