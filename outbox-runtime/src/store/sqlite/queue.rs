//! The queue: claiming, settling, extending and rescuing, each a few statements on the writer's connection.

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::elders::give_way_to_elders;
use super::filter::Filter;
use super::lane::{Lane, company, lane_columns};
use super::row::{ReadRow, claimed_columns, read_all, read_within};
use super::tally::{Class, Moves};
use super::turns;
use crate::claim::{Claim, ClaimOrder, ClaimRequest, Lease, LeaseToken};
use crate::clock;
use crate::event::{DeadReason, OutboxStatus, Refusal};
use crate::outcome::{Disposition, LEASE_EXPIRED, Settled, Settlement, bounded};
use crate::repository::Rescued;
use crate::store::rules::Load;

/// At most how many events that have become due are moved to the claim's index by one claim.
const PROMOTED_AT_ONCE: i64 = 1_000;

/// Hands out due events.
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

/// A claim, and what it has so far.
struct Claiming<'c> {
    conn: &'c Connection,
    now: DateTime<Utc>,
    /// Places that are not filled.
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

    /// In claim order, but for the places in which users take turns. What was taken in claim order is out of the way of the turns,
    /// and what these took out of that of the rest.
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

    /// What this statement finds, as many as there are places.
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

/// A `SELECT` of what is ready and asked for, from this index, under this condition, in this order.
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

/// The same of those that were never attempted.
fn first_of_the_new(filter: &Filter<'_>) -> String {
    let index = format!("INDEXED BY {}", filter.ready_index());
    let new = " AND last_attempt_at IS NULL";
    select_ready(filter, &index, new, "priority DESC, next_attempt_at, seq")
}

/// The newest that was never attempted, if it is among the last rows of the table.
fn newest(filter: &Filter<'_>) -> String {
    // Of the newest 256 rows, a few pages.
    let new = " AND last_attempt_at IS NULL AND seq >= coalesce(
             (SELECT seq FROM outbox_events NOT INDEXED ORDER BY seq DESC LIMIT 1 OFFSET 255), -9223372036854775808)";
    select_ready(filter, "NOT INDEXED", new, "seq DESC")
}

/// The last in claim order that was never attempted.
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

/// Those whose last attempts are longest ago.
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

/// Leases the events of these rows, and counts the attempt. Rows that cannot be read become dead letters instead.
///
/// Who writes holds the database's only write lock, so nothing has changed since they were read. `UPDATE .. RETURNING`
/// would do both at once, by way of a temporary table, which takes longer.
fn take(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
    rows: Vec<ReadRow>,
) -> rusqlite::Result<Vec<Claim>> {
    let token = LeaseToken::random();
    let mut lease_row = conn.prepare_cached(
        "UPDATE outbox_events
         SET status = 'processing', slot = 'leased', attempt_count = ?2, last_attempt_at = ?3, lease_token = ?4,
             lease_expires_at = ?5
         WHERE seq = ?1",
    )?;
    let mut claims = Vec::with_capacity(rows.len());
    let mut moves = Moves::default();
    for ReadRow { mut event, damage } in rows {
        let before = Class::of(event.status, event.attempt_count);
        if let Some(damage) = damage {
            bury_unreadable(conn, now, event.seq, &damage)?;
            moves.note(event.seq, before, Class::Dead);
            continue;
        }
        let expires_at = clock::after(now, request.lease_for(&event.event_type));
        event.status = OutboxStatus::Processing;
        event.attempt_count = event.attempt_count.saturating_add(1);
        event.last_attempt_at = Some(now);
        event.lease_token = Some(token.as_uuid());
        event.lease_expires_at = Some(expires_at);
        lease_row.execute(params![
            event.seq,
            event.attempt_count,
            now.timestamp_micros(),
            token.as_uuid(),
            expires_at.timestamp_micros()
        ])?;
        // Mostly the same: it is only another one where the count of attempts is not what this library writes.
        let after = Class::of(event.status, event.attempt_count);
        moves.note(event.seq, before, after);
        claims.push(Claim {
            lease: Lease {
                event_id: event.id,
                token,
                expires_at,
            },
            event,
        });
    }
    moves.write(conn)?;
    Ok(claims)
}

