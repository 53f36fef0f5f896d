//! Entities that the remote service may know although their events are gone. A creation and its
//! deletion cancel out only if the service cannot know the entity.
//!
//! Existing events answer this themselves. For events that were attempted and then deleted, by
//! clean-up or otherwise, a trigger records the last four characters of both ids in `outbox_told`.
//! Where ids are UUIDs or numbers, the table thus has at most a few tens of thousands of small rows
//! per user, and it identifies no one. A missing entry is certain. A found
//! entry may belong to another entity; then both events are sent, which is harmless.
//!
//! An empty end of an entity id stands for every entity of the user. It is used where the entities
//! cannot be determined: after an import, or after moving a user's events to another user.

use rusqlite::Connection;

use super::database::{Database, values};
use super::lane::Lane;
use crate::event::OutboxEvent;

/// The recorded end of a user id.
macro_rules! told_user {
    ($user_id:literal) => {
        concat!("substr(CAST(", $user_id, " AS BLOB), -4)")
    };
}
pub(super) use told_user;

/// The recorded end of an entity id.
macro_rules! told_entity {
    ($entity_id:literal) => {
        concat!("substr(CAST(", $entity_id, " AS BLOB), -4)")
    };
}
pub(super) use told_entity;

/// How many rows are read for completed events of an entity, which no index finds.
const MOST_READ: i64 = 100_000;

/// Whether the service cannot know the entity of this event, nor learn of it from another existing
/// event. An event that was itself cancelled out does not count: it was never attempted, and
/// `outbox_folded` records the deletion that it absorbed.
///
/// Only a deletion that meets an unclaimed creation asks. Completed events are found by reading all
/// rows; with more than a hundred thousand, this says that the service may know the entity, so that
/// both events are sent, which is harmless.
pub(super) async fn was_never_told<D: Database>(
    db: &D,
    lane: &Lane<'_>,
    event: &OutboxEvent,
) -> Result<bool, D::Error> {
    let sql = concat!(
        "SELECT NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_lane
                 WHERE lane = ?4 AND entity_id = ?1 AND user_id = ?2 AND seq <> ?3)
             AND NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_reordered
                 WHERE entity_lane = ?4 AND entity_id = ?1 AND user_id = ?2 AND seq <> ?3)
             AND NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_noted
                 WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND entity_id = ?1 AND user_id = ?2)
             AND NOT EXISTS (SELECT 1 FROM outbox_told
                 WHERE user_end = ",
        told_user!("?2"),
        " AND (entity_end = x'' OR entity_end = ",
        told_entity!("?1"),
        "))
             AND (SELECT max(seq) FROM outbox_events) - (SELECT min(seq) FROM outbox_events) < ?5
             AND NOT EXISTS (SELECT 1 FROM outbox_events NOT INDEXED
                 WHERE status = 2 AND user_id = ?2 AND entity_id = ?1
                     AND (last_attempt_at IS NOT NULL
                         OR NOT EXISTS (SELECT 1 FROM outbox_folded WHERE into_seq = seq)))"
    );
    let most = MOST_READ;
    let values = values![
        lane.entity_id,
        event.user_id,
        event.seq,
        lane.entity_number,
        most
    ];
    db.is(sql, values).await
}

/// Records that the service may know any entity of this user.
pub(super) fn record_any_entity(conn: &Connection, user_id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO outbox_told (user_end, entity_end) VALUES (",
        told_user!("?1"),
        ", x'') ON CONFLICT DO NOTHING"
    ))?
    .execute([user_id])?;
    Ok(())
}

/// Copies the records of one user to another, after a move of all events. The entities that the
/// service knows under the first user's name cannot be determined anymore.
pub(super) fn reassign(conn: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO outbox_told (user_end, entity_end) SELECT ",
        told_user!("?2"),
        ", entity_end FROM outbox_told WHERE user_end = ",
        told_user!("?1"),
        " ON CONFLICT DO NOTHING"
    ))?
    .execute([from, to])?;
    record_any_entity(conn, from)
}
