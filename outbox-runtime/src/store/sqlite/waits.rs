//! Parents: the creations that an event waits for, although they are not in its lane.
//!
//! `outbox_waits` has a row for each event, the *child*, and each creation that it waits for. They
//! are found when the child is [placed](super::place), among the creations enqueued before it; the
//! child is `blocked` as long as it has such a row. A row is deleted when its creation no longer
//! holds the child back, and a trigger then unblocks the child if it is the first of its lane: see
//! [`triggers`](super::triggers).
//!
//! The table is nearly always empty, and a look into it then costs next to nothing. Its creation
//! is found by `seq`, which SQLite gives away again after a delete, so a trigger deletes the rows
//! of a deleted event.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::codes::UNPLACED;
use super::database::{Database, values};
use super::held::Held;
use super::lane_key::lane_key;
use super::row::{ReadRow, read, read_all, select_events};
use crate::entity::{EntityId, OnDead, Order, Parent};
use crate::event::OutboxEvent;
use crate::store::kit::{creates, holds_back};

/// Whether the row of `outbox_events` that a statement handles waits for a creation.
macro_rules! row_waits {
    () => {
        "EXISTS (SELECT 1 FROM outbox_waits WHERE child = outbox_events.seq)"
    };
}
pub(super) use row_waits;

/// An event with parents, as far as its waiting depends on it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) seq: i64,
    pub(super) user_id: String,
    pub(super) on_dead: OnDead,
    pub(super) parents: Vec<Parent>,
}

impl Child {
    pub(super) fn of(event: &OutboxEvent) -> Self {
        Self {
            seq: event.seq,
            user_id: event.user_id.clone(),
            on_dead: event.on_dead,
            parents: event.parents.clone(),
        }
    }

    /// The creations that it waits for, among those enqueued before it, by `seq`.
    pub(super) fn creations(&self, conn: &Connection) -> rusqlite::Result<Vec<ReadRow>> {
        let mut creations: Vec<ReadRow> = Vec::new();
        for parent in &self.parents {
            for row in self.earlier(conn, &parent.entity_id)? {
                let is_known = creations.iter().any(|it| it.event.seq == row.event.seq);
                if !is_known
                    && creates(&row.event, parent, &self.user_id)
                    && holds_back(&row.event, self.on_dead)
                {
                    creations.push(row);
                }
            }
        }
        creations.sort_by_key(|row| row.event.seq);
        Ok(creations)
    }

    /// The undelivered and dead creations of an entity that were enqueued before this event: of any
    /// type, and also of other entities where two lanes have one number.
    fn earlier(&self, conn: &Connection, entity_id: &EntityId) -> rusqlite::Result<Vec<ReadRow>> {
        let mut buffer = [0; EntityId::LONGEST_TEXT];
        let text = entity_id.write_text(&mut buffer);
        let lane = lane_key(conn)?.lane(Order::Entity, self.user_id.as_bytes(), text.as_bytes());
        let mut in_lane = conn.prepare_cached(select_events!(
            "INDEXED BY outbox_lane WHERE lane = ?1 AND operation = 0 AND seq < ?2"
        ))?;
        let mut reordered = conn.prepare_cached(select_events!(
            "INDEXED BY outbox_reordered WHERE entity_lane = ?1 AND operation = 0 AND seq < ?2"
        ))?;
        let mut events = read_all(in_lane.query(params![lane, self.seq])?)?;
        events.extend(read_all(reordered.query(params![lane, self.seq])?)?);
        // Those that are not placed: a handler has them, or this is for an explanation.
        events.extend(read_all(in_lane.query(params![UNPLACED, self.seq])?)?);
        let skipped = select_events!(
            "INDEXED BY outbox_noted
              WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND slot IS NULL
                AND user_id = :user AND entity_id = :entity AND operation = 0 AND seq < :seq"
        );
        let skipped = read_all(conn.prepare_cached(skipped)?.query(named_params! {
            ":user": self.user_id, ":entity": text, ":seq": self.seq,
        })?)?;
        events.extend(skipped);
        Ok(events)
    }

    /// Records what it waits for. Returns whether that is anything.
    pub(super) fn wait(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let mut forget = conn.prepare_cached("DELETE FROM outbox_waits WHERE child = ?1")?;
        forget.execute([self.seq])?;
        let creations = self.creations(conn)?;
        let mut wait =
            conn.prepare_cached("INSERT INTO outbox_waits (creation, child) VALUES (?1, ?2)")?;
        for creation in &creations {
            wait.execute(params![creation.event.seq, self.seq])?;
        }
        Ok(!creations.is_empty())
    }
}

/// Frees the events that wait for a creation, which was delivered. Returns whether there are any.
/// The claims in the database must no longer list it.
pub(super) async fn free<D: Database>(db: &D, creation: i64) -> Result<bool, D::Error> {
    let sql = "DELETE FROM outbox_waits WHERE creation = ?1";
    Ok(db.change(sql, values![creation]).await? > 0)
}

/// The first creation that an event waits for, for explanations. An event that is not placed yet
/// waits for those that its place would depend on.
pub(super) fn first(
    conn: &Connection,
    held: &Held,
    seq: i64,
) -> rusqlite::Result<Option<OutboxEvent>> {
    let child = conn
        .prepare_cached(select_events!("WHERE seq = ?1 AND parents IS NOT NULL"))?
        .query_row([seq], read)
        .optional()?;
    let Some(child) = child.map(|row| Child::of(&row.event)) else {
        return Ok(None);
    };
    let is_unplaced: bool = conn
        .prepare_cached("SELECT slot IS 0 FROM outbox_events WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    let creations = if is_unplaced {
        child.creations(conn)?
    } else {
        let awaited = select_events!(
            "WHERE seq IN (SELECT creation FROM outbox_waits WHERE child = ?1) ORDER BY seq"
        );
        read_all(conn.prepare_cached(awaited)?.query([seq])?)?
    };
    let mut creations = creations.into_iter().map(|row| held.show(row).event);
    // Other SQL may have completed it, which no trigger notices.
    Ok(creations.find(|creation| holds_back(creation, child.on_dead)))
}