/// Events that have become due move to the claim's index, so that those that have not are never stepped over.
fn promote(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outbox_events SET slot = 'ready' WHERE seq IN (
             SELECT seq FROM outbox_events WHERE slot = 'waiting' AND next_attempt_at <= ?1
             ORDER BY next_attempt_at LIMIT ?2)",
    )?
    .execute(params![now.timestamp_micros(), PROMOTED_AT_ONCE])?;
    Ok(())
}

fn bury_unreadable(
    conn: &Connection,
    now: DateTime<Utc>,
    seq: i64,
    damage: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached(concat!(
        "UPDATE outbox_events
         SET status = 'dead', slot = CASE WHEN on_dead IS NULL THEN 'held' END,
             open = CASE WHEN on_dead IS NULL THEN 1 END, dead_reason = ?2, error_message = ?3,
             lease_token = NULL, lease_expires_at = NULL
         WHERE seq = ?1
         RETURNING ",
        lane_columns!()
    ))?
    .query_row(
        params![seq, DeadReason::Undecodable.as_str(), bounded(damage)],
        |row| Lane::of(row, 0)?.hand_on(conn, now.timestamp_micros()),
    )?;
    Ok(())
}

/// Writes outcomes, each if its lease still holds.
pub(super) fn settle_all(
    conn: &Connection,
    now: DateTime<Utc>,
    settlements: &[Settlement],
    wakes: &mut bool,
) -> rusqlite::Result<Vec<Settled>> {
    let mut settling = Settling::new(conn, now)?;
    let settled = settlements
        .iter()
        .map(|settlement| settling.settle(settlement, wakes));
    let settled = settled.collect::<rusqlite::Result<_>>()?;
    settling.moves.write(conn)?;
    Ok(settled)
}

/// Writes one outcome; see [`settle_all`].
pub(super) fn settle(
    conn: &Connection,
    now: DateTime<Utc>,
    settlement: &Settlement,
    wakes: &mut bool,
) -> rusqlite::Result<Settled> {
    let mut settling = Settling::new(conn, now)?;
    let settled = settling.settle(settlement, wakes)?;
    settling.moves.write(conn)?;
    Ok(settled)
}

/// Writes outcomes, and keeps the statements from one to the next.
struct Settling<'c> {
    conn: &'c Connection,
    now: i64,
    held: CachedStatement<'c>,
    complete: CachedStatement<'c>,
    moves: Moves,
}

