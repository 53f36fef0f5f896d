//! The app's own table, and the only way to change it: an entity and its event are written
//! together.

use fitiq_core::{LocalId, RemoteId, UserId};
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension};
use outbox_runtime::store::BoxError;
use outbox_runtime::{Enqueue, Operation, enqueue_all};
use thiserror::Error;

use crate::entities::{Delete, Edit, Kind, Record};

/// The result of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// A creation.
    Created(LocalId),
    /// It existed with other content, and is updated.
    Updated(LocalId),
    /// It existed with the same content; nothing is written or sent.
    Unchanged(LocalId),
}

impl Saved {
    /// The id of the entity that existed first.
    #[must_use]
    pub fn id(self) -> LocalId {
        match self {
            Self::Created(id) | Self::Updated(id) | Self::Unchanged(id) => id,
        }
    }
}

/// The state of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The kind.
    pub kind: String,
    /// The owner.
    pub user: UserId,
    /// The remote id, once known.
    pub remote_id: Option<RemoteId>,
    /// Whether the service accepted it, under any id.
    pub accepted: bool,
    /// Whether the user deleted it; the service may not know yet.
    pub deleted: bool,
}

impl Standing {
    /// Whether the service has to be told of it, and knows nothing of it yet.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !self.deleted && !self.accepted && self.remote_id.is_none()
    }
}

/// A change that cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The entity does not exist.
    #[error("{kind} {id} does not exist")]
    Missing {
        /// The expected kind.
        kind: Kind,
        /// The id.
        id: LocalId,
    },
    /// The service has no call for it.
    #[error("the service cannot change a {kind}; delete it and add another")]
    NotEditable {
        /// The kind.
        kind: Kind,
    },
    /// It would equal another entity.
    #[error("an equal {kind} exists already: {id}")]
    Taken {
        /// The kind.
        kind: Kind,
        /// The other entity.
        id: LocalId,
    },
}

/// Creates the table if it does not exist.
///
/// # Errors
///
/// Database errors.
pub fn create_table(conn: &Connection) -> rusqlite::Result<()> {
    // Unique by natural key among entities that are not deleted: the database itself prevents
    // duplicates.
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS entities (
            id          BLOB PRIMARY KEY,
            kind        TEXT NOT NULL,
            user_id     TEXT NOT NULL,
            natural_key TEXT,
            body        TEXT NOT NULL,
            remote_id   TEXT,
            accepted    INTEGER NOT NULL DEFAULT 0,
            deleted     INTEGER NOT NULL DEFAULT 0
        ) STRICT, WITHOUT ROWID;
        CREATE UNIQUE INDEX IF NOT EXISTS entities_natural ON entities (kind, user_id, natural_key)
            WHERE natural_key IS NOT NULL AND deleted = 0;
        CREATE INDEX IF NOT EXISTS entities_remote ON entities (kind, user_id, remote_id) WHERE remote_id IS NOT NULL;",
    )
}

/// Saves an entity that may exist already, by its id or its natural key, and enqueues its event.
///
/// # Errors
///
/// Errors of the database and the outbox. Roll the caller's transaction back then.
pub fn save<E: Record>(conn: &Connection, entity: &E) -> Result<Saved, BoxError> {
    let body = serde_json::to_string(entity)?;
    let Some(same) = twin(conn, entity)? else {
        insert(conn, entity, &body)?;
        Enqueue::new(entity, Operation::Create).on(conn)?;
        return Ok(Saved::Created(entity.id()));
    };
    let twin = with_id::<E>(entity, same)?;
    if load::<E>(conn, same)?.is_some_and(|there| there.equals(&twin)) {
        return Ok(Saved::Unchanged(same));
    }
    replace(conn, &twin)?;
    Enqueue::new(&twin, Operation::Update).on(conn)?;
    Ok(Saved::Updated(same))
}

/// Saves many new entities, and enqueues their events as a batch.
///
/// # Errors
///
/// Errors of the database (something exists already, for example) and the outbox.
pub fn save_new<E: Record>(conn: &Connection, entities: &[E]) -> Result<usize, BoxError> {
    for entity in entities {
        insert(conn, entity, &serde_json::to_string(entity)?)?;
    }
    enqueue_all(entities).on(conn)?;
    Ok(entities.len())
}

/// Changes an existing entity.
///
/// # Errors
///
/// [`ChangeError`], and errors of the database and the outbox.
pub fn edit<E: Record>(conn: &Connection, entity: &E) -> Result<(), BoxError> {
    let (kind, id) = (E::KIND, entity.id());
    if standing(conn, id)?
        .is_none_or(|standing| standing.deleted || standing.kind != kind.event_type())
    {
        return Err(ChangeError::Missing { kind, id }.into());
    }
    if E::EDIT == Edit::Never {
        return Err(ChangeError::NotEditable { kind }.into());
    }
    if let Some(other) = twin(conn, entity)?.filter(|other| *other != id) {
        return Err(ChangeError::Taken { kind, id: other }.into());
    }
    replace(conn, entity)?;
    Enqueue::new(entity, Operation::Update).on(conn)?;
    Ok(())
}

/// Deletes an existing entity. A tombstone stays until the service knows, so that nothing restores
/// it.
///
/// # Errors
///
/// [`ChangeError`], and errors of the database and the outbox.
pub fn delete<E: Record>(conn: &Connection, id: LocalId) -> Result<E, BoxError> {
    let missing = || ChangeError::Missing { kind: E::KIND, id };
    let entity = load::<E>(conn, id)?.ok_or_else(missing)?;
    mark_deleted(conn, id)?;
    if E::DELETE == Delete::Remote {
        Enqueue::new(&entity, Operation::Delete).on(conn)?;
    }
    Ok(entity)
}

