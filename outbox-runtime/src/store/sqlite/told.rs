//! What the remote service may have been told of entities whose events are gone: a creation and its deletion cancel out only
//! where it cannot know the entity.
//!
//! The events that are there tell themselves. Of those that were attempted and deleted since, by clean-up or by anybody, a
//! trigger remembers the ends of the two ids in `outbox_told`: four bytes of a string or of a number's digits, two bytes of
//! a UUID. So the table has at most a few ten thousand small rows for each user, and nobody is known by it. Who finds nothing
//! there knows; who finds something may have met another entity, and both events are sent, which does no harm.
//!
//! An empty end of an entity's id stands for every entity of the user: where it cannot be known any more, after an import or
//! when the user's events became those of another.

use rusqlite::{Connection, params};

use crate::event::OutboxEvent;

/// The end of a user's id that is remembered.
macro_rules! told_user {
    ($user_id:literal) => {
        concat!("substr(CAST(", $user_id, " AS BLOB), -4)")
    };
}
pub(super) use told_user;

/// The end of an entity's id that is remembered.
macro_rules! told_entity {
    ($entity_id:literal) => {
        concat!(
            "CASE typeof(",
            $entity_id,
            ") WHEN 'blob' THEN substr(",
            $entity_id,
            ", -2) ELSE substr(CAST(",
            $entity_id,
            " AS BLOB), -4) END"
        )
    };
}
pub(super) use told_entity;

/// Whether the service cannot know the entity of this event, nor hear of it from another event that is there. One that was
/// cancelled out itself was told to nobody: it was never attempted, and the deletion is remembered that it took in.
pub(super) fn was_never_told(conn: &Connection, event: &OutboxEvent) -> rusqlite::Result<bool> {
    conn.prepare_cached(concat!(
        "SELECT NOT EXISTS (SELECT 1 FROM outbox_events
                 WHERE entity_id = ?1 AND user_id = ?2 AND open IS NOT NULL AND seq <> ?3)
             AND NOT EXISTS (SELECT 1 FROM outbox_events
                 WHERE entity_id = ?1 AND user_id = ?2 AND status = 'dead')
             AND NOT EXISTS (SELECT 1 FROM outbox_told
                 WHERE user_end = ",
        told_user!("?2"),
        " AND (entity_end = x'' OR entity_end = ",
        told_entity!("?1"),
        "))
             AND NOT EXISTS (SELECT 1 FROM outbox_events INDEXED BY outbox_completed
                 WHERE completed_at IS NOT NULL AND user_id = ?2 AND entity_id = ?1
                     AND (last_attempt_at IS NOT NULL
                         OR NOT EXISTS (SELECT 1 FROM outbox_folded WHERE into_seq = seq)))"
    ))?
    .query_row(params![event.entity_id, event.user_id, event.seq], |row| {
        row.get(0)
    })
}

/// The service may know any entity of this user.
pub(super) fn of_any(conn: &Connection, user_id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO outbox_told (user_end, entity_end) VALUES (",
        told_user!("?1"),
        ", x'') ON CONFLICT DO NOTHING"
    ))?
    .execute([user_id])?;
    Ok(())
}

/// All events of one user became those of another: so did what the service knows. Which of them it knows as the first
/// user's cannot be looked up any more.
pub(super) fn reassign(conn: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO outbox_told (user_end, entity_end) SELECT ",
        told_user!("?2"),
        ", entity_end FROM outbox_told WHERE user_end = ",
        told_user!("?1"),
        " ON CONFLICT DO NOTHING"
    ))?
    .execute([from, to])?;
    of_any(conn, from)
}
