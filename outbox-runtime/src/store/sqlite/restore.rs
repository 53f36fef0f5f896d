//! Restores an event in the state that another outbox had it in, as if it had been enqueued and
//! processed here.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params, params_from_iter};
use uuid::Uuid;

use super::SqliteStore;
use super::elders::new_has_elders;
use super::fault::fault_on;
use super::fold;
use super::insert::fetch;
use super::lane::{lane_condition, waits_in_entity};
use super::statement::insert_values;
use super::told;
use crate::enqueue::NewEvent;
use crate::entity::Order;
use crate::error::{EnqueueError, StoreError};
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};

/// Writes the columns of an enqueued event, and its state. A dead event is `held` wherever it
/// stands in its lane; the events that reach it wait.
macro_rules! restore {
    ($($blocked:expr),+) => {
        concat!(
            "\
INSERT INTO outbox_events
    (entity_id, user_id, id, event_type, operation, priority, created_at, next_attempt_at, max_attempts,
     metadata, metadata_version, lane, on_dead, destination, status, attempt_count, last_attempt_at, error_message,
     completed_at, dead_reason, open, slot)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
    CASE WHEN ?21 IS NULL THEN NULL WHEN ?15 = 'dead' THEN 'held' ", $($blocked,)+
    "WHEN ?8 > ?22 THEN 'waiting' ELSE 'ready' END)
ON CONFLICT (id) DO NOTHING"
        )
    };
}

const RESTORE_BY_ENTITY: &str = restore!("WHEN ", waits_in_entity!(), " THEN 'blocked' ");
const RESTORE_BY_USER: &str = restore!(
    "WHEN EXISTS (SELECT 1 FROM outbox_events WHERE ",
    lane_condition!(User),
    ") OR ",
    new_has_elders!(User),
    " THEN 'blocked' "
);
const RESTORE_UNORDERED: &str = restore!("WHEN ", new_has_elders!(Unordered), " THEN 'blocked' ");

impl SqliteStore {
    /// Writes `event` in the state of `row`, which is derived from it, inside the transaction open
    /// on `conn`.
    ///
    /// Returns `false` if the event exists already, with the same content. Part of `outbox-import`,
    /// not of the public interface.
    ///
    /// # Errors
    ///
    /// As for enqueueing.
    #[doc(hidden)]
    pub fn restore(
        conn: &Connection,
        now: DateTime<Utc>,
        event: &NewEvent,
        row: &OutboxEvent,
    ) -> Result<bool, EnqueueError> {
        event.validate()?;
        let storage = |error| EnqueueError::from(fault_on("import", conn, error));
        if !is_folded(conn, event.id()).map_err(storage)?
            && insert(conn, now, event, row).map_err(storage)?
        {
            // The entities that the other outbox had delivered and forgotten are unknown.
            told::record_any_entity(conn, event.user_id()).map_err(storage)?;
            return Ok(true);
        }
        fold::known(conn, event).map_err(storage)?.map(|_| false)
    }

    /// Reads the event with this id as it is stored. Part of `outbox-import`, not of the public
    /// interface.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    #[doc(hidden)]
    pub fn restored(conn: &Connection, id: Uuid) -> Result<Option<OutboxEvent>, StoreError> {
        fetch(conn, id).map_err(|error| fault_on("import", conn, error))
    }
}

fn is_folded(conn: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox_folded WHERE id = ?1)")?
        .query_row(params![id], |row| row.get(0))
}

/// The time that decides whether the event is due. An event that was neither attempted nor delayed
/// is due, even if the clock was set back since it was created.
fn due_by(now: DateTime<Utc>, row: &OutboxEvent) -> DateTime<Utc> {
    if row.last_attempt_at.is_none() && row.next_attempt_at <= row.created_at {
        now.max(row.next_attempt_at)
    } else {
        now
    }
}

fn text(text: Option<&str>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(text.map_or(ValueRef::Null, ValueRef::from))
}

fn insert(
    conn: &Connection,
    now: DateTime<Utc>,
    event: &NewEvent,
    row: &OutboxEvent,
) -> rusqlite::Result<bool> {
    let now = due_by(now, row);
    let sql = match row.order {
        Order::Entity => RESTORE_BY_ENTITY,
        Order::User => RESTORE_BY_USER,
        Order::None => RESTORE_UNORDERED,
    };
    let micros = |at: Option<DateTime<Utc>>| {
        at.map_or(Value::Null, |at| Value::Integer(at.timestamp_micros()))
    };
    let state = [
        text(Some(row.status.as_str())),
        ToSqlOutput::Owned(Value::Integer(row.attempt_count.into())),
        ToSqlOutput::Owned(micros(row.last_attempt_at)),
        text(row.error_message.as_deref()),
        ToSqlOutput::Owned(micros(row.completed_at)),
        text(row.dead_reason.map(DeadReason::as_str)),
        ToSqlOutput::Owned(
            row.is_open()
                .then_some(1)
                .map_or(Value::Null, Value::Integer),
        ),
        ToSqlOutput::Owned(Value::Integer(now.timestamp_micros())),
    ];
    debug_assert!(
        row.status != OutboxStatus::Processing,
        "a restored event has no lease"
    );
    let values = insert_values(event, row.created_at, row.next_attempt_at);
    let values = values.map(ToSqlOutput::Borrowed).into_iter().chain(state);
    let written = conn
        .prepare_cached(sql)?
        .execute(params_from_iter(values))?;
    Ok(written == 1)
}
