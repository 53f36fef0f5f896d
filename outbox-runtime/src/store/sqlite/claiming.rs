//! Claims: which events they take, in which order, and when the next event can be claimed.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::filter::Filter;
use super::row::{ReadRow, claimed_columns, read_all, read_within};
use super::taking::take;
use super::turns;
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
    promote(conn, now)?;
    let mut claiming = Claiming {
        conn,
        now,
        left: request.limit(),
        load: Load::new(),
        claims: Vec::new(),
    };
    for part in request.parts() {
        claiming.claim(&part)?;
    }
    Ok(claiming.claims)
}

/// A claim in progress.
struct Claiming<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    /// Places that are still free.
    left: usize,
    load: Load,
    claims: Vec<Claim>,
}

impl Claiming<'_> {
    fn claim(&mut self, request: &ClaimRequest) -> rusqlite::Result<()> {
        let filter = Filter::of(request);
        if filter.is_for_nothing() {
            return Ok(());
        }
        match request.order() {
            ClaimOrder::Usual => self.in_turn(request, &filter),
            ClaimOrder::Newest => {
                for sql in [
                    newest(&filter),
                    last_of_the_new(&filter),
                    longest_ago(&filter),
                ] {
                    self.all(request, &filter, &sql, self.left)?;
                }
                Ok(())
            }
            ClaimOrder::LeastRecent => {
                for sql in [first_of_the_new(&filter), longest_ago(&filter)] {
                    self.all(request, &filter, &sql, self.left)?;
                }
                Ok(())
            }
        }
    }

    /// Claims in claim order, except for the places reserved for round-robin turns. Three passes:
    /// claim order, turns, and claim order again for the rest; each skips what the earlier ones
    /// leased.
    fn in_turn(&mut self, request: &ClaimRequest, filter: &Filter<'_>) -> rusqlite::Result<()> {
        let turns = request.turns().min(self.left);
        let sql = first(filter);
        self.load.keep_for_turns(request);
        self.all(request, filter, &sql, self.left - turns)?;
        if turns == 0 {
            return Ok(());
        }
        self.load.turns_begin();
        let places = self.left.min(turns);
        let rows = turns::first_of_each(self.conn, request, filter, places, &mut self.load)?;
        self.take(request, rows)?;
        self.all(request, filter, &sql, self.left)
    }

    /// Takes the rows that this statement finds, up to `places`.
    fn all(
        &mut self,
        request: &ClaimRequest,
        filter: &Filter<'_>,
        sql: &str,
        places: usize,
    ) -> rusqlite::Result<()> {
        if places == 0 || self.load.is_full() {
            return Ok(());
        }
        let places = i64::try_from(places).unwrap_or(i64::MAX);
        let values = filter.values().chain([&places as &dyn ToSql]);
        let rows = read_within(
            self.conn
                .prepare_cached(sql)?
                .query(params_from_iter(values))?,
            &mut self.load,
        )?;
        self.take(request, rows)
    }

    fn take(&mut self, request: &ClaimRequest, rows: Vec<ReadRow>) -> rusqlite::Result<()> {
        self.left -= rows.len();
        let mut claims = take(self.conn, self.now, request, rows)?;
        self.claims.append(&mut claims);
        Ok(())
    }
}

/// A `SELECT` of the ready events that match the filter and `condition`, from `index`, in this
/// order.
fn select_ready(filter: &Filter<'_>, index: &str, condition: &str, order: &str) -> String {
    format!(
        "SELECT {} FROM outbox_events {index} WHERE slot = 'ready'{condition}{}
         ORDER BY {order} LIMIT ?",
        claimed_columns!(),
        filter.sql()
    )
}

/// The first events in claim order.
fn first(filter: &Filter<'_>) -> String {
    let index = format!("INDEXED BY {}", filter.ready_index());
    select_ready(filter, &index, "", "priority DESC, next_attempt_at, seq")
}

/// The first never-attempted events in claim order.
fn first_of_the_new(filter: &Filter<'_>) -> String {
    let index = format!("INDEXED BY {}", filter.ready_index());
    let new = " AND last_attempt_at IS NULL";
    select_ready(filter, &index, new, "priority DESC, next_attempt_at, seq")
}

/// The newest never-attempted event, if it is among the last rows of the table.
fn newest(filter: &Filter<'_>) -> String {
    // The newest 256 rows: a few pages.
    let new = " AND last_attempt_at IS NULL AND seq >= coalesce(
             (SELECT seq FROM outbox_events NOT INDEXED ORDER BY seq DESC LIMIT 1 OFFSET 255), -9223372036854775808)";
    select_ready(filter, "NOT INDEXED", new, "seq DESC")
}

/// The last never-attempted event in claim order.
fn last_of_the_new(filter: &Filter<'_>) -> String {
    let index = format!("INDEXED BY {}", filter.ready_index());
    let new = " AND last_attempt_at IS NULL";
    select_ready(
        filter,
        &index,
        new,
        "priority, next_attempt_at DESC, seq DESC",
    )
}

/// The events with the least recent attempts.
fn longest_ago(filter: &Filter<'_>) -> String {
    let attempted = " AND last_attempt_at IS NOT NULL";
    let index = "INDEXED BY outbox_attempted";
    select_ready(filter, index, attempted, "last_attempt_at, seq")
}

/// Claims one event if it is in the claim's index, whatever its place there.
pub(super) fn claim_one(
    conn: &Connection,
    now: DateTime<Utc>,
    id: Uuid,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Claim>> {
    promote(conn, now)?;
    let rows = read_all(
        conn.prepare_cached(concat!(
            "SELECT ",
            claimed_columns!(),
            " FROM outbox_events WHERE id = ?1 AND slot = 'ready'"
        ))?
        .query(params![id])?,
    )?;
    let claims = take(conn, now, &ClaimRequest::new(1, lease), rows)?;
    Ok(claims.into_iter().next())
}

/// Moves events that have become due to the claim's index, so that a claim never steps over events
/// that are not due.
fn promote(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outbox_events SET slot = 'ready' WHERE seq IN (
             SELECT seq FROM outbox_events WHERE slot = 'waiting' AND next_attempt_at <= ?1
             ORDER BY next_attempt_at LIMIT ?2)",
    )?
    .execute(params![now.timestamp_micros(), PROMOTED_AT_ONCE])?;
    Ok(())
}

/// The earliest time at which a claim with this request, or a rescue, finds an event.
pub(super) fn next_due(
    conn: &Connection,
    request: &ClaimRequest,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let filter = Filter::of(request);
    let values = || params_from_iter(filter.values());
    // Each queue is read in the order of its index. Among ready events the first is enough: all of
    // them are due.
    let first = |slot: &str, index: &str, order: &str| {
        if filter.is_for_nothing() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT next_attempt_at FROM outbox_events INDEXED BY {index} WHERE slot = '{slot}'{} ORDER BY {order} LIMIT 1",
            filter.sql()
        );
        conn.prepare_cached(&sql)?
            .query_row(values(), |row| row.get::<_, i64>(0))
            .optional()
    };
    let expiry: Option<i64> = conn
        .prepare_cached("SELECT min(lease_expires_at) FROM outbox_events WHERE slot = 'leased'")?
        .query_row([], |row| row.get(0))?;
    let order = "priority DESC, next_attempt_at, seq";
    let ready = first("ready", filter.ready_index(), order)?;
    let waiting = first("waiting", "outbox_waiting", "next_attempt_at")?;
    let earliest = [ready, waiting, expiry].into_iter().flatten().min();
    Ok(earliest
        .map(|micros| DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)))
}
