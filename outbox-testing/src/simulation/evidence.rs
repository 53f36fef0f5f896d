//! The attempts in progress, and the evidence from those that ended: passes and refusals.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::remote_error::RemoteError;
use outbox_runtime::OutboxEvent;

/// The attempts in progress, and counts of the ended ones.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) under_way: BTreeMap<u64, UnderWay>,
    pub(super) begun: u64,
    pub(super) answered: u64,
    /// Attempts that ended without a call of the service.
    pub(super) uncalled: u64,
    /// Attempts that the service accepted, and answered so.
    pub(super) accepted: u64,
    /// Of these, attempts that their handler reported as failed.
    pub(super) accepted_but_failed: u64,
    pub(super) evidence: Evidence,
}

/// Passes and refusals, in order.
#[derive(Default)]
pub(super) struct Evidence {
    /// Counts both.
    pub(super) now: u64,
    pub(super) passes: Vec<Pass>,
    /// The last two refusals of each event, by process: a process does not know the answers that
    /// other processes got.
    pub(super) refusals: BTreeMap<(String, Uuid), [u64; 2]>,
    /// The last attempt of each event, by process.
    pub(super) latest: BTreeMap<(String, Uuid), u64>,
}

pub(super) struct Pass {
    pub(super) at: u64,
    pub(super) event: Uuid,
    pub(super) event_type: String,
    pub(super) destination: Option<String>,
}

impl Evidence {
    pub(super) fn passed(&mut self, event: &OutboxEvent) {
        self.now += 1;
        self.passes.push(Pass {
            at: self.now,
            event: event.id,
            event_type: event.event_type.clone(),
            destination: event.destination.clone(),
        });
    }

    pub(super) fn refused(&mut self, process: &str, event: Uuid) {
        self.now += 1;
        let refusals = self.refusals.entry((process.to_owned(), event));
        let refusals = refusals.or_default();
        *refusals = [self.now, refusals[0]];
    }
}

pub(super) struct UnderWay {
    pub(super) process: String,
    /// The event as its handler received it.
    pub(super) event: OutboxEvent,
    /// The state of its call to the remote service, if there was one.
    pub(super) call: Option<ServiceCall>,
}

#[derive(Clone, Copy)]
pub(super) enum ServiceCall {
    /// The service has not answered yet.
    Waiting,
    Answered(Option<RemoteError>),
}

impl Attempts {
    pub(super) fn latest(&mut self, process: &str, id: Uuid) -> Option<&mut UnderWay> {
        let mut attempts = self.under_way.values_mut().rev();
        attempts.find(|attempt| attempt.event.id == id && attempt.process == process)
    }
}
