//! Records store calls and handlers: claims, outcomes, leases and attempts.

use super::attempts::Attempt;
use super::book::Book;
use super::ledger::Ledger;
use super::report::Invariant;
use outbox_runtime::store::{Cause, Claim, Disposition, Lease, Settled, Settlement, Transition};
use outbox_runtime::{Clock, DeadReason, OutboxEvent, OutboxStatus};

/// The state of a row after an outcome was recorded.
#[derive(Clone, Copy)]
pub(super) enum RowAfter<'a> {
    Current(Option<&'a OutboxEvent>),
    /// The same request claimed it again.
    ClaimedAgain,
}

impl Ledger {
    /// Records claims of a process. `rows` are all rows of the store.
    pub(super) fn claimed(&self, process: &str, claims: &[Claim], rows: &[OutboxEvent]) {
        self.leased(process, claims, rows, Book::overtaken);
    }

    /// Records events that a process leased behind others that it holds.
    pub(super) fn followed(&self, process: &str, claims: &[Claim], rows: &[OutboxEvent]) {
        self.leased(process, claims, rows, Book::overtaken_while_following);
    }

    fn leased(
        &self,
        process: &str,
        claims: &[Claim],
        rows: &[OutboxEvent],
        overtaken: impl Fn(&Book, &OutboxEvent, &[OutboxEvent]) -> Option<String>,
    ) {
        let now = self.clock.now();
        self.book().record_rows(rows);
        for Claim { event, lease } in claims {
            let label = self.label(event.id);
            let attempt = event.attempt_count;
            self.trace(format_args!("{process} claims {label}, attempt {attempt}"));
            self.not_completed(event.id);
            self.claimed_while_held(process, event);
            let mut book = self.book();
            let held = book.leases.insert(event.id, *lease);
            let Some(promise) = book.promises.get_mut(&event.id) else {
                drop(book);
                self.broken(Invariant::NothingInvented, format!("{label} was claimed"));
                continue;
            };
            promise.attempts += 1;
            promise.claimed = true;
            let canceled = promise.canceled;
            let (expected, allowed) = (promise.attempts, event.max_attempts);
            let overtaken = overtaken(&book, event, rows);
            let orphaned = book.orphaned(event, rows);
            drop(book);
            if canceled {
                let what = format!("{label} was claimed although it was canceled");
                self.broken(Invariant::TakenBack, what);
            }
            if held.is_some_and(|held| held.expires_at > now) {
                let what = format!("{label} was claimed although it is leased");
                self.broken(Invariant::OneLease, what);
            }
            if let Some(earlier) = overtaken {
                let what = format!("{label} was claimed before {earlier}");
                self.broken(Invariant::InOrder, what);
            }
            if let Some(parent) = orphaned {
                let what = format!("{label} was claimed before its parent {parent}");
                self.broken(Invariant::ParentFirst, what);
            }
            // One attempt beyond the limit is allowed for a failure of doubtful cause, but not if
            // the limit is a single attempt.
            let too_often = attempt > allowed && allowed == 1;
            if attempt != expected || too_often {
                let what = format!(
                    "{label} was claimed with {attempt} of {allowed} attempts, expected {expected}"
                );
                self.broken(Invariant::AttemptsCounted, what);
            }
        }
    }

