//! The triggers on `outbox_events`: invariants that hold for every writer, including the
//! application's own statements.
//!
//! No trigger fires when an event is enqueued, claimed, completed or given back. So one change goes
//! unnoticed: an `UPDATE` that completes an event while no handler holds it. A trigger for that
//! makes each completion half as expensive again, even if its condition is false.
//!
//! - `outbox_forget` updates the counts of a deleted row's block, and records its entity.
//! - `outbox_gone` hands a deleted row to `outbox_released`, unless nothing is left to do for it,
//!   as for most delivered ones. That trigger deletes what other tables have of the row and takes
//!   it out of its claim, because SQLite gives the highest `seq` away again, and frees what waited
//!   for it.
//! - `outbox_released`, `outbox_left` and `outbox_moved` unblock the next event when the front of a
//!   lane, or an [elder](super::elders), is deleted, becomes a dead letter that is skipped, or
//!   moves to another lane. For an event that ends while a handler has it, settling unblocks the
//!   next one. A moved event has no place until the next claim [finds it one](super::place),
//!   because SQL cannot compute the number of its lane.
//!   A completion by a handler, which must run on any driver, hands its event to `outbox_unblock`
//!   itself ([`LEAVES`]).
//! - `outbox_died` and `outbox_freed` free the events that [wait](super::waits) for a creation. A
//!   statement that deletes from a table with triggers makes a temporary table first, which costs
//!   more than the rest of a deletion, so `outbox_forget` has none for that table.

use super::elders::{has_kin, row_has_elders, same_kin};
use super::held::held;
use super::tally::{forget_deleted, forget_uncounted};
use super::told::{told_entity, told_user};
use super::waits::row_waits;

/// The beginning of a statement that unblocks events. Triggers have no clock, so an event that may
/// not be due becomes `waiting`, and the next claim decides.
macro_rules! unblock {
    ($which:expr) => {
        concat!(
            "
    UPDATE outbox_events
    SET slot = CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 1 ELSE 2 END
    WHERE ",
            $which,
            " AND slot = 3 AND NOT ",
            row_waits!(),
            " AND NOT ",
            row_has_elders!(),
            ";"
        )
    };
}

/// Whether no handler has an event of the lane of the row that a statement updates.
macro_rules! lane_is_idle {
    () => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM outbox_events AS busy INDEXED BY outbox_lane
            WHERE busy.lane = outbox_events.lane AND (busy.slot = 1 OR busy.slot = 4) AND ",
            held!("busy.seq"),
            ")"
        )
    };
}

/// Rows that are about the same entity as the leaving event, under another order.
macro_rules! kin_of_leaving {
    () => {
        concat!(
            "outbox_events AS kin INDEXED BY outbox_reordered
            WHERE kin.entity_lane = coalesce(new.entity_lane, new.lane) AND kin.lane_order <> new.lane_order AND ",
            same_kin!("kin", "new")
        )
    };
}

