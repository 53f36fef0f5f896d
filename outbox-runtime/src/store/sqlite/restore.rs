//! Restores an event in the state that another outbox had it in, as if it had been enqueued and
//! processed here.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, params, params_from_iter};
use uuid::Uuid;

use super::codes::Code;
use super::database::{OnConnection, at_once};
use super::fault::fault_on;
use super::fold;
use super::insert::fetch;
use super::keyed;
use super::lane_key::lane_key;
use super::statement::{insert_values, lane_values, new_is_behind};
use super::store::SqliteStore;
use super::told;
use crate::enqueue::NewEvent;
use crate::entity::EntityId;
use crate::error::{EnqueueError, StoreError};
use crate::event::{OutboxEvent, OutboxStatus};

/// Writes the columns of an enqueued event, and its state. A dead event that holds others does so
/// wherever it stands in its lane; the events that reach it wait.
const RESTORE: &str = concat!(
    "\
INSERT INTO outbox_events
    (entity_id, user_id, id, event_type, operation, priority, created_at, next_attempt_at, max_attempts,
     metadata, metadata_version, lane_order, on_dead, destination, trace_context, lane, entity_lane, status,
     attempt_count, last_attempt_at, error_message, completed_at, dead_reason, headers, slot)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
    CASE WHEN ?24 THEN ?16 END, CASE WHEN ?24 AND ?12 > 0 THEN ?17 END, ?18, ?19, ?20, ?21, ?22, ?23, ?26,
    CASE WHEN NOT ?24 THEN NULL WHEN ?18 = 3 THEN 5 WHEN ",
    new_is_behind!(),
    " THEN 3 WHEN ?8 > ?25 THEN 2 ELSE 1 END)
ON CONFLICT (id) DO NOTHING"
);

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
        let db = OnConnection(conn);
        if !is_folded(conn, event.id()).map_err(storage)?
            && insert(conn, now, event, row).map_err(storage)?
        {
            let noted = keyed::note(&db, event, row.expires_at);
            at_once(noted).map_err(storage)?;
            // The entities that the other outbox had delivered and forgotten are unknown.
            told::record_any_entity(conn, event.user_id()).map_err(storage)?;
            return Ok(true);
        }
        at_once(fold::known(&db, event))
            .map_err(storage)?
            .map(|_| false)
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
    let micros = |at: Option<DateTime<Utc>>| {
        at.map_or(Value::Null, |at| Value::Integer(at.timestamp_micros()))
    };
    debug_assert!(
        row.status != OutboxStatus::Processing,
        "a restored event has no lease"
    );
    let mut buffer = [0; EntityId::LONGEST_TEXT];
    let entity_id = event.entity_id.write_text(&mut buffer);
    let values = insert_values(event, entity_id, row.created_at, row.next_attempt_at);
    let lane = lane_values(lane_key(conn)?, row.order, &values);
    let headers = event.headers().to_stored();
    let state = [
        ToSqlOutput::Owned(Value::Integer(row.status.code())),
        ToSqlOutput::Owned(Value::Integer(row.attempt_count.into())),
        ToSqlOutput::Owned(micros(row.last_attempt_at)),
        text(row.error_message.as_deref()),
        ToSqlOutput::Owned(micros(row.completed_at)),
        ToSqlOutput::Owned(
            row.dead_reason
                .map_or(Value::Null, |reason| Value::Integer(reason.code())),
        ),
        ToSqlOutput::Owned(Value::Integer(row.is_open().into())),
        ToSqlOutput::Owned(Value::Integer(now.timestamp_micros())),
        text(headers.as_deref()),
    ];
    let values = values.into_iter().chain(lane);
    let values = values.map(ToSqlOutput::Borrowed).chain(state);
    let written = conn
        .prepare_cached(RESTORE)?
        .execute(params_from_iter(values))?;
    Ok(written == 1)
}
