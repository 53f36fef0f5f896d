//! The ledger: what was promised and what was seen, kept apart from the store, and the invariants between the two.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::attempts::{Attempt, Attempts};
use super::promise::Promise;
use super::report::{Invariant, Report};
use crate::ManualClock;
use outbox_runtime::Clock;
use outbox_runtime::EnqueueError;
use outbox_runtime::NewEvent;
use outbox_runtime::OnDead;
use outbox_runtime::store::{Cause, Disposition, Settled, Settlement, Transition};
use outbox_runtime::store::{Claim, Lease};
use outbox_runtime::{DeadReason, OutboxEvent, OutboxStatus};

/// A handle; clones write into the same ledger.
#[derive(Clone)]
pub(super) struct Ledger {
    clock: ManualClock,
    begin: DateTime<Utc>,
    /// Whether there are outages, so that it matters whose fault a failure is.
    outages: bool,
    /// Never held across an await.
    book: Arc<Mutex<Book>>,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) promises: BTreeMap<Uuid, Promise>,
    leases: BTreeMap<Uuid, Lease>,
    /// By event and lease token, whether a handler said that it delivered.
    pub(super) answers: BTreeMap<(Uuid, Uuid), bool>,
    pub(super) attempts: Attempts,
    pub(super) report: Report,
    broken: Option<(Invariant, String)>,
    set_back: bool,
    /// Moves whenever anything is done.
    activity: u64,
}

/// What a row is since an outcome was recorded.
#[derive(Clone, Copy)]
pub(super) enum Since<'a> {
    Is(Option<&'a OutboxEvent>),
    /// It was claimed again in the same request.
    MovedOn,
}

