//! A savepoint on whatever connection: all of some work, or nothing of it.

use rusqlite::Connection;

/// Runs `work` so that all of it is written or nothing, also where no transaction is open on the connection, or its owner
/// commits in spite of an error. `storage` makes an error of the work's own kind of one of the driver.
///
/// Work may run code of the application, whose panic is an error like others: a savepoint that
/// stayed open would take in all that is written on the connection later, and commit nothing of it.
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

    /// Where no transaction was open, this is a commit, which may fail like any other.
    fn release(mut self) -> rusqlite::Result<()> {
        run(self.conn, "RELEASE outbox")?;
        self.is_released = true;
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        // Some errors have rolled the whole transaction back already, and with it the savepoint.
        if !self.is_released && !self.conn.is_autocommit() {
            // What went wrong first is what is told.
            let _ = run(self.conn, "ROLLBACK TO outbox")
                .and_then(|()| run(self.conn, "RELEASE outbox"));
        }
    }
}

fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}
