//! Lanes: which events wait for each other, and which of them can be claimed.
//!
//! A lane holds the undelivered events of one entity of a user, or of one user ([`Order`]). One of
//! them is at its front: ready, waiting, with a handler, or dead and holding. All others are
//! blocked. The front is the first by `seq`, with one exception: a dead letter that was skipped and
//! is retried may come before an event that a handler holds; it waits until that event comes back.
//!
//! Rows name their lane by its [number](LaneKey). Two lanes with one number are one lane here.
//! Unordered events have a number too, so that their kin is found, but do not wait for each other:
//! they are `blocked` only behind their [elders](super::elders). The front of a lane may be blocked
//! by elders too, or wait for its [parents](super::waits); then no event of the lane can be
//! claimed.

use std::cell::OnceCell;
use std::collections::HashSet;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::codes::{Code, UNPLACED};
use super::database::{Database, values};
use super::elders::{self, row_has_elders};
use super::held::Held;
use super::lane_key::lane_key;
use super::row::{ReadRow, columns, read, read_all, read_values};
use super::waits::{self, row_waits};
use crate::entity::{EntityId, Order};
use crate::event::OutboxEvent;
use crate::store::kit::{LaneKey, Predecessor, Slot};

/// The lane of an event, borrowed from its row. Ids are compared byte for byte, whatever they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane<'r> {
    /// The number of the lane.
    pub(super) number: i64,
    /// The number that the lane has for the order `entity`.
    pub(super) entity_number: i64,
    pub(super) order: Order,
    pub(super) user_id: ValueRef<'r>,
    pub(super) entity_id: ValueRef<'r>,
    /// The type of this event. Other events of the lane may have other types.
    pub(super) event_type: ValueRef<'r>,
}

/// The columns that [`Lane::of`] reads.
macro_rules! lane_columns {
    () => {
        "lane_order, user_id, entity_id, event_type"
    };
}
pub(super) use lane_columns;

/// The `slot` of an event that is no longer blocked, at the time `$now`. An event that was neither
/// attempted nor delayed is due, even after a clock jump.
macro_rules! unblocked_slot {
    ($now:literal) => {
        concat!(
            "CASE WHEN last_attempt_at IS NULL AND next_attempt_at <= created_at THEN 1
                 WHEN next_attempt_at > ",
            $now,
            " THEN 2 ELSE 1 END"
        )
    };
}
pub(super) use unblocked_slot;

