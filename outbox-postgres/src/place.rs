//! Positions in claim order.

use chrono::{DateTime, Utc};
use outbox_runtime::OutboxEvent;

/// A position in claim order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) priority: i32,
    pub(crate) due: DateTime<Utc>,
    pub(crate) seq: i64,
}

impl Place {
    pub(crate) fn of(event: &OutboxEvent) -> Self {
        Self {
            priority: event.priority,
            due: event.next_attempt_at,
            seq: event.seq,
        }
    }

    /// Sorts in claim order.
    pub(crate) fn in_order(&self) -> (std::cmp::Reverse<i32>, DateTime<Utc>, i64) {
        (std::cmp::Reverse(self.priority), self.due, self.seq)
    }

    /// The position before all events of this priority and due time.
    pub(crate) fn before(priority: i32, due: DateTime<Utc>) -> Self {
        Self {
            priority,
            due,
            seq: i64::MIN,
        }
    }
}
