//! The table of moods.

use fitiq_core::LocalId;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, Row, params};
use outbox_runtime::store::BoxError;

use super::{Stored, json, time, words};
use crate::entities::{Kind, MoodEntry};

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS mood_entries (
    id           BLOB PRIMARY KEY,
    user_id      TEXT NOT NULL,
    valence      REAL NOT NULL,
    labels       TEXT NOT NULL,
    associations TEXT NOT NULL,
    notes        TEXT,
    logged_at    TEXT NOT NULL
) STRICT, WITHOUT ROWID";

impl Stored for MoodEntry {
    const KIND: Kind = Kind::Mood;
    const DELETE_PRIORITY: i32 = 10;

    fn local_id(&self) -> LocalId {
        self.id
    }

    fn save(&self, conn: &Connection) -> Result<(), BoxError> {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO mood_entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            self.id,
            self.user_id,
            self.valence,
            json(&self.labels),
            json(&self.associations),
            self.notes,
            self.logged_at.to_rfc3339(),
        ])?;
        Ok(())
    }

    fn load(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM mood_entries WHERE id = ?1")?
            .query_row([id], from_row)
            .optional()
    }

    fn list(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached("SELECT * FROM mood_entries WHERE user_id = ?1 ORDER BY logged_at, id")?
            .query_map([user_id], from_row)?
            .collect()
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<MoodEntry> {
    Ok(MoodEntry {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        valence: row.get("valence")?,
        labels: words(row, "labels")?,
        associations: words(row, "associations")?,
        notes: row.get("notes")?,
        logged_at: time(row, "logged_at")?,
    })
}
