//! Statistics, from block counts and the rows beyond the counted blocks.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::query::stale_before;
use super::row::count_of;
use super::tally;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::statistics::OutboxStatistics;
use crate::store::kit::Class;

/// Counts a user's undelivered events, reading from the rows of all users.
macro_rules! count_open {
    ($how:literal) => {
        concat!(
            "SELECT coalesce(sum(status = 'pending'), 0), coalesce(sum(status = 'failed'), 0),
                 coalesce(sum(status = 'processing'), 0), coalesce(sum(status = 'pending' AND created_at < :before), 0),
                 min(CASE status WHEN 'pending' THEN created_at END)
             FROM outbox_events ",
            $how,
            " WHERE open IS NOT NULL AND user_id = :user"
        )
    };
}

/// The counting statement and its index spell this number out.
const _: () = assert!(OutboxEvent::SNOOZED_OFTEN == 10);

/// Reads all counts in one read transaction. The flag says whether blocks remain to be counted.
pub(super) fn statistics(
    conn: &Connection,
    now: DateTime<Utc>,
    user_id: Option<&str>,
) -> rusqlite::Result<(OutboxStatistics, bool)> {
    let snapshot = conn.unchecked_transaction()?;
    let query = StatisticsQuery {
        conn: &snapshot,
        user_id,
        stale_before: stale_before(now),
    };
    let mut found = match query.blocks()? {
        Some(blocks) => query.by_blocks(blocks)?,
        None => query.by_index()?,
    };
    found.newest_completed = match found.completed {
        0 => None,
        _ => query.newest_completed()?,
    };
    (found.deferred, found.snoozed_often) = query.noted()?;
    let cleaned_up = query.cleaned_up()?;
    let is_behind = tally::next_block(&snapshot)?.is_some();
    snapshot.finish()?;
    Ok((found.statistics(cleaned_up), is_behind))
}

/// The counts found so far.
#[derive(Debug, Default)]
struct Counts {
    pending: i64,
    failed: i64,
    processing: i64,
    completed: i64,
    dead: i64,
    stale: i64,
    oldest_pending: Option<i64>,
    newest_completed: Option<i64>,
    deferred: i64,
    snoozed_often: i64,
}

impl Counts {
    fn statistics(&self, cleaned_up: i64) -> OutboxStatistics {
        let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
        let mut statistics = OutboxStatistics {
            pending_count: self.pending.unsigned_abs(),
            failed_count: self.failed.unsigned_abs(),
            processing_count: self.processing.unsigned_abs(),
            completed_count: self.completed.unsigned_abs(),
            dead_count: self.dead.unsigned_abs(),
            completed_total: (self.completed + cleaned_up).unsigned_abs(),
            stale_count: self.stale.unsigned_abs(),
            deferred: self.deferred.unsigned_abs(),
            snoozed_often: self.snoozed_often.unsigned_abs(),
            oldest_pending_date: time(self.oldest_pending),
            newest_completed_date: time(self.newest_completed),
            ..OutboxStatistics::default()
        };
        statistics.total_events =
            statistics.undelivered() + statistics.dead_count + statistics.completed_count;
        statistics
    }
}

/// The counts of one block.
#[derive(Debug)]
struct Block {
    fresh: i64,
    retrying: i64,
    completed: i64,
    dead: i64,
    /// Lower bound of `created_at`.
    oldest: i64,
    /// Upper bound of `created_at`.
    newest: i64,
}

/// The blocks that hold the requested events.
#[derive(Debug, Default)]
struct Blocks {
    /// By block number.
    of: BTreeMap<i64, Block>,
    /// The last counted block, of whichever user.
    last: Option<i64>,
}

struct StatisticsQuery<'c> {
    conn: &'c Connection,
    user_id: Option<&'c str>,
    stale_before: i64,
}

