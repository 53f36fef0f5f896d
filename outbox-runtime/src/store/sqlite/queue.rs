//! The queue: claiming, settling, extending and rescuing, each a few statements on the writer's connection.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::lane::{Lane, lane_columns};
use super::row::{columns, read_all};
use crate::claim::{Claim, ClaimRequest, EventTypes, Lease, LeaseToken};
use crate::clock;
use crate::event::DeadReason;
use crate::outcome::{Disposition, LEASE_EXPIRED, Settled, Settlement, bounded};
use crate::repository::Rescued;
use crate::store::rules::claim_order;

/// At most how many events that have become due are moved to the claim's index by one claim.
const PROMOTED_AT_ONCE: i64 = 1_000;

/// Hands out due events.
pub(super) fn claim(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
) -> rusqlite::Result<Vec<Claim>> {
    let filter = Filter::of(request);
    let which = format!(
        "seq IN (
             SELECT seq FROM outbox_events WHERE slot = 'ready'{}
             ORDER BY priority DESC, next_attempt_at, seq LIMIT ?)",
        filter.sql
    );
    let limit = i64::try_from(request.limit()).unwrap_or(i64::MAX);
    let values = filter.values().chain([&limit as &dyn ToSql]);
    let mut claims = take(conn, now, request, &which, values)?;
    // RETURNING promises no order.
    claims.sort_by_key(|claim| claim_order(&claim.event));
    Ok(claims)
}

