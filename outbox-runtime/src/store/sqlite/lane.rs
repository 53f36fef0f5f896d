//! Lanes: which events wait for each other, and which of them can be claimed.
//!
//! A lane holds the undelivered events of one entity of a user, or of one user ([`Order`]). One of
//! them is at its front: `ready`, `waiting`, `leased` or `held`. All others are `blocked`. The
//! front is the first by `seq`, with one exception: a dead letter that was skipped and is retried
//! may come before an event that a handler holds; it waits until that event comes back.
//!
//! Unordered events are `blocked` only behind their [elders](super::elders), which are in other
//! lanes. The front of a lane may be blocked by elders too; then no event of the lane can be
//! claimed.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::elders::row_has_elders;
use super::row::{ReadRow, columns, entity_value, read, read_all};
use crate::entity::Order;
use crate::event::OutboxEvent;

/// Limit on the steps of an explanation, larger than any realistic chain of lanes.
const MOST_STEPS: usize = 16;

/// The lane of an event, borrowed from its row. Values are compared byte for byte, whatever they
/// are.
pub(super) struct Lane<'r> {
    pub(super) entity_id: ValueRef<'r>,
    pub(super) user_id: ValueRef<'r>,
    pub(super) order: Order,
    /// The type of this event. Other events of the lane may have other types.
    pub(super) event_type: ValueRef<'r>,
}

/// The columns that [`Lane::of`] reads, for `RETURNING`.
macro_rules! lane_columns {
    () => {
        "entity_id, user_id, lane, event_type"
    };
}
pub(super) use lane_columns;

/// The undelivered events of entity `?1` and user `?2` that wait for each other, or, with
/// `Unordered`, do not.
///
/// The text matches the conditions of the partial indexes: SQLite uses an index only where it
/// recognizes its condition.
macro_rules! lane_condition {
    (Entity) => {
        "entity_id = ?1 AND user_id = ?2 AND lane IS NULL AND open IS NOT NULL"
    };
    (User) => {
        "user_id = ?2 AND lane = 'user' AND open IS NOT NULL"
    };
    (Unordered) => {
        "entity_id = ?1 AND user_id = ?2 AND lane = 'none' AND open IS NOT NULL"
    };
}
pub(super) use lane_condition;

/// Whether an event of entity `?1` and user `?2`, ordered by entity, waits behind another. One
/// look-up answers for most events, which have none to wait for; only the others need the details.
macro_rules! waits_in_entity {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM outbox_events WHERE entity_id = ?1 AND user_id = ?2 AND open IS NOT NULL)
                AND (EXISTS (SELECT 1 FROM outbox_events WHERE ",
            $crate::store::sqlite::lane::lane_condition!(Entity),
            ") OR ",
            $crate::store::sqlite::elders::new_has_elders!(Entity),
            ")"
        )
    };
}
pub(super) use waits_in_entity;

/// Whether the row `held` may have others in its lane (1), may have elders or juniors (2), or both
/// (3). Needs no look-up outside an entity's lane, and one if the row is the only event of its
/// entity.
macro_rules! neighbors {
    () => {
        concat!(
            "CASE WHEN held.lane IS NOT NULL THEN 3 WHEN EXISTS (
                 SELECT 1 FROM outbox_events AS other
                 WHERE other.entity_id = held.entity_id AND other.user_id = held.user_id AND other.open IS NOT NULL
                     AND other.seq <> held.seq)
             THEN EXISTS (
                 SELECT 1 FROM outbox_events AS other
                 WHERE other.entity_id = held.entity_id AND other.user_id = held.user_id AND other.lane IS NULL
                     AND other.open IS NOT NULL AND other.seq <> held.seq) + 2 * (",
            $crate::store::sqlite::elders::has_kin!("held"),
            ") ELSE 0 END"
        )
    };
}
pub(super) use neighbors;

/// The `slot` of an event that is no longer blocked, at the time `$now`. An event that was neither
/// attempted nor delayed is due, even after a clock jump.
macro_rules! unblocked_slot {
    ($now:literal) => {
        concat!(
            "CASE
                 WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 'ready'
                 WHEN next_attempt_at > ",
            $now,
            " THEN 'waiting'
                 ELSE 'ready' END"
        )
    };
}
pub(super) use unblocked_slot;

/// The statement for an order, with its lane condition in the middle.
macro_rules! in_lane {
    ($order:expr, $before:expr, $after:expr) => {
        match $order {
            Order::Entity => concat!($before, lane_condition!(Entity), $after),
            Order::User => concat!($before, lane_condition!(User), $after),
            Order::None => concat!($before, lane_condition!(Unordered), $after),
        }
    };
}

