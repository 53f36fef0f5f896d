//! Decided outcomes that are not recorded yet. Each is kept under its lease until it is.

use uuid::Uuid;

use crate::outcome::Settlement;

/// The outcomes, in the order in which they were decided.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Vec<Settlement>);

impl Unrecorded {
    pub(super) fn push(&mut self, settlement: Settlement) {
        self.0.push(settlement);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all outcomes to record them. Return those that are not recorded with
    /// [`put_back`](Self::put_back) or [`push`](Self::push).
    pub(super) fn take(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.0)
    }

    /// Returns outcomes that could not be recorded, ahead of those decided since.
    pub(super) fn put_back(&mut self, mut settlements: Vec<Settlement>) {
        settlements.append(&mut self.0);
        self.0 = settlements;
    }

    /// Drops the outcomes of an event whose lease is lost. Returns how many there were.
    pub(super) fn lose(&mut self, event_id: Uuid) -> usize {
        let before = self.0.len();
        self.0
            .retain(|settlement| settlement.lease.event_id != event_id);
        before - self.0.len()
    }
}
