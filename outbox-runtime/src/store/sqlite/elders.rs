//! Elders: events in another lane that an event waits for.
//!
//! An event keeps the order that it was enqueued with. When an update of the application changes
//! the order of a type, its events wait in lanes of two orders, so the lanes alone would deliver a
//! change alongside the one that it builds on. Hence one more rule: an event waits for the open
//! events of its type, entity and user that were enqueued before it under another order, its
//! *elders*. It is one of their *juniors*, and stays `blocked` as long as it has elders. All other
//! lanes of different orders are independent.
//!
//! `outbox_reordered` indexes the events that are not in an entity's lane, by the number of that
//! lane. It is nearly always empty, and a look-up there costs next to nothing.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::database::Database;
use super::held::Held;
use super::lane::{Lane, Lanes};
use super::row::{ReadRow, columns, read};
use crate::entity::Order;

/// Whether two rows are about the same entity and of the same type.
macro_rules! same_kin {
    ($one:literal, $other:literal) => {
        concat!(
            $one,
            ".event_type = ",
            $other,
            ".event_type AND ",
            $one,
            ".user_id = ",
            $other,
            ".user_id AND ",
            $one,
            ".entity_id = ",
            $other,
            ".entity_id"
        )
    };
}
pub(super) use same_kin;

/// Whether an event has elders, given the number of its entity's lane, its order, and a condition
/// that compares `elder` with it.
macro_rules! has_elders {
    ($entity_lane:literal, $order:literal, $of:expr) => {
        concat!(
            "(EXISTS (SELECT 1 FROM outbox_events AS elder INDEXED BY outbox_reordered
                WHERE elder.entity_lane = ",
            $entity_lane,
            " AND elder.lane_order <> ",
            $order,
            " AND ",
            $of,
            ") OR (",
            $order,
            " > 0 AND EXISTS (SELECT 1 FROM outbox_events AS elder INDEXED BY outbox_lane
                WHERE elder.lane = ",
            $entity_lane,
            " AND ",
            $of,
            ")))"
        )
    };
}
pub(super) use has_elders;

/// `has_elders!` for the row of `outbox_events` that a statement handles.
macro_rules! row_has_elders {
    () => {
        $crate::store::sqlite::elders::has_elders!(
            "coalesce(outbox_events.entity_lane, outbox_events.lane)",
            "outbox_events.lane_order",
            concat!(
                $crate::store::sqlite::elders::same_kin!("elder", "outbox_events"),
                " AND elder.seq < outbox_events.seq"
            )
        )
    };
}
pub(super) use row_has_elders;

/// Whether the row `$row` may have elders or juniors. Answers without a look-up for rows outside an
/// entity's lane.
macro_rules! has_kin {
    ($row:literal) => {
        concat!(
            $row,
            ".lane_order > 0 OR EXISTS (
             SELECT 1 FROM outbox_events AS kin INDEXED BY outbox_reordered
             WHERE kin.entity_lane = ",
            $row,
            ".lane AND ",
            $crate::store::sqlite::elders::same_kin!("kin", $row),
            ")"
        )
    };
}
pub(super) use has_kin;

/// The open events about one entity, of one type, under another order than `?2`.
const KIN: &str = "SELECT seq, lane_order FROM outbox_events INDEXED BY outbox_lane
             WHERE lane = ?1 AND lane_order <> ?2 AND event_type = ?3 AND user_id = ?4 AND entity_id = ?5
             UNION ALL
             SELECT seq, lane_order FROM outbox_events INDEXED BY outbox_reordered
             WHERE entity_lane = ?1 AND lane_order <> ?2 AND event_type = ?3 AND user_id = ?4 AND entity_id = ?5";

/// Whether any event is outside of an entity's lane. If none is, no event has elders or juniors.
pub(super) const MAY_BE_ANYWHERE: &str = "SELECT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_reordered WHERE entity_lane IS NOT NULL)";

