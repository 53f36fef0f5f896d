//! Clean-up: deletes completed events for their age, or with their outcome.
//!
//! No index finds completed events. The [tally](super::tally) knows the blocks of rows that have
//! some, and when the first of each was completed at the earliest, so clean-up reads only blocks
//! that have something to delete, and the few rows beyond the counted blocks.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Rows, params};

use super::database::{Database, values};
use super::edit::{ADD_CLEANED_UP, add_cleaned_up};
use super::held;
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
    let count = delete_between(conn, from, to, older_than)?.record(conn)?;
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

/// Deletes those of the events `?1`, a JSON list, that are completed.
const DELETE_DELIVERED: &str = "DELETE FROM outbox_events WHERE seq IN (SELECT value FROM json_each(?1)) AND status = 2 RETURNING user_id";

/// Deletes an event that was completed in this transaction, and records that, on a connection of
/// any driver.
pub(super) async fn delete_one_delivered<D: Database>(db: &D, seq: i64) -> Result<(), D::Error> {
    let one = held::json(std::iter::once(seq));
    for row in db.rows(DELETE_DELIVERED, values![one]).await? {
        // A damaged user id is counted under its lossy text.
        let user_id = String::from_utf8_lossy(row.bytes(0));
        db.change(ADD_CLEANED_UP, values![*user_id, 1_i64]).await?;
    }
    Ok(())
}

/// Deletes events that were completed in this transaction, and records their number.
pub(super) fn delete_delivered(conn: &Connection, seqs: &[i64]) -> rusqlite::Result<()> {
    if seqs.is_empty() {
        return Ok(());
    }
    // One statement for all of them: the triggers make each cost as much as several deletions.
    let mut delete = conn.prepare_cached(DELETE_DELIVERED)?;
    let mut deleted = Deleted::default();
    deleted.note_all(delete.query([held::json(seqs.iter().copied())])?)?;
    deleted.record(conn)?;
    Ok(())
}

fn delete_between(
    conn: &Connection,
    from: i64,
    to: i64,
    older_than: i64,
) -> rusqlite::Result<Deleted> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM outbox_events WHERE seq >= ?1 AND seq < ?2 AND completed_at < ?3 RETURNING user_id",
    )?;
    let mut deleted = Deleted::default();
    deleted.note_all(delete.query(params![from, to, older_than])?)?;
    Ok(deleted)
}

/// The numbers of deleted events by user.
#[derive(Debug, Default)]
struct Deleted(HashMap<String, i64>);

impl Deleted {
    /// Notes the users that a statement returns.
    fn note_all(&mut self, mut rows: Rows<'_>) -> rusqlite::Result<()> {
        while let Some(row) = rows.next()? {
            // A damaged user id is counted under its lossy text.
            let user_id = row.get_ref(0)?.as_bytes().unwrap_or_default();
            let user_id = String::from_utf8_lossy(user_id);
            match self.0.get_mut(user_id.as_ref()) {
                Some(count) => *count += 1,
                None => _ = self.0.insert(user_id.into_owned(), 1),
            }
        }
        Ok(())
    }

    /// Writes the numbers for the statistics, and returns their sum.
    fn record(&self, conn: &Connection) -> rusqlite::Result<u64> {
        let mut count = 0;
        for (user_id, completed) in &self.0 {
            add_cleaned_up(conn, user_id, *completed)?;
            count += completed.unsigned_abs();
        }
        Ok(count)
    }
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
