//! Dead letters: how a row becomes one. It keeps its place in its lane and holds back the events
//! behind it, unless its entity is set to skip dead letters.

use crate::entity::OnDead;
use crate::event::OutboxStatus;
use crate::store::kit::{Slot, Turn, slot_after};

/// The slot of a dead event, as a row has it.
pub(super) fn slot(on_dead: OnDead) -> Option<i64> {
    slot_after(OutboxStatus::Dead, on_dead, Turn::Now).map(Slot::code)
}

/// The beginning of a statement that buries an event in the [`slot`] `?2`, with the reason `?3` and
/// the message `?4`.
macro_rules! bury {
    () => {
        "UPDATE outbox_events SET status = 3, slot = ?2, lane = CASE WHEN ?2 IS NOT NULL THEN lane END, \
             entity_lane = CASE WHEN ?2 IS NOT NULL THEN entity_lane END, dead_reason = ?3, error_message = ?4"
    };
}
pub(super) use bury;