impl Ledger {
    pub(super) fn new(clock: ManualClock, outages: bool) -> Self {
        Self {
            begin: clock.now(),
            outages,
            clock,
            book: Arc::default(),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trace(&self, line: impl Display) {
        let since = self.clock.now() - self.begin;
        let seconds = since.num_milliseconds() as f64 / 1_000.0;
        let mut book = self.book();
        book.activity += 1;
        book.report.trace.push(format!("{seconds:>12.3}s  {line}"));
    }

    /// Notes that an invariant does not hold. The first one counts.
    pub(super) fn broken(&self, invariant: Invariant, what: impl Into<String>) {
        self.book().broken.get_or_insert((invariant, what.into()));
    }

    pub(super) fn is_broken(&self) -> bool {
        self.book().broken.is_some()
    }

    pub(super) fn take_broken(&self) -> Option<(Invariant, String)> {
        self.book().broken.take()
    }

    pub(super) fn activity(&self) -> u64 {
        self.book().activity
    }

    pub(super) fn active(&self) {
        self.book().activity += 1;
    }

    /// How the trace calls an event.
    pub(super) fn label(&self, id: Uuid) -> String {
        let book = self.book();
        let promise = book.promises.get(&id);
        promise.map_or_else(|| id.to_string(), |promise| promise.label.clone())
    }

    /// Somebody is about to enqueue it, perhaps not for the first time.
    pub(super) fn promise(&self, event: &NewEvent) -> String {
        let mut book = self.book();
        let label = format!("e{}", book.promises.len() + 1);
        let promise = book
            .promises
            .entry(event.id())
            .or_insert_with(|| Promise::new(event.clone(), label));
        promise.label.clone()
    }

    /// What came of it.
    pub(super) fn enqueued(&self, id: Uuid, answer: &Result<OutboxEvent, EnqueueError>) {
        let label = self.label(id);
        let told = match answer {
            Ok(row) if row.id != id => format!("is carried by {}", self.label(row.id)),
            Ok(_) => "is enqueued".to_owned(),
            Err(error) => format!("is not enqueued: {error}"),
        };
        self.trace(format_args!("{label} {told}"));
        let mut book = self.book();
        let Some(promise) = book.promises.get_mut(&id) else {
            return;
        };
        match answer {
            Ok(row) => {
                promise.acknowledged = true;
                promise.folded_into = (row.id != id).then_some(row.id);
            }
            Err(EnqueueError::Store(error)) => promise.unknown |= error.outcome_unknown(),
            Err(error) => {
                let what = format!("{label} was refused: {error}");
                drop(book);
                self.broken(Invariant::Setup, what);
            }
        }
    }

    /// Somebody deletes it.
    pub(super) fn deleted(&self, id: Uuid) {
        let mut book = self.book();
        book.leases.remove(&id);
        if let Some(promise) = book.promises.get_mut(&id) {
            promise.deleted = true;
        }
    }

    /// The clock is set back.
    pub(super) fn set_back(&self) {
        self.book().set_back = true;
    }

    /// Somebody gives it all its attempts again.
    pub(super) fn reset(&self, id: Uuid) {
        if let Some(promise) = self.book().promises.get_mut(&id) {
            promise.attempts = 0;
        }
    }

    /// The remote service has it.
    pub(super) fn accepted(&self, id: Uuid) {
        let label = self.label(id);
        let mut book = self.book();
        let overtaken = book.promises.get(&id).and_then(|accepted| {
            let mut others = book.promises.values();
            let earlier = others.find(|other| other.must_precede(accepted))?;
            (accepted.accepted == 0).then(|| earlier.label.clone())
        });
        let Some(promise) = book.promises.get_mut(&id) else {
            return;
        };
        promise.accepted += 1;
        let again = promise.accepted > 1;
        book.report.duplicates += u64::from(again);
        drop(book);
        if let Some(earlier) = overtaken {
            let what = format!("the remote service accepted {label} before {earlier}");
            self.broken(Invariant::InOrder, what);
        }
    }

    /// A store handed these out, and these are all its rows.
    pub(super) fn claimed(&self, process: &str, claims: &[Claim], rows: &[OutboxEvent]) {
        let now = self.clock.now();
        for row in rows {
            if let Some(promise) = self.book().promises.get_mut(&row.id) {
                promise.is(row);
            }
        }
        for Claim { event, lease } in claims {
            let label = self.label(event.id);
            let attempt = event.attempt_count;
            self.trace(format_args!("{process} claims {label}, attempt {attempt}"));
            let mut book = self.book();
            let held = book.leases.insert(event.id, *lease);
            let Some(promise) = book.promises.get_mut(&event.id) else {
                drop(book);
                self.broken(Invariant::NothingInvented, format!("{label} was claimed"));
                continue;
            };
            promise.attempts += 1;
            let (expected, allowed) = (promise.attempts, event.max_attempts);
            let overtaken = book.overtaken(event, rows);
            drop(book);
            if held.is_some_and(|held| held.expires_at > now) {
                let what = format!("{label} was handed out although it is leased");
                self.broken(Invariant::OneLease, what);
            }
            if let Some(earlier) = overtaken {
                let what = format!("{label} was handed out before {earlier}");
                self.broken(Invariant::InOrder, what);
            }
            // One more is for a failure of which nobody can tell yet whose fault it was, but where
            // one attempt is all there is.
            let too_often = attempt > allowed && allowed == 1;
            if attempt != expected || too_often {
                let what = format!(
                    "{label} is claimed with {attempt} attempts of {allowed}; it should be {expected}"
                );
                self.broken(Invariant::AttemptsCounted, what);
            }
        }
    }

    /// A store was asked to record this, and answered so. The row was so before and is so since, unless it has moved on.
    pub(super) fn settled(
        &self,
        process: &str,
        settlement: &Settlement,
        settled: Settled,
        before: Option<&OutboxEvent>,
        after: Since<'_>,
    ) {
        let Settlement { lease, disposition } = settlement;
        let id = lease.event_id;
        let label = self.label(id);
        let cause = disposition.cause();
        self.trace(format_args!(
            "{process} reports {label}: {cause:?}, {settled:?}"
        ));
        let now = self.clock.now();
        let mut book = self.book();
        let held = book.leases.get(&id);
        let holds = held.is_some_and(|held| held.token == lease.token && held.expires_at > now);
        let token = lease.token.as_uuid();
        let delivered = book.answers.get(&(id, token)).copied().unwrap_or(false);
        if settled == Settled::LeaseLost {
            book.report.leases_lost += 1;
            drop(book);
            if holds {
                let what = format!("the outcome of {label} was refused under a valid lease");
                self.broken(Invariant::OneLease, what);
            }
            return;
        }
        book.leases.remove(&id);
        if let Some(promise) = book.promises.get_mut(&id) {
            promise.completed |= cause == Cause::Complete;
            let given_back = matches!(
                disposition,
                Disposition::GiveBack { .. }
                    | Disposition::Defer { .. }
                    | Disposition::Snooze { .. }
            );
            if given_back {
                promise.attempts = promise.attempts.saturating_sub(1);
            }
        }
        drop(book);
        if !holds {
            let what = format!("an outcome of {label} was recorded under a lease that is over");
            self.broken(Invariant::OneLease, what);
        }
        let charges = match disposition {
            Disposition::Fail { .. } => true,
            Disposition::Bury { reason, .. } => *reason == DeadReason::AttemptsExhausted,
            _ => false,
        };
        if let Some(before) = before.filter(|_| charges && self.outages) {
            self.charged(process, before);
        }
        let expected = before.and_then(|before| Transition::of(before, cause)?.to);
        let found = match after {
            Since::Is(row) => row.map(|row| row.status),
            Since::MovedOn => expected,
        };
        let completed = cause == Cause::Complete || found == Some(OutboxStatus::Completed);
        if completed && !delivered {
            let what = format!("{label} was completed, but its handler did not deliver it");
            self.broken(Invariant::CompletedMeansDelivered, what);
        }
        if found != expected {
            let what = format!("{cause:?} of {label} was recorded, but it is {found:?}");
            self.broken(Invariant::RowWhole, what);
        }
    }

    pub(super) fn extended(&self, leases: &[Option<Lease>]) {
        let mut book = self.book();
        for lease in leases.iter().flatten() {
            book.leases.insert(lease.event_id, *lease);
        }
    }

    /// A store took back what nobody reported; these are its rows since.
    pub(super) fn rescued(&self, rows: &[OutboxEvent]) {
        let now = self.clock.now();
        let mut robbed = Vec::new();
        let mut guard = self.book();
        let book = &mut *guard;
        let promises = &mut book.promises;
        book.leases.retain(|id, lease| {
            let row = rows.iter().find(|row| row.id == *id);
            let row = row.filter(|row| row.lease_token == Some(lease.token.as_uuid()));
            // It moves along with a clock that was set back.
            lease.expires_at = row
                .and_then(|row| row.lease_expires_at)
                .unwrap_or(lease.expires_at);
            let held = row.is_some();
            if !held && lease.expires_at > now {
                robbed.push(*id);
            }
            // A crash is counted apart, and the attempt is not.
            if !held && let Some(promise) = promises.get_mut(id) {
                promise.attempts = promise.attempts.saturating_sub(1);
            }
            held
        });
        drop(guard);
        for id in robbed {
            let what = format!("{} was taken from a live worker", self.label(id));
            self.broken(Invariant::OneLease, what);
        }
    }

    /// A handler starts on it, and the row is so.
    pub(super) fn started(
        &self,
        process: &str,
        event: &OutboxEvent,
        row: Option<&OutboxEvent>,
    ) -> Attempt {
        let attempt = Attempt::begin(self, process, event);
        let label = self.label(event.id);
        self.trace(format_args!(
            "{process} handles {label}, attempt {}",
            event.attempt_count
        ));
        let now = self.clock.now();
        let mut book = self.book();
        let Some(promise) = book.promises.get_mut(&event.id) else {
            drop(book);
            self.broken(Invariant::NothingInvented, format!("{label} is handled"));
            return attempt;
        };
        let content = event.fingerprint();
        let same = promise.may_be(event) && *promise.sent.get_or_insert(content) == content;
        let deleted = promise.deleted;
        // To a worker that was frozen while its lease ended and the clock was set back, the lease looks as good as ever.
        let misled = book.set_back && event.lease_expires_at.is_some_and(|ends| ends > now);
        drop(book);
        if !same {
            let what = format!("{label} is handled with other content than was enqueued");
            self.broken(Invariant::SameEveryTime, what);
        }
        let leased = row.is_some_and(|row| {
            row.status == OutboxStatus::Processing
                && row.lease_token == event.lease_token
                && row.lease_expires_at.is_some_and(|ends| ends > now)
        });
        // A worker learns of a deletion when it reports, and not before.
        if !leased && !deleted && !misled {
            let what = format!("{label} is handled without a valid lease");
            self.broken(Invariant::OneLease, what);
        }
        attempt
    }

    /// Compares the store's rows with what was promised.
    pub(super) fn check(&self, rows: &[OutboxEvent]) {
        let mut book = self.book();
        let Book {
            promises, broken, ..
        } = &mut *book;
        let mut found = |invariant, what: String| {
            broken.get_or_insert((invariant, what));
        };
        for row in rows {
            let Some(promise) = promises.get_mut(&row.id) else {
                found(Invariant::NothingInvented, format!("{} is stored", row.id));
                continue;
            };
            promise.seen = true;
            promise.check(row, &mut found);
        }
        for promise in promises.values() {
            let carrier = match promise.folded_into {
                Some(carrier) => promises.get(&carrier).unwrap_or(promise),
                None => promise,
            };
            let there = rows.iter().any(|row| row.id == carrier.event.id());
            let due = promise.acknowledged || promise.seen;
            if due && !there && !carrier.completed && !carrier.deleted {
                let what = format!("{} was enqueued, and is not there", promise.label);
                found(Invariant::NothingLost, what);
            }
        }
    }

    /// What is neither delivered nor dead although nothing holds it back; what may wait for ever holds back what is behind it.
    pub(super) fn unfinished(
        &self,
        rows: &[OutboxEvent],
        may_wait: impl Fn(&OutboxEvent) -> bool,
    ) -> Vec<String> {
        let book = self.book();
        let waits = |row: &&OutboxEvent| {
            !matches!(row.status, OutboxStatus::Completed | OutboxStatus::Dead)
                && !may_wait(row)
                && !book.is_held_back(row, rows, &may_wait)
        };
        let label = |row: &OutboxEvent| {
            let label = book.promises.get(&row.id).map(|promise| &promise.label);
            format!("{label:?} ({})", row.status)
        };
        rows.iter().filter(waits).map(label).collect()
    }

    /// Sums up what became of the events.
    pub(super) fn close(&self, rows: &[OutboxEvent]) {
        let dead = |row: &&OutboxEvent| row.status == OutboxStatus::Dead;
        let mut book = self.book();
        let Book {
            promises, report, ..
        } = &mut *book;
        report.seeds = 1;
        report.dead = rows.iter().filter(dead).count() as u64;
        for promise in promises.values() {
            report.enqueued += u64::from(promise.acknowledged);
            report.recovered += u64::from(promise.seen && !promise.acknowledged);
            let delivered = promise.completed && promise.accepted > 0;
            report.delivered += u64::from(delivered);
            report.obsolete += u64::from(promise.completed && !delivered);
        }
    }
}

impl Book {
    /// What may be enqueued again with nothing but the same event coming of it.
    pub(super) fn repeatable(&self) -> Vec<NewEvent> {
        let is_open = |promise: &Promise| !promise.completed && !promise.deleted;
        let carrier = |promise: &Promise| match &promise.folded_into {
            Some(carrier) => self.promises.get(carrier).is_some_and(is_open),
            None => true,
        };
        let promises = self.promises.values();
        let open = promises.filter(|promise| is_open(promise) && carrier(promise));
        open.map(|promise| promise.event.clone()).collect()
    }

    /// The events before this one in its order, or about the same under another order, with what
    /// was promised of them.
    fn earlier<'a>(
        &'a self,
        event: &OutboxEvent,
        rows: &'a [OutboxEvent],
    ) -> impl Iterator<Item = (&'a OutboxEvent, &'a Promise)> {
        let own = self.promises.get(&event.id);
        let seq = event.seq;
        rows.iter()
            .filter(move |row| row.seq < seq)
            .filter_map(|row| Some((row, self.promises.get(&row.id)?)))
            .filter(move |(_, promise)| own.is_some_and(|own| own.goes_with(promise)))
    }

    /// An earlier event that this one must not be claimed before.
    fn overtaken(&self, event: &OutboxEvent, rows: &[OutboxEvent]) -> Option<String> {
        self.earlier(event, rows)
            .find(|(row, promise)| match row.status {
                OutboxStatus::Completed => false,
                OutboxStatus::Dead => promise.event.on_dead() == OnDead::Hold,
                _ => true,
            })
            .map(|(row, promise)| format!("{}, which is {}", promise.label, row.status))
    }

    fn is_held_back(
        &self,
        event: &OutboxEvent,
        rows: &[OutboxEvent],
        may_wait: &dyn Fn(&OutboxEvent) -> bool,
    ) -> bool {
        let mut earlier = self.earlier(event, rows);
        earlier.any(|(row, promise)| match row.status {
            OutboxStatus::Completed => false,
            OutboxStatus::Dead => promise.event.on_dead() == OnDead::Hold,
            // What it waits for may be in another lane, and wait there for something else.
            _ => may_wait(row) || self.is_held_back(row, rows, may_wait),
        })
    }
}