/// Claims one event if it is in the claim's index, whatever its place there.
pub(super) fn claim_one(
    conn: &Connection,
    now: DateTime<Utc>,
    id: Uuid,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Claim>> {
    let picked_by = std::iter::once(&id as &dyn ToSql);
    let request = ClaimRequest::new(1, lease);
    let claims = take(conn, now, &request, "id = ? AND slot = 'ready'", picked_by)?;
    Ok(claims.into_iter().next())
}

/// Leases the events that `which` picks, and counts the attempt. Rows that cannot be read become dead letters on the way.
fn take<'v>(
    conn: &Connection,
    now: DateTime<Utc>,
    request: &ClaimRequest,
    which: &str,
    picked_by: impl Iterator<Item = &'v dyn ToSql>,
) -> rusqlite::Result<Vec<Claim>> {
    promote(conn, now)?;
    let token = LeaseToken::random();
    let expiry = Expiry::of(request, now);
    let sql = format!(
        "UPDATE outbox_events
         SET status = 'processing', slot = 'leased', attempt_count = attempt_count + 1,
             last_attempt_at = ?, lease_token = ?, lease_expires_at = {expires_at}
         WHERE {which}
         RETURNING {columns}",
        expires_at = expiry.sql,
        columns = columns!(),
    );
    let now_micros = now.timestamp_micros();
    let token_value = token.as_uuid();
    let attempt: [&dyn ToSql; 2] = [&now_micros, &token_value];
    let picked_by = picked_by.map(|value| -> &dyn ToSql { value });
    let values = params_from_iter(attempt.into_iter().chain(expiry.values()).chain(picked_by));
    let rows = read_all(conn.prepare_cached(&sql)?.query(values)?)?;

    let mut claims = Vec::with_capacity(rows.len());
    for row in rows {
        match row.damage {
            Some(damage) => bury_unreadable(conn, now, row.event.seq, &damage)?,
            None => claims.push(Claim {
                lease: Lease {
                    event_id: row.event.id,
                    token,
                    expires_at: clock::after(now, request.lease_for(&row.event.event_type)),
                },
                event: row.event,
            }),
        }
    }
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
         SET status = 'dead', slot = CASE WHEN on_dead IS NULL THEN 'held' END, dead_reason = ?2, error_message = ?3,
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

/// The row must be held under this very lease, and the lease must not have ended.
macro_rules! under_lease {
    () => {
        concat!(
            " WHERE id = :id AND lease_token = :token AND lease_expires_at > :now AND slot = 'leased' RETURNING seq, ",
            lane_columns!()
        )
    };
}

/// Writes outcomes, each if its lease still holds.
pub(super) fn settle_all(
    conn: &Connection,
    now: DateTime<Utc>,
    settlements: &[Settlement],
    wakes: &mut bool,
) -> rusqlite::Result<Vec<Settled>> {
    let settled = settlements
        .iter()
        .map(|settlement| settle(conn, now, settlement, wakes));
    settled.collect()
}

/// Writes one outcome, if the lease still holds. Whether another event became claimable is noted in `wakes`.
pub(super) fn settle(
    conn: &Connection,
    now: DateTime<Utc>,
    settlement: &Settlement,
    wakes: &mut bool,
) -> rusqlite::Result<Settled> {
    let Lease {
        event_id, token, ..
    } = settlement.lease;
    let token = token.as_uuid();
    let now = now.timestamp_micros();
    // What was written is over for the event, or it will be attempted again.
    let is_over = matches!(
        settlement.disposition,
        Disposition::Complete | Disposition::Bury { .. }
    );
    let mut written = |sql: &str, more: &[(&str, &dyn ToSql)]| {
        let mut values: Vec<(&str, &dyn ToSql)> =
            vec![(":id", &event_id), (":token", &token), (":now", &now)];
        values.extend_from_slice(more);
        conn.prepare_cached(sql)?
            .query_row(&values[..], |row| {
                let lane = Lane::of(row, 1)?;
                if is_over {
                    *wakes |= lane.hand_on(conn, now)?;
                } else {
                    *wakes = true;
                    lane.give_way(conn, now, row.get(0)?)?;
                }
                Ok(())
            })
            .optional()
    };
    let recorded = match &settlement.disposition {
        Disposition::Complete => written(
            concat!(
                "UPDATE outbox_events
                 SET status = 'completed', slot = NULL, completed_at = :now, error_message = NULL,
                     lease_token = NULL, lease_expires_at = NULL",
                under_lease!()
            ),
            &[],
        )?,
        Disposition::Fail {
            next_attempt_at,
            message,
        } => {
            written(
                concat!(
                    "UPDATE outbox_events
                     SET status = 'failed', slot = CASE WHEN :due > :now THEN 'waiting' ELSE 'ready' END,
                         next_attempt_at = :due, error_message = :message,
                         lease_token = NULL, lease_expires_at = NULL",
                    under_lease!()
                ),
                &[
                    (":due", &next_attempt_at.timestamp_micros()),
                    (":message", message),
                ],
            )?
        }
        Disposition::Bury { reason, message } => written(
            concat!(
                "UPDATE outbox_events
                 SET status = 'dead', slot = CASE WHEN on_dead IS NULL THEN 'held' END, dead_reason = :reason, error_message = :message,
                     lease_token = NULL, lease_expires_at = NULL",
                under_lease!()
            ),
            &[(":reason", &reason.as_str()), (":message", message)],
        )?,
        Disposition::GiveBack { next_attempt_at } => {
            written(
                concat!(
                    "UPDATE outbox_events
                     SET status = CASE WHEN attempt_count > 1 THEN 'failed' ELSE 'pending' END,
                         slot = CASE WHEN coalesce(:due, next_attempt_at) > :now THEN 'waiting' ELSE 'ready' END,
                         attempt_count = attempt_count - 1, next_attempt_at = coalesce(:due, next_attempt_at),
                         lease_token = NULL, lease_expires_at = NULL",
                    under_lease!()
                ),
                &[(":due", &next_attempt_at.map(|due| due.timestamp_micros()))],
            )?
        }
    };
    Ok(match recorded {
        Some(()) => Settled::Recorded,
        None => Settled::LeaseLost,
    })
}

/// Moves the end of a lease that still holds.
pub(super) fn extend(
    conn: &Connection,
    now: DateTime<Utc>,
    held: &Lease,
    lease: std::time::Duration,
) -> rusqlite::Result<Option<Lease>> {
    let expires_at = clock::after(now, lease);
    let moved = conn
        .prepare_cached(
            "UPDATE outbox_events SET lease_expires_at = ?1
             WHERE id = ?2 AND lease_token = ?3 AND lease_expires_at > ?4 AND slot = 'leased'",
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
    let mut statement = conn.prepare_cached(concat!(
        "UPDATE outbox_events
         SET status = CASE WHEN attempt_count >= max_attempts THEN 'dead' ELSE 'failed' END,
             slot = CASE WHEN attempt_count < max_attempts THEN 'ready' WHEN on_dead IS NULL THEN 'held' END,
             dead_reason = CASE WHEN attempt_count >= max_attempts THEN ?2 END,
             next_attempt_at = ?1, error_message = ?3, lease_token = NULL, lease_expires_at = NULL
         WHERE slot = 'leased' AND lease_expires_at <= ?1
         RETURNING seq, status = 'dead', ",
        lane_columns!()
    ))?;
    let now = now.timestamp_micros();
    let mut rows = statement.query(params![
        now,
        DeadReason::AttemptsExhausted.as_str(),
        LEASE_EXPIRED
    ])?;
    let mut rescued = Rescued::default();
    while let Some(row) = rows.next()? {
        let lane = Lane::of(row, 2)?;
        if row.get(1)? {
            lane.hand_on(conn, now)?;
            rescued.buried += 1;
        } else {
            lane.give_way(conn, now, row.get(0)?)?;
            rescued.requeued += 1;
        }
    }
    Ok(rescued)
}

/// The earliest time at which a claim with this request, or a rescue, finds something.
pub(super) fn next_due(
    conn: &Connection,
    request: &ClaimRequest,
) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let filter = Filter::of(request);
    let values = || params_from_iter(filter.values());
    // In the order of each queue's index: what is due already is due, whichever of them comes first.
    let first = |slot: &str, order: &str| {
        let sql = format!(
            "SELECT next_attempt_at FROM outbox_events WHERE slot = '{slot}'{} ORDER BY {order} LIMIT 1",
            filter.sql
        );
        conn.prepare_cached(&sql)?
            .query_row(values(), |row| row.get::<_, i64>(0))
            .optional()
    };
    let expiry: Option<i64> = conn
        .prepare_cached("SELECT min(lease_expires_at) FROM outbox_events WHERE slot = 'leased'")?
        .query_row([], |row| row.get(0))?;
    let ready = first("ready", "priority DESC, next_attempt_at, seq")?;
    let waiting = first("waiting", "next_attempt_at")?;
    let earliest = [ready, waiting, expiry].into_iter().flatten().min();
    Ok(earliest
        .map(|micros| DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)))
}

