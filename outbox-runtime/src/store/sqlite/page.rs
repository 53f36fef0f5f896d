//! Listings by pages: each a snapshot that reads a few blocks of rows.
//!
//! The [tally](super::tally) tells which blocks have no event of a wanted status, so that a few
//! dead letters among millions of completed events are found without reading those.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::codes::Code;
use super::held::Held;
use super::row::{columns, read};
use super::tally::{block_of, first_of};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::metadata::RawMetadata;
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

/// Of a user's dead letters, which the index has apart. The rows are sorted by number alone.
const DEAD_OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox_events WHERE seq IN (
        SELECT seq FROM outbox_events INDEXED BY outbox_noted
        WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND user_id = :user
            AND (:entity IS NULL OR entity_id = :entity) AND seq >= :from AND seq < :beyond AND status = 3
            AND (:type IS NULL OR event_type = :type) AND (:reason IS NULL OR dead_reason = :reason)
            AND (:since IS NULL OR created_at >= :since) AND (:before IS NULL OR created_at < :before)
            AND (:text IS NULL OR instr(lower(error_message), :text) > 0 OR instr(lower(last_refusal), :text) > 0)
        ORDER BY seq LIMIT :limit)
      ORDER BY seq"
);

/// A range of rows to read.
pub(super) struct Next {
    pub(super) from: i64,
    pub(super) beyond: i64,
}

/// The blocks that may have events that a filter selects, in order.
pub(super) struct Blocks<'c, 'f> {
    conn: &'c Connection,
    filter: &'f EventFilter,
    /// Those with events that handlers have.
    held: BTreeSet<i64>,
    after: i64,
    until: i64,
}

impl<'c, 'f> Blocks<'c, 'f> {
    /// The blocks of the rows after one and until another.
    pub(super) fn new(
        conn: &'c Connection,
        filter: &'f EventFilter,
        held: &Held,
        after: i64,
        until: i64,
    ) -> Self {
        Self {
            conn,
            filter,
            held: held.seqs().map(block_of).collect(),
            after,
            until,
        }
    }

    pub(super) fn next(&mut self) -> rusqlite::Result<Option<Next>> {
        let mut first = self
            .conn
            .prepare_cached("SELECT min(seq) FROM outbox_events WHERE seq > ?1 AND seq <= ?2")?;
        loop {
            let next: Option<i64> = first.query_row([self.after, self.until], |row| row.get(0))?;
            let Some(from) = next else {
                return Ok(None);
            };
            let block = block_of(from);
            // The last block of all has no end in numbers of this size.
            let end = first_of(block.saturating_add(1)).max(from.saturating_add(1));
            self.after = end - 1;
            let takes_held = self.filter.takes(OutboxStatus::Processing);
            let may_have = takes_held && self.held.contains(&block)
                || counted(self.conn, block)?.is_none_or(|counts| counts.any_of(self.filter));
            if may_have {
                let beyond = end.min(self.until.saturating_add(1));
                return Ok(Some(Next { from, beyond }));
            }
        }
    }
}

/// Reads a page in the read transaction that is open on `conn`.
pub(super) fn page(
    conn: &Connection,
    filter: &EventFilter,
    from: Option<PageKey>,
    limit: usize,
) -> rusqlite::Result<Page> {
    let held = Held::read(conn)?;
    let key = match from {
        Some(key) => key,
        None => match highest(conn)? {
            Some(highest) => PageKey::new(i64::MIN, highest),
            None => return Ok(Page::default()),
        },
    };
    let mut reading = Reading {
        held: &held,
        filter,
        statuses: statuses(filter),
        held_list: held.json(),
        text: filter.lower_error_text(),
        limit: limit.max(1),
        bytes: 0,
        found: Vec::new(),
    };
    let next = |after: i64| (after < key.until()).then(|| PageKey::new(after, key.until()));
    if filter.is_for_dead() && filter.user_id.is_some() {
        let beyond = key.until().saturating_add(1);
        let from = key.after().saturating_add(1);
        let last = reading.read(conn, DEAD_OF_USER, &Next { from, beyond })?;
        return Ok(Page::new(reading.found, last.and_then(next)));
    }
    let mut blocks = Blocks::new(conn, filter, &held, key.after(), key.until());
    for _ in 0..BLOCKS {
        let Some(range) = blocks.next()? else {
            return Ok(Page::new(reading.found, None));
        };
        if let Some(last) = reading.read(conn, EVENTS, &range)? {
            return Ok(Page::new(reading.found, next(last)));
        }
    }
    Ok(Page::new(reading.found, next(blocks.after)))
}

