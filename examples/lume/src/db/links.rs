//! Links: what the service knows of an entity, stored apart from the entity because it outlives it.
//! The link of an entity that is deleted here and not yet there is its tombstone.

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

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// The remote id, once known.
    pub remote_id: Option<RemoteId>,
    /// Whether a call was made, so that the service may know it although the response was lost.
    pub told: bool,
    /// The body of that call as JSON, until its response is known.
    pub sent: Option<String>,
    /// Whether it is deleted on this device.
    pub deleted: bool,
}

/// The stored link, or an empty one.
///
/// # Errors
///
/// If the database cannot be read.
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

/// Records that a call is about to be made, with its body; `None` if that is no longer known.
///
/// # Errors
///
/// If the database cannot be written.
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

/// Records the remote id.
///
/// # Errors
///
/// If the database cannot be written.
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

/// Leaves a tombstone: no restore brings the entity back until the service has deleted it.
///
/// # Errors
///
/// If the database cannot be written.
pub fn bury(conn: &Connection, kind: Kind, id: LocalId, user_id: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO remote_links VALUES (?1, ?2, ?3, NULL, 0, NULL, 1) ON CONFLICT (local_id) DO UPDATE SET deleted = 1",
    )?
    .execute(params![id, kind.as_str(), user_id])
    .map(drop)
}

/// Records that the service does not know it.
///
/// # Errors
///
/// If the database cannot be written.
pub fn forget(conn: &Connection, id: LocalId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM remote_links WHERE local_id = ?1")?
        .execute([id])
        .map(drop)
}

/// The local entity of a remote id, and whether it is a tombstone.
///
/// # Errors
///
/// If the database cannot be read.
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

/// An entity that the service may know, without its remote id.
#[derive(Debug)]
pub struct Unanswered {
    /// The id on this device.
    pub local_id: LocalId,
    /// The body of the call as JSON, if known.
    pub sent: Option<String>,
    /// Whether it is deleted on this device.
    pub deleted: bool,
}

/// All entities of a user.
///
/// # Errors
///
/// If the database cannot be read.
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
