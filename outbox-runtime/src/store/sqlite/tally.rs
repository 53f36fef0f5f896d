//! How many events of each block of rows stand where, so that statistics need not look at each row.
//!
//! A block is the 1,024 rows whose `seq` differs in its last ten bits only. Enqueueing writes nothing here, whoever enqueues,
//! on whatever connection. Who asks for statistics counts the rows of blocks that were not counted, and has the writer do it,
//! once and for all, while nothing else is to be done.
//! From then on every change of a row's [`Class`] is written to its block, in the same transaction.
//!
//! - A block is counted only when the table has a row beyond it. A new row's `seq` is the highest, so a block that was counted
//!   gets no new row. Where the highest are deleted, the trigger `outbox_forget` takes the counts back of blocks that a new row
//!   could come into; it subtracts what is deleted, too, also by hand.
//! - No row is below the last block that was counted and in none: empty blocks are not kept.
//! - `created_at` never changes, so the times of a block stay bounds of those in it.
//! - It can all be counted again: whoever changes a row's status by hand may `DELETE FROM outbox_tally`.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::event::OutboxStatus;

/// How many bits of a `seq` tell rows of a block apart.
const BITS: u32 = 10;

/// At most how many blocks are counted in one transaction, so that nobody waits long for the writer: a few milliseconds.
const COUNTED_AT_ONCE: usize = 8;

/// What a block tells apart: to claim an event does not change it, which saves every claim a write. Who has an event in
/// hand now is read from the index of leases, as they are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Pending, or with a handler for the first time.
    Fresh,
    /// Failed, or with a handler once more.
    Retrying,
    Completed,
    Dead,
}

impl Class {
    const COUNT: usize = 4;

    pub(super) fn of(status: OutboxStatus, attempts: impl Into<i64>) -> Self {
        match status {
            OutboxStatus::Pending => Self::Fresh,
            OutboxStatus::Processing if attempts.into() < 2 => Self::Fresh,
            OutboxStatus::Processing | OutboxStatus::Failed => Self::Retrying,
            OutboxStatus::Completed => Self::Completed,
            OutboxStatus::Dead => Self::Dead,
        }
    }
}

/// Rows that changed their class, gathered so that a block is written once.
///
/// To be written in the transaction of the change.
#[derive(Debug, Default)]
#[must_use = "what is not written is lost"]
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

    /// Blocks that are not counted yet will be as they then are.
    pub(super) fn write(self, conn: &Connection) -> rusqlite::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut write = conn.prepare_cached(
            "UPDATE outbox_tally
             SET fresh = fresh + ?2, retrying = retrying + ?3, completed = completed + ?4, dead = dead + ?5
             WHERE block = ?1",
        )?;
        for (block, [fresh, retrying, completed, dead]) in self.0 {
            write.execute(params![block, fresh, retrying, completed, dead])?;
        }
        Ok(())
    }
}

/// Writes the change of one row.
pub(super) fn note(conn: &Connection, seq: i64, from: Class, to: Class) -> rusqlite::Result<()> {
    let mut moves = Moves::default();
    moves.note(seq, from, to);
    moves.write(conn)
}

/// All events of one user became those of another.
pub(super) fn reassign(conn: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE outbox_tally SET user_id = ?2 WHERE user_id = ?1")?
        .execute([from, to])?;
    Ok(())
}

/// The first `seq` that is in no block that was counted.
pub(super) fn first_beyond(last_block: Option<i64>) -> i64 {
    last_block.map_or(i64::MIN, |block| first_of(block.saturating_add(1)))
}

pub(super) fn first_of(block: i64) -> i64 {
    block << BITS
}

pub(super) fn block_of(seq: i64) -> i64 {
    seq >> BITS
}

/// The next block to be counted, if there is one.
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

/// [`Class::of`] as SQL. Looks at as little of each row as tells its class: what most rows do not have is only counted.
const COUNT_BLOCK: &str = "
INSERT INTO outbox_tally (block, fresh, retrying, completed, dead, oldest, newest, user_id)
SELECT ?1, total - retrying - completed - dead, retrying, completed, dead, oldest, newest, CASE others WHEN 0 THEN one END
FROM (SELECT count(*) AS total,
        sum(status = 'failed' OR (status = 'processing' AND attempt_count > 1)) AS retrying,
        count(completed_at) AS completed, count(dead_reason) AS dead,
        min(created_at) AS oldest, max(created_at) AS newest, sum(user_id <> one) AS others, one
    FROM outbox_events NOT INDEXED,
        (SELECT user_id AS one FROM outbox_events WHERE seq >= ?2 ORDER BY seq LIMIT 1)
    WHERE seq >= ?2 AND seq < ?3)";

/// Counts some blocks, in the transaction that is open. `true`: there are more.
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
