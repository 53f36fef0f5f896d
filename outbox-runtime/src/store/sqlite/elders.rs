//! Elders: events in another lane that an event waits for.
//!
//! An event keeps the order that it was enqueued with. When an update of the application changes
//! the order of a type, its events wait in lanes of two orders, so the lanes alone would deliver a
//! change alongside the one that it builds on. Hence one more rule: an event waits for the open
//! events of its type, entity and user that were enqueued before it under another order, its
//! *elders*. It is one of their *juniors*, and stays `blocked` as long as it has elders. All other
//! lanes of different orders are independent.
//!
//! `outbox_reordered` indexes the events that are not in an entity's lane. It is nearly always
//! empty, and a look-up there costs next to nothing.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::lane::{Lane, unblocked_slot};
use super::row::{ReadRow, columns, read};
use crate::entity::Order;

/// Whether there are elders in `$lane`, found through `$index`.
macro_rules! elder_in {
    ($index:literal, $lane:literal, $entity:literal, $user:literal, $type:literal, $before:expr) => {
        concat!(
            "EXISTS (SELECT 1 FROM outbox_events AS elder INDEXED BY ",
            $index,
            " WHERE elder.entity_id = ",
            $entity,
            " AND elder.user_id = ",
            $user,
            " AND elder.event_type = ",
            $type,
            " AND ",
            $lane,
            " AND elder.open IS NOT NULL",
            $before,
            ")"
        )
    };
}
pub(super) use elder_in;

/// Whether an event of this order has elders: either a named row, or the event that the first
/// parameters of the insert describe.
macro_rules! has_elders {
    (Entity, $($of:tt)+) => {
        $crate::store::sqlite::elders::elder_in!("outbox_reordered", "elder.lane IS NOT NULL", $($of)+)
    };
    (User, $($of:tt)+) => {
        $crate::store::sqlite::elders::has_elders!(@of_entity_or "elder.lane = 'none'", $($of)+)
    };
    (Unordered, $($of:tt)+) => {
        $crate::store::sqlite::elders::has_elders!(@of_entity_or "elder.lane = 'user'", $($of)+)
    };
    (@of_entity_or $lane:literal, $($of:tt)+) => {
        concat!(
            "(",
            $crate::store::sqlite::elders::elder_in!("outbox_entity", "elder.lane IS NULL", $($of)+),
            " OR ",
            $crate::store::sqlite::elders::elder_in!("outbox_reordered", $lane, $($of)+),
            ")"
        )
    };
}
pub(super) use has_elders;

/// `has_elders!` for the row of `outbox_events` that a statement handles.
macro_rules! row_has_elders {
    (Any) => {
        concat!(
            "CASE WHEN outbox_events.lane IS NULL THEN ",
            $crate::store::sqlite::elders::row_has_elders!(Entity),
            " WHEN outbox_events.lane = 'user' THEN ",
            $crate::store::sqlite::elders::row_has_elders!(User),
            " ELSE ",
            $crate::store::sqlite::elders::row_has_elders!(Unordered),
            " END"
        )
    };
    ($order:ident) => {
        $crate::store::sqlite::elders::has_elders!(
            $order,
            "outbox_events.entity_id",
            "outbox_events.user_id",
            "outbox_events.event_type",
            " AND elder.seq < outbox_events.seq"
        )
    };
}
pub(super) use row_has_elders;

/// `has_elders!` for an event that is being enqueued.
macro_rules! new_has_elders {
    ($order:ident) => {
        $crate::store::sqlite::elders::has_elders!($order, "?1", "?2", "?4", "")
    };
}
pub(super) use new_has_elders;

/// Whether the row `$row` may have elders or juniors. Answers without a look-up for rows outside an
/// entity's lane.
macro_rules! has_kin {
    ($row:literal) => {
        concat!(
            $row,
            ".lane IS NOT NULL OR EXISTS (
             SELECT 1 FROM outbox_events AS kin INDEXED BY outbox_reordered
             WHERE kin.entity_id = ",
            $row,
            ".entity_id AND kin.user_id = ",
            $row,
            ".user_id AND kin.event_type = ",
            $row,
            ".event_type AND kin.lane IS NOT NULL AND kin.open IS NOT NULL)"
        )
    };
}
pub(super) use has_kin;