impl<'c> Settling<'c> {
    fn new(conn: &'c Connection, now: DateTime<Utc>) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            now: now.timestamp_micros(),
            // The row must be held under this very lease, and the lease must not have ended.
            held: conn.prepare_cached(concat!(
                "SELECT seq, attempt_count, ",
                company!(),
                ", ",
                lane_columns!(),
                " FROM outbox_events AS held
                 WHERE id = ?1 AND lease_token = ?2 AND lease_expires_at > ?3 AND slot = 'leased'"
            ))?,
            complete: conn.prepare_cached(
                "UPDATE outbox_events
                 SET status = 'completed', slot = NULL, open = NULL, completed_at = ?2, error_message = NULL,
                     lease_token = NULL, lease_expires_at = NULL, crashes = 0
                 WHERE seq = ?1",
            )?,
            moves: Moves::default(),
        })
    }

    /// Writes one outcome, if the lease still holds. Whether another event became claimable is noted in `wakes`, and what the event
    /// is now counted as in the moves, which the caller writes when all is settled.
    ///
    /// First the row is looked up, and its lane read in place; `UPDATE .. RETURNING` would copy it to a temporary table.
    fn settle(&mut self, settlement: &Settlement, wakes: &mut bool) -> rusqlite::Result<Settled> {
        let Self {
            conn,
            now,
            held,
            complete,
            moves,
        } = self;
        let (conn, now) = (*conn, *now);
        let Lease {
            event_id, token, ..
        } = settlement.lease;
        let mut rows = held.query(params![event_id, token.as_uuid(), now])?;
        let Some(row) = rows.next()? else {
            drop(rows);
            *wakes |= hand_on_behind(conn, now, event_id)?;
            return Ok(Settled::LeaseLost);
        };
        let seq: i64 = row.get(0)?;
        let before = Class::of(OutboxStatus::Processing, row.get::<_, i64>(1)?);
        let after = match settlement.disposition {
            Disposition::Complete => Class::Completed,
            Disposition::Fail { .. } => Class::Retrying,
            Disposition::Bury { .. } => Class::Dead,
            Disposition::GiveBack { .. }
            | Disposition::Defer { .. }
            | Disposition::Snooze { .. } => before,
        };
        let company: i64 = row.get(2)?;
        let (has_company, has_kin) = (company & 1 != 0, company & 2 != 0);
        let lane = if has_company || has_kin {
            Some(Lane::of(row, 3)?)
        } else {
            // There is nobody to hand on to, nor to give way to. As long as the row is looked at, SQLite keeps its place in
            // everything that is written.
            drop(rows);
            None
        };
        write_outcome(conn, complete, now, seq, &settlement.disposition)?;
        moves.note(seq, before, after);
        match settlement.disposition {
            Disposition::Complete | Disposition::Bury { .. } => {
                if let Some(lane) = lane {
                    *wakes |= has_company && lane.first_goes(conn, now)?;
                    *wakes |= has_kin && lane.juniors_go(conn, now)?;
                }
            }
            Disposition::Fail { .. }
            | Disposition::GiveBack { .. }
            | Disposition::Defer { .. }
            | Disposition::Snooze { .. } => {
                *wakes = true;
                if let Some(lane) = lane {
                    lane.give_way(conn, now, seq)?;
                    if has_kin {
                        give_way_to_elders(conn, seq)?;
                    }
                }
            }
        }
        Ok(Settled::Recorded)
    }
}

/// The lease of this event is lost. Where somebody's own statement has finished it, nobody else hands on: no trigger looks at
/// what ends while it is leased.
fn hand_on_behind(conn: &Connection, now: i64, id: Uuid) -> rusqlite::Result<bool> {
    let handed_on = conn
        .prepare_cached(concat!(
            "SELECT ",
            lane_columns!(),
            " FROM outbox_events WHERE id = ?1 AND open IS NULL"
        ))?
        .query_row(params![id], |row| {
            Lane::of(row, 0)?.hand_on_if_idle(conn, now)
        })
        .optional()?;
    Ok(handed_on.unwrap_or(false))
}

/// One more of a count that fits a `u32`, whatever is in the row: a sum that is too large would be a float, which the column refuses.
macro_rules! one_more {
    ($count:literal) => {
        concat!("min(max(ifnull(", $count, ", 0), 0), 4294967294) + 1")
    };
}

/// Whether with this crash there are as many in a row as the event may have attempts.
macro_rules! last_crash {
    () => {
        concat!(one_more!("crashes"), " >= max_attempts")
    };
}

/// The beginning of a statement that takes the attempt in progress off the count. At `?2` it is due at `?3`, if that is given.
macro_rules! given_back {
    () => {
        concat!(
            "UPDATE outbox_events
             SET status = CASE WHEN attempt_count > 1 THEN 'failed' ELSE 'pending' END,
                 slot = CASE WHEN ?3 > ?2 THEN 'waiting' ELSE 'ready' END,
                 attempt_count = max(attempt_count - 1, 0), lease_token = NULL, lease_expires_at = NULL, crashes = 0, "
        )
    };
}

