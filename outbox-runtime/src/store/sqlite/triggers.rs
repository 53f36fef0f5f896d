//! The triggers on `outbox_events`: invariants that hold for every writer, including the
//! application's own statements.
//!
//! No trigger fires when an event is enqueued, claimed, completed or given back. So one change goes
//! unnoticed: an `UPDATE` that completes an event while no handler holds it. A trigger for that
//! makes each completion half as expensive again, even if its condition is false.
//!
//! - `outbox_forget` updates the counts and records of a deleted row.
//! - `outbox_gone`, `outbox_left` and `outbox_moved` unblock the next event when the front of a
//!   lane, or an [elder](super::elders), is deleted, becomes a dead letter that is skipped, or
//!   moves to another lane. For an event that ends while it is leased, settling unblocks the next
//!   one.

use super::elders::{has_kin, row_has_elders};
use super::tally::forget_deleted;
use super::told::{told_entity, told_user};

/// The beginning of a statement that unblocks events. Triggers have no clock, so an event that may
/// not be due becomes `waiting`, and the next claim decides.
macro_rules! unblock {
    () => {
        "
    UPDATE outbox_events
    SET slot = CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 'ready' ELSE 'waiting' END
    WHERE "
    };
}

/// Unblocks the events that waited only for the row `old`: the first of its lane, and its juniors
/// in the lanes of other orders.
macro_rules! unblock_next {
    () => {
        concat!(
            unblock_next!(
                Entity,
                "true",
                "entity_id = old.entity_id AND user_id = old.user_id AND lane IS NULL"
            ),
            unblock_next!(
                User,
                "(old.lane = 'user' OR EXISTS (SELECT 1 FROM outbox_events AS junior INDEXED BY outbox_reordered
            WHERE junior.entity_id = old.entity_id AND junior.user_id = old.user_id AND junior.event_type = old.event_type
                AND junior.lane = 'user' AND junior.open IS NOT NULL))",
                "user_id = old.user_id AND lane = 'user'"
            ),
            unblock!(),
            "entity_id = old.entity_id AND user_id = old.user_id AND event_type = old.event_type AND lane = 'none'
        AND open IS NOT NULL AND slot = 'blocked' AND NOT ",
            row_has_elders!(Unordered),
            ";"
        )
    };
    ($order:ident, $condition:literal, $lane:literal) => {
        concat!(
            unblock!(),
            $condition,
            " AND slot = 'blocked'
        AND seq = (SELECT min(seq) FROM outbox_events WHERE ",
            $lane,
            " AND open IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_leased WHERE slot = 'leased' AND ",
            $lane,
            ")
        AND NOT ",
            row_has_elders!($order),
            ";"
        )
    };
}

/// Whether other events are in the lane of the row `new`.
macro_rules! has_others {
    () => {
        "CASE
        WHEN new.lane IS NULL THEN EXISTS (SELECT 1 FROM outbox_events AS other
            WHERE other.entity_id = new.entity_id AND other.user_id = new.user_id AND other.lane IS NULL
                AND other.open IS NOT NULL AND other.seq <> new.seq)
        WHEN new.lane = 'user' THEN EXISTS (SELECT 1 FROM outbox_events AS other
            WHERE other.user_id = new.user_id AND other.lane = 'user' AND other.open IS NOT NULL AND other.seq <> new.seq)
        ELSE false END"
    };
}

/// The last part of the schema's first step.
pub(super) const TRIGGERS: &str = concat!(
    "
CREATE TRIGGER outbox_forget AFTER DELETE ON outbox_events BEGIN
    DELETE FROM outbox_folded WHERE into_seq = old.seq;
    INSERT OR IGNORE INTO outbox_told (user_end, entity_end)
    SELECT ",
    told_user!("old.user_id"),
    ", ",
    told_entity!("old.entity_id"),
    "
    WHERE old.status <> 'pending' OR old.last_attempt_at IS NOT NULL OR old.attempt_count > 0;
    ",
    forget_deleted!(),
    "
END;

CREATE TRIGGER outbox_gone AFTER DELETE ON outbox_events
WHEN old.open IS NOT NULL AND (old.slot <> 'blocked' OR ",
    has_kin!("old"),
    ") BEGIN",
    unblock_next!(),
    "
END;

CREATE TRIGGER outbox_left AFTER UPDATE OF dead_reason ON outbox_events
WHEN old.slot <> 'leased' AND new.open IS NULL AND (old.slot <> 'blocked' OR ",
    has_kin!("old"),
    ") BEGIN",
    unblock_next!(),
    "
END;

CREATE TRIGGER outbox_moved AFTER UPDATE OF entity_id, user_id, lane, event_type ON outbox_events
WHEN old.open IS NOT NULL AND (old.entity_id IS NOT new.entity_id OR old.user_id IS NOT new.user_id OR old.lane IS NOT new.lane
    OR old.event_type IS NOT new.event_type)
BEGIN
    UPDATE outbox_events SET slot = 'blocked'
    WHERE seq = new.seq AND (slot = 'ready' OR slot = 'waiting') AND (",
    has_others!(),
    " OR ",
    row_has_elders!(Any),
    ");
    UPDATE outbox_events
    SET slot = CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 'ready' ELSE 'waiting' END
    WHERE seq = new.seq AND slot = 'blocked' AND NOT ",
    has_others!(),
    " AND NOT ",
    row_has_elders!(Any),
    ";",
    unblock_next!(),
    "
END;
"
);
