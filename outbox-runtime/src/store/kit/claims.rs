//! Claims: their order, and their limit on metadata.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::claim::ClaimRequest;
use crate::event::OutboxEvent;
use crate::metadata::RawMetadata;

/// The sort key of an event; see [`claim_key`].
pub type ClaimKey = (Reverse<i32>, DateTime<Utc>, i64);

/// The sort key of claim order: higher priority, then earlier due time, then smaller seq.
#[must_use]
pub fn claim_key(event: &OutboxEvent) -> ClaimKey {
    (Reverse(event.priority), event.next_attempt_at, event.seq)
}

/// The part of a budget in bytes that is reserved for round-robin turns: the same share of it as
/// `turns` are of the `limit` of a claim.
#[must_use]
pub fn share_of_turns(budget: usize, turns: usize, limit: usize) -> usize {
    // In 128 bits, because a limit may be any number.
    let share = (budget as u128 * turns as u128).checked_div(limit as u128);
    usize::try_from(share.unwrap_or(0)).unwrap_or(budget)
}

/// The metadata budget of a claim.
#[derive(Debug)]
pub struct Load {
    left: usize,
    /// The part of it that is reserved for round-robin turns.
    kept: usize,
}

impl Load {
    /// The whole budget.
    #[must_use]
    pub fn new() -> Self {
        Self {
            left: ClaimRequest::MAX_METADATA_BYTES,
            kept: 0,
        }
    }

    /// Reserves a share of the budget for round-robin turns: the same share as they have of the
    /// claimed events, no matter how large the other events are.
    pub fn keep_for_turns(&mut self, request: &ClaimRequest) {
        let whole = ClaimRequest::MAX_METADATA_BYTES;
        self.kept = share_of_turns(whole, request.turns(), request.limit());
    }

    /// Releases the reserved share, in full even if the last event exceeded the rest of the budget.
    pub fn turns_begin(&mut self) {
        self.left = self.left.max(self.kept);
        self.kept = 0;
    }

    /// Deducts the metadata of an event.
    pub fn add(&mut self, event: &OutboxEvent) {
        let size = event.metadata.as_ref().map_or(0, RawMetadata::len);
        self.left = self.left.saturating_sub(size);
    }

    /// Whether the claim ends here; before the turns, whether its part in claim order does.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left <= self.kept
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}
