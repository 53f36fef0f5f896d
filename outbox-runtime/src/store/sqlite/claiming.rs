//! Claims: which events they take, and in which order.

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, OptionalExtension, StatementStatus, params_from_iter};
use uuid::Uuid;

use super::filter::Filter;
use super::held::Held;
use super::place::place_all;
use super::row::{ReadRow, claimed_columns, read_ready};
use super::taking::take;
use super::{turns, user_index};
use crate::claim::{Claim, ClaimOrder, ClaimRequest};
use crate::store::kit::Load;

/// Limit on the due events that one claim moves to the claim's index.
const PROMOTED_AT_ONCE: i64 = 1_000;

/// Leases due events.
pub(super) fn claim(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
) -> rusqlite::Result<Vec<Claim>> {
    let mut claiming = Claiming::begin(conn, now, request.limit())?;
    for part in request.parts() {
        claiming.claim(&part)?;
    }
    take(conn, now, request, &claiming.held, claiming.rows)
}

/// Claims one event if it is ready, whatever its place in the claim's order.
pub(super) fn claim_one(
    conn: &Connection,
    now: DateTime<Utc>,
    id: Uuid,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Claim>> {
    let mut claiming = Claiming::begin(conn, now, 1)?;
    let seq = conn
        .prepare_cached("SELECT seq FROM outbox_events WHERE id = ?1 AND slot = 1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(seq) = seq.filter(|seq| !claiming.is_taken(*seq)) {
        claiming.found(seq)?;
    }
    let request = ClaimRequest::new(1, lease);
    let claims = take(conn, now, &request, &claiming.held, claiming.rows)?;
    Ok(claims.into_iter().next())
}

/// A claim in progress: it collects rows, and writes nothing that it reads.
pub(super) struct Claiming<'c> {
    pub(super) conn: &'c Connection,
    held: Held,
    /// Places that are still free.
    left: usize,
    load: Load,
    rows: Vec<ReadRow>,
    row: CachedStatement<'c>,
}

/// How an index was read.
struct Stepped {
    found: usize,
    /// What SQLite did for it.
    steps: usize,
}

impl<'c> Claiming<'c> {
    /// Brings the queue up to date: places new events, and makes due ones ready.
    fn begin(conn: &'c Connection, now: DateTime<Utc>, places: usize) -> rusqlite::Result<Self> {
        let held = Held::read(conn)?;
        place_all(conn, now.timestamp_micros(), &held)?;
        promote(conn, now)?;
        Ok(Self {
            conn,
            held,
            left: places,
            load: Load::new(),
            rows: Vec::new(),
            row: conn.prepare_cached(concat!(
                "SELECT ",
                claimed_columns!(),
                " FROM outbox_events WHERE seq = ?1"
            ))?,
        })
    }

