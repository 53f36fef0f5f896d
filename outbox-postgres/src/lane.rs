//! The number of a lane: one 64-bit key instead of an order, a user and an entity.
//!
//! The number is the first eight bytes of the SHA-256 digest of the order's code, the length of the
//! user id, a colon, the user id and, unless the order is `user`, the entity id; big-endian, as a
//! signed integer. It needs no secret from the database, so an event is written by one statement on
//! any connection; and nobody can choose ids that collide with another lane on purpose. Two lanes
//! with one number would wait for each other, which breaks no promise. The function `lane` of the
//! schema computes the same.

use outbox_runtime::Order;
use sha2::{Digest, Sha256};

use crate::codes::Code;

/// The number of the lane of this order, user and entity.
pub(crate) fn number(order: Order, user_id: &str, entity_id: &str) -> i64 {
    let mut hash = Sha256::new();
    hash.update([order.code().cast_unsigned()]);
    hash.update(user_id.len().to_string());
    hash.update(b":");
    hash.update(user_id);
    if order != Order::User {
        hash.update(entity_id);
    }
    let digest = hash.finalize();
    let first: [u8; 8] = digest.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// The number of the lane that the event waits in; unordered events have none.
pub(crate) fn of(order: Order, user_id: &str, entity_id: &str) -> Option<i64> {
    (order != Order::None).then(|| number(order, user_id, entity_id))
}

/// The number of the lane that events of the entity have in the default order.
pub(crate) fn of_entity(user_id: &str, entity_id: &str) -> i64 {
    number(Order::Entity, user_id, entity_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `sha256sum`; rows of older versions have these numbers.
    #[test]
    fn a_number_never_changes() {
        assert_eq!(of_entity("u1", "7"), 0x188b_a7a4_b3eb_2d5c);
    }

    #[test]
    fn no_two_pairs_of_ids_are_one_text() {
        assert_ne!(of_entity("u1", "7"), of_entity("u", "17"));
        assert_ne!(of_entity("1", ":2"), of_entity("1:", "2"));
    }
}
