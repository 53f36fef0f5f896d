//! Elders: events that another one waits for although they are not in its lane.
//!
//! An event keeps the order that it was enqueued with. Where an update of the application changes
//! the order of a type, events wait in lanes of two orders, so the lanes alone would send a change
//! beside the one that it builds on. Hence one more rule: an event waits for those of its type,
//! entity and user that are open and were enqueued before it under another order, its *elders*. It
//! is one of their *juniors*, and `blocked` as long as there are any. All other lanes of different
//! orders have nothing to do with each other.
//!
//! `outbox_reordered` has the events of no lane of an entity. Nearly always it is empty, and
//! looking there costs next to nothing.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::lane::{Lane, goes};
use super::row::{ReadRow, columns, read};
use crate::entity::Order;

/// Whether there are elders, which are found in `$lane` by way of `$index`.
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

/// Whether an event of this order has elders: the row of a name, or what is enqueued by the first
/// parameters of the insert.
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

/// The same for the row of `outbox_events` that a statement is about.
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

/// The same for an event that is being enqueued.
macro_rules! new_has_elders {
    ($order:ident) => {
        $crate::store::sqlite::elders::has_elders!($order, "?1", "?2", "?4", "")
    };
}
pub(super) use new_has_elders;

/// Whether the row `$row` may have elders or juniors: without looking where it is not in the lane
/// of an entity.
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
    /// An event of this lane is done, dead and skipped, or deleted: lets those go that waited for
    /// it alone in the lanes of other orders.
    pub(super) fn juniors_go(&self, conn: &Connection, now_micros: i64) -> rusqlite::Result<bool> {
        let mut went = false;
        for order in [Order::Entity, Order::User, Order::None] {
            if order == self.order {
                continue;
            }
            let lane = Lane { order, ..*self };
            went |= match order {
                Order::None => lane.unordered_go(conn, now_micros)?,
                _ => lane.leased(conn)?.is_none() && lane.first_goes(conn, now_micros)?,
            };
        }
        Ok(went)
    }

    /// Of the events that wait for nobody but their elders, those that have none any more.
    fn unordered_go(&self, conn: &Connection, now_micros: i64) -> rusqlite::Result<bool> {
        let sql = concat!(
            "UPDATE outbox_events SET slot = ",
            goes!("?4"),
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

    /// Events came in, or became open again, before others: those that have elders now wait, unless
    /// a handler has them.
    pub(super) fn juniors_wait(&self, conn: &Connection) -> rusqlite::Result<()> {
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

    /// The first of the elders that the event `seq` of this lane has. For explanations: it looks at
    /// all of the entity's.
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

    /// Whether an event about the same stands behind the event `seq` of this lane in the lane of
    /// another order.
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

    /// What elders and juniors have in common, and one more value.
    fn about(&self, value: i64) -> [ValueRef<'_>; 4] {
        let value = ValueRef::Integer(value);
        [self.entity_id, self.user_id, self.event_type, value]
    }
}

/// The event `seq` came back from its handler: it waits if it has elders, as one of them was
/// retried meanwhile.
pub(super) fn give_way_to_elders(conn: &Connection, seq: i64) -> rusqlite::Result<()> {
    let sql = concat!(
        "UPDATE outbox_events SET slot = 'blocked' WHERE seq = ?1 AND slot IN ('ready', 'waiting') AND ",
        row_has_elders!(Any)
    );
    conn.prepare_cached(sql)?.execute([seq])?;
    Ok(())
}
