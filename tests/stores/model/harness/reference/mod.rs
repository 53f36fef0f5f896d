//! The reference: the expected content and answers of a store, in the simplest form. It scans all
//! rows for every question.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use outbox_runtime::OutboxStatus;
use outbox_runtime::store::{ClaimOrder, TRANSITIONS};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

mod draws; // random steps
mod folding; // which changes fold
mod lanes; // which rows may be claimed
mod outcomes; // leases, and what ends them
mod words; // what steps, answers and rows consist of

pub use self::words::{Answer, Change, Choice, Millis, Options, Report, Row, Step};

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
        draws::step().boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.answer = state.take(step);
        state
    }
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
