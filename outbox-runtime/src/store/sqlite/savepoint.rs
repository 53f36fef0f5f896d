//! A savepoint on whatever connection: all of some work, or nothing of it.

use rusqlite::Connection;

/// Runs `work` so that all of it is written or nothing, also where no transaction is open on the connection, or its owner
/// commits in spite of an error. `storage` makes an error of the work's own kind of one of the driver.
pub(super) fn in_savepoint<T, E>(
    conn: &Connection,
    storage: impl Fn(rusqlite::Error) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let run = |sql| conn.prepare_cached(sql)?.execute([]).map(drop);
    run("SAVEPOINT outbox").map_err(&storage)?;
    // Where no transaction was open, releasing it is a commit, which may fail like any other.
    let ended = work().and_then(|done| run("RELEASE outbox").map(|()| done).map_err(&storage));
    // Some errors have rolled the whole transaction back already, and with it the savepoint.
    if ended.is_err() && !conn.is_autocommit() {
        // What went wrong first is what is told.
        let _ = run("ROLLBACK TO outbox").and_then(|()| run("RELEASE outbox"));
    }
    ended
}
