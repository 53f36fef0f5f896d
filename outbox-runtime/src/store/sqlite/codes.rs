//! The numbers in rows that stand for words, so that a row is small and a comparison cheap.
//!
//! | column | numbers |
//! |---|---|
//! | `operation` | 0 create, 1 update, 2 delete |
//! | `status` | 0 pending, 1 failed, 2 completed, 3 dead; a handler has the event: see [`held`](super::held) |
//! | `slot` | 0 not placed yet, 1 ready, 2 waiting, 3 blocked, 4 parked, 5 holding; NULL out: see [`Slot`](crate::store::kit::Slot) |
//! | `lane_order` | 0 entity, 1 user, 2 none |
//! | `on_dead` | 0 hold, 1 skip |
//! | `dead_reason` | 1 attempts exhausted, 2 rejected, 3 undecodable, 4 deferred out, 5 crash loop, 6 snoozed out, 7 expired, 8 retired |
//!
//! SQL text spells these numbers out; `tests/stores/decisions` compares each decision that it makes
//! with the functions of the kit.

use crate::entity::{OnDead, Order};
use crate::event::{DeadReason, Operation, OutboxStatus};

/// The `slot` of an event whose lane is not known yet: another program wrote it, or moved it to
/// another entity or user. Its `lane` is 0. The next claim [places](super::place) it.
pub(super) const UNPLACED: i64 = 0;

/// A word that a row stores as a number.
pub(super) trait Code: Sized {
    /// What a number of no word is not.
    const WHAT: &'static str;
    /// The number.
    fn code(self) -> i64;
    /// The word of a number.
    fn of(code: i64) -> Option<Self>;
}

macro_rules! codes {
    ($word:ty, $what:literal, { $($name:ident = $code:literal),+ $(,)? }) => {
        impl Code for $word {
            const WHAT: &'static str = $what;

            fn code(self) -> i64 {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            fn of(code: i64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

codes!(Operation, "operation", { Create = 0, Update = 1, Delete = 2 });
codes!(Order, "order", { Entity = 0, User = 1, None = 2 });
codes!(OnDead, "on_dead", { Hold = 0, Skip = 1 });
codes!(DeadReason, "dead reason", {
    AttemptsExhausted = 1,
    Rejected = 2,
    Undecodable = 3,
    DeferredOut = 4,
    CrashLoop = 5,
    SnoozedOut = 6,
    Expired = 7,
    Retired = 8,
});

impl Code for OutboxStatus {
    const WHAT: &'static str = "status";

    /// A claim leaves the row's status as it is, so `Processing` is written as the status before a
    /// first claim.
    fn code(self) -> i64 {
        match self {
            Self::Pending | Self::Processing => 0,
            Self::Failed => 1,
            Self::Completed => 2,
            Self::Dead => 3,
        }
    }

    fn of(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Pending),
            1 => Some(Self::Failed),
            2 => Some(Self::Completed),
            3 => Some(Self::Dead),
            _ => None,
        }
    }
}