impl<'r> Lane<'r> {
    /// The lane of an event with these ids.
    pub(super) fn new(
        key: LaneKey,
        order: Order,
        [user_id, entity_id, event_type]: [ValueRef<'r>; 3],
    ) -> Self {
        let mut lane = Self {
            number: 0,
            entity_number: 0,
            order,
            user_id,
            entity_id,
            event_type,
        };
        lane.number = lane.number_under(key, order);
        lane.entity_number = match order {
            Order::Entity => lane.number,
            Order::User | Order::None => lane.number_under(key, Order::Entity),
        };
        lane
    }

    /// Reads the [`lane_columns`], which start at `column`.
    pub(super) fn of(key: LaneKey, row: &'r Row<'_>, column: usize) -> rusqlite::Result<Self> {
        let order = Order::of(row.get(column)?).unwrap_or_default();
        let ids = [
            row.get_ref(column + 1)?,
            row.get_ref(column + 2)?,
            row.get_ref(column + 3)?,
        ];
        Ok(Self::new(key, order, ids))
    }

    /// The lane of an event that was read as a whole. `entity_id` is the text of its id.
    pub(super) fn of_event(key: LaneKey, event: &'r OutboxEvent, entity_id: &'r str) -> Self {
        let ids = [event.user_id.as_str(), entity_id, event.event_type.as_str()];
        Self::new(key, event.order, ids.map(ValueRef::from))
    }

    /// The number of the lane that an event of this entity and user has under another order.
    pub(super) fn number_under(&self, key: LaneKey, order: Order) -> i64 {
        key.lane(order, bytes(self.user_id), bytes(self.entity_id))
    }

    /// The number for the column `entity_lane`.
    pub(super) fn entity_lane(&self) -> Option<i64> {
        (self.order != Order::Entity).then_some(self.entity_number)
    }

    pub(super) fn order_code(&self) -> i64 {
        self.order.code()
    }

    /// All events of the lane, which may be of several lanes with one number.
    pub(super) fn events(&self, conn: &Connection) -> rusqlite::Result<Vec<ReadRow>> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1"
        );
        read_all(conn.prepare_cached(sql)?.query([self.number])?)
    }

    /// The newest event of the lane.
    pub(super) async fn newest<D: Database>(&self, db: &D) -> Result<Option<ReadRow>, D::Error> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 ORDER BY seq DESC LIMIT 1"
        );
        let rows = db.rows(sql, values![self.number]).await?;
        Ok(read_values(&rows).next())
    }

    /// The events that an event `seq` waits for, each of which is waited for by the one before it:
    /// follows the front of its lane, an elder or a parent of that front, step by step.
    pub(super) fn predecessors(
        &self,
        lanes: &Lanes<'_>,
        held: &Held,
        seq: i64,
    ) -> rusqlite::Result<Vec<Predecessor>> {
        let mut predecessors = Vec::new();
        let mut next = self.next_before(lanes, held, seq)?;
        while let Some(predecessor) = next {
            let event = predecessor.event();
            let mut buffer = [0; EntityId::LONGEST_TEXT];
            let entity_id = event.entity_id.write_text(&mut buffer);
            let lane = Lane::of_event(lanes.key, event, entity_id);
            next = match predecessors.len() < Predecessor::MOST {
                true => lane.next_before(lanes, held, event.seq)?,
                false => None,
            };
            predecessors.push(predecessor);
        }
        Ok(predecessors)
    }

    fn next_before(
        &self,
        lanes: &Lanes<'_>,
        held: &Held,
        seq: i64,
    ) -> rusqlite::Result<Option<Predecessor>> {
        let conn = lanes.conn;
        let slot: Option<i64> = conn
            .prepare_cached("SELECT slot FROM outbox_events WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))?;
        let creation = |conn| {
            let creation = waits::first(conn, held, seq)?;
            Ok(creation.map(|creation| Predecessor::new(creation, true)))
        };
        match slot {
            Some(UNPLACED) => return creation(conn),
            slot if slot != Some(Slot::Blocked.code()) => return Ok(None),
            _ => {}
        }
        let front = match self.order {
            Order::None => None,
            _ => self
                .front(conn, held)?
                .filter(|front| front.event.seq != seq),
        };
        let before = match front {
            Some(front) => Some(front),
            None => self.first_elder(conn, held, seq)?,
        };
        match before {
            Some(before) => Ok(Some(Predecessor::new(before.event, false))),
            None => creation(conn),
        }
    }

    /// The event that all others of the lane wait behind.
    fn front(&self, conn: &Connection, held: &Held) -> rusqlite::Result<Option<ReadRow>> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 AND slot <> 3 ORDER BY seq"
        );
        let mut unblocked = conn.prepare_cached(sql)?;
        let unblocked = read_all(unblocked.query([self.number])?)?;
        if let Some(row) = unblocked.into_iter().find(|row| held.has(row.event.seq)) {
            return Ok(Some(held.show(row)));
        }
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 ORDER BY seq LIMIT 1"
        );
        conn.prepare_cached(sql)?
            .query_row([self.number], read)
            .optional()
    }
}

/// What changes in lanes when one of their events comes or goes, on a connection with an open
/// transaction.
pub(super) struct Lanes<'c> {
    pub(super) conn: &'c Connection,
    pub(super) key: LaneKey,
    /// In microseconds.
    now: i64,
    /// The events that handlers have, and the numbers of their lanes.
    held: OnceCell<(Held, HashSet<i64>)>,
}

