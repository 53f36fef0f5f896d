//! Attempts whose handlers have promised to complete the event in a transaction of their own.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::claim::{Claim, Lease};
use crate::event::{ClaimId, OutboxEvent, Promises, PromisesOfRun};
use crate::outcome::Outcome;

/// The message of an attempt whose handler answered `Ok` without the commit.
const NOT_COMMITTED: &str = "the handler answered that the event is delivered, but the transaction in which it completed the \
                             event was not committed; commit it before the answer";

/// The promises of a run, and the events of those whose outcomes are not recorded yet.
#[derive(Debug)]
pub(super) struct Promised {
    promises: Arc<Promises>,
    events: HashMap<Uuid, OutboxEvent>,
}

impl Promised {
    pub(super) fn new(keeps_completed: bool) -> Self {
        Self {
            promises: Arc::new(Promises::new(keeps_completed)),
            events: HashMap::new(),
        }
    }

    /// Lets the handler of this claim promise.
    pub(super) fn allow(&self, claim: &mut Claim) {
        claim.event.promises = PromisesOfRun::of(&self.promises);
    }

    /// Whether the handler of this claim has promised.
    pub(super) fn has(&self, claim: &Claim) -> bool {
        self.promises.has(id_of(&claim.lease))
    }

    /// The outcome of an attempt, unless the event is completed already. `is_ok`: the handler
    /// answered `Ok`, and not merely that the event is obsolete. After a promise that says only
    /// that the transaction was to be committed.
    pub(super) fn otherwise(&self, claim: &Claim, outcome: Outcome, is_ok: bool) -> Outcome {
        if is_ok && self.has(claim) {
            return Outcome::Retry {
                message: NOT_COMMITTED.to_owned(),
                not_before: None,
            };
        }
        outcome
    }

    /// Keeps the event until its outcome is recorded.
    pub(super) fn keep(&mut self, event: &OutboxEvent) {
        self.events.insert(event.id, event.clone());
    }

    /// Ends a promise with the recorded outcome, and returns its event.
    pub(super) fn take(&mut self, lease: &Lease) -> Option<OutboxEvent> {
        self.promises.end(id_of(lease));
        self.events.remove(&lease.event_id)
    }

    /// Ends the promise of a claim that is lost.
    pub(super) fn lost(&mut self, lease: &Lease) {
        self.take(lease);
    }

    /// Forgets an event whose outcome is discarded.
    pub(super) fn discard(&mut self, event_id: &Uuid) {
        self.events.remove(event_id);
    }
}

fn id_of(lease: &Lease) -> ClaimId {
    (lease.event_id, lease.token.as_uuid())
}
