//! The table of journal entries.

use fitiq_core::LocalId;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, Row, params};
use outbox_runtime::store::BoxError;

use super::{Stored, json, time, words};
use crate::entities::{JournalEntry, Kind};

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS journal_entries (
    id             BLOB PRIMARY KEY,
    user_id        TEXT NOT NULL,
    title          TEXT,
    content        TEXT NOT NULL,
    tags           TEXT NOT NULL,
    entry_type     TEXT NOT NULL,
    is_favorite    INTEGER NOT NULL,
    linked_mood_id BLOB,
    logged_at      TEXT NOT NULL
) STRICT, WITHOUT ROWID";

impl Stored for JournalEntry {
    const KIND: Kind = Kind::Journal;
    const DELETE_PRIORITY: i32 = 10;

    fn local_id(&self) -> LocalId {
        self.id
    }

    fn save(&self, conn: &Connection) -> Result<(), BoxError> {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO journal_entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            self.id,
            self.user_id,
            self.title,
            self.content,
            json(&self.tags),
            self.entry_type,
            self.is_favorite,
            self.linked_mood_id,
            self.logged_at.to_rfc3339(),
        ])?;
        Ok(())
    }

    fn load(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM journal_entries WHERE id = ?1")?
            .query_row([id], from_row)
            .optional()
    }

    fn list(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached(
            "SELECT * FROM journal_entries WHERE user_id = ?1 ORDER BY logged_at, id",
        )?
        .query_map([user_id], from_row)?
        .collect()
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    Ok(JournalEntry {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        title: row.get("title")?,
        content: row.get("content")?,
        tags: words(row, "tags")?,
        entry_type: row.get("entry_type")?,
        is_favorite: row.get("is_favorite")?,
        linked_mood_id: row.get("linked_mood_id")?,
        logged_at: time(row, "logged_at")?,
    })
}