/// The entity, unless it is deleted or of another kind.
///
/// # Errors
///
/// Database errors, and an unreadable body.
pub fn load<E: Record>(conn: &Connection, id: LocalId) -> Result<Option<E>, BoxError> {
    let body: Option<String> = conn
        .prepare_cached("SELECT body FROM entities WHERE id = ?1 AND kind = ?2 AND deleted = 0")?
        .query_row((id, E::EVENT_TYPE), |row| row.get(0))
        .optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// The state of an entity of any kind.
///
/// # Errors
///
/// Database errors.
pub fn standing(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Standing>> {
    conn.prepare_cached(
        "SELECT kind, user_id, remote_id, accepted, deleted FROM entities WHERE id = ?1",
    )?
    .query_row([id], |row| {
        Ok(Standing {
            kind: row.get(0)?,
            user: row.get(1)?,
            remote_id: row.get(2)?,
            accepted: row.get(3)?,
            deleted: row.get(4)?,
        })
    })
    .optional()
}

/// Records that the service accepted it, with its remote id if known.
///
/// # Errors
///
/// Database errors.
pub fn accepted(
    conn: &Connection,
    id: LocalId,
    remote_id: Option<&RemoteId>,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE entities SET accepted = 1, remote_id = coalesce(?2, remote_id) WHERE id = ?1",
    )?
    .execute((id, remote_id))
    .map(drop)
}

/// Records that the service no longer has it.
///
/// # Errors
///
/// Database errors.
pub fn unknown_there(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET accepted = 0, remote_id = NULL WHERE id = ?1")?
        .execute([id])
        .map(drop)
}

/// Removes the tombstone of an entity that both sides have deleted.
///
/// # Errors
///
/// Database errors.
pub fn bury(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM entities WHERE id = ?1 AND deleted = 1")?
        .execute([id])
        .map(drop)
}

/// Writes an entity that the service has already, from a restore or an older app. Enqueues nothing.
///
/// # Errors
///
/// Database errors.
pub fn insert<E: Record>(conn: &Connection, entity: &E, body: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO entities (id, kind, user_id, natural_key, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        entity.id(),
        E::EVENT_TYPE,
        entity.user(),
        entity.natural_key(),
        body,
    ))
    .map(drop)
}

/// Writes an entity of the older app. If another has the same natural key, both stay, each with its
/// own events.
///
/// # Errors
///
/// Database errors.
pub(crate) fn insert_old<E: Record>(
    conn: &Connection,
    entity: &E,
    body: &str,
) -> rusqlite::Result<()> {
    let key = match twin(conn, entity)? {
        Some(_) => None,
        None => entity.natural_key(),
    };
    conn.prepare_cached(
        "INSERT INTO entities (id, kind, user_id, natural_key, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((entity.id(), E::EVENT_TYPE, entity.user(), key, body))
    .map(drop)
}

/// Updates an entity of the older app from a later event.
///
/// # Errors
///
/// Database errors.
pub(crate) fn overwrite_old<E: Record>(
    conn: &Connection,
    id: LocalId,
    body: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET body = ?2 WHERE id = ?1 AND kind = ?3")?
        .execute((id, body, E::EVENT_TYPE))
        .map(drop)
}

/// Turns it into a tombstone.
///
/// # Errors
///
/// Database errors.
pub(crate) fn mark_deleted(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET deleted = 1 WHERE id = ?1")?
        .execute([id])
        .map(drop)
}

/// Gives all entities of one user to another, as the outbox does with its events (`reassign_user`).
///
/// # Errors
///
/// Database errors, such as the other user having the same entity.
pub fn reassign(conn: &Connection, from: &UserId, to: &UserId) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE entities SET user_id = ?2, body = json_set(body, '$.user', ?2) WHERE user_id = ?1",
        (from, to),
    )
}

/// The entity with the same natural key.
///
/// # Errors
///
/// Database errors.
pub fn twin<E: Record>(conn: &Connection, entity: &E) -> rusqlite::Result<Option<LocalId>> {
    let by_key = conn
        .prepare_cached(
            "SELECT id FROM entities WHERE kind = ?1 AND user_id = ?2 AND natural_key = ?3 AND deleted = 0",
        )?
        .query_row((E::EVENT_TYPE, entity.user(), entity.natural_key()), |row| row.get(0))
        .optional()?;
    if by_key.is_some() {
        return Ok(by_key);
    }
    conn.prepare_cached("SELECT id FROM entities WHERE id = ?1")?
        .query_row([entity.id()], |row| row.get(0))
        .optional()
}

fn replace<E: Record>(conn: &Connection, entity: &E) -> Result<(), BoxError> {
    conn.prepare_cached(
        "UPDATE entities SET body = ?2, natural_key = ?3, deleted = 0 WHERE id = ?1",
    )?
    .execute((
        entity.id(),
        serde_json::to_string(entity)?,
        entity.natural_key(),
    ))?;
    Ok(())
}

/// The same content under another id.
fn with_id<E: Record>(entity: &E, id: LocalId) -> Result<E, serde_json::Error> {
    let mut value = serde_json::to_value(entity)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("id".to_owned(), serde_json::to_value(id)?);
    }
    serde_json::from_value(value)
}

/// Compares the stored content of two records.
trait SameContent {
    fn equals(&self, other: &Self) -> bool;
}

impl<E: Record> SameContent for E {
    fn equals(&self, other: &Self) -> bool {
        match (serde_json::to_value(self), serde_json::to_value(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
}
