//! The one-byte codes of enums in rows.

use outbox_runtime::{OnDead, Operation, Order, OutboxStatus};

/// An enum with a code of one byte, a PostgreSQL `"char"`.
pub(crate) trait Code: Sized + Copy + 'static {
    /// All values, each with its code.
    const CODES: &'static [(Self, u8)];

    fn is(self, other: Self) -> bool;

    fn code(self) -> i8 {
        let found = Self::CODES.iter().find(|(value, _)| value.is(self));
        found.map_or(0, |(_, code)| code.cast_signed())
    }

    fn of(code: i8) -> Option<Self> {
        let found = Self::CODES.iter().find(|(_, of)| of.cast_signed() == code);
        found.map(|(value, _)| *value)
    }
}

macro_rules! codes {
    ($($type:ident { $($variant:ident = $code:literal),+ })+) => {$(
        impl Code for $type {
            const CODES: &'static [(Self, u8)] = &[$(($type::$variant, $code)),+];

            fn is(self, other: Self) -> bool {
                self == other
            }
        }
    )+};
}

codes! {
    OutboxStatus { Pending = b'p', Processing = b'i', Completed = b'c', Failed = b'f', Dead = b'd' }
    Operation { Create = b'c', Update = b'u', Delete = b'd' }
    Order { Entity = b'e', User = b'u', None = b'n' }
    OnDead { Hold = b'h', Skip = b's' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_code() {
        assert!(OutboxStatus::ALL.iter().all(|value| value.code() != 0));
        assert!(Operation::ALL.iter().all(|value| value.code() != 0));
        assert!(Order::ALL.iter().all(|value| value.code() != 0));
        assert!(OnDead::ALL.iter().all(|value| value.code() != 0));
    }
}
