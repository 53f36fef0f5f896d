//! Conversions of integers to ids.

use std::borrow::Cow;
use std::num::NonZero;

use super::{AsUserId, EntityId};

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

macro_rules! from_larger_integers {
    ($($integer:ty)+) => {$(
        /// An integer if it fits an `i64`, otherwise its digits as text: no database has a larger
        /// integer type, and every id stays distinct.
        ///
        /// # Examples
        ///
        /// ```
        /// use outbox_runtime::EntityId;
        ///
        /// assert_eq!(EntityId::from(7_u64), EntityId::from(7_i64));
        /// assert_eq!(EntityId::from(u64::MAX).as_text(), Some("18446744073709551615"));
        /// ```
        impl From<$integer> for EntityId {
            fn from(id: $integer) -> Self {
                i64::try_from(id).map_or_else(|_| Self::Text(id.to_string()), Self::Integer)
            }
        }
    )+};
}

from_larger_integers!(u64 usize isize u128 i128);

macro_rules! of_each_integer {
    ($($integer:ty)+) => {$(
        impl From<NonZero<$integer>> for EntityId {
            fn from(id: NonZero<$integer>) -> Self {
                id.get().into()
            }
        }

        /// The decimal digits.
        impl AsUserId for $integer {
            fn as_user_id(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }

        /// The decimal digits.
        impl AsUserId for NonZero<$integer> {
            fn as_user_id(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }
        }
    )+};
}

of_each_integer!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
