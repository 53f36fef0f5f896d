//! The triggers on `outbox_events`: what must hold whoever writes there, also by a statement of the application's own.
//!
//! None fires for an event that is enqueued, claimed, completed or given back. So one thing is not noticed: an `UPDATE` that
//! completes an event while no handler has it. A trigger for that, also one whose condition is false, makes each completion
//! half as expensive again.
//!
//! - `outbox_forget` keeps what is counted and remembered of a deleted row.
//! - `outbox_gone`, `outbox_left` and `outbox_moved` hand on where the front of a lane, or an
//!   [elder](super::elders), is deleted, made a dead letter that is skipped, or moved to another
//!   lane. What ends while it is leased is handed on by who settles it.

use super::elders::{has_kin, row_has_elders};
use super::tally::forget_deleted;
use super::told::{told_entity, told_user};

/// What a change of the queue begins with: who goes may have to wait for its time, and becomes
/// `waiting` then. There is no clock here, and the next claim looks.
macro_rules! let_go {
    () => {
        "
    UPDATE outbox_events
    SET slot = CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 'ready' ELSE 'waiting' END
    WHERE "
    };
}

/// Lets those go that waited for the row `old` and for nobody else: the first of its lane, and its
/// juniors in the lanes of other orders.
macro_rules! hand_on {
    () => {
        concat!(
            hand_on!(
                Entity,
                "true",
                "entity_id = old.entity_id AND user_id = old.user_id AND lane IS NULL"
            ),
            hand_on!(
                User,
                "(old.lane = 'user' OR EXISTS (SELECT 1 FROM outbox_events AS junior INDEXED BY outbox_reordered
            WHERE junior.entity_id = old.entity_id AND junior.user_id = old.user_id AND junior.event_type = old.event_type
                AND junior.lane = 'user' AND junior.open IS NOT NULL))",
                "user_id = old.user_id AND lane = 'user'"
            ),
            let_go!(),
            "entity_id = old.entity_id AND user_id = old.user_id AND event_type = old.event_type AND lane = 'none'
        AND open IS NOT NULL AND slot = 'blocked' AND NOT ",
            row_has_elders!(Unordered),
            ";"
        )
    };
    ($order:ident, $condition:literal, $lane:literal) => {
        concat!(
            let_go!(),
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

/// Whether others are in the lane of the row `new`.
macro_rules! has_company {
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

/// What the first step of the schema ends with.
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
    hand_on!(),
    "
END;

CREATE TRIGGER outbox_left AFTER UPDATE OF dead_reason ON outbox_events
WHEN old.slot <> 'leased' AND new.open IS NULL AND (old.slot <> 'blocked' OR ",
    has_kin!("old"),
    ") BEGIN",
    hand_on!(),
    "
END;

CREATE TRIGGER outbox_moved AFTER UPDATE OF entity_id, user_id, lane, event_type ON outbox_events
WHEN old.open IS NOT NULL AND (old.entity_id IS NOT new.entity_id OR old.user_id IS NOT new.user_id OR old.lane IS NOT new.lane
    OR old.event_type IS NOT new.event_type)
BEGIN
    UPDATE outbox_events SET slot = 'blocked'
    WHERE seq = new.seq AND (slot = 'ready' OR slot = 'waiting') AND (",
    has_company!(),
    " OR ",
    row_has_elders!(Any),
    ");
    UPDATE outbox_events
    SET slot = CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 'ready' ELSE 'waiting' END
    WHERE seq = new.seq AND slot = 'blocked' AND NOT ",
    has_company!(),
    " AND NOT ",
    row_has_elders!(Any),
    ";",
    hand_on!(),
    "
END;
"
);