fn write_outcome(
    conn: &Connection,
    complete: &mut CachedStatement<'_>,
    now: i64,
    seq: i64,
    disposition: &Disposition,
) -> rusqlite::Result<()> {
    let write = |sql: &str, values: &[&dyn ToSql]| {
        conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    };
    match disposition {
        Disposition::Complete => complete.execute([seq, now]).map(drop),
        Disposition::Fail {
            next_attempt_at,
            message,
        } => write(
            "UPDATE outbox_events
             SET status = 'failed', slot = CASE WHEN ?3 > ?2 THEN 'waiting' ELSE 'ready' END,
                 next_attempt_at = ?3, error_message = ?4, lease_token = NULL, lease_expires_at = NULL, crashes = 0
             WHERE seq = ?1",
            &[&seq, &now, &next_attempt_at.timestamp_micros(), message],
        ),
        Disposition::Bury { reason, message } => write(
            "UPDATE outbox_events
             SET status = 'dead', slot = CASE WHEN on_dead IS NULL THEN 'held' END,
                 open = CASE WHEN on_dead IS NULL THEN 1 END, dead_reason = ?2, error_message = ?3,
                 lease_token = NULL, lease_expires_at = NULL, crashes = 0
             WHERE seq = ?1",
            &[&seq, &reason.as_str(), message],
        ),
        Disposition::GiveBack {
            next_attempt_at,
            refusal,
        } => write(
            concat!(
                given_back!(),
                "next_attempt_at = coalesce(?3, min(next_attempt_at, ?2)), last_refusal = coalesce(?4, last_refusal)
                 WHERE seq = ?1"
            ),
            &[
                &seq,
                &now,
                &next_attempt_at.map(|due| due.timestamp_micros()),
                &refusal.as_ref().map(Refusal::to_string),
            ],
        ),
        Disposition::Defer {
            next_attempt_at,
            refusal,
        } => write(
            concat!(
                given_back!(),
                "next_attempt_at = ?3, last_refusal = ?4, deferred_since = coalesce(deferred_since, ?2), deferrals = ",
                one_more!("deferrals"),
                " WHERE seq = ?1"
            ),
            &[
                &seq,
                &now,
                &next_attempt_at.timestamp_micros(),
                &refusal.to_string(),
            ],
        ),
        Disposition::Snooze { next_attempt_at } => write(
            concat!(
                given_back!(),
                "next_attempt_at = ?3, snoozes = ",
                one_more!("snoozes"),
                " WHERE seq = ?1"
            ),
            &[&seq, &now, &next_attempt_at.timestamp_micros()],
        ),
    }
}