/// Asks [`MAY_BE_ANYWHERE`].
pub(super) fn may_be_anywhere(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached(MAY_BE_ANYWHERE)?
        .query_row([], |row| row.get(0))
}

/// Whether the event `seq` has elders.
pub(super) fn has_elders_of(conn: &Connection, seq: i64) -> rusqlite::Result<bool> {
    let sql = concat!(
        "SELECT ",
        row_has_elders!(),
        " FROM outbox_events WHERE seq = ?1"
    );
    conn.prepare_cached(sql)?.query_row([seq], |row| row.get(0))
}

impl Lane<'_> {
    /// The `seq`s of the open events about the same entity, of the same type, under another order,
    /// and their orders.
    fn kin(&self, conn: &Connection) -> rusqlite::Result<Vec<(i64, i64)>> {
        let values = self.about().map(ToSqlOutput::Borrowed);
        let mut kin = conn.prepare_cached(KIN)?;
        let kin = kin.query_map(params_from_iter(values), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        kin.collect()
    }

    /// The first elder of the event `seq` of this lane, for explanations.
    pub(super) fn first_elder(
        &self,
        conn: &Connection,
        held: &Held,
        seq: i64,
    ) -> rusqlite::Result<Option<ReadRow>> {
        let kin = self.kin(conn)?.into_iter().map(|(kin, _)| kin);
        let Some(elder) = kin.filter(|kin| *kin < seq).min() else {
            return Ok(None);
        };
        let sql = concat!("SELECT ", columns!(), " FROM outbox_events WHERE seq = ?1");
        let elder = conn
            .prepare_cached(sql)?
            .query_row([elder], read)
            .optional()?;
        Ok(elder.map(|elder| held.show(elder)))
    }

    /// Whether the lane of another order holds a junior of the event `seq` of this lane.
    pub(super) async fn has_juniors<D: Database>(
        &self,
        db: &D,
        seq: i64,
    ) -> Result<bool, D::Error> {
        let kin = db.rows(KIN, &self.about()).await?;
        Ok(kin.iter().any(|kin| kin.integer(0) > seq))
    }

    /// What tells the kin of an event of this lane.
    fn about(&self) -> [ValueRef<'_>; 5] {
        [
            ValueRef::Integer(self.entity_number),
            ValueRef::Integer(self.order_code()),
            self.event_type,
            self.user_id,
            self.entity_id,
        ]
    }
}

impl Lanes<'_> {
    /// Called when an event of this lane is done, dead and skipped, or deleted: unblocks the events
    /// in lanes of other orders that waited only for it.
    pub(super) fn unblock_juniors(&mut self, lane: &Lane<'_>) -> rusqlite::Result<bool> {
        let mut unblocked = false;
        for order in [Order::Entity, Order::User] {
            let number = lane.number_under(self.key, order);
            if order != lane.order && !self.is_busy(number)? {
                unblocked |= self.unblock_first(number)?;
            }
        }
        if lane.order != Order::None {
            for (seq, order) in lane.kin(self.conn)? {
                if order == UNORDERED {
                    unblocked |= self.unblock(seq)?;
                }
            }
        }
        Ok(unblocked)
    }

    /// Called when an event was placed, or became open again, before others: blocks the events that
    /// now have elders, unless a handler holds them.
    pub(super) fn block_juniors(&mut self, lane: &Lane<'_>) -> rusqlite::Result<()> {
        let sql = concat!(
            "UPDATE outbox_events SET slot = 3 WHERE seq = ?1 AND (slot = 1 OR slot = 2) AND ",
            row_has_elders!()
        );
        for (seq, _) in lane.kin(self.conn)? {
            if !self.has_handler(seq)? {
                self.conn.prepare_cached(sql)?.execute(params![seq])?;
            }
        }
        Ok(())
    }
}

/// The code of [`Order::None`].
const UNORDERED: i64 = 2;
