//! The path of the database of any connection.

use std::ffi::OsStr;
use std::path::PathBuf;

use rusqlite::Connection;

/// The path of the main database of `conn`, as SQLite reports it. `None` for an in-memory or
/// unnamed database.
pub(super) fn database_path(conn: &Connection) -> Option<PathBuf> {
    match conn.path() {
        Some("") => None,
        Some(path) => Some(path.into()),
        // The driver returns no path that is not UTF-8.
        None => listed_path(conn),
    }
}

/// A path as SQLite reports it, unless it is empty.
pub(super) fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    #[cfg(unix)]
    let path: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    // There every path that SQLite reports is UTF-8.
    #[cfg(not(unix))]
    let path: &OsStr = std::str::from_utf8(bytes).ok()?.as_ref();
    (!path.is_empty()).then(|| path.into())
}

#[cfg(unix)]
fn listed_path(conn: &Connection) -> Option<PathBuf> {
    use rusqlite::types::ValueRef;

    let mut list = conn.prepare_cached("PRAGMA database_list").ok()?;
    // The main database always comes first.
    list.query_row([], |row| {
        Ok(match row.get_ref(2)? {
            ValueRef::Text(path) => path_of(path),
            _ => None,
        })
    })
    .ok()
    .flatten()
}

/// On other systems every path that SQLite reports is UTF-8.
#[cfg(not(unix))]
fn listed_path(_: &Connection) -> Option<PathBuf> {
    None
}