impl Lane<'_> {
    /// Called when an event of this lane is done, dead and skipped, or deleted: unblocks the events
    /// in lanes of other orders that waited only for it.
    pub(super) fn unblock_juniors(
        &self,
        conn: &Connection,
        now_micros: i64,
    ) -> rusqlite::Result<bool> {
        let mut unblocked = false;
        for order in [Order::Entity, Order::User, Order::None] {
            if order == self.order {
                continue;
            }
            let lane = Lane { order, ..*self };
            unblocked |= match order {
                Order::None => lane.unblock_unordered(conn, now_micros)?,
                _ => lane.leased(conn)?.is_none() && lane.unblock_first(conn, now_micros)?,
            };
        }
        Ok(unblocked)
    }

    /// Unblocks those unordered events, which wait only for elders, that have none left.
    fn unblock_unordered(&self, conn: &Connection, now_micros: i64) -> rusqlite::Result<bool> {
        let sql = concat!(
            "UPDATE outbox_events SET slot = ",
            unblocked_slot!("?4"),
            " WHERE entity_id = ?1 AND user_id = ?2 AND event_type = ?3 AND lane = 'none' AND open IS NOT NULL
                 AND slot = 'blocked' AND NOT ",
            row_has_elders!(Unordered)
        );
        let values = self.about(now_micros).map(ToSqlOutput::Borrowed);
        let changed = conn
            .prepare_cached(sql)?
            .execute(params_from_iter(values))?;
        Ok(changed > 0)
    }

    /// Called when events were inserted, or became open again, before others: blocks the events
    /// that now have elders, unless a handler holds them.
    pub(super) fn block_juniors(&self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = concat!(
            "UPDATE outbox_events SET slot = 'blocked'
             WHERE entity_id = ?1 AND user_id = ?2 AND event_type = ?3 AND open IS NOT NULL AND slot IN ('ready', 'waiting')
                 AND ",
            row_has_elders!(Any)
        );
        let values = [self.entity_id, self.user_id, self.event_type];
        conn.prepare_cached(sql)?
            .execute(params_from_iter(values.map(ToSqlOutput::Borrowed)))?;
        Ok(())
    }

    /// The first elder of the event `seq` of this lane. Used for explanations only: it reads all
    /// events of the entity.
    pub(super) fn first_elder(
        &self,
        conn: &Connection,
        seq: i64,
    ) -> rusqlite::Result<Option<ReadRow>> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_entity
             WHERE entity_id = ?1 AND user_id = ?2 AND event_type = ?3 AND open IS NOT NULL
                 AND coalesce(lane, 'entity') <> ?4 AND seq < ?5
             ORDER BY seq LIMIT 1"
        );
        let order = ValueRef::from(self.order.as_str());
        let [entity_id, user_id, event_type, seq] = self.about(seq);
        let values = [entity_id, user_id, event_type, order, seq].map(ToSqlOutput::Borrowed);
        conn.prepare_cached(sql)?
            .query_row(params_from_iter(values), read)
            .optional()
    }

    /// Whether the lane of another order holds a junior of the event `seq` of this lane.
    pub(super) fn has_juniors(&self, conn: &Connection, seq: i64) -> rusqlite::Result<bool> {
        macro_rules! behind {
            ($order:ident) => {
                concat!(
                    "SELECT ",
                    has_elders!($order, "?1", "?2", "?3", " AND elder.seq > ?4")
                )
            };
        }
        let sql = match self.order {
            Order::Entity => behind!(Entity),
            Order::User => behind!(User),
            Order::None => behind!(Unordered),
        };
        let values = self.about(seq).map(ToSqlOutput::Borrowed);
        conn.prepare_cached(sql)?
            .query_row(params_from_iter(values), |row| row.get(0))
    }

    /// The values that elders and juniors share, and one more.
    fn about(&self, value: i64) -> [ValueRef<'_>; 4] {
        let value = ValueRef::Integer(value);
        [self.entity_id, self.user_id, self.event_type, value]
    }
}

/// Called when the event `seq` came back from its handler: blocks it if it has elders, because one
/// was retried meanwhile.
pub(super) fn give_way_to_elders(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    let sql = concat!(
        "UPDATE outbox_events SET slot = 'blocked' WHERE seq = ?1 AND slot IN ('ready', 'waiting') AND ",
        row_has_elders!(Any)
    );
    conn.prepare_cached(sql)?.execute([seq])?;
    Ok(())
}
