//! The app's own tables, in the file that also has the outbox.

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Type;
use outbox_runtime::rusqlite::{self, Connection};
use outbox_runtime::store::BoxError;

use fitiq_core::LocalId;

use crate::entities::Kind;

mod chats; // conversations and their messages
mod goals;
mod journals;
pub mod links; // what the service knows of an entity
mod moods;
mod repository; // changes: the entity and its event in one transaction

pub use self::chats::{Role, StoredMessage};
pub use self::repository::{Changed, Repository};

/// An entity with a table of its own.
pub trait Stored: OutboxEntity + Clone + Send {
    /// The kind.
    const KIND: Kind;
    /// The priority of its deletion.
    const DELETE_PRIORITY: i32;

    /// Which it is.
    fn local_id(&self) -> LocalId;

    /// Writes the current state.
    ///
    /// # Errors
    ///
    /// If the database refuses it.
    fn save(&self, conn: &Connection) -> Result<(), BoxError>;

    /// Reads it, if it exists.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    fn load(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Self>>;

    /// All entities of a user, by time.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    fn list(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>>;

    /// Removes it. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    fn remove(conn: &Connection, id: LocalId) -> rusqlite::Result<bool> {
        remove(conn, Self::KIND, id)
    }
}

/// Creates the tables if they do not exist.
///
/// # Errors
///
/// If the database cannot be written.
pub fn create_tables(conn: &Connection) -> rusqlite::Result<()> {
    for tables in [
        moods::TABLE,
        journals::TABLE,
        goals::TABLE,
        chats::TABLES,
        links::TABLE,
    ] {
        conn.execute_batch(tables)?;
    }
    Ok(())
}

/// The tables by kind.
const fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Mood => "mood_entries",
        Kind::Journal => "journal_entries",
        Kind::Goal => "goals",
        Kind::Conversation => "conversations",
    }
}

/// Whether the entity is on this device.
///
/// # Errors
///
/// If the database cannot be read.
pub fn exists(conn: &Connection, kind: Kind, id: LocalId) -> rusqlite::Result<bool> {
    let sql = format!("SELECT 1 FROM {} WHERE id = ?1", table(kind));
    conn.prepare_cached(&sql)?.exists([id])
}

/// Removes the entity without an event. Returns whether it existed.
///
/// # Errors
///
/// If the database cannot be written.
pub fn remove(conn: &Connection, kind: Kind, id: LocalId) -> rusqlite::Result<bool> {
    let sql = format!("DELETE FROM {} WHERE id = ?1", table(kind));
    Ok(conn.prepare_cached(&sql)?.execute([id])? > 0)
}

/// The number of entities of a kind.
///
/// # Errors
///
/// If the database cannot be read.
pub fn count(conn: &Connection, kind: Kind) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", table(kind));
    conn.query_row(&sql, (), |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Gives everything of one user to another: entities and their links. The events follow with
/// [`OutboxRepository::reassign_user`].
fn reassign(conn: &Connection, from: &str, to: &str) -> rusqlite::Result<u64> {
    let mut moved = 0;
    for table in Kind::ALL.map(table).into_iter().chain([links::NAME]) {
        let sql = format!("UPDATE {table} SET user_id = ?2 WHERE user_id = ?1");
        moved += conn.execute(&sql, [from, to])? as u64;
    }
    Ok(moved)
}

/// A list of words, as JSON in a column.
fn words(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Vec<String>> {
    let json: String = row.get(column)?;
    serde_json::from_str(&json).map_err(|error| {
        let index = row.as_ref().column_index(column).unwrap_or_default();
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
    })
}

/// The reverse.
fn json(words: &[String]) -> String {
    serde_json::Value::from(words).to_string()
}

/// A time as RFC 3339 in a column.
fn time(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<chrono::DateTime<chrono::Utc>> {
    parsed(row, column)
}

fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| {
        let index = row.as_ref().column_index(column).unwrap_or_default();
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}