/// What a request leaves out, as SQL: only the number of placeholders varies, every value is bound.
struct Filter<'r> {
    sql: String,
    values: Vec<&'r String>,
}

impl<'r> Filter<'r> {
    fn of(request: &'r ClaimRequest) -> Self {
        let mut filter = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        if let Some(user) = request.user() {
            filter.sql.push_str(" AND user_id = ?");
            filter.values.push(user);
        }
        match request.event_types() {
            EventTypes::Only(types) => filter.list("event_type IN", types),
            EventTypes::AllExcept(types) if types.is_empty() => {}
            EventTypes::AllExcept(types) => filter.list("event_type NOT IN", types),
        }
        if !request.excluded_users().is_empty() {
            filter.list("user_id NOT IN", request.excluded_users());
        }
        filter
    }

    fn list(&mut self, condition: &str, values: &'r [String]) {
        let places = vec!["?"; values.len()].join(", ");
        self.sql.push_str(&format!(" AND {condition} ({places})"));
        self.values.extend(values);
    }

    fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        self.values.iter().map(|value| *value as &dyn ToSql)
    }
}

/// When the lease of a claimed event ends, as SQL: the same for all, unless some types have their own.
struct Expiry<'r> {
    sql: String,
    own: Vec<(&'r String, i64)>,
    otherwise: i64,
}

impl<'r> Expiry<'r> {
    fn of(request: &'r ClaimRequest, now: DateTime<Utc>) -> Self {
        let end = |lease| clock::after(now, lease).timestamp_micros();
        let own = request.own_leases();
        Self {
            sql: if own.is_empty() {
                "?".to_owned()
            } else {
                format!(
                    "CASE event_type{} ELSE ? END",
                    " WHEN ? THEN ?".repeat(own.len())
                )
            },
            own: own
                .iter()
                .map(|(event_type, lease)| (event_type, end(*lease)))
                .collect(),
            otherwise: end(request.lease()),
        }
    }

    fn values(&self) -> impl Iterator<Item = &dyn ToSql> {
        let own = self
            .own
            .iter()
            .flat_map(|(event_type, end)| [event_type as &dyn ToSql, end]);
        own.chain([&self.otherwise as &dyn ToSql])
    }
}
