//! Statistics, from block counts, the rows beyond the counted blocks, and the claims.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, named_params};

use super::held::{Held, json, not_held};
use super::query::{stale_before, with_handlers};
use super::tally;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::statistics::OutboxStatistics;
use crate::store::kit::Class;

/// The counting statement and its index spell this number out.
const _: () = assert!(OutboxEvent::SNOOZED_OFTEN == 10);

/// Counting takes long with more rows beyond the counted blocks than these: some 20 milliseconds.
const FEW: i64 = 64 << 10;

/// Whether counting takes long, because many rows are not counted yet.
pub(super) fn takes_long(conn: &Connection) -> rusqlite::Result<bool> {
    let highest: Option<i64> = conn
        .prepare_cached("SELECT max(seq) FROM outbox_events")?
        .query_row([], |row| row.get(0))?;
    let first = tally::first_uncounted(conn)?.max(0);
    Ok(highest.is_some_and(|highest| highest.saturating_sub(first) > FEW))
}

/// Reads all counts, in the read transaction that is open on `conn`. The flag says whether blocks
/// remain to be counted.
pub(super) fn statistics(
    conn: &Connection,
    now: DateTime<Utc>,
    user_id: Option<&str>,
) -> rusqlite::Result<(OutboxStatistics, bool)> {
    let held = Held::read(conn)?;
    let with_handlers = with_handlers(conn, &held)?;
    let query = StatisticsQuery {
        conn,
        user_id,
        stale_before: stale_before(now),
        held: json(with_handlers.iter().map(|(_, event)| event.seq)),
        with_handlers,
    };
    let mut found = query.all()?;
    (found.deferred, found.snoozed_often) = query.noted()?;
    let cleaned_up = query.cleaned_up()?;
    let is_behind = tally::next_block(conn)?.is_some();
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

    /// Reads what `count_rows!` counts.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            pending: row.get(0)?,
            failed: row.get(1)?,
            completed: row.get(2)?,
            dead: row.get(3)?,
            stale: row.get(4)?,
            oldest_pending: row.get(5)?,
            newest_completed: row.get(6)?,
            ..Self::default()
        })
    }

    fn add(&mut self, other: &Self) {
        self.pending += other.pending;
        self.failed += other.failed;
        self.completed += other.completed;
        self.dead += other.dead;
        self.stale += other.stale;
        self.oldest_pending = least(self.oldest_pending, other.oldest_pending);
        self.newest_completed = self.newest_completed.max(other.newest_completed);
    }
}

fn least(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
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
    /// Upper bound of `completed_at`.
    completed_to: Option<i64>,
}

/// The blocks that hold the requested events.
#[derive(Debug, Default)]
struct Blocks {
    /// By block number.
    of: BTreeMap<i64, Block>,
    /// Those that also hold others.
    mixed: Vec<i64>,
    /// The last counted block, of whichever user.
    last: Option<i64>,
}

struct StatisticsQuery<'c> {
    conn: &'c Connection,
    user_id: Option<&'c str>,
    stale_before: i64,
    /// The events that handlers have, each with the status of its row.
    with_handlers: Vec<(OutboxStatus, OutboxEvent)>,
    /// Their `seq`s, for SQL.
    held: String,
}

