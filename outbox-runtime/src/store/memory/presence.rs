//! The processes that work on the store: this one.

use super::state::State;
use crate::claim::{LeaseToken, ProcessKey};
use crate::event::OutboxStatus;
use crate::presence::{ProcessState, StoreProcess};

impl State {
    /// This process, if it has announced a run or holds events.
    pub(super) fn processes(&self) -> Vec<StoreProcess> {
        let is_own = |token| LeaseToken::from(token).process_key() == Some(ProcessKey::own());
        let held = self.rows.values().filter(|event| {
            event.status == OutboxStatus::Processing && event.lease_token.is_some_and(is_own)
        });
        let started = self.runs.values().map(|run| run.started_at);
        let claimed = held.clone().filter_map(|event| event.last_attempt_at);
        let Some(since) = started.chain(claimed).min() else {
            return Vec::new();
        };
        let mut process = StoreProcess::new(ProcessKey::own(), ProcessState::Alive, since);
        process.host = crate::store::process::host();
        process.leases = held.count() as u64;
        process.runs = self.runs.values().cloned().collect();
        process.runs.sort_by_key(|run| (run.started_at, run.run_id));
        vec![process]
    }
}
