//! Enqueueing on any connection: one statement an event, unless it may fold into a waiting one, or
//! is written [with others](super::rows).

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, params, params_from_iter};
use uuid::Uuid;

use super::database::{OnConnection, at_once};
use super::fault::fault_on;
use super::fold;
use super::held::Held;
use super::keyed;
use super::lane_key::lane_key;
use super::row::{read, select_events};
use super::rows::{ROWS, Rows};
use super::savepoint::in_savepoint;
use super::statement::{INSERT, INSERT_HEADED, insert_values, lane_values};
use crate::clock::Clock;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::{EnqueueError, StoreError};
use crate::event::OutboxEvent;
use crate::store::kit::LaneKey;

/// Enqueues on `conn`, inside the transaction that is open there.
pub(super) fn insert(
    conn: &Connection,
    clock: &dyn Clock,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    Inserter::new(conn, clock).insert(event)
}

/// Enqueues events inside the transaction that is open on `conn`. After an error, earlier events
/// remain written.
pub(super) fn insert_all(
    conn: &Connection,
    clock: &dyn Clock,
    events: impl Iterator<Item = Result<impl Borrow<NewEvent>, EnqueueError>>,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut inserter = Inserter::new(conn, clock);
    let enqueued = events.enumerate().map(|(index, event)| {
        let enqueued = event.and_then(|event| inserter.insert(event.borrow()));
        enqueued.map_err(|error| error.at(index))
    });
    enqueued.collect()
}

/// The same on the writer's own connection, whose transaction has the write lock: writes several
/// events in a statement where possible.
pub(super) fn insert_batch(
    conn: &Connection,
    clock: &dyn Clock,
    events: &[NewEvent],
) -> Result<Vec<Enqueued>, EnqueueError> {
    let mut inserter = Inserter::new(conn, clock);
    let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
    let mut enqueued = Vec::with_capacity(events.len());
    for several in events.chunks(ROWS) {
        if let Some(answers) = inserter.insert_several(several).map_err(storage)? {
            for answer in answers {
                enqueued.push(answer.map_err(|error| error.at(enqueued.len()))?);
            }
            continue;
        }
        for event in several {
            let answer = inserter.insert(event);
            enqueued.push(answer.map_err(|error| error.at(enqueued.len()))?);
        }
    }
    Ok(enqueued)
}

/// Writes events on a connection, and reuses the statements from one event to the next.
pub(super) struct Inserter<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    prepared: Option<Prepared<'c>>,
    rows: Option<Rows<'c>>,
}

struct Prepared<'c> {
    key: LaneKey,
    insert: CachedStatement<'c>,
}

impl<'c> Inserter<'c> {
    pub(super) fn new(conn: &'c Connection, clock: &dyn Clock) -> Self {
        Self {
            conn,
            now: clock.now(),
            prepared: None,
            rows: None,
        }
    }

    /// Writes all of these events at once and returns their answers, or writes nothing and returns
    /// `None`: then they are to be inserted one by one. The open transaction must have the write
    /// lock.
    pub(super) fn insert_several<E: Borrow<NewEvent>>(
        &mut self,
        events: &[E],
    ) -> rusqlite::Result<Option<Vec<Result<Enqueued, EnqueueError>>>> {
        if events.len() != ROWS {
            return Ok(None);
        }
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(Rows::new(self.conn, self.now)?),
        };
        rows.insert(events)
    }

    pub(super) fn insert(&mut self, event: &NewEvent) -> Result<Enqueued, EnqueueError> {
        event.validate()?;
        let (conn, now) = (self.conn, self.now);
        let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
        let db = OnConnection(conn);
        if event.may_fold() {
            let fold = || at_once(fold::fold(&db, now, event));
            if let Some(folded) = in_savepoint(conn, |error| error, fold).map_err(storage)? {
                return Ok(folded);
            }
        }
        if event.is_special() {
            let write = async { self.write(event) };
            let insert = || at_once(keyed::insert(&db, now, event, write));
            return in_savepoint(conn, |error| error, insert).map_err(storage)?;
        }
        if self.write(event).map_err(storage)? {
            return Ok(Enqueued::New(event.id));
        }
        at_once(fold::known(&db, event)).map_err(storage)?
    }

    /// Writes one row, unless the id is known. Returns whether it did.
    fn write(&mut self, event: &NewEvent) -> rusqlite::Result<bool> {
        let (conn, now) = (self.conn, self.now);
        let due = event.due(now);
        let headers = event.headers().to_stored();
        let mut buffer = [0; EntityId::LONGEST_TEXT];
        let entity_id = event.entity_id.write_text(&mut buffer);
        let values = insert_values(event, entity_id, now, due);
        let prepared = self.prepared()?;
        let lane = lane_values(prepared.key, event.order, &values);
        let values = values.into_iter().chain(lane).map(ToSqlOutput::Borrowed);
        let written = match &headers {
            None => prepared.insert.execute(params_from_iter(values))?,
            Some(headers) => {
                let headers = ToSqlOutput::Borrowed(ValueRef::from(headers.as_str()));
                let mut insert = conn.prepare_cached(INSERT_HEADED)?;
                insert.execute(params_from_iter(values.chain([headers])))?
            }
        };
        Ok(written == 1)
    }

    fn prepared(&mut self) -> rusqlite::Result<&mut Prepared<'c>> {
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => Prepared {
                key: lane_key(self.conn)?,
                insert: self.conn.prepare_cached(INSERT)?,
            },
        };
        Ok(self.prepared.insert(prepared))
    }
}

/// Reads one event by its id, in the transaction that is open on `conn`.
pub(super) fn fetch(conn: &Connection, id: Uuid) -> rusqlite::Result<Option<OutboxEvent>> {
    let row = conn
        .prepare_cached(select_events!("WHERE id = ?1"))?
        .query_row(params![id], read)
        .optional()?;
    row.map(|row| {
        let held = Held::of_one(conn, row.event.seq)?;
        Ok(held.show(row).event)
    })
    .transpose()
}

/// [`OutboxRepository::create_event`](crate::OutboxRepository::create_event): returns the row that
/// carries the event, in its current state.
pub(super) fn create(
    conn: &Connection,
    clock: &dyn Clock,
    event: &NewEvent,
) -> Result<OutboxEvent, EnqueueError> {
    let id = insert(conn, clock, event)?.carried_by();
    let storage = |error| fault_on("create_event", conn, error);
    fetch(conn, id).map_err(storage)?.ok_or_else(|| {
        StoreError::new(
            crate::error::StoreErrorKind::NotFound,
            "create_event",
            format!(
                "event {id} was written but no longer exists; check for a trigger that deletes it"
            ),
        )
        .into()
    })
}