    /// Records the store's answer to an outcome, with the row before and after it.
    pub(super) fn settled(
        &self,
        process: &str,
        settlement: &Settlement,
        settled: Settled,
        before: Option<&OutboxEvent>,
        after: RowAfter<'_>,
    ) {
        let Settlement { lease, disposition } = settlement;
        let id = lease.event_id;
        let label = self.label(id);
        let cause = disposition.cause();
        self.trace(format_args!(
            "{process} reports {label}: {cause:?}, {settled:?}"
        ));
        let row = match after {
            RowAfter::Current(row) => row,
            RowAfter::ClaimedAgain => None,
        };
        if self.is_completed_before(lease, settled, row) {
            return;
        }
        let now = self.clock.now();
        let mut book = self.book();
        let held = book.leases.get(&id);
        let holds = held.is_some_and(|held| held.token == lease.token && held.expires_at > now);
        let token = lease.token.as_uuid();
        let delivered = book.answers.get(&(id, token)).copied().unwrap_or(false);
        if settled == Settled::Locked {
            return;
        }
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
            // One that expired was deleted, not delivered.
            let is_dropped = *disposition == Disposition::Drop;
            promise.deleted |= is_dropped;
            promise.completed |= cause == Cause::Complete && !is_dropped;
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
            let what = format!("an outcome of {label} was recorded under a lease that has ended");
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
        if *disposition == Disposition::Drop {
            return;
        }
        let expected = before.and_then(|before| Transition::of(before, cause)?.to);
        let found = match after {
            RowAfter::Current(row) => row.map(|row| row.status),
            RowAfter::ClaimedAgain => expected,
        };
        let is_retired =
            before.is_some_and(|before| self.settled_as_retired(process, before, disposition, row));
        let completed = cause == Cause::Complete || found == Some(OutboxStatus::Completed);
        if completed && !delivered && !is_retired {
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
            let renewed = (lease.event_id, lease.token.as_uuid());
            book.renewed.insert(renewed, lease.expires_at);
            // A completed event has no lease, whatever the run that holds it renews.
            if !book.completions.contains_key(&lease.event_id) {
                book.leases.insert(lease.event_id, *lease);
            }
        }
    }

    /// Records a rescue. `rows` are the rows of the store after it.
    pub(super) fn rescued(&self, rows: &[OutboxEvent]) {
        let now = self.clock.now();
        let mut stolen = Vec::new();
        let mut guard = self.book();
        let book = &mut *guard;
        let promises = &mut book.promises;
        book.leases.retain(|id, lease| {
            let row = rows.iter().find(|row| row.id == *id);
            if row.is_some_and(|row| row.status == OutboxStatus::Completed) {
                // Its handler completes it, which is recorded when the store has answered.
                return true;
            }
            let row = row.filter(|row| row.lease_token == Some(lease.token.as_uuid()));
            // The lease moved along with a clock that was set back.
            lease.expires_at = row
                .and_then(|row| row.lease_expires_at)
                .unwrap_or(lease.expires_at);
            let held = row.is_some();
            if !held && lease.expires_at > now {
                stolen.push(*id);
            }
            // A crash is counted separately and does not count as an attempt.
            if !held && let Some(promise) = promises.get_mut(id) {
                promise.attempts = promise.attempts.saturating_sub(1);
            }
            held
        });
        drop(guard);
        for id in stolen {
            let what = format!("{} was taken from a live worker", self.label(id));
            self.broken(Invariant::OneLease, what);
        }
    }

    /// Records that a handler starts on an event, with its current row.
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
        self.handled_although_retired(process, event);
        let now = self.clock.now();
        let mut book = self.book();
        let has_own_headers = book.saw_headers(event);
        let Some(promise) = book.promises.get_mut(&event.id) else {
            drop(book);
            self.broken(Invariant::NothingInvented, format!("{label} is handled"));
            return attempt;
        };
        let content = event.fingerprint();
        let same =
            promise.may_have_content_of(event) && *promise.sent.get_or_insert(content) == content;
        let deleted = promise.deleted;
        let replaced = promise.replaced;
        let expiry = promise.ends();
        // For a worker that was frozen while its lease ended and the clock was set back, the lease
        // still looks valid.
        let token = event.lease_token.unwrap_or_default();
        let renewed = book.renewed.get(&(event.id, token)).copied();
        let ends = event.lease_expires_at.max(renewed);
        let misled = book.set_back && ends.is_some_and(|ends| ends > now);
        drop(book);
        if !same && has_own_headers {
            let what = format!("{label} is handled with content that was not enqueued");
            self.broken(Invariant::SameEveryTime, what);
        }
        if replaced {
            let what = format!("{label} is handled although another event replaced it");
            self.broken(Invariant::OnePerKey, what);
        }
        if let Some(ends) = expiry.filter(|ends| *ends <= now) {
            let what = format!("{label} is handled at {now}, although it expired at {ends}");
            self.broken(Invariant::NotAfterExpiry, what);
        }
        let leased = row.is_some_and(|row| {
            row.status == OutboxStatus::Processing
                && row.lease_token == event.lease_token
                && row.lease_expires_at.is_some_and(|ends| ends > now)
        });
        // A worker learns of a deletion only when it reports its outcome.
        if !leased && !deleted && !misled {
            let what = format!("{label} is handled without a valid lease");
            self.broken(Invariant::OneLease, what);
        }
        attempt
    }
}
