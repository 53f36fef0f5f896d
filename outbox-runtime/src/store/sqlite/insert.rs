//! Enqueueing on any connection: one statement, unless the event may fold into a waiting one.

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params, params_from_iter};
use uuid::Uuid;

use super::fault::fault_on;
use super::fold;
use super::row::{read, select_events};
use super::statement::{insert_sql, insert_values};
use crate::clock::{self, Clock};
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::Coalesce;
use crate::error::{EnqueueError, StoreError};
use crate::event::{Operation, OutboxEvent};

/// Enqueues on `conn`, inside the transaction that is open there.
pub(super) fn insert(
    conn: &Connection,
    clock: &dyn Clock,
    event: &NewEvent,
) -> Result<Enqueued, EnqueueError> {
    Inserter::new(conn, clock).insert(event)
}

/// Enqueues events inside the transaction that is open on `conn`. After an error, the earlier
/// events remain written.
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

/// Writes events on a connection, and reuses the statement from one event to the next.
pub(super) struct Inserter<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    statement: Option<(&'static str, CachedStatement<'c>)>,
}

impl<'c> Inserter<'c> {
    pub(super) fn new(conn: &'c Connection, clock: &dyn Clock) -> Self {
        Self {
            conn,
            now: clock.now(),
            statement: None,
        }
    }

    pub(super) fn insert(&mut self, event: &NewEvent) -> Result<Enqueued, EnqueueError> {
        event.validate()?;
        let (conn, now) = (self.conn, self.now);
        let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
        if event.coalesce == Coalesce::Latest
            && event.operation != Operation::Create
            && let Some(folded) = fold::fold(conn, now, event).map_err(storage)?
        {
            return Ok(folded);
        }
        let due = clock::after(now, event.delay);
        let values = insert_values(event, now, due).map(ToSqlOutput::Borrowed);
        let written = self
            .statement(insert_sql(event.order))
            .and_then(|statement| statement.execute(params_from_iter(values)))
            .map_err(storage)?;
        if written == 1 {
            return Ok(Enqueued::New(event.id));
        }
        fold::known(conn, event).map_err(storage)?
    }

    fn statement(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'c>> {
        let kept = self.statement.take().filter(|(kept, _)| *kept == sql);
        let statement = match kept {
            Some(kept) => kept,
            None => (sql, self.conn.prepare_cached(sql)?),
        };
        Ok(&mut self.statement.insert(statement).1)
    }
}

/// Reads one event by its id.
pub(super) fn fetch(conn: &Connection, id: Uuid) -> rusqlite::Result<Option<OutboxEvent>> {
    conn.prepare_cached(select_events!("WHERE id = ?1"))?
        .query_row(params![id], |row| Ok(read(row)?.event))
        .optional()
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