impl<'r> Lane<'r> {
    /// Reads the [`lane_columns`], which start at `column`.
    pub(super) fn of(row: &'r Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let order = match row.get_ref(column + 2)? {
            ValueRef::Text(b"user") => Order::User,
            ValueRef::Text(b"none") => Order::None,
            _ => Order::Entity,
        };
        Ok(Self {
            entity_id: row.get_ref(column)?,
            user_id: row.get_ref(column + 1)?,
            order,
            event_type: row.get_ref(column + 3)?,
        })
    }

    /// The lane of an event that was read as a whole.
    pub(super) fn of_event(event: &'r OutboxEvent) -> Self {
        Self {
            entity_id: entity_value(&event.entity_id),
            user_id: event.user_id.as_str().into(),
            order: event.order,
            event_type: event.event_type.as_str().into(),
        }
    }

    /// Equal for events of one user that share a lane, or, if unordered, an entity.
    pub(super) fn key(&self) -> (Order, Vec<u8>) {
        let entity = match self.order {
            Order::User => Vec::new(),
            Order::Entity | Order::None => key_of(self.entity_id),
        };
        (self.order, entity)
    }

    /// Equal for events of one user that may be elders or juniors of each other.
    pub(super) fn kin_key(&self) -> [Vec<u8>; 2] {
        [self.entity_id, self.event_type].map(key_of)
    }

    /// Runs a statement of [`in_lane`], with an optional value `?3`.
    fn execute(&self, conn: &Connection, sql: &str, value: Option<i64>) -> rusqlite::Result<bool> {
        let lane = [self.entity_id, self.user_id].into_iter();
        let values = lane.chain(value.map(ValueRef::Integer));
        let changed = conn
            .prepare_cached(sql)?
            .execute(params_from_iter(values.map(ToSqlOutput::Borrowed)))?;
        Ok(changed > 0)
    }

    /// Unblocks the events behind an event of this lane that is done, dead and skipped, or deleted.
    /// No other event of the lane may be leased.
    pub(super) fn unblock_next(
        &self,
        conn: &Connection,
        now_micros: i64,
    ) -> rusqlite::Result<bool> {
        let unblocked = self.unblock_first(conn, now_micros)?;
        Ok(self.unblock_juniors(conn, now_micros)? || unblocked)
    }

    /// Unblocks the first event of the lane, unless it has elders.
    pub(super) fn unblock_first(
        &self,
        conn: &Connection,
        now_micros: i64,
    ) -> rusqlite::Result<bool> {
        let unblock = match self.order {
            Order::Entity => concat!(
                "UPDATE outbox_events SET slot = ",
                unblocked_slot!("?2"),
                " WHERE seq = ?1 AND NOT ",
                row_has_elders!(Entity)
            ),
            Order::User => concat!(
                "UPDATE outbox_events SET slot = ",
                unblocked_slot!("?2"),
                " WHERE seq = ?1 AND NOT ",
                row_has_elders!(User)
            ),
            Order::None => return Ok(false),
        };
        // Usually there is none, and a look-up costs less than an UPDATE that finds nothing.
        let sql = in_lane!(
            self.order,
            "SELECT seq, slot = 'blocked' FROM outbox_events WHERE ",
            " ORDER BY seq LIMIT 1"
        );
        let values = [self.entity_id, self.user_id].map(ToSqlOutput::Borrowed);
        let first = conn
            .prepare_cached(sql)?
            .query_row(params_from_iter(values), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
            })
            .optional()?;
        let Some((seq, true)) = first else {
            return Ok(false);
        };
        let changed = conn.prepare_cached(unblock)?.execute([seq, now_micros])?;
        Ok(changed > 0)
    }

    /// Like [`unblock_next`](Self::unblock_next), but safe if a handler holds an event of the lane:
    /// settling that event unblocks the next.
    pub(super) fn unblock_next_if_idle(
        &self,
        conn: &Connection,
        now_micros: i64,
    ) -> rusqlite::Result<bool> {
        let unblocked = self.leased(conn)?.is_none() && self.unblock_first(conn, now_micros)?;
        Ok(self.unblock_juniors(conn, now_micros)? || unblocked)
    }

    /// Called when the event `seq` came back from its handler. An event of its lane that was
    /// retried meanwhile goes first, if it was enqueued earlier.
    pub(super) fn give_way(
        &self,
        conn: &Connection,
        now_micros: i64,
        seq: i64,
    ) -> rusqlite::Result<()> {
        if self.order == Order::None {
            return Ok(());
        }
        let sql = in_lane!(
            self.order,
            "UPDATE outbox_events SET slot = 'blocked'
             WHERE seq = ?3 AND slot IN ('ready', 'waiting') AND seq > (SELECT min(seq) FROM outbox_events WHERE ",
            ")"
        );
        if self.execute(conn, sql, Some(seq))? {
            self.unblock_first(conn, now_micros)?;
        }
        Ok(())
    }

    /// Called when the event `seq`, finished or dead before, has become `blocked`: unblocks the
    /// first event of the lane, which may be this one.
    pub(super) fn join(
        &self,
        conn: &Connection,
        now_micros: i64,
        seq: i64,
    ) -> rusqlite::Result<()> {
        self.block_juniors(conn)?;
        if self.order == Order::None {
            let unblock = concat!(
                "UPDATE outbox_events SET slot = 'ready' WHERE seq = ?1 AND NOT ",
                row_has_elders!(Unordered)
            );
            conn.prepare_cached(unblock)?.execute(params![seq])?;
            return Ok(());
        }
        if self.leased(conn)?.is_some() {
            return Ok(());
        }
        let sql = in_lane!(
            self.order,
            "UPDATE outbox_events SET slot = 'blocked'
             WHERE slot IN ('ready', 'waiting') AND seq = (SELECT min(seq) FROM outbox_events WHERE seq > ?3 AND ",
            ")"
        );
        self.execute(conn, sql, Some(seq))?;
        self.unblock_first(conn, now_micros)?;
        Ok(())
    }

    /// Called when `blocked` events came in from another lane, some of them perhaps before the
    /// front of this one.
    pub(super) fn line_up(&self, conn: &Connection, now_micros: i64) -> rusqlite::Result<()> {
        if self.order == Order::None || self.leased(conn)?.is_some() {
            return Ok(());
        }
        let sql = in_lane!(
            self.order,
            "UPDATE outbox_events SET slot = 'blocked' WHERE slot IN ('ready', 'waiting') AND ",
            ""
        );
        self.execute(conn, sql, None)?;
        self.unblock_first(conn, now_micros)?;
        Ok(())
    }

    /// The event that a blocked event `seq` ultimately waits for: follows the front of its lane, or
    /// an elder of that front, step by step.
    pub(super) fn waits_behind(
        &self,
        conn: &Connection,
        seq: i64,
    ) -> rusqlite::Result<Option<OutboxEvent>> {
        let mut behind = self.next_before(conn, seq)?;
        for _ in 0..MOST_STEPS {
            let Some(event) = &behind else {
                break;
            };
            match Lane::of_event(event).next_before(conn, event.seq)? {
                Some(next) => behind = Some(next),
                None => break,
            }
        }
        Ok(behind)
    }

    fn next_before(&self, conn: &Connection, seq: i64) -> rusqlite::Result<Option<OutboxEvent>> {
        let is_blocked: bool = conn
            .prepare_cached("SELECT slot IS 'blocked' FROM outbox_events WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))?;
        if !is_blocked {
            return Ok(None);
        }
        let front = match self.order {
            Order::None => None,
            _ => self.front(conn)?.filter(|front| front.event.seq != seq),
        };
        let before = match front {
            Some(front) => Some(front),
            None => self.first_elder(conn, seq)?,
        };
        Ok(before.map(|row| row.event))
    }

    /// The event that all others of the lane wait behind.
    fn front(&self, conn: &Connection) -> rusqlite::Result<Option<ReadRow>> {
        if let Some(leased) = self.leased(conn)? {
            return Ok(Some(leased));
        }
        let sql = in_lane!(
            self.order,
            concat!(
                "SELECT ",
                columns!(),
                " FROM outbox_events WHERE seq = (SELECT min(seq) FROM outbox_events WHERE "
            ),
            ")"
        );
        self.fetch(conn, sql)
    }

    /// All events of the lane.
    pub(super) fn events(&self, conn: &Connection) -> rusqlite::Result<Vec<ReadRow>> {
        let sql = in_lane!(
            self.order,
            concat!("SELECT ", columns!(), " FROM outbox_events WHERE "),
            ""
        );
        let values = [self.entity_id, self.user_id].map(ToSqlOutput::Borrowed);
        read_all(conn.prepare_cached(sql)?.query(params_from_iter(values))?)
    }

    /// The newest event of the lane.
    pub(super) fn newest(&self, conn: &Connection) -> rusqlite::Result<Option<ReadRow>> {
        let sql = in_lane!(
            self.order,
            concat!(
                "SELECT ",
                columns!(),
                " FROM outbox_events WHERE seq = (SELECT max(seq) FROM outbox_events WHERE "
            ),
            ")"
        );
        self.fetch(conn, sql)
    }

    /// The event of this lane that a handler holds. Uses the index of leases, which has fewer rows
    /// than a lane may have.
    pub(super) fn leased(&self, conn: &Connection) -> rusqlite::Result<Option<ReadRow>> {
        let sql = in_lane!(
            self.order,
            concat!(
                "SELECT ",
                columns!(),
                " FROM outbox_events INDEXED BY outbox_leased WHERE slot = 'leased' AND "
            ),
            " LIMIT 1"
        );
        self.fetch(conn, sql)
    }

    fn fetch(&self, conn: &Connection, sql: &str) -> rusqlite::Result<Option<ReadRow>> {
        let values = [self.entity_id, self.user_id].map(ToSqlOutput::Borrowed);
        let values = values.iter().map(|value| value as &dyn ToSql);
        conn.prepare_cached(sql)?
            .query_row(params_from_iter(values), read)
            .optional()
    }
}

fn key_of(value: ValueRef<'_>) -> Vec<u8> {
    match value {
        ValueRef::Null | ValueRef::Real(_) => Vec::new(),
        ValueRef::Integer(id) => id.to_le_bytes().to_vec(),
        ValueRef::Text(id) => [b"text:", id].concat(),
        ValueRef::Blob(id) => [b"blob:", id].concat(),
    }
}