/// Moves the end of a lease that nobody else has taken, be it over or not.
pub(super) fn extend(
    conn: &Connection,
    now: DateTime<Utc>,
    held: &Lease,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Lease>> {
    let expires_at = clock::after(now, lease);
    let moved = conn
        .prepare_cached(
            // Renewed after the clock was set back it is a lease of the new time: there is nothing left to follow.
            "UPDATE outbox_events
             SET lease_expires_at = ?1, last_attempt_at = min(last_attempt_at, ?4)
             WHERE id = ?2 AND lease_token = ?3 AND slot = 'leased'",
        )?
        .execute(params![
            expires_at.timestamp_micros(),
            held.event_id,
            held.token.as_uuid(),
            now.timestamp_micros()
        ])?;
    Ok((moved == 1).then_some(Lease {
        expires_at,
        ..*held
    }))
}

/// Takes events back from workers that were not heard of. One statement selects and writes, so nothing that was settled
/// meanwhile is touched.
pub(super) fn rescue(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Rescued> {
    rescue_ended_by(conn, now, now.timestamp_micros())
}

/// The same for just these leases, each if it has ended and is as it was.
pub(super) fn rescue_only(
    conn: &Connection,
    now: DateTime<Utc>,
    leases: &[Lease],
) -> rusqlite::Result<Rescued> {
    end_leases(conn, leases, now, LONG_AGO)?;
    rescue_ended_by(conn, now, LONG_AGO)
}

/// Before any lease ends by itself.
const LONG_AGO: i64 = i64::MIN;

/// Has leases that were not renewed since, and have ended by `now`, end at `at`.
fn end_leases(
    conn: &Connection,
    leases: &[Lease],
    now: DateTime<Utc>,
    at: i64,
) -> rusqlite::Result<()> {
    let mut end = conn.prepare_cached(
        "UPDATE outbox_events SET lease_expires_at = ?4
         WHERE id = ?1 AND lease_token = ?2 AND lease_expires_at = ?3 AND slot = 'leased'",
    )?;
    for lease in leases.iter().filter(|lease| lease.expires_at <= now) {
        let ends = lease.expires_at.timestamp_micros();
        end.execute(params![lease.event_id, lease.token.as_uuid(), ends, at])?;
    }
    Ok(())
}

fn rescue_ended_by(
    conn: &Connection,
    now: DateTime<Utc>,
    ended_by: i64,
) -> rusqlite::Result<Rescued> {
    follow_clock(conn, now)?;
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE outbox_events
         SET status = CASE WHEN ",
        last_crash!(),
        " THEN 'dead' WHEN attempt_count > 1 THEN 'failed' ELSE 'pending' END,
             slot = CASE WHEN ",
        last_crash!(),
        " THEN CASE WHEN on_dead IS NULL THEN 'held' END ELSE 'ready' END,
             open = CASE WHEN on_dead IS NOT NULL AND ",
        last_crash!(),
        " THEN NULL ELSE 1 END,
             dead_reason = CASE WHEN ",
        last_crash!(),
        " THEN ?2 END,
             attempt_count = max(attempt_count - 1, 0), crashes = ",
        one_more!("crashes"),
        ", next_attempt_at = ?1, error_message = ?3, lease_token = NULL, lease_expires_at = NULL
         WHERE slot = 'leased' AND lease_expires_at <= ?4
         RETURNING seq, status = 'dead', attempt_count, ",
        lane_columns!()
    ))?;
    let now = now.timestamp_micros();
    let mut rows = statement.query(params![
        now,
        DeadReason::CrashLoop.as_str(),
        LEASE_EXPIRED,
        ended_by
    ])?;
    let mut rescued = Rescued::default();
    let mut moves = Moves::default();
    while let Some(row) = rows.next()? {
        let lane = Lane::of(row, 3)?;
        let seq = row.get(0)?;
        if row.get(1)? {
            let attempts: i64 = row.get(2)?;
            let before = Class::of(OutboxStatus::Processing, attempts.saturating_add(1));
            moves.note(seq, before, Class::Dead);
            lane.hand_on(conn, now)?;
            rescued.buried += 1;
        } else {
            // It is counted as what it was with the handler: pending for the first attempt, failed for a later one.
            lane.give_way(conn, now, seq)?;
            give_way_to_elders(conn, seq)?;
            rescued.requeued += 1;
        }
    }
    moves.write(conn)?;
    Ok(rescued)
}

/// A lease that begins later than now was taken before the clock was set back. It would last longer by as much.
fn follow_clock(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE outbox_events
         SET lease_expires_at = ?1 + max(lease_expires_at - last_attempt_at, 0), last_attempt_at = ?1
         WHERE slot = 'leased' AND last_attempt_at > ?1",
    )?
    .execute([now.timestamp_micros()])?;
    Ok(())
}

/// The earliest time at which a claim with this request, or a rescue, finds something.
pub(super) fn next_due(
    conn: &Connection,
    request: &ClaimRequest,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let filter = Filter::of(request);
    let values = || params_from_iter(filter.values());
    // In the order of each queue's index: what is due already is due, whichever of them comes first.
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