impl StatisticsQuery<'_> {
    /// Returns `None` if a block mixes events of the requested user with those of others.
    fn blocks(&self) -> rusqlite::Result<Option<Blocks>> {
        let mut counted = self.conn.prepare_cached(
            "SELECT block, fresh, retrying, completed, dead, oldest, newest,
                 CASE WHEN :user IS NULL THEN true WHEN user_id IS NOT NULL THEN user_id = :user END
             FROM outbox_tally ORDER BY block",
        )?;
        let mut rows = counted.query(named_params! { ":user": self.user_id })?;
        let mut blocks = Blocks::default();
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            let block = Block {
                fresh: row.get(1)?,
                retrying: row.get(2)?,
                completed: row.get(3)?,
                dead: row.get(4)?,
                oldest: row.get(5)?,
                newest: row.get(6)?,
            };
            blocks.last = Some(number);
            if block.fresh + block.retrying + block.completed + block.dead == 0 {
                continue;
            }
            match row.get(7)? {
                None => return Ok(None),
                Some(false) => {}
                Some(true) => {
                    blocks.of.insert(number, block);
                }
            }
        }
        Ok(Some(blocks))
    }

    fn by_blocks(&self, mut blocks: Blocks) -> rusqlite::Result<Counts> {
        let beyond = tally::first_beyond(blocks.last);
        let mut found = self.beyond(beyond)?;
        self.take_leased(&mut blocks, beyond, &mut found)?;
        for (number, block) in &blocks.of {
            found.pending += block.fresh;
            found.failed += block.retrying;
            found.completed += block.completed;
            found.dead += block.dead;
            if block.fresh == 0 || block.oldest >= self.stale_before {
                continue;
            }
            found.stale += match block.newest < self.stale_before {
                true => block.fresh,
                false => self.pending_in(*number)?.0,
            };
        }
        found.oldest_pending = self.oldest_pending(&blocks, found.oldest_pending)?;
        Ok(found)
    }

    /// Counts leased events as `processing` and subtracts them from the blocks, which count them by
    /// their class before the lease.
    fn take_leased(
        &self,
        blocks: &mut Blocks,
        beyond: i64,
        found: &mut Counts,
    ) -> rusqlite::Result<()> {
        let mut leased = self.conn.prepare_cached(
            "SELECT seq, attempt_count FROM outbox_events INDEXED BY outbox_leased
             WHERE slot = 'leased' AND seq < :beyond AND (:user IS NULL OR user_id = :user)",
        )?;
        let mut rows = leased.query(named_params! { ":beyond": beyond, ":user": self.user_id })?;
        while let Some(row) = rows.next()? {
            found.processing += 1;
            if let Some(block) = blocks.of.get_mut(&tally::block_of(row.get(0)?)) {
                match Class::of(OutboxStatus::Processing, count_of(row.get(1)?)) {
                    Class::Fresh => block.fresh -= 1,
                    _ => block.retrying -= 1,
                }
            }
        }
        Ok(())
    }

    /// Counts the rows beyond the counted blocks.
    fn beyond(&self, beyond: i64) -> rusqlite::Result<Counts> {
        self.conn
            .prepare_cached(
                "SELECT coalesce(sum(status = 'pending'), 0), coalesce(sum(status = 'failed'), 0),
                     coalesce(sum(status = 'processing'), 0), coalesce(sum(status = 'completed'), 0),
                     coalesce(sum(status = 'dead'), 0),
                     coalesce(sum(status = 'pending' AND created_at < :before), 0),
                     min(CASE status WHEN 'pending' THEN created_at END)
                 FROM outbox_events NOT INDEXED
                 WHERE seq >= :beyond AND (:user IS NULL OR user_id = :user)",
            )?
            .query_row(
                named_params! { ":beyond": beyond, ":before": self.stale_before, ":user": self.user_id },
                |row| {
                    Ok(Counts {
                        pending: row.get(0)?,
                        failed: row.get(1)?,
                        processing: row.get(2)?,
                        completed: row.get(3)?,
                        dead: row.get(4)?,
                        stale: row.get(5)?,
                        oldest_pending: row.get(6)?,
                        ..Counts::default()
                    })
                },
            )
    }

    /// When the oldest pending event was enqueued, given the oldest beyond the blocks. Reads a
    /// block only while it may hold an older event.
    fn oldest_pending(
        &self,
        blocks: &Blocks,
        beyond: Option<i64>,
    ) -> rusqlite::Result<Option<i64>> {
        let with_pending = blocks.of.iter().filter(|(_, block)| block.fresh > 0);
        let mut by_age: Vec<(i64, i64)> = with_pending
            .map(|(number, block)| (block.oldest, *number))
            .collect();
        by_age.sort_unstable();
        let mut oldest = beyond;
        for (not_before, number) in by_age {
            if oldest.is_some_and(|oldest| oldest <= not_before) {
                break;
            }
            let in_block = self.pending_in(number)?.1;
            oldest = oldest.into_iter().chain(in_block).min();
        }
        Ok(oldest)
    }

    /// The number of stale pending events in a block, and when its oldest pending event was
    /// enqueued.
    fn pending_in(&self, block: i64) -> rusqlite::Result<(i64, Option<i64>)> {
        self.conn
            .prepare_cached(
                "SELECT coalesce(sum(created_at < :before), 0), min(created_at) FROM outbox_events NOT INDEXED
                 WHERE seq >= :first AND seq < :beyond AND status = 'pending'",
            )?
            .query_row(
                named_params! {
                    ":before": self.stale_before,
                    ":first": tally::first_of(block),
                    ":beyond": tally::first_of(block + 1),
                },
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
    }

    /// Counts by the indexes of undelivered, dead and completed events: the cost is proportional to
    /// the events of all users.
    fn by_index(&self) -> rusqlite::Result<Counts> {
        let mut found = self
            .conn
            .prepare_cached(if is_mostly_open(self.conn)? {
                count_open!("NOT INDEXED")
            } else {
                count_open!("INDEXED BY outbox_entity")
            })?
            .query_row(
                named_params! { ":before": self.stale_before, ":user": self.user_id },
                |row| {
                    Ok(Counts {
                        pending: row.get(0)?,
                        failed: row.get(1)?,
                        processing: row.get(2)?,
                        stale: row.get(3)?,
                        oldest_pending: row.get(4)?,
                        ..Counts::default()
                    })
                },
            )?;
        let count = |sql| {
            self.conn
                .prepare_cached(sql)?
                .query_row(named_params! { ":user": self.user_id }, |row| row.get(0))
        };
        // Skipped dead letters are not among the undelivered events.
        found.dead =
            count("SELECT count(*) FROM outbox_events WHERE status = 'dead' AND user_id = :user")?;
        found.completed = count(
            "SELECT count(*) FROM outbox_events WHERE completed_at IS NOT NULL AND user_id = :user",
        )?;
        Ok(found)
    }

    fn newest_completed(&self) -> rusqlite::Result<Option<i64>> {
        self.conn
            .prepare_cached(
                "SELECT completed_at FROM outbox_events
                 WHERE completed_at IS NOT NULL AND (:user IS NULL OR user_id = :user)
                 ORDER BY completed_at DESC LIMIT 1",
            )?
            .query_row(named_params! { ":user": self.user_id }, |row| row.get(0))
            .optional()
    }

    /// The number of undelivered events that were deferred, and of those snoozed often.
    fn noted(&self) -> rusqlite::Result<(i64, i64)> {
        self.conn
            .prepare_cached(
                "SELECT coalesce(sum(deferrals > 0), 0), coalesce(sum(snoozes > 9), 0)
                 FROM outbox_events INDEXED BY outbox_noted
                 WHERE (deferrals > 0 OR snoozes > 9) AND open IS NOT NULL AND status <> 'dead'
                     AND (:user IS NULL OR user_id = :user)",
            )?
            .query_row(named_params! { ":user": self.user_id }, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
    }

    fn cleaned_up(&self) -> rusqlite::Result<i64> {
        self.conn
            .prepare_cached(
                "SELECT coalesce(sum(completed), 0) FROM outbox_cleaned_up WHERE :user IS NULL OR user_id = :user",
            )?
            .query_row(named_params! { ":user": self.user_id }, |row| row.get(0))
    }
}

/// Whether most rows in the counted blocks are undelivered events, and there are many of them: a
/// full table scan is faster then.
fn is_mostly_open(conn: &Connection) -> rusqlite::Result<bool> {
    let (open, span): (i64, i64) = conn
        .prepare_cached(
            "SELECT (SELECT coalesce(sum(fresh + retrying), 0) FROM outbox_tally),
                 coalesce((SELECT max(seq) FROM outbox_events) - (SELECT min(seq) FROM outbox_events), 0)",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(open > MANY && open > span / 8)
}

/// Below this, reading by index is fast enough.
const MANY: i64 = 10_000;
