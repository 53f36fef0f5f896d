//! Names and columns of the database, in SQL.

use rusqlite::Connection;

/// Quotes a name for SQL, whatever characters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column of the database.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The declared type.
    pub(super) declared: String,
}

/// The columns of a table, in its order; none if there is no such table.
pub(super) fn columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    // Includes generated columns, but not the hidden ones of a virtual table.
    let mut columns =
        conn.prepare("SELECT name, type FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
    let columns = columns.query_map([table], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
        })
    })?;
    columns.collect()
}
