//! Listings by pages: each a snapshot that reads a few blocks of rows.
//!
//! The [tally](super::tally) tells which blocks have no event of a wanted status, so that a few
//! dead letters among millions of completed events are found without reading those.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::codes::Code;
use super::held::Held;
use super::row::{columns, read_all};
use super::tally::{block_of, first_of};
use crate::event::OutboxStatus;
use crate::repository::{EventFilter, Page, PageKey};

/// Limit on the blocks that a page reads: 16,384 rows, a few milliseconds.
const BLOCKS: usize = 16;

const EVENTS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox_events NOT INDEXED
      WHERE seq >= :from AND seq < :beyond
        AND CASE WHEN status < 2 AND seq IN (SELECT value FROM json_each(:held)) THEN :processing
            ELSE (:statuses >> status) & 1 END
        AND (:type IS NULL OR event_type = :type) AND (:user IS NULL OR user_id = :user)
        AND (:entity IS NULL OR entity_id = :entity) AND (:reason IS NULL OR dead_reason = :reason)
        AND (:since IS NULL OR created_at >= :since) AND (:before IS NULL OR created_at < :before)
        AND (:text IS NULL OR instr(lower(error_message), :text) > 0 OR instr(lower(last_refusal), :text) > 0)
      ORDER BY seq LIMIT :limit"
);

/// Reads a page in the read transaction that is open on `conn`.
pub(super) fn page(
    conn: &Connection,
    filter: &EventFilter,
    from: Option<PageKey>,
    limit: usize,
) -> rusqlite::Result<Page> {
    let limit = limit.max(1);
    let held = Held::read(conn)?;
    let held_blocks: BTreeSet<i64> = held.seqs().map(block_of).collect();
    let held_list = held.json();
    let statuses = statuses(filter);
    let key = match from {
        Some(key) => key,
        None => match highest(conn)? {
            Some(highest) => PageKey::new(i64::MIN, highest),
            None => return Ok(Page::default()),
        },
    };
    let mut first =
        conn.prepare_cached("SELECT min(seq) FROM outbox_events WHERE seq > ?1 AND seq <= ?2")?;
    let mut events = conn.prepare_cached(EVENTS)?;
    let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    let text = filter.lower_error_text();
    let mut found = Vec::new();
    let mut after = key.after();
    let mut blocks = 0;
    loop {
        let next: Option<i64> = first.query_row([after, key.until()], |row| row.get(0))?;
        let Some(next) = next else {
            return Ok(Page::new(found, None));
        };
        if blocks >= BLOCKS {
            return Ok(Page::new(found, Some(PageKey::new(after, key.until()))));
        }
        let block = block_of(next);
        // The last block of all has no end in numbers of this size.
        let end = first_of(block.saturating_add(1)).max(next.saturating_add(1));
        let may_have = held_blocks.contains(&block) && filter.takes(OutboxStatus::Processing)
            || counted(conn, block)?.is_none_or(|counts| counts.any_of(filter));
        if !may_have {
            after = end - 1;
            continue;
        }
        blocks += 1;
        let left = limit - found.len();
        let rows = read_all(events.query(named_params! {
            ":from": next,
            ":beyond": end.min(key.until().saturating_add(1)),
            ":held": held_list,
            ":processing": filter.takes(OutboxStatus::Processing),
            ":statuses": statuses,
            ":type": filter.event_type,
            ":user": filter.user_id,
            ":entity": filter.entity_id,
            ":reason": filter.dead_reason.map(Code::code),
            ":since": micros(filter.created_from),
            ":before": micros(filter.created_before),
            ":text": text,
            ":limit": i64::try_from(left).unwrap_or(i64::MAX),
        })?)?;
        found.extend(rows.into_iter().map(|row| held.show(row).event));
        if found.len() >= limit {
            let last = found.last().map_or(after, |event| event.seq);
            let next = (last < key.until()).then(|| PageKey::new(last, key.until()));
            return Ok(Page::new(found, next));
        }
        after = end - 1;
    }
}

/// The wanted statuses of rows that no handler has, as bits.
fn statuses(filter: &EventFilter) -> i64 {
    let wanted = OutboxStatus::ALL
        .iter()
        .filter(|status| **status != OutboxStatus::Processing && filter.takes(**status));
    wanted.map(|status| 1 << status.code()).sum()
}

fn highest(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT max(seq) FROM outbox_events")?
        .query_row([], |row| row.get(0))
}

/// The counts of a block: pending, failed, completed and dead, with those that handlers have.
struct Counts([i64; 4]);

impl Counts {
    fn any_of(&self, filter: &EventFilter) -> bool {
        let statuses = [
            OutboxStatus::Pending,
            OutboxStatus::Failed,
            OutboxStatus::Completed,
            OutboxStatus::Dead,
        ];
        let mut counts = self.0.into_iter().zip(statuses);
        counts.any(|(count, status)| count > 0 && filter.takes(status))
    }
}

/// `None` for a block that is not counted yet.
fn counted(conn: &Connection, block: i64) -> rusqlite::Result<Option<Counts>> {
    conn.prepare_cached(
        "SELECT fresh, retrying, completed, dead FROM outbox_tally WHERE block = ?1",
    )?
    .query_row(params![block], |row| {
        Ok(Counts([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
    })
    .optional()
}
