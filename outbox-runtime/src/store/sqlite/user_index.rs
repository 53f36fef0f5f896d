//! The index of ready events by user, which exists only in databases that need it.
//!
//! An event pays for it at least twice. A claim of the events of one user among others needs
//! it, and so does a run of all users that has a backlog, in which users take turns. A claim that
//! meets such a need creates it, once and for good: in one pass over the ready events. Dropping it
//! (`DROP INDEX outbox_ready_user`) is safe at any time.

use rusqlite::Connection;

const CREATE: &str = "CREATE INDEX IF NOT EXISTS outbox_ready_user \
     ON outbox_events (user_id, priority DESC, next_attempt_at) WHERE slot = 1";

/// Creates the index.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(CREATE)
}

/// Runs `work`, which uses the index; creates the index if it is missing.
pub(super) fn with<T>(
    conn: &Connection,
    mut work: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    match work() {
        Err(error) if is_missing(&error) => {
            create(conn)?;
            work()
        }
        done => done,
    }
}

/// Whether the index is missing. SQLite tells it when it prepares a statement that names it.
pub(super) fn is_missing(error: &rusqlite::Error) -> bool {
    error
        .to_string()
        .contains("no such index: outbox_ready_user")
}