/// A page in the making.
struct Reading<'f> {
    held: &'f Held,
    filter: &'f EventFilter,
    statuses: i64,
    held_list: String,
    text: Option<String>,
    limit: usize,
    /// The metadata so far.
    bytes: usize,
    found: Vec<OutboxEvent>,
}

impl Reading<'_> {
    /// Reads the events of a range until the page is full, and returns the `seq` of the last event
    /// of a full page.
    fn read(
        &mut self,
        conn: &Connection,
        sql: &str,
        range: &Next,
    ) -> rusqlite::Result<Option<i64>> {
        let filter = self.filter;
        let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
        let left = i64::try_from(self.limit - self.found.len()).unwrap_or(i64::MAX);
        let reason = filter.dead_reason.map(Code::code);
        let (since, before) = (micros(filter.created_from), micros(filter.created_before));
        let common: [(&str, &dyn ToSql); 10] = [
            (":from", &range.from),
            (":beyond", &range.beyond),
            (":type", &filter.event_type),
            (":user", &filter.user_id),
            (":entity", &filter.entity_id),
            (":reason", &reason),
            (":since", &since),
            (":before", &before),
            (":text", &self.text),
            (":limit", &left),
        ];
        let processing = filter.takes(OutboxStatus::Processing);
        let of_blocks: [(&str, &dyn ToSql); 3] = [
            (":held", &self.held_list),
            (":processing", &processing),
            (":statuses", &self.statuses),
        ];
        let mut statement = conn.prepare_cached(sql)?;
        let mut values = common.to_vec();
        if sql == EVENTS {
            values.extend(of_blocks);
        }
        let mut rows = statement.query(values.as_slice())?;
        while let Some(row) = rows.next()? {
            let event = self.held.show(read(row)?).event;
            let seq = event.seq;
            self.bytes += event.metadata.as_ref().map_or(0, RawMetadata::len);
            self.found.push(event);
            if self.found.len() >= self.limit || self.bytes >= Page::MAX_METADATA_BYTES {
                return Ok(Some(seq));
            }
        }
        Ok(None)
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

/// The counts of a block: pending, failed, completed and dead, with those that handlers have; and
/// when its events were enqueued, at the earliest and at the latest.
struct Counts {
    of: [i64; 4],
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
}

impl Counts {
    fn any_of(&self, filter: &EventFilter) -> bool {
        let statuses = [
            OutboxStatus::Pending,
            OutboxStatus::Failed,
            OutboxStatus::Completed,
            OutboxStatus::Dead,
        ];
        let mut counts = self.of.into_iter().zip(statuses);
        counts.any(|(count, status)| count > 0 && filter.takes(status))
            && filter.overlaps(self.oldest, self.newest)
    }
}

/// `None` for a block that is not counted yet.
fn counted(conn: &Connection, block: i64) -> rusqlite::Result<Option<Counts>> {
    let time = |micros, beyond| DateTime::from_timestamp_micros(micros).unwrap_or(beyond);
    conn.prepare_cached(
        "SELECT fresh, retrying, completed, dead, oldest, newest FROM outbox_tally WHERE block = ?1",
    )?
    .query_row(params![block], |row| {
        Ok(Counts {
            of: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?],
            oldest: time(row.get(4)?, DateTime::<Utc>::MIN_UTC),
            newest: time(row.get(5)?, DateTime::<Utc>::MAX_UTC),
        })
    })
    .optional()
}
