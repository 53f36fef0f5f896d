//! Claims: which events they take, and in which order.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::destinations;
use super::filter::Filter;
use super::held::Held;
use super::listed::NOT_LISTED;
use super::pausing;
use super::place::place_all;
use super::row::claimed_columns;
use super::stepping::Claiming;
use super::taking::take;
use super::turns;
use crate::claim::{Claim, ClaimOrder, ClaimRequest};

/// Limit on the due events that one claim moves to the claim's index.
const PROMOTED_AT_ONCE: i64 = 1_000;

/// Leases due events.
pub(super) fn claim(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
) -> rusqlite::Result<Vec<Claim>> {
    let request = &*pausing::read(conn)?.applied(request, now);
    let mut claiming = begin(conn, now, request.limit())?;
    for part in request.parts() {
        claim_part(&mut claiming, &part)?;
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
    let mut claiming = begin(conn, now, 1)?;
    let seq = conn
        .prepare_cached("SELECT seq FROM outbox_events WHERE id = ?1 AND slot = 1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    if let Some(seq) = seq.filter(|seq| !claiming.held.has(*seq)) {
        claiming.found(seq)?;
    }
    let request = ClaimRequest::new(1, lease);
    let claims = take(conn, now, &request, &claiming.held, claiming.rows)?;
    Ok(claims.into_iter().next())
}

/// Brings the queue up to date: places new events, and makes due ones ready.
fn begin(conn: &Connection, now: DateTime<Utc>, places: usize) -> rusqlite::Result<Claiming<'_>> {
    let held = Held::read(conn)?;
    place_all(conn, now.timestamp_micros(), &held)?;
    promote(conn, now)?;
    Claiming::new(conn, held, places)
}

/// Takes the events that the request asks for.
fn claim_part(claiming: &mut Claiming<'_>, request: &ClaimRequest) -> rusqlite::Result<()> {
    let filter = Filter::of(request);
    if filter.is_for_nothing() {
        return Ok(());
    }
    let orders: &[fn(&Filter<'_>, &str) -> String] = match request.order() {
        ClaimOrder::Usual => return in_turn(claiming, request, &filter),
        ClaimOrder::Newest => &[newest, last_of_the_new, longest_ago],
        ClaimOrder::LeastRecent => &[first_of_the_new, longest_ago],
    };
    for order in orders {
        claiming.in_order(&filter, *order, claiming.left)?;
    }
    Ok(())
}

/// Claims in claim order, except for the places reserved for round-robin turns. Three passes:
/// claim order, turns, and claim order again for the rest; each skips what the earlier ones
/// took. Where the first pass leaves no event, there is nobody to take turns.
fn in_turn(
    claiming: &mut Claiming<'_>,
    request: &ClaimRequest,
    filter: &Filter<'_>,
) -> rusqlite::Result<()> {
    let turns = request.turns().min(claiming.left);
    claiming.load.keep_for_turns(request);
    let places = claiming.left - turns;
    let found = in_claim_order(claiming, request, filter, places)?;
    if turns == 0 {
        return Ok(());
    }
    let leaves_some = found == places || claiming.load.is_full();
    claiming.load.turns_begin();
    if leaves_some {
        let places = claiming.left.min(turns);
        turns::take_turns(claiming, request, filter, places)?;
    }
    in_claim_order(claiming, request, filter, claiming.left).map(drop)
}

/// Takes the first events in claim order, up to `places`, and returns their number.
fn in_claim_order(
    claiming: &mut Claiming<'_>,
    request: &ClaimRequest,
    filter: &Filter<'_>,
    places: usize,
) -> rusqlite::Result<usize> {
    if let Some(found) = destinations::take(claiming, request, filter, places)? {
        return Ok(found);
    }
    let stepped = claiming.in_order(filter, first, places)?;
    if stepped.is_long() {
        destinations::create(claiming.conn, request)?;
    }
    Ok(stepped.found)
}

const CLAIM_ORDER: &str = "priority DESC, next_attempt_at, seq";

/// A `SELECT` of the ready events that match the filter and `condition` and are not listed, in this
/// order. It names the index, because SQLite would otherwise choose the one by user for any
/// condition on users, and sort.
fn select_ready(filter: &Filter<'_>, index: &str, condition: &str, order: &str) -> String {
    format!(
        concat!(
            "SELECT ",
            claimed_columns!(),
            " FROM outbox_events {index} WHERE slot = 1{condition}{filter}{NOT_LISTED} ORDER BY {order}"
        ),
        index = index,
        condition = condition,
        filter = filter.sql(),
        NOT_LISTED = NOT_LISTED,
        order = order
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
