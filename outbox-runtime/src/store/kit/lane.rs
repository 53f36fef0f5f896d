//! The number of a lane: one 64-bit key instead of an order, a user and an entity.

use std::hash::Hasher as _;

use crate::entity::Order;

/// The secret with which a store numbers its lanes.
///
/// The number is `SipHash-2-4` with this key, over these bytes:
///
/// | bytes | content |
/// |---|---|
/// | 1 | the order: 0 entity, 1 user, 2 none |
/// | 4 | the length of the user id in bytes, little-endian |
/// | | the user id, in UTF-8 |
/// | | the entity id as text (`to_string()`), in UTF-8; nothing for the order 1 |
///
/// read as a signed 64-bit integer, and 1 where that would be 0. Zero is free for "not known yet".
///
/// Two lanes with one number wait for each other, which breaks no promise. Each database has a
/// random key, so an author of ids cannot choose a collision with the lane of somebody else.
/// Where two events must be of the same entity, a store compares the ids themselves.
#[derive(Clone, Copy)]
pub struct LaneKey([u8; Self::BYTES]);

impl LaneKey {
    /// The length of a key.
    pub const BYTES: usize = 16;

    /// The key with these bytes, which should be random.
    #[must_use]
    pub const fn new(key: [u8; Self::BYTES]) -> Self {
        Self(key)
    }

    /// The number of the lane of this entity of this user.
    #[must_use]
    pub fn lane(&self, order: Order, user_id: &[u8], entity_id: &[u8]) -> i64 {
        let code = match order {
            Order::Entity => 0,
            Order::User => 1,
            Order::None => 2,
        };
        let length = u32::try_from(user_id.len()).unwrap_or(u32::MAX);
        let entity_id = match order {
            Order::User => &[],
            Order::Entity | Order::None => entity_id,
        };
        // In one piece where the ids are of the usual length, because hashing is then faster.
        let mut bytes = [0; 128];
        let parts = [&[code][..], &length.to_le_bytes(), user_id, entity_id];
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        let number = if total <= bytes.len() {
            let mut at = 0;
            for part in parts {
                bytes[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            self.hash(&bytes[..total])
        } else {
            self.hash(&parts.concat())
        };
        match number.cast_signed() {
            0 => 1,
            number => number,
        }
    }

    /// SipHash-2-4 of the bytes, as the standard library has it. It was replaced there as a hasher
    /// of maps, whose algorithm may change; this one is stable, and held by the published vectors.
    #[allow(deprecated, reason = "this algorithm is meant, not any good one")]
    fn hash(&self, bytes: &[u8]) -> u64 {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&self.0[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let mut hasher = std::hash::SipHasher::new_with_keys(word(0), word(8));
        hasher.write(bytes);
        hasher.finish()
    }
}

impl std::fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key 00 01 02 .. 0f, of all published vectors.
    const KEY: LaneKey = LaneKey::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    /// The last vector of the paper, and the first, eighth and last of the reference code
    /// (`vectors_sip64`), for the inputs 00 01 02 .. of 15, 0, 7, and 63 bytes.
    #[test]
    fn the_hash_is_the_published_siphash_2_4() {
        let input: Vec<u8> = (0..64).collect();
        for (length, expected) in [
            (15, 0xa129_ca61_49be_45e5_u64),
            (0, 0x726f_db47_dd0e_0e31),
            (7, 0xab02_00f5_8b01_d137),
            (63, 0x958a_324c_eb06_4572),
        ] {
            assert_eq!(KEY.hash(&input[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn a_number_is_the_hash_of_the_documented_bytes() {
        let hash = |bytes: &[u8]| KEY.hash(bytes).cast_signed();
        assert_eq!(
            KEY.lane(Order::Entity, b"u1", b"7"),
            hash(b"\x00\x02\x00\x00\x00u17")
        );
        assert_eq!(
            KEY.lane(Order::User, b"u1", b"7"),
            hash(b"\x01\x02\x00\x00\x00u1")
        );
        assert_eq!(
            KEY.lane(Order::None, b"u1", b"7"),
            hash(b"\x02\x02\x00\x00\x00u17")
        );
        let long = [b'x'; 255];
        let bytes = [&b"\x00\xff\x00\x00\x00"[..], &long, &long].concat();
        assert_eq!(KEY.lane(Order::Entity, &long, &long), hash(&bytes));
    }

    #[test]
    fn no_two_pairs_of_ids_are_one_text() {
        let lane = |user: &[u8], entity: &[u8]| KEY.lane(Order::Entity, user, entity);
        assert_ne!(lane(b"u1", b"7"), lane(b"u", b"17"));
    }
}
