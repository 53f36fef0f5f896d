//! Events in batches: which of them wait for each other, and which are sent alone.

use super::OutboxEvent;
use crate::entity::Order;

impl OutboxEvent {
    /// Whether two events are of one lane: the later one waits for the earlier one.
    pub(crate) fn shares_lane_with(&self, other: &Self) -> bool {
        self.order == other.order
            && self.user_id == other.user_id
            && match self.order {
                Order::Entity => self.entity_id == other.entity_id,
                Order::User => true,
                Order::None => self.id == other.id,
            }
    }

    /// Whether the event is a batch of its own, which waits for no other. One whose process died
    /// may be why: with others it would take them along each time, until all of them are dead. And
    /// one with a single attempt is not attempted again for lack of evidence, which others should
    /// not pay for.
    pub(crate) fn is_sent_alone(&self) -> bool {
        self.crashes > 0 || self.max_attempts == 1
    }
}
