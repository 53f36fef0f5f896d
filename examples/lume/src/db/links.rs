//! Links: what the service knows of an entity, kept apart from the entity because it outlives it. A link of something that is
//! deleted here and not yet there is its tombstone.

use fitiq_core::{LocalId, RemoteId};
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, params};

use crate::entities::Kind;

pub(super) const NAME: &str = "remote_links";

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS remote_links (
    local_id  BLOB PRIMARY KEY,
    kind      TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    remote_id TEXT,
    -- Whether the service was told of it, so that it may know it although its answer was lost.
    told      INTEGER NOT NULL,
    -- What it was told, for as long as its answer is not known.
    sent      TEXT,
    -- Whether it is deleted on this device, and the service was not told yet.
    deleted   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS remote_links_by_remote_id ON remote_links (kind, remote_id) WHERE remote_id IS NOT NULL";

/// What the service knows of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// The service's id of it, once it is known.
    pub remote_id: Option<RemoteId>,
    /// Whether the service was told of it, so that it may know it although its answer was lost.
    pub told: bool,
    /// What it was told, as JSON, for as long as its answer is not known.
    pub sent: Option<String>,
    /// Whether it is deleted on this device.
    pub deleted: bool,
}

/// What is known; nothing, where nothing was written down.
///
/// # Errors
///
/// Where the database cannot be read.
pub fn of(conn: &Connection, id: LocalId) -> rusqlite::Result<Link> {
    let link = conn
        .prepare_cached(
            "SELECT remote_id, told, sent, deleted FROM remote_links WHERE local_id = ?1",
        )?
        .query_row([id], |row| {
            Ok(Link {
                remote_id: row.get(0)?,
                told: row.get(1)?,
                sent: row.get(2)?,
                deleted: row.get(3)?,
            })
        })
        .optional()?;
    Ok(link.unwrap_or_default())
}

/// Notes that the service is about to be told, and what; `None` where that is not known any more.
///
/// # Errors
///
/// Where the database cannot be written.
pub fn telling(
    conn: &Connection,
    kind: Kind,
    id: LocalId,
    user_id: &str,
    sent: Option<&str>,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO remote_links VALUES (?1, ?2, ?3, NULL, 1, ?4, 0)
         ON CONFLICT (local_id) DO UPDATE SET told = 1, sent = ?4",
    )?
    .execute(params![id, kind.as_str(), user_id, sent])
    .map(drop)
}

/// Notes the service's id.
///
/// # Errors
///
/// Where the database cannot be written.
pub fn learn(
    conn: &Connection,
    kind: Kind,
    id: LocalId,
    user_id: &str,
    remote_id: &RemoteId,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO remote_links VALUES (?1, ?2, ?3, ?4, 1, NULL, 0)
         ON CONFLICT (local_id) DO UPDATE SET remote_id = ?4, told = 1, sent = NULL",
    )?
    .execute(params![id, kind.as_str(), user_id, remote_id])
    .map(drop)
}

/// Leaves a tombstone: until the service has deleted it, no restore brings it back.
///
/// # Errors
///
/// Where the database cannot be written.
pub fn bury(conn: &Connection, kind: Kind, id: LocalId, user_id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO remote_links VALUES (?1, ?2, ?3, NULL, 0, NULL, 1) ON CONFLICT (local_id) DO UPDATE SET deleted = 1",
    )?
    .execute(params![id, kind.as_str(), user_id])
    .map(drop)
}

/// The service knows it no more, or never did.
///
/// # Errors
///
/// Where the database cannot be written.
pub fn forget(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM remote_links WHERE local_id = ?1")?
        .execute([id])
        .map(drop)
}

/// Which entity of this device it is that the service calls so, and whether it is a tombstone.
///
/// # Errors
///
/// Where the database cannot be read.
pub fn local(
    conn: &Connection,
    kind: Kind,
    user_id: &str,
    remote_id: &RemoteId,
) -> rusqlite::Result<Option<(LocalId, bool)>> {
    conn.prepare_cached(
        "SELECT local_id, deleted FROM remote_links
         WHERE kind = ?1 AND user_id = ?2 AND remote_id = ?3 ORDER BY deleted DESC LIMIT 1",
    )?
    .query_row(params![kind.as_str(), user_id, remote_id], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .optional()
}

/// Something that the service was told of, without its id being known here.
#[derive(Debug)]
pub struct Unanswered {
    /// Which it is here.
    pub local_id: LocalId,
    /// What the service was told, as JSON, if that is known.
    pub sent: Option<String>,
    /// Whether it is deleted on this device.
    pub deleted: bool,
}

/// All of a user's.
///
/// # Errors
///
/// Where the database cannot be read.
pub fn unanswered(
    conn: &Connection,
    kind: Kind,
    user_id: &str,
) -> rusqlite::Result<Vec<Unanswered>> {
    conn.prepare_cached(
        "SELECT local_id, sent, deleted FROM remote_links
         WHERE kind = ?1 AND user_id = ?2 AND remote_id IS NULL AND told = 1",
    )?
    .query_map(params![kind.as_str(), user_id], |row| {
        Ok(Unanswered {
            local_id: row.get(0)?,
            sent: row.get(1)?,
            deleted: row.get(2)?,
        })
    })?
    .collect()
}
