//! Completions by handlers, before they answer.

use std::sync::Arc;

use uuid::Uuid;

use super::ledger::Ledger;
use super::promise::Promise;
use super::report::Invariant;
use outbox_runtime::store::{CompleteFuture, Completion, Lease, Settled};
use outbox_runtime::{
    Clock, CompleteError, CompletionSink, OutboxEvent, OutboxRepository, OutboxStatus,
};

/// The store of a process, on which its handlers complete events.
pub(super) struct OnStore(pub(super) Arc<dyn OutboxRepository>);

/// The driver of [`OnStore`].
pub(super) enum ProcessStore {}

impl CompletionSink<ProcessStore> for OnStore {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        CompleteFuture::new(async move {
            let completed = self.0.complete_event(completion?, None).await;
            completed.map(drop)
        })
    }
}

impl Ledger {
    /// Records that a handler asks the store to complete its event.
    pub(super) fn completing(&self, lease: &Lease) {
        if let Some(promise) = self.book().promises.get_mut(&lease.event_id) {
            promise.completing = true;
        }
    }

    /// Records the store's answer to the completion of an event by its handler, with the row after
    /// it.
    pub(super) fn completed(
        &self,
        process: &str,
        lease: &Lease,
        is_completed: bool,
        row: Option<&OutboxEvent>,
    ) {
        let id = lease.event_id;
        let label = self.label(id);
        let told = match is_completed {
            true => "is completed",
            false => "is not completed",
        };
        self.trace(format_args!("{label} {told} by its handler in {process}"));
        let now = self.clock.now();
        let token = lease.token.as_uuid();
        let mut book = self.book();
        let held = book.leases.get(&id);
        let holds = held.is_some_and(|held| held.token == lease.token && held.expires_at > now);
        let is_again = book.completions.get(&id) == Some(&token);
        if !is_completed {
            drop(book);
            if holds {
                let what = format!("the completion of {label} was refused under a valid lease");
                self.broken(Invariant::CompletedByHandler, what);
            }
            return;
        }
        if !is_again {
            book.completions.insert(id, token);
            book.leases.remove(&id);
            book.report.completed_by_handlers += 1;
            if let Some(promise) = book.promises.get_mut(&id) {
                promise.completed = true;
            }
        }
        let is_accepted = book.has_accepted(id);
        drop(book);
        if !is_again && !holds {
            let what = format!("{label} was completed under a lease that has ended");
            self.broken(Invariant::CompletedByHandler, what);
        }
        if !is_accepted {
            let what = format!(
                "{label} was completed by its handler before the remote service accepted it"
            );
            self.broken(Invariant::CompletedMeansDelivered, what);
        }
        if let Some(status) = other_status(row) {
            let what = format!("{label} was completed by its handler, but it is {status}");
            self.broken(Invariant::CompletedByHandler, what);
        }
    }

    /// Whether the handler has completed the event under this lease before it answered. Then the
    /// outcome of its attempt changes nothing, which is checked with the row after it.
    pub(super) fn is_completed_before(
        &self,
        lease: &Lease,
        settled: Settled,
        row: Option<&OutboxEvent>,
    ) -> bool {
        let (id, token) = (lease.event_id, lease.token.as_uuid());
        let label = self.label(id);
        let mut book = self.book();
        let mut is_completed = book.completions.get(&id) == Some(&token);
        let is_asked = |promise: &Promise| promise.completing && promise.accepted > 0;
        if !is_completed
            && settled == Settled::AlreadyCompleted
            && book.promises.get(&id).is_some_and(is_asked)
        {
            // The handler was dropped before the store had answered.
            book.completions.insert(id, token);
            book.leases.remove(&id);
            if let Some(promise) = book.promises.get_mut(&id) {
                promise.completed = true;
            }
            is_completed = true;
        }
        drop(book);
        if !is_completed && settled == Settled::AlreadyCompleted {
            let what = format!("the store says that the handler of {label} has completed it");
            self.broken(Invariant::CompletedByHandler, what);
        }
        if is_completed && let Some(status) = other_status(row) {
            let what = format!("{label} was completed by its handler, and is {status} again");
            self.broken(Invariant::CompletedByHandler, what);
        }
        is_completed
    }

    /// Checks that a claimed event was not completed before.
    pub(super) fn not_completed(&self, id: Uuid) {
        let is_completed = self.book().completions.contains_key(&id);
        if is_completed {
            let what = format!(
                "{} was claimed although its handler had completed it",
                self.label(id)
            );
            self.broken(Invariant::CompletedByHandler, what);
        }
    }
}

/// The status of a row that is there and not completed.
fn other_status(row: Option<&OutboxEvent>) -> Option<OutboxStatus> {
    row.map(|row| row.status)
        .filter(|status| *status != OutboxStatus::Completed)
}