impl<'c> Lanes<'c> {
    pub(super) fn new(conn: &'c Connection, now: i64) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            key: lane_key(conn)?,
            now,
            held: OnceCell::new(),
        })
    }

    fn held(&self) -> rusqlite::Result<&(Held, HashSet<i64>)> {
        if let Some(held) = self.held.get() {
            return Ok(held);
        }
        let held = Held::read(self.conn)?;
        let mut lane = self
            .conn
            .prepare_cached("SELECT lane FROM outbox_events WHERE seq = ?1 AND lane <> 0")?;
        let mut lanes = HashSet::new();
        for seq in held.seqs() {
            lanes.extend(
                lane.query_row([seq], |row| row.get::<_, i64>(0))
                    .optional()?,
            );
        }
        Ok(self.held.get_or_init(|| (held, lanes)))
    }

    /// Whether a handler has an event of this lane.
    pub(super) fn is_busy(&self, number: i64) -> rusqlite::Result<bool> {
        Ok(self.held()?.1.contains(&number))
    }

    /// Whether a handler has this event.
    pub(super) fn has_handler(&self, seq: i64) -> rusqlite::Result<bool> {
        Ok(self.held()?.0.has(seq))
    }

    /// Unblocks the first event of the lane, unless it has elders. No handler may have an event of
    /// the lane.
    pub(super) fn unblock_first(&self, number: i64) -> rusqlite::Result<bool> {
        let mut first = first_of_lane(self.conn)?;
        match First::by(&mut first, number)? {
            Some(First {
                seq,
                is_blocked: true,
            }) => self.unblock(seq),
            _ => Ok(false),
        }
    }

    /// Unblocks this event, unless it has elders.
    pub(super) fn unblock(&self, seq: i64) -> rusqlite::Result<bool> {
        unblock(self.conn, seq, self.now)
    }

    /// Unblocks what waited for an event that other SQL finished while a handler had it.
    pub(super) fn unblock_next_if_idle(&mut self, lane: &Lane<'_>) -> rusqlite::Result<bool> {
        let unblocked = !self.is_busy(lane.number)? && self.unblock_first(lane.number)?;
        Ok(self.unblock_juniors(lane)? || unblocked)
    }

    /// Called when the event `seq`, new to this lane, has become `blocked`: unblocks the first
    /// event of the lane, which may be this one.
    pub(super) fn join(&mut self, lane: &Lane<'_>, seq: i64) -> rusqlite::Result<()> {
        if lane.order != Order::Entity || elders::may_be_anywhere(self.conn)? {
            self.block_juniors(lane)?;
        }
        if lane.order == Order::None {
            self.unblock(seq)?;
            return Ok(());
        }
        let mut first = first_of_lane(self.conn)?;
        let is_first = First::by(&mut first, lane.number)?.is_some_and(|first| first.seq == seq);
        if !is_first || self.is_busy(lane.number)? {
            return Ok(());
        }
        // The former front.
        self.conn
            .prepare_cached(
                "UPDATE outbox_events SET slot = 3
                 WHERE (slot = 1 OR slot = 2) AND seq =
                     (SELECT min(seq) FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 AND seq > ?2)",
            )?
            .execute(params![lane.number, seq])?;
        self.unblock(seq)?;
        Ok(())
    }

    /// Whether no other event is in this lane or may be an elder or junior of one in it.
    pub(super) fn is_empty(&self, lane: &Lane<'_>) -> rusqlite::Result<bool> {
        let mut first = first_of_lane(self.conn)?;
        Ok(lane.order == Order::Entity
            && First::by(&mut first, lane.number)?.is_none()
            && !elders::may_be_anywhere(self.conn)?)
    }
}

/// Unblocks the event `seq` unless it has elders or waits for a parent.
pub(super) fn unblock(conn: &Connection, seq: i64, now: i64) -> rusqlite::Result<bool> {
    let sql = concat!(
        "UPDATE outbox_events SET slot = ",
        unblocked_slot!("?2"),
        " WHERE seq = ?1 AND slot = 3 AND NOT ",
        row_waits!(),
        " AND NOT ",
        row_has_elders!()
    );
    let changed = conn.prepare_cached(sql)?.execute([seq, now])?;
    Ok(changed > 0)
}

/// The first event of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) seq: i64,
    pub(super) is_blocked: bool,
}

/// The statement for [`First::by`].
pub(super) fn first_of_lane(conn: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    conn.prepare_cached(
        "SELECT seq, slot = 3 FROM outbox_events INDEXED BY outbox_lane WHERE lane = ?1 ORDER BY seq LIMIT 1",
    )
}

impl First {
    /// The first event of the lane with this number. An event that is [not placed](UNPLACED) has
    /// none before it.
    pub(super) fn by(
        statement: &mut CachedStatement<'_>,
        number: i64,
    ) -> rusqlite::Result<Option<Self>> {
        if number == UNPLACED {
            return Ok(None);
        }
        let mut rows = statement.query([number])?;
        let first = rows.next()?.map(|row| {
            Ok(Self {
                seq: row.get(0)?,
                is_blocked: row.get(1)?,
            })
        });
        first.transpose()
    }
}

/// The bytes of an id, whatever a row holds.
fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        // The columns accept nothing else.
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}