    fn claim(&mut self, request: &ClaimRequest) -> rusqlite::Result<()> {
        let filter = Filter::of(request);
        if filter.is_for_nothing() {
            return Ok(());
        }
        let orders: &[fn(&Filter<'_>, &str) -> String] = match request.order() {
            ClaimOrder::Usual => return self.in_turn(request, &filter),
            ClaimOrder::Newest => &[newest, last_of_the_new, longest_ago],
            ClaimOrder::LeastRecent => &[first_of_the_new, longest_ago],
        };
        for order in orders {
            self.in_order(&filter, *order, self.left)?;
        }
        Ok(())
    }

    /// Claims in claim order, except for the places reserved for round-robin turns. Three passes:
    /// claim order, turns, and claim order again for the rest; each skips what the earlier ones
    /// took. Where the first pass leaves no event, there is nobody to take turns.
    fn in_turn(&mut self, request: &ClaimRequest, filter: &Filter<'_>) -> rusqlite::Result<()> {
        let turns = request.turns().min(self.left);
        self.load.keep_for_turns(request);
        let places = self.left - turns;
        let found = self.in_order(filter, first, places)?;
        if turns == 0 {
            return Ok(());
        }
        let leaves_some = found == places || self.load.is_full();
        self.load.turns_begin();
        if leaves_some {
            let places = self.left.min(turns);
            turns::take_turns(self, request, filter, places)?;
        }
        self.in_order(filter, first, self.left).map(drop)
    }

    /// Takes the first rows in an order, up to `places`, through the index that fits the request.
    fn in_order(
        &mut self,
        filter: &Filter<'_>,
        order: fn(&Filter<'_>, &str) -> String,
        places: usize,
    ) -> rusqlite::Result<usize> {
        if !filter.is_of_one_user() {
            return Ok(self.step(filter, &order(filter, READY), places)?.found);
        }
        match self.step(filter, &order(filter, READY_USER), places) {
            Err(error) if user_index::is_missing(&error) => {}
            stepped => return Ok(stepped?.found),
        }
        let stepped = self.step(filter, &order(filter, READY), places)?;
        if stepped.steps > STEPS_PER_CLAIM + stepped.found * STEPS_PER_EVENT {
            // Others' events were in the way.
            user_index::create(self.conn)?;
        }
        Ok(stepped.found)
    }

    /// Takes the rows that this statement finds, up to `places`.
    fn step(&mut self, filter: &Filter<'_>, sql: &str, places: usize) -> rusqlite::Result<Stepped> {
        let mut found = 0;
        // A statement finds each event once.
        let before = self.rows.len();
        if places == 0 || self.load.is_full() {
            return Ok(Stepped { found, steps: 0 });
        }
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params_from_iter(filter.values()))?;
        while found < places
            && !self.load.is_full()
            && let Some(row) = rows.next()?
        {
            let seq = row.get(0)?;
            if !self.is_taken_before(before, seq) {
                self.found(seq)?;
                found += 1;
            }
        }
        drop(rows);
        let steps = statement.reset_status(StatementStatus::VmStep);
        Ok(Stepped {
            found,
            steps: usize::try_from(steps).unwrap_or(0),
        })
    }

    /// Whether a handler has this event, or this claim takes it already.
    pub(super) fn is_taken(&self, seq: i64) -> bool {
        self.is_taken_before(self.rows.len(), seq)
    }

    fn is_taken_before(&self, count: usize, seq: i64) -> bool {
        let mut taken = self.rows.iter().take(count);
        self.held.has(seq) || taken.any(|row| row.event.seq == seq)
    }

    /// Whether the claim has as much metadata as it may.
    pub(super) fn is_full(&self) -> bool {
        self.load.is_full()
    }

    /// Reads an event.
    pub(super) fn read(&mut self, seq: i64) -> rusqlite::Result<ReadRow> {
        self.row.query_row([seq], read_ready)
    }

    /// Takes an event that was read.
    pub(super) fn take(&mut self, row: ReadRow) {
        self.load.add(&row.event);
        self.left = self.left.saturating_sub(1);
        self.rows.push(row);
    }

    fn found(&mut self, seq: i64) -> rusqlite::Result<()> {
        let row = self.read(seq)?;
        self.take(row);
        Ok(())
    }
}

/// What a claim of one user costs without other users in the way, with a large margin, in steps of
/// SQLite's machine: at most some dozen steps per event, and as many per event that is in the way.
const STEPS_PER_CLAIM: usize = 2_000;
const STEPS_PER_EVENT: usize = 40;

/// The index of all ready events, and that of ready events by user.
pub(super) const READY: &str = "outbox_ready";
pub(super) const READY_USER: &str = "outbox_ready_user";

const CLAIM_ORDER: &str = "priority DESC, next_attempt_at, seq";

/// A `SELECT` of the ready events that match the filter and `condition`, in this order. It names
/// the index, because SQLite would otherwise choose the one by user for any condition on users, and
/// sort.
fn select_ready(filter: &Filter<'_>, index: &str, condition: &str, order: &str) -> String {
    format!(
        "SELECT seq FROM outbox_events {index} WHERE slot = 1{condition}{} ORDER BY {order}",
        filter.sql()
    )
}

const NEW: &str = " AND last_attempt_at IS NULL";

/// The first events in claim order.
fn first(filter: &Filter<'_>, index: &str) -> String {
    select_ready(filter, &format!("INDEXED BY {index}"), "", CLAIM_ORDER)
}

/// The first never-attempted events in claim order.
fn first_of_the_new(filter: &Filter<'_>, index: &str) -> String {
    select_ready(filter, &format!("INDEXED BY {index}"), NEW, CLAIM_ORDER)
}

/// The newest never-attempted event, if it is among the last rows of the table.
fn newest(filter: &Filter<'_>, _: &str) -> String {
    // The newest 256 rows: a few pages.
    let new = " AND last_attempt_at IS NULL AND seq >= coalesce(
             (SELECT seq FROM outbox_events NOT INDEXED ORDER BY seq DESC LIMIT 1 OFFSET 255), -9223372036854775808)";
    select_ready(filter, "NOT INDEXED", new, "seq DESC")
}

/// The last never-attempted event in claim order.
fn last_of_the_new(filter: &Filter<'_>, index: &str) -> String {
    let order = "priority, next_attempt_at DESC, seq DESC";
    select_ready(filter, &format!("INDEXED BY {index}"), NEW, order)
}

/// The events with the least recent attempts.
fn longest_ago(filter: &Filter<'_>, _: &str) -> String {
    let attempted = " AND last_attempt_at IS NOT NULL";
    let index = "INDEXED BY outbox_attempted";
    select_ready(filter, index, attempted, "last_attempt_at, seq")
}

/// Moves events that have become due to the claim's index, so that a claim never steps over events
/// that are not due.
fn promote(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outbox_events SET slot = 1 WHERE seq IN (
             SELECT seq FROM outbox_events INDEXED BY outbox_aside WHERE slot = 2 AND next_attempt_at <= ?1
             ORDER BY next_attempt_at LIMIT ?2)",
    )?
    .execute(rusqlite::params![now.timestamp_micros(), PROMOTED_AT_ONCE])?;
    Ok(())
}
