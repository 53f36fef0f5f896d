//! Types that a release of the application gives up: their events are neither sent nor forgotten.

use std::collections::BTreeSet;

use super::ledger::Ledger;
use super::report::Invariant;
use outbox_runtime::store::Disposition;
use outbox_runtime::support::{Retired, Retirement};
use outbox_runtime::{DeadReason, OutboxEvent, OutboxStatus, RunOutcome};

impl Ledger {
    /// Records the types that a process retires as it starts.
    pub(super) fn retires(&self, process: &str, retired: Vec<Retired>) {
        self.book().retired.insert(process.to_owned(), retired);
    }

    /// What this process does with events of this type, if it retires it.
    pub(super) fn retirement(&self, process: &str, event_type: &str) -> Option<Retirement> {
        let book = self.book();
        let mut retired = book.retired.get(process)?.iter();
        let found = retired.find(|retired| retired.event_type() == event_type)?;
        Some(found.policy())
    }

    /// The types whose events a process holds.
    pub(super) fn held_types(&self) -> BTreeSet<String> {
        let book = self.book();
        let retired = book.retired.values().flatten();
        let held = retired.filter(|retired| retired.policy() == Retirement::Hold);
        held.map(|retired| retired.event_type().to_owned())
            .collect()
    }

    /// Checks a claim: no process claims what it holds.
    pub(super) fn claimed_while_held(&self, process: &str, event: &OutboxEvent) {
        if self.retirement(process, &event.event_type) == Some(Retirement::Hold) {
            let (label, event_type) = (self.label(event.id), &event.event_type);
            let what = format!("{process} claimed {label}, although it holds {event_type}");
            self.broken(Invariant::Retired, what);
        }
    }

    /// Checks an attempt: no handler begins on an event whose type its process retires.
    pub(super) fn handled_although_retired(&self, process: &str, event: &OutboxEvent) {
        if self.retirement(process, &event.event_type).is_some() {
            let (label, event_type) = (self.label(event.id), &event.event_type);
            let what = format!("{process} handles {label}, although it retires {event_type}");
            self.broken(Invariant::Retired, what);
        }
    }

    /// Checks a recorded outcome against the retirement of the event's type. Returns whether the
    /// event was completed without a delivery because of it.
    pub(super) fn settled_as_retired(
        &self,
        process: &str,
        event: &OutboxEvent,
        disposition: &Disposition,
        after: Option<&OutboxEvent>,
    ) -> bool {
        let retirement = self.retirement(process, &event.event_type);
        let label = self.label(event.id);
        let is_given_back = matches!(disposition, Disposition::GiveBack { .. });
        let is_dead = matches!(
            disposition,
            Disposition::Bury {
                reason: DeadReason::Retired,
                ..
            }
        );
        let is_dropped = matches!(disposition, Disposition::Complete | Disposition::Remove);
        let is_right = match retirement {
            None => !is_dead,
            Some(Retirement::Drop) => is_dropped || is_given_back,
            Some(Retirement::Dead) => is_dead || is_given_back,
            Some(_) => is_given_back,
        };
        if !is_right {
            let what =
                format!("{process} reports {label} as {disposition:?}, against {retirement:?}");
            self.broken(Invariant::Retired, what);
        }
        let is_recorded = after.is_some_and(|row| {
            row.status == OutboxStatus::Dead && row.dead_reason == Some(DeadReason::Retired)
        });
        if is_dead && !is_recorded {
            let found = after.map(|row| (row.status, row.dead_reason));
            let what = format!("{label} was retired as a dead letter, but it is {found:?}");
            self.broken(Invariant::Retired, what);
        }
        let is_dropped = retirement == Some(Retirement::Drop) && is_dropped;
        let mut book = self.book();
        book.report.retired += u64::from(is_dropped || is_dead);
        if let Some(promise) = book.promises.get_mut(&event.id) {
            promise.dropped |= is_dropped;
        }
        is_dropped
    }

    /// Checks what a process tells about the fate of an event.
    pub(super) fn told(&self, process: &str, outcome: &RunOutcome) {
        self.active();
        let (event, expected) = match outcome {
            RunOutcome::Retired { event } => (event, Some(Retirement::Drop)),
            RunOutcome::Dead {
                event,
                reason: DeadReason::Retired,
                ..
            } => (event, Some(Retirement::Dead)),
            RunOutcome::Delivered { event } => (event, None),
            _ => return,
        };
        let retirement = self.retirement(process, &event.event_type);
        if retirement != expected {
            let label = self.label(event.id);
            let what = format!("{process} tells {outcome:?} of {label}, against {retirement:?}");
            self.broken(Invariant::Retired, what);
        }
    }
}