impl StatisticsQuery<'_> {
    fn blocks(&self) -> rusqlite::Result<Blocks> {
        let mut counted = self.conn.prepare_cached(
            "SELECT block, fresh, retrying, completed, dead, oldest, newest, completed_to,
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
                completed_to: row.get(7)?,
            };
            blocks.last = Some(number);
            if block.fresh + block.retrying + block.completed + block.dead == 0 {
                continue;
            }
            match row.get(8)? {
                None => blocks.mixed.push(number),
                Some(false) => {}
                Some(true) => {
                    blocks.of.insert(number, block);
                }
            }
        }
        Ok(blocks)
    }

    fn all(&self) -> rusqlite::Result<Counts> {
        let mut blocks = self.blocks()?;
        let beyond = tally::first_beyond(blocks.last);
        let mut found = self.between(beyond, i64::MAX)?;
        for block in &blocks.mixed {
            found.add(&self.between(tally::first_of(*block), tally::first_of(block + 1))?);
        }
        self.take_held(&mut blocks, &mut found);
        for (number, block) in &blocks.of {
            found.pending += block.fresh;
            found.failed += block.retrying;
            found.completed += block.completed;
            found.dead += block.dead;
            if block.fresh <= 0 || block.oldest >= self.stale_before {
                continue;
            }
            found.stale += match block.newest < self.stale_before {
                true => block.fresh,
                false => self.in_block(*number)?.stale,
            };
        }
        self.oldest_pending(&blocks, &mut found)?;
        self.newest_completed(&blocks, &mut found)?;
        Ok(found)
    }

    /// Counts the events with handlers as `processing`, and subtracts them from the blocks, which
    /// count them by their rows.
    fn take_held(&self, blocks: &mut Blocks, found: &mut Counts) {
        for (status, event) in &self.with_handlers {
            if self.user_id.is_some_and(|user| user != event.user_id) {
                continue;
            }
            found.processing += 1;
            if let Some(block) = blocks.of.get_mut(&tally::block_of(event.seq)) {
                match Class::of(*status, event.attempt_count) {
                    Class::Fresh => block.fresh -= 1,
                    _ => block.retrying -= 1,
                }
            }
        }
    }

    /// Counts the rows in a range of `seq`s, except those with handlers.
    fn between(&self, from: i64, beyond: i64) -> rusqlite::Result<Counts> {
        self.conn
            .prepare_cached(concat!(
                "SELECT coalesce(sum(status = 0), 0), coalesce(sum(status = 1), 0), coalesce(sum(status = 2), 0),
                     coalesce(sum(status = 3), 0), coalesce(sum(status = 0 AND created_at < :before), 0),
                     min(CASE status WHEN 0 THEN created_at END), max(completed_at)
                 FROM outbox_events NOT INDEXED
                 WHERE seq >= :from AND seq < :beyond AND (:user IS NULL OR user_id = :user) AND ",
                not_held!("seq")
            ))?
            .query_row(
                named_params! {
                    ":from": from, ":beyond": beyond, ":before": self.stale_before, ":user": self.user_id,
                    ":held": self.held,
                },
                Counts::read,
            )
    }

    fn in_block(&self, block: i64) -> rusqlite::Result<Counts> {
        self.between(tally::first_of(block), tally::first_of(block + 1))
    }

    /// When the oldest pending event was enqueued, given the oldest outside of the blocks. Reads a
    /// block only while it may hold an older event.
    fn oldest_pending(&self, blocks: &Blocks, found: &mut Counts) -> rusqlite::Result<()> {
        let with_pending = blocks.of.iter().filter(|(_, block)| block.fresh > 0);
        let mut by_age: Vec<(i64, i64)> = with_pending
            .map(|(number, block)| (block.oldest, *number))
            .collect();
        by_age.sort_unstable();
        for (not_before, number) in by_age {
            if found
                .oldest_pending
                .is_some_and(|oldest| oldest <= not_before)
            {
                break;
            }
            let in_block = self.in_block(number)?.oldest_pending;
            found.oldest_pending = least(found.oldest_pending, in_block);
        }
        Ok(())
    }

    /// When the newest completed event was completed, likewise.
    fn newest_completed(&self, blocks: &Blocks, found: &mut Counts) -> rusqlite::Result<()> {
        let completed = blocks.of.iter().filter(|(_, block)| block.completed > 0);
        let mut by_age: Vec<(Option<i64>, i64)> = completed
            .map(|(number, block)| (block.completed_to, *number))
            .collect();
        by_age.sort_unstable();
        for (not_after, number) in by_age.into_iter().rev() {
            if found.newest_completed >= not_after {
                break;
            }
            let in_block = self.in_block(number)?.newest_completed;
            found.newest_completed = found.newest_completed.max(in_block);
        }
        Ok(())
    }

    /// The number of undelivered events that were deferred, and of those snoozed often.
    fn noted(&self) -> rusqlite::Result<(i64, i64)> {
        self.conn
            .prepare_cached(
                "SELECT coalesce(sum(deferrals > 0), 0), coalesce(sum(snoozes > 9), 0)
                 FROM outbox_events INDEXED BY outbox_noted
                 WHERE (dead_reason IS NOT NULL) = 0 AND (deferrals > 0 OR snoozes > 9) AND status < 2
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
