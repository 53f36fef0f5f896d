//! Counts of events per block of rows, so that statistics need not read each row.
//!
//! A block is the 1,024 rows whose `seq` differs only in its last ten bits. Enqueueing writes
//! nothing here, on any connection. A call for statistics counts the rows of uncounted blocks
//! itself, and asks the writer to count those blocks permanently when it is idle. From then on,
//! every change of a row's [`Class`] is written to its block, in the same transaction.
//!
//! - A block is counted only when the table has a row beyond it. A new row gets the highest `seq`,
//!   so a counted block gets no new rows. When the highest rows are deleted, the trigger
//!   `outbox_released` drops the counts of blocks that a new row could enter. `outbox_forget`
//!   subtracts deleted rows, including those deleted manually.
//! - No row below the last counted block is uncounted; only empty blocks are dropped.
//! - `created_at` never changes, so the times of a block remain bounds of its rows. So do
//!   `completed_from` and `completed_to`, which tell where clean-up has something to delete.
//! - All counts can be rebuilt: after changing a row's status manually, run `DELETE FROM
//!   outbox_tally`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::database::{Database, values};
use crate::store::kit::Class;

/// The number of low bits of a `seq` that distinguish rows of a block.
macro_rules! bits {
    () => {
        10
    };
}
pub(super) use bits;

const BITS: u32 = bits!();

/// The block of a `seq`, as SQL: see [`block_of`].
macro_rules! block {
    ($seq:literal) => {
        concat!($seq, " >> ", $crate::store::sqlite::tally::bits!())
    };
}
pub(super) use block;

/// Whether a row has a class, as SQL: see [`Class::of`]. The row's name includes the trailing dot.
/// A claim changes no row, so the class of an event that a handler has is that of its row.
macro_rules! is_class {
    (Fresh, $row:literal) => {
        concat!($row, "status = 0")
    };
    (Retrying, $row:literal) => {
        concat!($row, "status = 1")
    };
    (Completed, $row:literal) => {
        concat!($row, "status = 2")
    };
    (Dead, $row:literal) => {
        concat!($row, "status = 3")
    };
}
pub(super) use is_class;

