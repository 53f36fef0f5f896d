//! Clean-up: deletes completed events for their age.
//!
//! No index finds completed events. The [tally](super::tally) knows the blocks of rows that have
//! some, and when the first of each was completed at the earliest, so clean-up reads only blocks
//! that have something to delete, and the few rows beyond the counted blocks.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::edit::add_cleaned_up;
use super::tally;

/// Deletes some old completed events and records their number; at most those of one block of rows,
/// so that nobody waits long for the writer. They block no event, so there is nothing to unblock.
/// Returns their number, and whether there may be more.
pub(super) fn delete_some_completed(
    conn: &Connection,
    older_than: DateTime<Utc>,
) -> rusqlite::Result<(u64, bool)> {
    let older_than = older_than.timestamp_micros();
    if tally::count_blocks(conn)? {
        return Ok((0, true));
    }
    let block: Option<i64> = conn
        .prepare_cached(
            "SELECT block FROM outbox_tally WHERE completed > 0 AND completed_from < ?1 ORDER BY block LIMIT 1",
        )?
        .query_row([older_than], |row| row.get(0))
        .optional()?;
    let (from, to) = match block {
        Some(block) => (tally::first_of(block), tally::first_of(block + 1)),
        None => (tally::first_uncounted(conn)?, i64::MAX),
    };
    let by_user = delete_between(conn, from, to, older_than)?;
    let mut count = 0;
    for (user_id, completed) in &by_user {
        add_cleaned_up(conn, user_id, *completed)?;
        count += completed.unsigned_abs();
    }
    if let Some(block) = block {
        // Exact again, so that the block is not read in vain.
        conn.prepare_cached(
            "UPDATE outbox_tally SET completed_from =
                 (SELECT min(completed_at) FROM outbox_events NOT INDEXED WHERE seq >= ?2 AND seq < ?3)
             WHERE block = ?1",
        )?
        .execute([block, from, to])?;
    }
    Ok((count, block.is_some()))
}

fn delete_between(
    conn: &Connection,
    from: i64,
    to: i64,
    older_than: i64,
) -> rusqlite::Result<HashMap<String, i64>> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM outbox_events WHERE seq >= ?1 AND seq < ?2 AND completed_at < ?3 RETURNING user_id",
    )?;
    let deleted = delete.query_map(params![from, to, older_than], |row| {
        // A damaged user id is counted under its lossy text.
        Ok(String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default()).into_owned())
    })?;
    let mut by_user: HashMap<String, i64> = HashMap::new();
    for user_id in deleted {
        *by_user.entry(user_id?).or_default() += 1;
    }
    Ok(by_user)
}

/// A time before which no event in the store was completed: that of the first completion where
/// blocks are counted exactly, as they are after a clean-up.
pub(super) fn oldest_completed(conn: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let counted: Option<i64> = conn
        .prepare_cached("SELECT min(completed_from) FROM outbox_tally WHERE completed > 0")?
        .query_row([], |row| row.get(0))?;
    let beyond: Option<i64> = conn
        .prepare_cached("SELECT min(completed_at) FROM outbox_events NOT INDEXED WHERE seq >= ?1")?
        .query_row([tally::first_uncounted(conn)?], |row| row.get(0))?;
    let oldest = counted.into_iter().chain(beyond).min();
    Ok(oldest.and_then(DateTime::from_timestamp_micros))
}
