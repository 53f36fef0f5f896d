//! The app's own table, and the one way to change it: an entity and the event of its change are written together.

use fitiq_core::{LocalId, RemoteId, UserId};
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension};
use outbox_runtime::store::BoxError;
use outbox_runtime::{Enqueue, Operation, enqueue_all};
use thiserror::Error;

use crate::entities::{Delete, Edit, Kind, Record};

/// What became of something that was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is new.
    Created(LocalId),
    /// It was there with other content, and has this one now.
    Updated(LocalId),
    /// It was there just like that; nothing was written and nothing is sent.
    Unchanged(LocalId),
}

impl Saved {
    /// Which one it is: the one that was there first.
    #[must_use]
    pub fn id(self) -> LocalId {
        match self {
            Self::Created(id) | Self::Updated(id) | Self::Unchanged(id) => id,
        }
    }
}

/// Where an entity stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which kind it is.
    pub kind: String,
    /// Whose it is.
    pub user: UserId,
    /// What the service calls it, once it said so.
    pub remote_id: Option<RemoteId>,
    /// Whether the service took it, by whatever name.
    pub accepted: bool,
    /// Whether the user deleted it, and the service may not know yet.
    pub deleted: bool,
}

/// A change that cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is none such.
    #[error("there is no {kind} {id}")]
    Missing {
        /// Which kind it should be.
        kind: Kind,
        /// Which one.
        id: LocalId,
    },
    /// The service cannot learn of it.
    #[error("the service has no way to change a {kind}; delete it and add another")]
    NotEditable {
        /// Which kind.
        kind: Kind,
    },
    /// It would become the same as another.
    #[error("there is a {kind} like that already: {id}")]
    Taken {
        /// Which kind.
        kind: Kind,
        /// The other one.
        id: LocalId,
    },
}

/// Makes the table, where it is not there.
///
/// # Errors
///
/// Those of SQLite.
pub fn create_table(conn: &Connection) -> rusqlite::Result<()> {
    // One of a kind by its natural key, among those that are not deleted: the database itself keeps doubles out.
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

/// Saves what may be there already: by its id or, seen twice, by its natural key. Enqueues what that means for the service.
///
/// # Errors
///
/// Those of SQLite and of the outbox. The caller's transaction has to be rolled back then.
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

/// Saves many that are known to be new, and enqueues them in one go.
///
/// # Errors
///
/// Those of SQLite, one of which is that something is there already, and of the outbox.
pub fn save_new<E: Record>(conn: &Connection, entities: &[E]) -> Result<usize, BoxError> {
    for entity in entities {
        insert(conn, entity, &serde_json::to_string(entity)?)?;
    }
    enqueue_all(entities).on(conn)?;
    Ok(entities.len())
}

/// Changes what is there.
///
/// # Errors
///
/// [`ChangeError`], and those of SQLite and of the outbox.
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

/// Deletes what is there. It stays as a tombstone until the service knows, so that nothing brings it back.
///
/// # Errors
///
/// [`ChangeError`], and those of SQLite and of the outbox.
pub fn delete<E: Record>(conn: &Connection, id: LocalId) -> Result<E, BoxError> {
    let missing = || ChangeError::Missing { kind: E::KIND, id };
    let entity = load::<E>(conn, id)?.ok_or_else(missing)?;
    mark_deleted(conn, id)?;
    if E::DELETE == Delete::Remote {
        Enqueue::new(&entity, Operation::Delete).on(conn)?;
    }
    Ok(entity)
}

/// What is there, unless it is deleted or of another kind.
///
/// # Errors
///
/// Those of SQLite, and of a body that cannot be read.
pub fn load<E: Record>(conn: &Connection, id: LocalId) -> Result<Option<E>, BoxError> {
    let body: Option<String> = conn
        .prepare_cached("SELECT body FROM entities WHERE id = ?1 AND kind = ?2 AND deleted = 0")?
        .query_row((id, E::EVENT_TYPE), |row| row.get(0))
        .optional()?;
    Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
}

/// Where an entity stands, whatever kind it is.
///
/// # Errors
///
/// Those of SQLite.
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

/// Notes that the service took it, and what it calls it if it said so.
///
/// # Errors
///
/// Those of SQLite.
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

/// Notes that the service has none such any more.
///
/// # Errors
///
/// Those of SQLite.
pub fn unknown_there(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET accepted = 0, remote_id = NULL WHERE id = ?1")?
        .execute([id])
        .map(drop)
}

/// Removes the tombstone of what both sides have deleted.
///
/// # Errors
///
/// Those of SQLite.
pub fn bury(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM entities WHERE id = ?1 AND deleted = 1")?
        .execute([id])
        .map(drop)
}

/// Writes an entity that the service has already: from a restore or an older app. Enqueues nothing.
///
/// # Errors
///
/// Those of SQLite.
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

/// Writes an entity of the older app. Where another is the same thing by its natural key, both stay: each has its own events.
///
/// # Errors
///
/// Those of SQLite.
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

/// Gives an entity of the older app the content of a later event.
///
/// # Errors
///
/// Those of SQLite.
pub(crate) fn overwrite_old<E: Record>(
    conn: &Connection,
    id: LocalId,
    body: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET body = ?2 WHERE id = ?1 AND kind = ?3")?
        .execute((id, body, E::EVENT_TYPE))
        .map(drop)
}

/// Makes it a tombstone.
///
/// # Errors
///
/// Those of SQLite.
pub(crate) fn mark_deleted(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE entities SET deleted = 1 WHERE id = ?1")?
        .execute([id])
        .map(drop)
}

/// Makes everything of one user that of another, as the outbox does with its events (`reassign_user`).
///
/// # Errors
///
/// Those of SQLite, one of which is that the other user has the same thing.
pub fn reassign(conn: &Connection, from: &UserId, to: &UserId) -> rusqlite::Result<usize> {
    conn.execute(
        "UPDATE entities SET user_id = ?2, body = json_set(body, '$.user', ?2) WHERE user_id = ?1",
        (from, to),
    )
}

/// Which entity is the same thing.
///
/// # Errors
///
/// Those of SQLite.
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

/// What two records say, compared as they are stored.
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