/// Subtracts the row `old` from the counts of its block: for the trigger on deletes.
macro_rules! forget_deleted {
    () => {
        concat!(
            "UPDATE outbox_tally
    SET fresh = fresh - (",
            $crate::store::sqlite::tally::is_class!(Fresh, "old."),
            "),
        retrying = retrying - (",
            $crate::store::sqlite::tally::is_class!(Retrying, "old."),
            "),
        completed = completed - (",
            $crate::store::sqlite::tally::is_class!(Completed, "old."),
            "),
        dead = dead - (",
            $crate::store::sqlite::tally::is_class!(Dead, "old."),
            ")
    WHERE block = ",
            $crate::store::sqlite::tally::block!("old.seq"),
            ";"
        )
    };
}
pub(super) use forget_deleted;

/// Drops the counts of blocks that a new row could enter, which there are only after the row with
/// the highest `seq` was deleted: for the trigger on deletes.
macro_rules! forget_uncounted {
    () => {
        concat!(
            "DELETE FROM outbox_tally WHERE block >= (SELECT ",
            $crate::store::sqlite::tally::block!("coalesce(max(seq), 0)"),
            " FROM outbox_events);"
        )
    };
}
pub(super) use forget_uncounted;

/// Limit on the blocks counted in one transaction: keeps it to a few milliseconds, so that requests
/// do not wait long for the writer.
const COUNTED_AT_ONCE: usize = 8;

/// Class changes of rows, collected so that each block is written once.
///
/// Write them in the transaction that makes the changes.
#[derive(Debug, Default)]
#[must_use = "unwritten changes are lost"]
pub(super) struct Moves(BTreeMap<i64, [i64; Class::COUNT]>);

impl Moves {
    pub(super) fn note(&mut self, seq: i64, from: Class, to: Class) {
        if from == to {
            return;
        }
        let change = self.0.entry(seq >> BITS).or_default();
        change[from as usize] -= 1;
        change[to as usize] += 1;
    }

    /// Skips uncounted blocks: they will be counted in their state at that time. Events that became
    /// completed did so at `now`.
    pub(super) fn write(self, conn: &Connection, now: i64) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut write = conn.prepare_cached(WRITE)?;
        for (block, [fresh, retrying, completed, dead]) in self.0 {
            write.execute(params![block, fresh, retrying, completed, dead, now])?;
        }
        Ok(())
    }
}

/// Changes the counts of the block `?1`.
const WRITE: &str = "UPDATE outbox_tally
             SET fresh = fresh + ?2, retrying = retrying + ?3, completed = completed + ?4, dead = dead + ?5,
                 completed_from = CASE WHEN ?4 > 0 THEN min(ifnull(completed_from, ?6), ?6) ELSE completed_from END,
                 completed_to = CASE WHEN ?4 > 0 THEN max(ifnull(completed_to, ?6), ?6) ELSE completed_to END
             WHERE block = ?1";

/// Writes the class change of one row.
pub(super) async fn note<D: Database>(
    db: &D,
    now: i64,
    seq: i64,
    from: Class,
    to: Class,
) -> Result<(), D::Error> {
    let mut moves = Moves::default();
    moves.note(seq, from, to);
    for (block, [fresh, retrying, completed, dead]) in moves.0 {
        let values = values![block, fresh, retrying, completed, dead, now];
        db.change(WRITE, values).await?;
    }
    Ok(())
}

/// Moves the blocks of one user to another.
pub(super) fn reassign(conn: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox_tally SET user_id = ?2 WHERE user_id = ?1")?
        .execute([from, to])?;
    Ok(())
}

/// The first `seq` beyond the counted blocks.
pub(super) fn first_beyond(last_block: Option<i64>) -> i64 {
    last_block.map_or(i64::MIN, |block| first_of(block.saturating_add(1)))
}

/// The first `seq` beyond the counted blocks.
pub(super) fn first_uncounted(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT max(block) FROM outbox_tally")?
        .query_row([], |row| row.get(0))
        .map(first_beyond)
}

pub(super) fn first_of(block: i64) -> i64 {
    block << BITS
}

pub(super) fn block_of(seq: i64) -> i64 {
    seq >> BITS
}

/// The next block to count, if any.
pub(super) fn next_block(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(block) FROM outbox_tally")?
        .query_row([], |row| row.get(0))?;
    let (first, highest): (Option<i64>, Option<i64>) = conn
        .prepare_cached(
            "SELECT (SELECT min(seq) FROM outbox_events WHERE seq >= ?1), (SELECT max(seq) FROM outbox_events)",
        )?
        .query_row([first_beyond(last)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let block = first.map(block_of);
    Ok(block.filter(|block| highest.is_some_and(|highest| *block < block_of(highest))))
}

/// Reads only as much of each row as its class needs: counts the columns that most rows leave NULL.
/// A table constraint ties `completed_at` and `dead_reason` to completed and dead rows.
const COUNT_BLOCK: &str = concat!(
    "
INSERT INTO outbox_tally
    (block, fresh, retrying, completed, dead, oldest, newest, completed_from, completed_to, user_id)
SELECT ?1, total - retrying - completed - dead, retrying, completed, dead, oldest, newest, completed_from, completed_to,
    CASE others WHEN 0 THEN one END
FROM (SELECT count(*) AS total,
        sum(",
    is_class!(Retrying, ""),
    ") AS retrying,
        count(completed_at) AS completed, count(dead_reason) AS dead,
        min(created_at) AS oldest, max(created_at) AS newest, min(completed_at) AS completed_from,
        max(completed_at) AS completed_to, sum(user_id <> one) AS others, one
    FROM outbox_events NOT INDEXED,
        (SELECT user_id AS one FROM outbox_events WHERE seq >= ?2 ORDER BY seq LIMIT 1)
    WHERE seq >= ?2 AND seq < ?3)"
);

/// Counts some blocks in the open transaction. Returns whether more remain.
pub(super) fn count_blocks(conn: &Connection) -> rusqlite::Result<bool> {
    for _ in 0..COUNTED_AT_ONCE {
        let Some(block) = next_block(conn)? else {
            break;
        };
        conn.prepare_cached(COUNT_BLOCK)?
            .execute([block, first_of(block), first_of(block + 1)])?;
    }
    conn.prepare_cached(
        "DELETE FROM outbox_tally
         WHERE fresh = 0 AND retrying = 0 AND completed = 0 AND dead = 0
             AND block < (SELECT max(block) FROM outbox_tally)",
    )?
    .execute([])?;
    Ok(next_block(conn)?.is_some())
}
