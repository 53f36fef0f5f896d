//! The ledger: promises and observations, kept apart from the store, and the invariants between
//! them.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::book::Book;
use super::promise::Promise;
use super::replacing::{carrier_of, replace};
use super::report::Invariant;
use crate::ManualClock;
use outbox_runtime::{Clock, EnqueueError, NewEvent, OutboxEvent, OutboxStatus};

/// A handle. Clones share one ledger.
#[derive(Clone)]
pub(super) struct Ledger {
    pub(super) clock: ManualClock,
    begin: DateTime<Utc>,
    /// Whether the simulation has outages, so that charged failures are checked.
    pub(super) outages: bool,
    /// Never held across an await.
    book: Arc<Mutex<Book>>,
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

    /// Records a violated invariant. The first one counts.
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

    /// The name of an event in the trace.
    pub(super) fn label(&self, id: Uuid) -> String {
        let book = self.book();
        let promise = book.promises.get(&id);
        promise.map_or_else(|| id.to_string(), |promise| promise.label.clone())
    }

    /// Records that a process is about to enqueue an event, perhaps again.
    pub(super) fn promise(&self, event: &NewEvent) -> String {
        let mut book = self.book();
        let label = format!("e{}", book.promises.len() + 1);
        let promise = book
            .promises
            .entry(event.id())
            .or_insert_with(|| Promise::new(event.clone(), label));
        promise.label.clone()
    }

    /// Records the result of enqueuing.
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

    /// Records a manual deletion.
    pub(super) fn deleted(&self, id: Uuid) {
        let mut book = self.book();
        book.leases.remove(&id);
        if let Some(promise) = book.promises.get_mut(&id) {
            promise.deleted = true;
        }
    }

    /// Records that the clock was set back.
    pub(super) fn set_back(&self) {
        self.book().set_back = true;
    }

    /// Records that an event was given all its attempts again.
    pub(super) fn reset(&self, id: Uuid) {
        let now = self.clock.now();
        if let Some(promise) = self.book().promises.get_mut(&id) {
            promise.lasts |= promise.ends().is_some_and(|ends| ends <= now);
            promise.attempts = 0;
        }
    }

    /// Records that the remote service accepted an event.
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

    /// Compares the store's rows with the promises.
    pub(super) fn check(&self, rows: &[OutboxEvent]) {
        let mut book = self.book();
        book.check_headers(rows);
        book.check_cancellations(rows);
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
        replace(promises, rows, &mut found);
        for promise in promises.values() {
            let carrier = carrier_of(promises, promise);
            let there = rows.iter().any(|row| row.id == carrier.event.id());
            let due = promise.acknowledged || promise.seen;
            if due && !there && !carrier.completed && !carrier.deleted {
                let what = format!("{} was enqueued but is missing", promise.label);
                found(Invariant::NothingLost, what);
            }
        }
    }

    /// The events that are neither delivered nor dead although nothing blocks them. Events that may
    /// wait forever block those behind them.
    pub(super) fn unfinished(
        &self,
        rows: &[OutboxEvent],
        may_wait: impl Fn(&OutboxEvent) -> bool,
    ) -> Vec<String> {
        let book = self.book();
        let waits = |row: &&OutboxEvent| {
            !matches!(row.status, OutboxStatus::Completed | OutboxStatus::Dead)
                && !may_wait(row)
                && !book.is_blocked(row, rows, &may_wait)
        };
        let label = |row: &OutboxEvent| {
            let label = book.promises.get(&row.id).map(|promise| &promise.label);
            format!("{label:?} ({})", row.status)
        };
        rows.iter().filter(waits).map(label).collect()
    }

    /// Adds up the final states of all events.
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
            report.obsolete += u64::from(promise.completed && !delivered && !promise.dropped);
        }
    }
}
