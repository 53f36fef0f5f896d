//! The order in which claims take events.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::event::OutboxEvent;

/// See [`claim_key`].
pub type ClaimKey = (Reverse<i32>, DateTime<Utc>, i64);

/// Sorts events as a claim takes them: higher priority, then earlier due, then smaller seq.
#[must_use]
pub fn claim_key(event: &OutboxEvent) -> ClaimKey {
    (Reverse(event.priority), event.next_attempt_at, event.seq)
}
