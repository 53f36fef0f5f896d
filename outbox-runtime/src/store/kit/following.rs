//! Which events may be leased together with the one before them in their lane.

use chrono::{DateTime, Utc};

use super::Turn;
use crate::event::{OutboxEvent, OutboxStatus};

/// Whether `next`, which comes directly after `event` in their lane, may be leased together with
/// it: a batch that has `event` takes it too, and nothing about `next` itself holds it back. The
/// store checks the rest: a lease of another worker, a [pause](super::Pauses), a
/// [parent](super::holds_back), and an older event of another order.
///
/// Both have the same type, user and destination. `next` is due, not expired, and is not to be sent
/// alone: it has more than one attempt, and its process never died.
#[must_use]
pub fn follows(event: &OutboxEvent, next: &OutboxEvent, now: DateTime<Utc>) -> bool {
    event.shares_lane_with(next)
        && event.id != next.id
        && event.event_type == next.event_type
        && event.destination == next.destination
        && matches!(next.status, OutboxStatus::Pending | OutboxStatus::Failed)
        && Turn::of(next, now, false) == Turn::Now
        && !next.is_expired(now)
        && !next.is_sent_alone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enqueue::NewEvent;
    use crate::entity::Order;
    use crate::event::Operation;
    use chrono::TimeDelta;

    fn event(order: Order) -> OutboxEvent {
        let new = NewEvent::new("note", 1, "u1", Operation::Update).with_order(order);
        new.into_pending(DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_the_next_of_the_same_lane_and_kind_follows() {
        let now = DateTime::UNIX_EPOCH;
        for order in [Order::Entity, Order::User] {
            let first = event(order);
            let differs = |change: fn(&mut OutboxEvent)| {
                let mut next = event(order);
                change(&mut next);
                !follows(&first, &next, now)
            };
            assert!(follows(&first, &event(order), now));
            assert!(differs(|next| next.event_type = "goal".into()));
            assert!(differs(|next| next.user_id = "u2".into()));
            assert!(differs(|next| next.destination = Some("eu".into())));
            assert!(differs(|next| next.order = Order::None));
            assert!(differs(|next| next.status = OutboxStatus::Dead));
            assert!(differs(|next| next.status = OutboxStatus::Processing));
            assert!(differs(|next| next.crashes = 1));
            assert!(differs(|next| next.max_attempts = 1));
            assert!(differs(|next| next.expires_at = Some(DateTime::UNIX_EPOCH)));
            assert!(differs(|next| next.next_attempt_at += TimeDelta::seconds(1)));
            assert_eq!(
                differs(|next| next.entity_id = 2.into()),
                order == Order::Entity
            );
        }
        assert!(!follows(&event(Order::None), &event(Order::None), now));
    }
}
