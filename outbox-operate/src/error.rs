//! What a listing shows as the error of an event.

use outbox_runtime::{OutboxEvent, OutboxStatus};

/// The error that somebody can act on: that of the last failed attempt, or else the last refusal.
///
/// The row of a delivered event keeps its last refusal, as history: a listing that showed it would
/// report a fault where there is none.
#[must_use]
pub fn open_error(event: &OutboxEvent) -> Option<String> {
    if event.status == OutboxStatus::Completed {
        return None;
    }
    let refusal = || event.last_refusal.as_ref().map(ToString::to_string);
    event.error_message.clone().or_else(refusal)
}
