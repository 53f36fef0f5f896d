//! An independent copy of the lane rule: which rows of a scene wait for which.

use outbox_runtime::prelude::*;
use outbox_runtime::store::kit::{Turn, slot_after};

use crate::scene::{Row, Stored};

/// The properties of a row that decide who waits for whom.
pub(crate) trait InLine {
    fn seq(&self) -> i64;
    fn is_open(&self) -> bool;
    fn is_leased(&self) -> bool;
    fn order(&self) -> Order;
}

impl InLine for Row {
    fn seq(&self) -> i64 {
        self.seq
    }
    fn is_open(&self) -> bool {
        slot_after(self.status, self.on_dead, Turn::Now).is_some()
    }
    fn is_leased(&self) -> bool {
        self.status == OutboxStatus::Processing
    }
    fn order(&self) -> Order {
        self.order
    }
}

impl InLine for Stored {
    fn seq(&self) -> i64 {
        self.event.seq
    }
    fn is_open(&self) -> bool {
        slot_after(self.event.status, self.event.on_dead, Turn::Now).is_some()
    }
    fn is_leased(&self) -> bool {
        self.event.status == OutboxStatus::Processing
    }
    fn order(&self) -> Order {
        self.event.order
    }
}

/// The lane rule for rows of one type, entity and user: a row waits behind the leased row of its
/// order, or else the first one, and behind every earlier row of another order.
pub(crate) fn is_behind<R: InLine>(rows: &[R], row: &R) -> bool {
    let open = || rows.iter().filter(|other| other.is_open());
    let mine = || {
        open().filter(|other| {
            other.order() == row.order() && (row.order() != Order::None || other.seq() == row.seq())
        })
    };
    let leased = mine().find(|other| other.is_leased());
    let front = leased.or_else(|| mine().min_by_key(|other| other.seq()));
    let has_elder = open().any(|other| other.order() != row.order() && other.seq() < row.seq());
    has_elder || front.is_some_and(|front| front.seq() != row.seq())
}
