//! Claims: the order in which they take events, and how much they may bring.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::claim::ClaimRequest;
use crate::event::OutboxEvent;
use crate::metadata::RawMetadata;

/// See [`claim_key`].
pub type ClaimKey = (Reverse<i32>, DateTime<Utc>, i64);

/// Sorts events as a claim takes them: higher priority, then earlier due, then smaller seq.
#[must_use]
pub fn claim_key(event: &OutboxEvent) -> ClaimKey {
    (Reverse(event.priority), event.next_attempt_at, event.seq)
}

/// How much metadata a claim may still bring.
#[derive(Debug)]
pub struct Load {
    left: usize,
    /// So much of it is for those who take turns.
    kept: usize,
}

impl Load {
    /// Nothing was brought yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            left: ClaimRequest::MAX_METADATA_BYTES,
            kept: 0,
        }
    }

    /// Those who take turns have the same share of the metadata as of the places, however large the events of others are.
    pub fn keep_for_turns(&mut self, request: &ClaimRequest) {
        let whole = ClaimRequest::MAX_METADATA_BYTES;
        // In 128 bits: a limit may be any number.
        let share = (whole as u128 * request.turns() as u128).checked_div(request.limit() as u128);
        self.kept = usize::try_from(share.unwrap_or(0)).unwrap_or(whole);
    }

    /// What was kept is there to be used, also where the event before was larger than what was left.
    pub fn turns_begin(&mut self) {
        self.left = self.left.max(self.kept);
        self.kept = 0;
    }

    /// Counts the metadata of an event.
    pub fn add(&mut self, event: &OutboxEvent) {
        let size = event.metadata.as_ref().map_or(0, RawMetadata::len);
        self.left = self.left.saturating_sub(size);
    }

    /// Whether the claim ends here, or its part in claim order.
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
