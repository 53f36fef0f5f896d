//! Parents: which creations an event waits for, and until when.
//!
//! An event waits only for creations that were enqueued before it, so no two events ever wait for
//! each other, whatever their lanes.

use crate::enqueue::NewEvent;
use crate::entity::{OnDead, Parent};
use crate::event::{DeadReason, Operation, OutboxEvent, OutboxStatus};

/// Whether `earlier`, which was enqueued before an event of this user with this parent, creates
/// the parent.
#[must_use]
pub fn creates(earlier: &OutboxEvent, parent: &Parent, user_id: &str) -> bool {
    earlier.operation == Operation::Create
        && earlier.entity_id == parent.entity_id
        && earlier.user_id == user_id
        && parent
            .stored_types()
            .any(|event_type| event_type == earlier.event_type)
}

/// Whether an event with this `on_dead` waits for this creation of its parent. A dead one is
/// decided on by people, unless it expired: then nobody would retry it.
#[must_use]
pub fn holds_back(creation: &OutboxEvent, on_dead: OnDead) -> bool {
    match creation.status {
        OutboxStatus::Completed => false,
        OutboxStatus::Pending | OutboxStatus::Processing | OutboxStatus::Failed => true,
        OutboxStatus::Dead => {
            on_dead == OnDead::Hold && creation.dead_reason != Some(DeadReason::Expired)
        }
    }
}

/// Whether an event with the [key](crate::Enqueue::key) of `old`, which it replaces, takes over its
/// place: its `seq` and its `created_at`. Then whatever waits for `old` waits for the new one, and
/// nobody waits in a circle, because the new one waits for what `old` waited for.
///
/// So it is if both create the same entity, and wait alike.
#[must_use]
pub fn takes_place(new: &NewEvent, old: &OutboxEvent) -> bool {
    new.operation == Operation::Create
        && old.operation == Operation::Create
        && new.event_type == old.event_type
        && new.entity_id == old.entity_id
        && new.user_id == old.user_id
        && new.order == old.order
        && new.on_dead == old.on_dead
        && new.parents() == old.parents
}

/// Parents as a row has them: JSON, or nothing if there are none.
#[must_use]
pub fn stored_parents(parents: &[Parent]) -> Option<String> {
    if parents.is_empty() {
        return None;
    }
    // Strings and lists of strings are always valid JSON.
    serde_json::to_string(parents).ok()
}

/// The parents that a row has. What cannot be read counts as none: it must not keep the event from
/// being delivered.
#[must_use]
pub fn parents_from(stored: &str) -> Vec<Parent> {
    serde_json::from_str(stored).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::entity::Order;

    #[test]
    fn parents_are_read_back_as_they_were_stored() {
        let parents = [
            Parent {
                aliases: vec!["diary".to_owned()],
                ..Parent::new("journal", "7")
            },
            Parent::new("goal", "G-\"1\""),
        ];
        let stored = stored_parents(&parents).unwrap();
        assert_eq!(parents_from(&stored), parents);
        assert_eq!(stored_parents(&[]), None);
        assert_eq!(parents_from("no JSON"), []);
    }

    #[test]
    fn a_creation_takes_the_place_of_one_of_the_same_entity_that_waits_alike() {
        let new = || NewEvent::new("page", 7, "u1", Operation::Create).with_after("journal", 1);
        let old = new().into_pending(DateTime::UNIX_EPOCH);
        assert!(takes_place(
            &new().with_delay(std::time::Duration::MAX),
            &old
        ));
        for other in [
            NewEvent::new("page", 7, "u1", Operation::Update).with_after("journal", 1),
            NewEvent::new("note", 7, "u1", Operation::Create).with_after("journal", 1),
            NewEvent::new("page", 8, "u1", Operation::Create).with_after("journal", 1),
            NewEvent::new("page", 7, "u2", Operation::Create).with_after("journal", 1),
            NewEvent::new("page", 7, "u1", Operation::Create).with_after("journal", 2),
            new().with_order(Order::User),
            new().with_on_dead(OnDead::Skip),
        ] {
            assert!(!takes_place(&other, &old), "{other:?}");
            let old = other.into_pending(DateTime::UNIX_EPOCH);
            assert!(!takes_place(&new(), &old), "{old:?}");
        }
    }

    #[test]
    fn a_dead_creation_holds_back_unless_the_child_skips_or_the_creation_expired() {
        let new = NewEvent::new("journal", 7, "u1", Operation::Create);
        let mut creation = new.into_pending(DateTime::UNIX_EPOCH);
        for status in [OutboxStatus::Pending, OutboxStatus::Failed] {
            creation.status = status;
            assert!(holds_back(&creation, OnDead::Skip), "{status}");
        }
        creation.status = OutboxStatus::Completed;
        assert!(!holds_back(&creation, OnDead::Hold));
        creation.status = OutboxStatus::Dead;
        for reason in DeadReason::ALL {
            creation.dead_reason = Some(*reason);
            let is_held = *reason != DeadReason::Expired;
            assert_eq!(holds_back(&creation, OnDead::Hold), is_held, "{reason}");
            assert!(!holds_back(&creation, OnDead::Skip), "{reason}");
        }
    }
}
