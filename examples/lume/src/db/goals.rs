//! The table of goals.

use fitiq_core::LocalId;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension, Row, params};
use outbox_runtime::store::BoxError;

use super::{Stored, parsed};
use crate::entities::{Goal, GoalStatus, Kind};

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS goals (
    id            BLOB PRIMARY KEY,
    user_id       TEXT NOT NULL,
    title         TEXT NOT NULL,
    description   TEXT NOT NULL,
    category      TEXT NOT NULL,
    target_value  REAL NOT NULL,
    target_unit   TEXT NOT NULL,
    current_value REAL NOT NULL,
    start_date    TEXT NOT NULL,
    target_date   TEXT NOT NULL,
    status        TEXT NOT NULL
) STRICT, WITHOUT ROWID";

impl Stored for Goal {
    const KIND: Kind = Kind::Goal;
    const DELETE_PRIORITY: i32 = 5;

    fn local_id(&self) -> LocalId {
        self.id
    }

    fn save(&self, conn: &Connection) -> Result<(), BoxError> {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO goals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            self.id,
            self.user_id,
            self.title,
            self.description,
            self.category,
            self.target_value,
            self.target_unit,
            self.current_value,
            self.start_date.to_string(),
            self.target_date.to_string(),
            self.status.as_str(),
        ])?;
        Ok(())
    }

    fn load(conn: &Connection, id: LocalId) -> rusqlite::Result<Option<Self>> {
        conn.prepare_cached("SELECT * FROM goals WHERE id = ?1")?
            .query_row([id], from_row)
            .optional()
    }

    fn list(conn: &Connection, user_id: &str) -> rusqlite::Result<Vec<Self>> {
        conn.prepare_cached("SELECT * FROM goals WHERE user_id = ?1 ORDER BY start_date, id")?
            .query_map([user_id], from_row)?
            .collect()
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Goal> {
    Ok(Goal {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        title: row.get("title")?,
        description: row.get("description")?,
        category: row.get("category")?,
        target_value: row.get("target_value")?,
        target_unit: row.get("target_unit")?,
        current_value: row.get("current_value")?,
        start_date: parsed(row, "start_date")?,
        target_date: parsed(row, "target_date")?,
        status: GoalStatus::from_word(&row.get::<_, String>("status")?),
    })
}
