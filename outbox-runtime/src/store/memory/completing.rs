//! Events that handlers complete before they answer.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::MemoryStore;
use super::state::{Noted, State};
use crate::claim::Lease;
use crate::clock;
use crate::completion::{CompleteFuture, Completion, CompletionSink, SupersedingSink};
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::CompleteError;
use crate::outcome::{Disposition, Settled, Settlement};
use crate::store::kit::COMPLETION_KEPT;

/// The key of a claim.
pub(super) fn key(lease: &Lease) -> (Uuid, Uuid) {
    (lease.event_id, lease.token.as_uuid())
}

impl State {
    fn complete(&mut self, completion: &Completion, now: DateTime<Utc>) -> bool {
        let lease = completion.lease;
        if self.completions.contains_key(&key(&lease)) {
            return true;
        }
        let disposition = match completion.is_kept {
            true => Disposition::Complete,
            false => Disposition::Remove,
        };
        if self.settle(Settlement { lease, disposition }, now) != Settled::Recorded {
            return false;
        }
        let noted = Noted {
            at: now,
            next: None,
        };
        self.completions.insert(key(&lease), noted);
        true
    }

    /// Forgets the completions of handlers that never answered.
    pub(super) fn forget_completions(&mut self, now: DateTime<Utc>) {
        self.completions
            .retain(|_, noted| clock::after(noted.at, COMPLETION_KEPT) > now);
    }
}

impl MemoryStore {
    pub(super) fn complete_now(&self, completion: &Completion) -> Result<(), CompleteError> {
        self.awake("complete")?;
        let now = self.now();
        let is_completed = self.state().complete(completion, now);
        self.shared.signal.raise();
        let event_id = completion.lease.event_id;
        match is_completed {
            true => Ok(()),
            false => Err(CompleteError::LeaseLost { event_id }),
        }
    }

    /// Does both on a copy, which replaces the state if both succeed. A second call under the same
    /// lease answers what the first did.
    pub(super) fn supersede_now(
        &self,
        completion: &Completion,
        next: NewEvent,
    ) -> Result<Enqueued, CompleteError> {
        self.awake("complete")?;
        let now = self.now();
        let event_id = completion.lease.event_id;
        let refused = |source| CompleteError::Next { event_id, source };
        next.validate().map_err(refused)?;
        let state = &mut *self.state();
        let key = key(&completion.lease);
        if let Some(first) = state.completions.get(&key).and_then(|noted| noted.next) {
            return Ok(first);
        }
        let mut after = state.clone();
        if !after.complete(completion, now) {
            return Err(CompleteError::LeaseLost { event_id });
        }
        let enqueued = after.enqueue(next, now).map_err(refused)?;
        if let Some(noted) = after.completions.get_mut(&key) {
            noted.next = Some(enqueued);
        }
        *state = after;
        self.shared.signal.raise();
        Ok(enqueued)
    }
}

/// The event is completed when the call returns, because this store has no transactions; awaiting
/// the result only keeps stores interchangeable.
impl CompletionSink<MemoryStore> for &MemoryStore {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let completed = completion.and_then(|completion| self.complete_now(&completion));
        CompleteFuture::new(std::future::ready(completed))
    }
}

/// Both are done when the call returns, or neither.
impl SupersedingSink<MemoryStore> for &MemoryStore {
    type Output = CompleteFuture<'static, Enqueued>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let done = step.and_then(|(completion, next)| self.supersede_now(&completion, next));
        CompleteFuture::new(std::future::ready(done))
    }
}
