//! Outcomes that are decided and not recorded yet: kept, each under its lease, until they are.

use uuid::Uuid;

use crate::outcome::Settlement;

/// In the order in which they were decided.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Vec<Settlement>);

impl Unrecorded {
    pub(super) fn push(&mut self, settlement: Settlement) {
        self.0.push(settlement);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all of them to record them. What is not recorded comes back by
    /// [`put_back`](Self::put_back) or [`push`](Self::push).
    pub(super) fn take(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.0)
    }

    /// They could not be recorded. They go before what was decided since.
    pub(super) fn put_back(&mut self, mut settlements: Vec<Settlement>) {
        settlements.append(&mut self.0);
        self.0 = settlements;
    }

    /// Somebody else has the event, or is past it. Returns how many outcomes are not recorded.
    pub(super) fn lose(&mut self, event_id: Uuid) -> usize {
        let before = self.0.len();
        self.0
            .retain(|settlement| settlement.lease.event_id != event_id);
        before - self.0.len()
    }
}
