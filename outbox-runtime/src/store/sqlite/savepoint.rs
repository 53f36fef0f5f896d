//! A savepoint on any connection: all of some work is written, or none.

use rusqlite::Connection;

/// Runs `work` so that all of it is written or none, even if no transaction is open on the
/// connection, or its owner commits despite an error. `storage` converts a driver error to the
/// error type of the work.
///
/// Work may run code of the application. A panic there rolls back like an error: an open savepoint
/// would capture all later writes on the connection, and none of them would be committed.
pub(super) fn in_savepoint<T, E>(
    conn: &Connection,
    storage: impl Fn(rusqlite::Error) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let savepoint = Savepoint::begin(conn).map_err(&storage)?;
    let done = work()?;
    savepoint.release().map_err(&storage)?;
    Ok(done)
}

/// Rolled back unless released.
struct Savepoint<'c> {
    conn: &'c Connection,
    is_released: bool,
}

impl<'c> Savepoint<'c> {
    fn begin(conn: &'c Connection) -> rusqlite::Result<Self> {
        run(conn, "SAVEPOINT outbox")?;
        Ok(Self {
            conn,
            is_released: false,
        })
    }

    /// Without an outer transaction, this commits, which may fail like any commit.
    fn release(mut self) -> rusqlite::Result<()> {
        run(self.conn, "RELEASE outbox")?;
        self.is_released = true;
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        // Some errors have already rolled back the whole transaction, including the savepoint.
        if !self.is_released && !self.conn.is_autocommit() {
            // The first error is the one reported.
            let _ = run(self.conn, "ROLLBACK TO outbox")
                .and_then(|()| run(self.conn, "RELEASE outbox"));
        }
    }
}

fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}