/// Unblocks the events that waited only for an event that leaves: the first of its lane, and its
/// juniors in the lanes of other orders.
///
/// The front of a lane is its only event that is not blocked, so where it was the front nobody has
/// another event of its lane. Only a dead event may stand beside the front, where an import wrote
/// it.
macro_rules! unblock_next {
    () => {
        concat!(
            unblock!(concat!(
                "seq = (SELECT min(seq) FROM outbox_events INDEXED BY outbox_lane WHERE lane = new.lane)
        AND (new.slot <> 5 OR ",
                lane_is_idle!(),
                ")"
            )),
            unblock!(concat!(
                "new.lane_order > 0
        AND seq = (SELECT min(seq) FROM outbox_events INDEXED BY outbox_lane WHERE lane = new.entity_lane) AND ",
                lane_is_idle!()
            )),
            unblock!(concat!(
                "seq = (SELECT min(seq) FROM outbox_events INDEXED BY outbox_lane
            WHERE lane = (SELECT kin.lane FROM ",
                kin_of_leaving!(),
                " AND kin.lane_order = 1 LIMIT 1)) AND ",
                lane_is_idle!()
            )),
            unblock!(concat!(
                "seq IN (SELECT kin.seq FROM ",
                kin_of_leaving!(),
                " AND kin.lane_order = 2)"
            )),
        )
    };
}

/// Whether a row that goes may have held back others: it had a place in a lane, and was not merely
/// blocked there.
macro_rules! may_free {
    ($row:literal) => {
        concat!(
            $row,
            ".lane <> 0 AND (",
            $row,
            ".slot <> 3 OR ",
            has_kin!($row),
            ")"
        )
    };
}

/// Hands an event that leaves its lane to `outbox_unblock`. SQLite prepares the memory of a
/// trigger's statements for each row, even if the trigger's condition is false, so the triggers on
/// events leave the large statements to that one, which is rarely needed.
macro_rules! leave {
    () => {
        "
    INSERT INTO outbox_leaving
    VALUES (old.slot, old.lane, old.entity_lane, old.lane_order, old.event_type, old.user_id, old.entity_id);"
    };
}

/// The same for the completed event `?1`, which was in the slot `?2` and the lanes `?3`, its own,
/// and `?4`, that of its entity.
pub(super) const LEAVES: &str =
    "INSERT INTO outbox_leaving (slot, lane, entity_lane, lane_order, event_type, user_id, entity_id)
     SELECT ?2, ?3, ?4, lane_order, event_type, user_id, entity_id FROM outbox_events WHERE seq = ?1";

/// A later part of the schema's first step.
pub(super) const TRIGGERS: &str = concat!(
    "
CREATE VIEW outbox_leaving AS
SELECT slot, lane, entity_lane, lane_order, event_type, user_id, entity_id FROM outbox_events;

CREATE TRIGGER outbox_unblock INSTEAD OF INSERT ON outbox_leaving BEGIN",
    unblock_next!(),
    "
END;

CREATE TRIGGER outbox_freed AFTER DELETE ON outbox_waits BEGIN",
    unblock!(concat!(
        "seq = old.child AND (lane_order = 2 OR seq = (SELECT min(first.seq)
            FROM outbox_events AS first INDEXED BY outbox_lane WHERE first.lane = outbox_events.lane) AND ",
        lane_is_idle!(),
        ")"
    )),
    "
END;

CREATE TRIGGER outbox_died AFTER UPDATE OF dead_reason ON outbox_events
WHEN new.dead_reason IS NOT NULL AND EXISTS (SELECT 1 FROM outbox_waits WHERE creation = new.seq)
BEGIN
    DELETE FROM outbox_waits WHERE creation = new.seq AND (new.dead_reason = 7
        OR (SELECT on_dead FROM outbox_events WHERE seq = outbox_waits.child) = 1);
END;

CREATE TRIGGER outbox_forget AFTER DELETE ON outbox_events BEGIN
    INSERT OR IGNORE INTO outbox_told (user_end, entity_end)
    SELECT ",
    told_user!("old.user_id"),
    ", ",
    told_entity!("old.entity_id"),
    "
    WHERE old.status > 0 OR old.last_attempt_at IS NOT NULL OR old.attempt_count > 0 OR ",
    held!("old.seq"),
    ";
    ",
    forget_deleted!(),
    "
END;

CREATE VIEW outbox_deleted AS
SELECT seq, slot, lane, entity_lane, lane_order, event_type, user_id, entity_id, dedup_key FROM outbox_events;

CREATE TRIGGER outbox_gone AFTER DELETE ON outbox_events
WHEN ",
    may_free!("old"),
    " OR old.slot IS NOT NULL AND ",
    held!("old.seq"),
    " OR old.parents IS NOT NULL OR EXISTS (SELECT 1 FROM outbox_waits WHERE creation = old.seq)
    OR old.dedup_key IS NOT NULL OR EXISTS (SELECT 1 FROM outbox_folded WHERE into_seq = old.seq)
    OR NOT EXISTS (SELECT 1 FROM outbox_events WHERE seq > old.seq)
BEGIN
    INSERT INTO outbox_deleted VALUES (old.seq, old.slot, old.lane, old.entity_lane, old.lane_order, old.event_type,
        old.user_id, old.entity_id, old.dedup_key);
END;

CREATE TRIGGER outbox_released INSTEAD OF INSERT ON outbox_deleted BEGIN
    DELETE FROM outbox_folded WHERE into_seq = new.seq;
    DELETE FROM outbox_keys
    WHERE new.dedup_key IS NOT NULL AND user_id = new.user_id AND dedup_key = new.dedup_key AND seq = new.seq;
    ",
    forget_uncounted!(),
    "
    DELETE FROM outbox_claims WHERE seqs = ',' || new.seq || ',';
    UPDATE outbox_claims SET seqs = replace(seqs, ',' || new.seq || ',', ',') WHERE instr(seqs, ',' || new.seq || ',');
    DELETE FROM outbox_waits WHERE creation = new.seq OR child = new.seq;
    INSERT INTO outbox_leaving
    SELECT new.slot, new.lane, new.entity_lane, new.lane_order, new.event_type, new.user_id, new.entity_id
    WHERE ",
    may_free!("new"),
    ";
END;

CREATE TRIGGER outbox_left AFTER UPDATE OF dead_reason ON outbox_events
WHEN new.slot IS NULL AND ",
    may_free!("old"),
    " AND NOT ",
    held!("old.seq"),
    " BEGIN",
    leave!(),
    "
END;

CREATE TRIGGER outbox_moved AFTER UPDATE OF entity_id, user_id, lane_order, event_type ON outbox_events
WHEN old.lane <> 0 AND (old.entity_id IS NOT new.entity_id OR old.user_id IS NOT new.user_id
    OR old.lane_order IS NOT new.lane_order OR old.event_type IS NOT new.event_type)
BEGIN
    UPDATE outbox_events SET slot = CASE slot WHEN 5 THEN 5 ELSE 0 END, lane = 0, entity_lane = NULL WHERE seq = new.seq;
    UPDATE OR REPLACE outbox_keys SET user_id = new.user_id
    WHERE user_id = old.user_id AND dedup_key = old.dedup_key AND seq = old.seq;
    DELETE FROM outbox_waits WHERE creation = old.seq;
    DELETE FROM outbox_waits WHERE child = old.seq;",
    leave!(),
    "
END;
"
);
