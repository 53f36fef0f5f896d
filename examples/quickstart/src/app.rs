//! The app: its entity, its table, and its event set.

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, Row, types::Type};
use outbox_runtime::store::BoxError;
use uuid::Uuid;

/// The mood of a user at a point in time.
#[derive(Debug, Clone, PartialEq, OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = 5)]
pub(crate) struct MoodEntry {
    /// The id, here and on the server.
    #[outbox(entity_id)]
    pub(crate) id: Uuid,
    /// The owner.
    #[outbox(user_id)]
    pub(crate) user_id: String,
    /// From -1, unpleasant, to 1, pleasant. The server refuses anything else; the app does not, to
    /// show what happens.
    #[outbox(metadata)]
    pub(crate) valence: f64,
    /// The feelings by name.
    #[outbox(metadata)]
    pub(crate) labels: Vec<String>,
    /// The time, RFC 3339.
    #[outbox(metadata)]
    pub(crate) logged_at: String,
    /// The line of the input behind this change, by which the server's ledger is compared with the
    /// file.
    #[outbox(metadata)]
    pub(crate) line: u64,
    /// Stays on this device: only metadata is sent.
    pub(crate) notes: Option<String>,
}

/// The events of this app.
#[derive(Debug, OutboxEvents)]
pub(crate) enum LumeEvent {
    /// A mood entry was created, changed or deleted.
    MoodEntry(Event<MoodEntry>),
}

impl MoodEntry {
    /// Creates the table if it does not exist.
    pub(crate) fn create_table(conn: &Connection) -> rusqlite::Result<()> {
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS mood_entries (
                id        BLOB PRIMARY KEY,
                user_id   TEXT NOT NULL,
                valence   REAL NOT NULL,
                labels    TEXT NOT NULL,
                logged_at TEXT NOT NULL,
                line      INTEGER NOT NULL,
                notes     TEXT
            ) STRICT",
        )
    }

    /// Writes the current state of the entry.
    pub(crate) fn save(&self, conn: &Connection) -> Result<(), BoxError> {
        let labels = serde_json::to_string(&self.labels)?;
        let mut upsert = conn.prepare_cached(
            "INSERT OR REPLACE INTO mood_entries (id, user_id, valence, labels, logged_at, line, notes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        upsert.execute(rusqlite::params![
            self.id.as_bytes(),
            self.user_id,
            self.valence,
            labels,
            self.logged_at,
            i64::try_from(self.line)?,
            self.notes,
        ])?;
        Ok(())
    }

    /// Reads an entry, if it exists.
    pub(crate) fn load(conn: &Connection, id: Uuid) -> rusqlite::Result<Option<Self>> {
        let mut select = conn.prepare_cached(
            "SELECT id, user_id, valence, labels, logged_at, line, notes FROM mood_entries WHERE id = ?1",
        )?;
        select.query_row([id.as_bytes()], Self::from_row).optional()
    }

    /// Removes the entry.
    pub(crate) fn delete(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut delete = conn.prepare_cached("DELETE FROM mood_entries WHERE id = ?1")?;
        delete.execute([self.id.as_bytes()]).map(drop)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let labels: String = row.get("labels")?;
        Ok(Self {
            id: Uuid::from_bytes(row.get("id")?),
            user_id: row.get("user_id")?,
            valence: row.get("valence")?,
            labels: serde_json::from_str(&labels).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into())
            })?,
            logged_at: row.get("logged_at")?,
            line: u64::try_from(row.get::<_, i64>("line")?).unwrap_or_default(),
            notes: row.get("notes")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `outbox.lock` beside `Cargo.toml` has the shape of the events. A device may still have rows
    /// of that shape after an update, so a change needs a new `version`.
    #[test]
    fn event_shapes_change_only_with_their_version() {
        outbox_testing::assert_wire_lock::<LumeEvent>();
    }
}
