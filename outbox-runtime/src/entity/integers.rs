//! Ids of every integer type.

use super::EntityId;

macro_rules! from_smaller_integers {
    ($($integer:ty)+) => {$(
        impl From<$integer> for EntityId {
            fn from(id: $integer) -> Self {
                Self::Integer(id.into())
            }
        }
    )+};
}

from_smaller_integers!(i8 i16 i32 u8 u16 u32);

/// An integer as far as `i64` goes, and its digits as text beyond: no database has a larger integer, and no id is lost or
/// becomes another.
///
/// # Examples
///
/// ```
/// use outbox_runtime::EntityId;
///
/// assert_eq!(EntityId::from(7_u64), EntityId::from(7_i64));
/// assert_eq!(EntityId::from(u64::MAX).as_text(), Some("18446744073709551615"));
/// ```
impl From<u64> for EntityId {
    fn from(id: u64) -> Self {
        i64::try_from(id).map_or_else(|_| Self::Text(id.to_string()), Self::Integer)
    }
}
