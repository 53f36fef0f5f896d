//! Leases: renewing them, and taking events back from workers that fell silent.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::StoreError;
use outbox_runtime::store::kit::{LEASE_EXPIRED, after};
use outbox_runtime::store::{Lease, Rescued};
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::fault::{commit_fault, fault};
use crate::outcomes::with_attempt;
use crate::store::PostgresStore;
use crate::transaction::read_committed;

/// Renews leases whose tokens still match, whether they have run out or not. A lease that is
/// renewed after the clock was set back counts from the new time. A row that the transaction of its
/// handler has locked is left out: no worker waits for an application.
const EXTEND: &str = "WITH k AS MATERIALIZED (SELECT e.id, s.ends
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) s(id, token, ends) JOIN {s}.events e ON e.id = s.id
    WHERE e.lease_token = s.token AND e.slot::text IN ('l', 'f') FOR NO KEY UPDATE OF e SKIP LOCKED)
UPDATE {s}.events e SET lease_expires_at = k.ends, last_attempt_at = least(e.last_attempt_at, $4)
FROM k WHERE e.id = k.id
RETURNING e.id, e.lease_token";

/// Shortens leases that begin in the future: they were taken before the clock was set back, and
/// would otherwise last longer by the same amount. The server's own time decides (`$2`), because
/// the time of a worker that stood still is old when its statement arrives: leases that others took
/// meanwhile would seem to begin in the future. Rows that others have locked are left to the next
/// look: two workers that waited for them could wait for each other.
const FOLLOW_CLOCK: &str = "WITH t AS MATERIALIZED (SELECT
        CASE WHEN $2::boolean THEN greatest($1::timestamptz, clock_timestamp()) ELSE $1 END AS now),
x AS MATERIALIZED (SELECT e.id FROM t, {s}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n') AND e.last_attempt_at > t.now
    UNION ALL SELECT e.id FROM t, {s}.events e WHERE e.slot = 'f' AND e.last_attempt_at > t.now),
k AS MATERIALIZED (SELECT e.id FROM t, x JOIN {s}.events e ON e.id = x.id
    WHERE e.slot::text IN ('l', 'f') AND e.last_attempt_at > t.now FOR NO KEY UPDATE OF e SKIP LOCKED)
UPDATE {s}.events e SET last_attempt_at = t.now, lease_expires_at = e.lease_expires_at - (e.last_attempt_at - t.now)
FROM t, k WHERE e.id = k.id";

/// Takes events back whose leases have run out. Rows that another worker is just settling or
/// rescuing are left to it. A follower that goes back is blocked again.
const RESCUE: &str = "WITH x AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n') AND {which}
    UNION ALL SELECT e.id FROM {s}.events e WHERE e.slot = 'f' AND {which}),
k0 AS MATERIALIZED (SELECT e.id, e.lane, e.slot FROM x JOIN {s}.events e ON e.id = x.id
    WHERE e.slot::text IN ('l', 'f') AND {which} FOR NO KEY UPDATE OF e SKIP LOCKED),
{may_go_back},
u AS (UPDATE {s}.events e SET
    slot = CASE WHEN e.crashes + 1 < e.max_attempts AND e.slot::text = 'f' THEN 'b'::\"char\"
        WHEN e.crashes + 1 < e.max_attempts THEN 'r' WHEN e.on_dead = 'h' THEN 'h' END,
    status = CASE WHEN e.crashes + 1 >= e.max_attempts THEN 'd'::\"char\" WHEN e.attempt_count > 1 THEN 'f' ELSE 'p' END,
    dead_reason = CASE WHEN e.crashes + 1 >= e.max_attempts THEN 'crash_loop' ELSE e.dead_reason END,
    attempt_count = greatest(e.attempt_count - 1, 0), crashes = e.crashes + 1, due = $1, error_message = $2,
    lease_token = NULL, lease_expires_at = NULL,
    attempts = {attempts}
FROM k WHERE e.id = k.id
RETURNING e.id, e.status, e.seq, e.attempt_count),
y AS (INSERT INTO {s}.tally_delta SELECT {block}, -count(*) FILTER (WHERE attempt_count = 0),
    -count(*) FILTER (WHERE attempt_count > 0), 0, count(*) FROM u WHERE status = 'd' GROUP BY 1)
SELECT id, status FROM u";

const EXPIRED: &str = "e.lease_expires_at <= $1";

const EXPIRED_OF_THESE: &str = "(e.id, e.lease_token, e.lease_expires_at) IN
    (SELECT id, token, ends FROM unnest($3::uuid[], $4::uuid[], $5::timestamptz[]) s(id, token, ends)
        WHERE ends <= $1)";

/// The statement that takes these events back.
fn rescue_of(which: &str) -> String {
    let crashed = with_attempt("$1", "crashed", "$2");
    RESCUE
        .replace("{which}", which)
        .replace("{attempts}", &crashed)
}

/// A lease, and when it is to end.
type Renewal = (Lease, DateTime<Utc>);

