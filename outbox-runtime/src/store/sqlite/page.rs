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

/// The events of a listing, of a range of rows.
const EVENTS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox_events NOT INDEXED WHERE seq >= :from AND seq < :beyond"
);

/// Of a user's dead letters, which the index has apart. The rows are sorted by number alone.
const DEAD_OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM outbox_events WHERE seq IN (
        SELECT seq FROM outbox_events INDEXED BY outbox_noted
        WHERE (dead_reason IS NOT NULL) = 1 AND dead_reason IS NOT NULL AND seq >= :from AND seq < :beyond
            AND status = 3"
);

/// The statement of a listing. It has no more conditions than the filter: those that hold for each
/// row would take as long as the others.
struct Listing {
    sql: String,
    values: Vec<(&'static str, Box<dyn ToSql>)>,
}

impl Listing {
    /// Of a user's dead letters.
    fn of_dead(filter: &EventFilter) -> Self {
        let mut listing = Self::begin(DEAD_OF_USER);
        listing.add_fields(filter);
        listing
            .sql
            .push_str(" ORDER BY seq LIMIT :limit) ORDER BY seq");
        listing
    }

    /// Of a range of rows.
    fn of_range(filter: &EventFilter, held: &Held) -> Self {
        let mut listing = Self::begin(EVENTS);
        listing.add_statuses(filter, held);
        listing.add_fields(filter);
        listing.sql.push_str(" ORDER BY seq LIMIT :limit");
        listing
    }

    fn begin(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    fn add(&mut self, condition: &str, name: &'static str, value: impl ToSql + 'static) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push((name, Box::new(value)));
    }

    fn add_statuses(&mut self, filter: &EventFilter, held: &Held) {
        let wanted = |status: &&OutboxStatus| filter.takes(**status);
        if OutboxStatus::ALL.iter().all(|status| wanted(&status)) {
            return;
        }
        let of_rows = OutboxStatus::ALL.iter().filter(wanted);
        let of_rows = of_rows.filter(|status| **status != OutboxStatus::Processing);
        let statuses: i64 = of_rows.map(|status| 1 << status.code()).sum();
        if held.seqs().next().is_none() {
            self.add("(:statuses >> status) & 1", ":statuses", statuses);
            return;
        }
        let condition = "CASE WHEN status < 2 AND seq IN (SELECT value FROM json_each(:held)) \
                         THEN :processing ELSE (:statuses >> status) & 1 END";
        self.add(condition, ":statuses", statuses);
        let processing = filter.takes(OutboxStatus::Processing);
        let values: [(&'static str, Box<dyn ToSql>); 2] = [
            (":processing", Box::new(processing)),
            (":held", Box::new(held.json())),
        ];
        self.values.extend(values);
    }

    fn add_fields(&mut self, filter: &EventFilter) {
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        if let Some(reason) = filter.dead_reason {
            self.add("dead_reason = :reason", ":reason", reason.code());
        }
        if let Some(since) = filter.created_from {
            self.add("created_at >= :since", ":since", micros(since));
        }
        if let Some(before) = filter.created_before {
            self.add("created_at < :before", ":before", micros(before));
        }
        if let Some(user) = filter.user_id.clone() {
            self.add("user_id = :user", ":user", user);
        }
        if let Some(entity) = filter.entity_id.clone() {
            self.add("entity_id = :entity", ":entity", entity);
        }
        if let Some(event_type) = filter.event_type.clone() {
            self.add("event_type = :type", ":type", event_type);
        }
        if let Some(text) = filter.lower_error_text() {
            let condition = "(instr(lower(error_message), :text) > 0 \
                             OR instr(lower(last_refusal), :text) > 0)";
            self.add(condition, ":text", text);
        }
    }
}

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
    let is_of_dead = filter.is_for_dead() && filter.user_id.is_some();
    let listing = match is_of_dead {
        true => Listing::of_dead(filter),
        false => Listing::of_range(filter, &held),
    };
    let mut reading = Reading {
        held: &held,
        listing,
        limit: limit.max(1),
        bytes: 0,
        found: Vec::new(),
    };
    let next = |after: i64| (after < key.until()).then(|| PageKey::new(after, key.until()));
    if is_of_dead {
        let beyond = key.until().saturating_add(1);
        let from = key.after().saturating_add(1);
        let last = reading.read(conn, &Next { from, beyond })?;
        return Ok(Page::new(reading.found, last.and_then(next)));
    }
    let mut blocks = Blocks::new(conn, filter, &held, key.after(), key.until());
    for _ in 0..BLOCKS {
        let Some(range) = blocks.next()? else {
            return Ok(Page::new(reading.found, None));
        };
        if let Some(last) = reading.read(conn, &range)? {
            return Ok(Page::new(reading.found, next(last)));
        }
    }
    Ok(Page::new(reading.found, next(blocks.after)))
}

/// A page in the making.
struct Reading<'h> {
    held: &'h Held,
    listing: Listing,
    limit: usize,
    /// The metadata so far.
    bytes: usize,
    found: Vec<OutboxEvent>,
}

impl Reading<'_> {
    /// Reads the events of a range until the page is full, and returns the `seq` of the last event
    /// of a full page.
    fn read(&mut self, conn: &Connection, range: &Next) -> rusqlite::Result<Option<i64>> {
        let left = i64::try_from(self.limit - self.found.len()).unwrap_or(i64::MAX);
        let of_range: [(&str, &dyn ToSql); 3] = [
            (":from", &range.from),
            (":beyond", &range.beyond),
            (":limit", &left),
        ];
        let of_filter = self.listing.values.iter();
        let of_filter = of_filter.map(|(name, value)| (*name, &**value));
        let values: Vec<(&str, &dyn ToSql)> = of_range.into_iter().chain(of_filter).collect();
        let mut statement = conn.prepare_cached(&self.listing.sql)?;
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
