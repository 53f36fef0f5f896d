//! Folding: a newer event replaces one that was never claimed. On any connection.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::codes::Code;
use super::database::{Database, values};
use super::held::Held;
use super::lane::Lane;
use super::placing::Placing;
use super::row::{read_values, select_events};
use super::tally;
use super::told;
use super::waits;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::EnqueueError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::store::kit::Class;
use crate::trace::TraceContext;

/// Folds `event` into the newest event of its lane, if allowed. Returns `None` if nothing was
/// written. After an error, writes may be left behind.
pub(super) async fn fold<D: Placing>(
    db: &D,
    now: DateTime<Utc>,
    event: &NewEvent,
) -> Result<Option<Enqueued>, D::Error> {
    lock(db).await?;
    if is_known(db, event.id).await? {
        return Ok(None);
    }
    let held = Held::read_on(db).await?;
    if !db.place_all(now.timestamp_micros(), &held).await? {
        return Ok(None);
    }
    let mut buffer = [0; EntityId::LONGEST_TEXT];
    let entity_id = event.entity_id.write_text(&mut buffer);
    let ids = [event.user_id.as_str(), entity_id, &*event.event_type];
    let key = db.lane_key().await?;
    let lane = Lane::new(key, event.order, ids.map(ValueRef::from));
    // The row alone does not tell whether the event was ever claimed, nor the lane's number whether
    // it is of this entity: `folded_into` compares the claimed event and the ids.
    let newest = lane.newest(db).await?.filter(|row| row.damage.is_none());
    let Some(waiting) = newest.map(|row| held.show(row).event) else {
        return Ok(None);
    };
    if lane.has_juniors(db, waiting.seq).await? {
        return Ok(None);
    }
    let folded = match event.folded_into(&waiting, now) {
        Some(folded) => folded,
        None => match event.cancels(&waiting, now) {
            Some(cancelled) if told::was_never_told(db, &lane, &waiting).await? => cancelled,
            _ => return Ok(None),
        },
    };
    remember(db, waiting.id, waiting.seq, waiting.fingerprint()).await?;
    remember(db, event.id, waiting.seq, event.fingerprint()).await?;
    write(db, now, &folded).await?;
    if folded.status == OutboxStatus::Completed {
        waits::free(db, folded.seq).await?;
    }
    let before = Class::of(waiting.status, waiting.attempt_count);
    let after = Class::of(folded.status, folded.attempt_count);
    tally::note(db, now.timestamp_micros(), waiting.seq, before, after).await?;
    Ok(Some(Enqueued::carried(event, &folded)))
}

/// Waits for the write lock, without a change. Anything read before the lock is held could be
/// outdated.
pub(super) async fn lock<D: Database>(db: &D) -> Result<(), D::Error> {
    let sql = "UPDATE outbox_events SET slot = slot WHERE false";
    db.change(sql, &[]).await.map(drop)
}

/// Whether an event has this id, or was folded into another.
pub(super) async fn is_known<D: Database>(db: &D, id: Uuid) -> Result<bool, D::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox_events WHERE id = ?1)
             OR EXISTS (SELECT 1 FROM outbox_folded WHERE id = ?1)";
    db.is(sql, values![id]).await
}

/// Records the event enqueued under an id, unless the id is known.
pub(super) async fn remember<D: Database>(
    db: &D,
    id: Uuid,
    into: i64,
    fingerprint: i64,
) -> Result<(), D::Error> {
    let sql = "INSERT INTO outbox_folded (id, into_seq, fingerprint) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
    let values = values![id, into, fingerprint];
    db.change(sql, values).await.map(drop)
}

async fn write<D: Database>(
    db: &D,
    now: DateTime<Utc>,
    folded: &OutboxEvent,
) -> Result<(), D::Error> {
    let due = folded.next_attempt_at;
    let sql = "UPDATE outbox_events
         SET operation = ?2, status = ?3, completed_at = ?4, priority = ?5, max_attempts = ?6, next_attempt_at = ?7,
             metadata = ?8, metadata_version = ?9, revision = ?12, trace_context = ?13, headers = ?14,
             slot = CASE WHEN ?10 THEN NULL WHEN slot = 2 AND ?11 THEN 1 ELSE slot END,
             lane = CASE WHEN ?10 THEN NULL ELSE lane END, entity_lane = CASE WHEN ?10 THEN NULL ELSE entity_lane END
         WHERE seq = ?1";
    db.change(
        sql,
        values![
            folded.seq,
            folded.operation.code(),
            folded.status.code(),
            folded.completed_at.map(|at| at.timestamp_micros()),
            folded.priority,
            folded.max_attempts,
            due.timestamp_micros(),
            folded.metadata,
            folded.metadata_version,
            folded.status == OutboxStatus::Completed,
            due <= now,
            i64::try_from(folded.revision).unwrap_or(i64::MAX),
            folded.trace_context().map(TraceContext::as_stored),
            folded.headers().to_stored(),
        ],
    )
    .await
    .map(drop)
}

/// The answer for an event whose id is known: it has its own row, or was folded into another.
pub(super) async fn known<D: Database>(
    db: &D,
    event: &NewEvent,
) -> Result<Result<Enqueued, EnqueueError>, D::Error> {
    let conflict = Err(EnqueueError::Conflict { event_id: event.id });
    let remembered = db
        .row(
            "SELECT into_seq, fingerprint FROM outbox_folded WHERE id = ?1",
            values![event.id],
        )
        .await?;
    let stored = match &remembered {
        Some(row) => {
            let sql = select_events!("WHERE seq = ?1");
            db.rows(sql, values![row.integer(0)]).await?
        }
        None => {
            let sql = select_events!("WHERE id = ?1");
            db.rows(sql, values![event.id]).await?
        }
    };
    let Some(carrier) = read_values(&stored).next().map(|row| row.event) else {
        return Ok(conflict);
    };
    let same = match &remembered {
        Some(row) => row.integer(1) == event.fingerprint(),
        None => event.is_same_event(&carrier),
    };
    Ok(if same {
        Ok(Enqueued::carried(event, &carrier))
    } else {
        conflict
    })
}