impl PostgresStore {
    pub(crate) async fn extend_leases(
        &self,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError> {
        const OPERATION: &str = "extend";
        let mut client = self.connection(OPERATION).await?;
        let now = self.now();
        let ends = after(now, lease);
        let renewals: Vec<Renewal> = leases.iter().map(|held| (*held, ends)).collect();
        let storage = |error| fault(OPERATION, error);
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let renewed = self
            .renew(&transaction, &renewals, now)
            .await
            .map_err(storage)?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.forget_lost(leases.iter(), &renewed);
        Ok(renewed)
    }

    /// Forgets the events whose leases were not renewed, because they are lost.
    fn forget_lost<'l>(&self, leases: impl Iterator<Item = &'l Lease>, renewed: &[Option<Lease>]) {
        let lost = leases.zip(renewed).filter(|(_, renewed)| renewed.is_none());
        let lost = lost.map(|(lease, _)| &lease.event_id);
        self.shared.held.ended(lost);
    }

    async fn renew(
        &self,
        transaction: &Transaction<'_>,
        renewals: &[Renewal],
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Lease>>, tokio_postgres::Error> {
        if renewals.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = renewals.iter().map(|(held, _)| held.event_id).collect();
        let tokens = renewals.iter().map(|(held, _)| held.token.as_uuid());
        let tokens: Vec<Uuid> = tokens.collect();
        let ends: Vec<DateTime<Utc>> = renewals.iter().map(|(_, ends)| *ends).collect();
        let sql = self.shared.sql.text(EXTEND);
        let rows = transaction
            .query(&sql, &[&ids, &tokens, &ends, &now])
            .await?;
        let mut renewed: HashSet<(Uuid, Uuid)> = HashSet::new();
        for row in &rows {
            renewed.insert((row.try_get(0)?, row.try_get(1)?));
        }
        let missing = renewals.iter().map(|(held, _)| *held);
        let missing =
            missing.filter(|held| !renewed.contains(&(held.event_id, held.token.as_uuid())));
        let missing: Vec<Lease> = missing.collect();
        let kept = self.still_held(transaction, &missing).await?;
        let result = |(held, expires_at): &Renewal| {
            let lease = (held.event_id, held.token.as_uuid());
            let expires_at = match kept.get(&lease) {
                None if renewed.contains(&lease) => *expires_at,
                None => return None,
                // Its row is locked.
                Some(Some(unchanged)) => *unchanged,
                Some(None) => *expires_at,
            };
            Some(Lease {
                expires_at,
                ..*held
            })
        };
        Ok(renewals.iter().map(result).collect())
    }

    /// Renews the held leases that have run out, then takes back those of others, in one
    /// transaction.
    pub(crate) async fn rescue_events(
        &self,
        held: &[(Lease, Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        const OPERATION: &str = "rescue";
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let now = self.now();
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let has_expired = |(lease, _): &&(Lease, Duration)| lease.expires_at <= now;
        let expired = held.iter().filter(has_expired);
        let renewals: Vec<Renewal> = expired
            .map(|(lease, duration)| (*lease, after(now, *duration)))
            .collect();
        let renewed = self.renew(&transaction, &renewals, now).await;
        let mut renewed = renewed.map_err(storage)?.into_iter();
        let renewed = held.iter().map(|(lease, _)| match lease.expires_at <= now {
            true => renewed.next().flatten(),
            false => Some(*lease),
        });
        let renewed: Vec<Option<Lease>> = renewed.collect();
        let rescued = self.take_back(&transaction, only, now).await;
        let rescued = rescued.map_err(storage)?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.forget_lost(held.iter().map(|(lease, _)| lease), &renewed);
        if rescued != Rescued::default() {
            self.events_changed();
        }
        Ok((renewed, rescued))
    }

    async fn take_back(
        &self,
        transaction: &Transaction<'_>,
        only: Option<&[Lease]>,
        now: DateTime<Utc>,
    ) -> Result<Rescued, tokio_postgres::Error> {
        let sql = &self.shared.sql;
        transaction
            .execute(
                &sql.text(FOLLOW_CLOCK),
                &[&now, &self.shared.has_server_time()],
            )
            .await?;
        let rows = match only {
            None => {
                self.forget_completions(transaction, now).await?;
                if self.sweep_waits(transaction, now).await? > 0 {
                    self.shared.signal.raise();
                }
                let rescue = sql.text(&rescue_of(EXPIRED));
                transaction.query(&rescue, &[&now, &LEASE_EXPIRED]).await?
            }
            Some(only) => {
                let ids: Vec<Uuid> = only.iter().map(|lease| lease.event_id).collect();
                let tokens: Vec<Uuid> = only.iter().map(|lease| lease.token.as_uuid()).collect();
                let ends: Vec<DateTime<Utc>> = only.iter().map(|lease| lease.expires_at).collect();
                let rescue = sql.text(&rescue_of(EXPIRED_OF_THESE));
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&now, &LEASE_EXPIRED, &ids, &tokens, &ends];
                transaction.query(&rescue, &params).await?
            }
        };
        let mut ids: Vec<Uuid> = Vec::with_capacity(rows.len());
        let mut buried = 0;
        for row in &rows {
            ids.push(row.try_get(0)?);
            let status: i8 = row.try_get(1)?;
            buried += u64::from(status.cast_unsigned() == b'd');
        }
        if !ids.is_empty() {
            transaction
                .execute(&sql.unblock_after_batch, &[&ids, &now])
                .await?;
        }
        Ok(Rescued::new(rows.len() as u64 - buried, buried))
    }
}
