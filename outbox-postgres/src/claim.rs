//! Claims: candidates in claim order, each checked against its lane before it is leased.
//!
//! A claim decides which candidate is first of its lane; enqueueing does not. It steps over
//! candidates behind another event. Where these would fill its scan, it blocks them, so that the
//! next claims do not meet them again.

use chrono::{DateTime, Utc};
use futures_util::future::{join4, join5};
use outbox_runtime::StoreError;
use outbox_runtime::store::{
    Claim, ClaimOrder, ClaimRequest, Disposition, Lease, LeaseToken, Settled, Settlement,
};
use outbox_runtime::{DeadReason, OutboxEvent, RawMetadata};
use tokio_postgres::Row;

use crate::fault::{commit_fault, fault, is_collision};
use crate::filter::{Params, conditions, lease_end};
use crate::row;
use crate::settle::Settling;
use crate::sql::{columns, null_columns};
use crate::store::{PostgresStore, prepared};

/// The fewest candidates that a scan looks at, so that a claim of one event does not end at the
/// first that is behind another.
const LEAST_SCAN: usize = 64;

/// The most candidates that a scan looks at.
const MOST_SCAN: usize = 2_000;

/// How many scans a claim makes before it returns what it has.
const MOST_SCANS: usize = 200;

/// How often a claim is repeated that met another one on a lane.
const MOST_COLLISIONS: usize = 10;

/// One statement of a claim.
pub(crate) struct Stage {
    sql: String,
    params: Params,
    /// The candidates that the scan may find.
    scan: usize,
}

/// The candidates from which a stage takes events.
#[derive(Clone, Copy)]
enum From<'r> {
    /// Those in the order of the request, after this one.
    InOrder(Option<&'r Place>),
    /// The first one of each user whose id is greater than the first and at most the second.
    EachUser(&'r str, Option<&'r str>),
}

/// A position in claim order.
#[derive(Debug, Clone, Copy)]
struct Place {
    priority: i32,
    due: DateTime<Utc>,
    seq: i64,
}

/// What a stage found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    claims: Vec<Claim>,
    /// Events whose rows cannot be read, and what is wrong with them.
    unreadable: Vec<(Lease, String)>,
    /// The lanes of candidates that were behind another event.
    behind: Vec<i64>,
    has_notes: bool,
    last: Option<Place>,
    bytes: usize,
}

impl Found {
    fn count(&self) -> usize {
        self.claims.len() + self.unreadable.len()
    }

    /// Whether more candidates may come after those of the scan.
    fn is_full(&self, scan: usize) -> bool {
        self.count() + self.behind.len() >= scan
    }
}

/// The rest of a claim: places and metadata.
struct Budget {
    places: usize,
    bytes: usize,
}

impl Budget {
    fn of(request: &ClaimRequest) -> Self {
        Self {
            places: request.limit(),
            bytes: ClaimRequest::MAX_METADATA_BYTES,
        }
    }

    /// The part that is filled in the order of the request before the turns, and the metadata that
    /// is kept for these: their share, however large the other events are.
    fn before_turns(&self, request: &ClaimRequest) -> (Self, usize) {
        let turns = request.turns().min(self.places);
        let kept = (self.bytes as u128 * turns as u128).checked_div(request.limit() as u128);
        let kept = usize::try_from(kept.unwrap_or(0)).unwrap_or(usize::MAX);
        let part = Self {
            places: self.places - turns,
            bytes: self.bytes.saturating_sub(kept),
        };
        (part, kept)
    }

    /// How many candidates the first scan looks at.
    fn scan(&self) -> usize {
        self.places.clamp(LEAST_SCAN, MOST_SCAN)
    }
}

impl PostgresStore {
    /// Claims for a request.
    pub(crate) async fn claim_events(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<Claim>, StoreError> {
        self.claim_after(request, None).await
    }

    /// Claims, beginning with what the first statement has found already.
    pub(crate) async fn claim_after(
        &self,
        request: &ClaimRequest,
        mut found: Option<Found>,
    ) -> Result<Vec<Claim>, StoreError> {
        self.awake("claim")?;
        if request.limit() == 0 {
            return Ok(Vec::new());
        }
        self.shared.wakes.on_activity();
        let mut budget = Budget::of(request);
        let mut claims = Vec::new();
        for part in parts(request) {
            if budget.places == 0 || budget.bytes == 0 {
                break;
            }
            match self
                .claim_part(&part, &mut budget, &mut claims, found.take())
                .await
            {
                // Events leased before an error must not be lost with it.
                Err(error) if claims.is_empty() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a claim ended early");
                    break;
                }
                Ok(()) => {}
            }
        }
        if !claims.is_empty() {
            self.shared.wakes.on_work();
        }
        Ok(claims)
    }

    async fn claim_part(
        &self,
        request: &ClaimRequest,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
        found: Option<Found>,
    ) -> Result<(), StoreError> {
        let turns = request.turns().min(budget.places);
        let (mut part, kept) = budget.before_turns(request);
        if part.places > 0 {
            self.in_order(request, &mut part, claims, found).await?;
            budget.places = part.places + turns;
            budget.bytes = part.bytes + kept;
        }
        if turns > 0 {
            self.need_user_index();
            let mut part = Budget {
                places: turns,
                bytes: budget.bytes.max(1),
            };
            let after = request.turns_after();
            self.each_user(request, after, None, &mut part, claims)
                .await?;
            if part.places > 0 && part.bytes > 0 && !after.is_empty() {
                self.each_user(request, "", Some(after), &mut part, claims)
                    .await?;
            }
            budget.places = budget.places - turns + part.places;
            budget.bytes = part.bytes;
            if budget.places > 0 && budget.bytes > 0 {
                self.in_order(request, budget, claims, None).await?;
            }
        }
        Ok(())
    }

    /// Takes events in the order of the request.
    async fn in_order(
        &self,
        request: &ClaimRequest,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
        mut found: Option<Found>,
    ) -> Result<(), StoreError> {
        let mut after: Option<Place> = None;
        let mut scan = budget.scan();
        for _ in 0..MOST_SCANS {
            let wanted = budget.places;
            let from = From::InOrder(after.as_ref());
            let found = match found.take() {
                Some(found) => found,
                None => self.run_stage(request, from, scan, budget).await?,
            };
            let (is_full, got) = (found.is_full(scan), found.count());
            let (behind, last, has_notes) = (found.behind.clone(), found.last, found.has_notes);
            self.keep(found, budget, claims).await;
            let takes_up = has_notes && self.take_up_notes().await?;
            if budget.places == 0 || budget.bytes == 0 {
                break;
            }
            if takes_up {
                after = None;
                continue;
            }
            if !is_full {
                break;
            }
            if got * 2 < wanted && !behind.is_empty() {
                self.demote(&behind).await?;
            } else if got * 2 >= wanted && request.order() == ClaimOrder::Usual {
                break;
            }
            if request.order() == ClaimOrder::Usual {
                after = last;
                scan = (scan * 2).min(MOST_SCAN);
            } else if scan == MOST_SCAN {
                break;
            } else {
                // Another order has no place to continue from; those behind are blocked now.
                scan = (scan * 4).min(MOST_SCAN);
            }
        }
        Ok(())
    }

    /// Takes the first event of each user in a range of users.
    async fn each_user(
        &self,
        request: &ClaimRequest,
        after: &str,
        up_to: Option<&str>,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
    ) -> Result<(), StoreError> {
        let from = From::EachUser(after, up_to);
        let found = self.run_stage(request, from, budget.places, budget).await?;
        self.keep(found, budget, claims).await;
        Ok(())
    }

    /// Adds what a stage found to the claim. Events that cannot be read become dead letters.
    async fn keep(&self, found: Found, budget: &mut Budget, claims: &mut Vec<Claim>) {
        budget.places = budget.places.saturating_sub(found.count());
        budget.bytes = budget.bytes.saturating_sub(found.bytes);
        claims.extend(found.claims);
        if found.unreadable.is_empty() {
            return;
        }
        let buried = found
            .unreadable
            .into_iter()
            .map(|(lease, message)| Settlement {
                lease,
                disposition: Disposition::Bury {
                    reason: DeadReason::Undecodable,
                    message,
                },
            });
        if let Err(error) = self.settle_all(buried.collect()).await {
            // Their leases run out, and the next claim tries again.
            tracing::warn!(%error, "damaged events could not be made dead letters");
        }
    }

    /// Runs one statement of a claim in a transaction of its own, and again if it met another one.
    async fn run_stage(
        &self,
        request: &ClaimRequest,
        from: From<'_>,
        scan: usize,
        budget: &Budget,
    ) -> Result<Found, StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let begin = self.begin();
        let promote = prepared(&client, OPERATION, &self.shared.sql.promote).await?;
        let mut collisions = 0;
        loop {
            let now = self.now();
            let token = LeaseToken::random();
            let stage = self.stage(request, from, scan, budget, (now, token));
            let claim = prepared(&client, OPERATION, &stage.sql).await?;
            let params = stage.params.as_refs();
            let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
            // All messages are sent before the first answer is awaited.
            let (begun, promoted, rows, committed) = join4(
                client.batch_execute(&begin),
                client.execute(&promote, &promoted),
                client.query(&claim, &params),
                client.batch_execute("COMMIT"),
            )
            .await;
            let done = begun.and(promoted.map(drop)).and(rows);
            match done {
                Err(error) if is_collision(&error) && collisions < MOST_COLLISIONS => {
                    collisions += 1;
                }
                Err(error) => return Err(fault(OPERATION, error)),
                Ok(rows) => {
                    committed.map_err(|error| fault(OPERATION, error))?;
                    debug_assert!(rows.len() <= stage.scan + 20);
                    return read_found(&rows, token).map_err(|error| fault(OPERATION, error));
                }
            }
        }
    }

    /// Records outcomes and runs the first statement of a claim in one transaction and one round
    /// trip. `None` if the claim met another one on a lane: nothing is written then.
    pub(crate) async fn settle_and_find(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Result<Option<(Vec<Settled>, Found)>, StoreError> {
        const OPERATION: &str = "settle_and_claim";
        let part = parts(request).swap_remove(0);
        let (budget, _) = Budget::of(request).before_turns(&part);
        let client = self.connection(OPERATION).await?;
        let settling = Settling::new(self, &client, settlements).await?;
        let (now, token) = (self.now(), LeaseToken::random());
        let from = From::InOrder(None);
        let stage = self.stage(&part, from, budget.scan(), &budget, (now, token));
        let promote = prepared(&client, OPERATION, &self.shared.sql.promote).await?;
        let claim = prepared(&client, OPERATION, &stage.sql).await?;
        let (begin, params) = (self.begin(), stage.params.as_refs());
        let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
        let (begun, written, promoted, rows, committed) = join5(
            client.batch_execute(&begin),
            settling.write(&client, now),
            client.execute(&promote, &promoted),
            client.query(&claim, &params),
            client.batch_execute("COMMIT"),
        )
        .await;
        let done = begun.and(written).and_then(|written| {
            promoted?;
            Ok((written, rows?))
        });
        let (written, rows) = match done {
            Err(error) if is_collision(&error) => return Ok(None),
            // Without an answer, the commit may have arrived nevertheless.
            done => done.map_err(|error| commit_fault(OPERATION, error))?,
        };
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.shared.signal.raise();
        let found = read_found(&rows, token).map_err(|error| fault(OPERATION, error))?;
        Ok(Some((settling.results(written), found)))
    }

    fn stage(
        &self,
        request: &ClaimRequest,
        from: From<'_>,
        scan: usize,
        budget: &Budget,
        (now, token): (DateTime<Utc>, LeaseToken),
    ) -> Stage {
        let mut params = Params::default();
        let filter = conditions(request, &mut params);
        let (scanned, order) = match from {
            From::InOrder(after) => {
                in_order_sql(request.order(), after, &filter, scan, &mut params)
            }
            From::EachUser(after, up_to) => each_user_sql(after, up_to, &filter, scan, &mut params),
        };
        let limit = params.bind(i64::try_from(budget.places).unwrap_or(i64::MAX));
        let bytes = params.bind(i64::try_from(budget.bytes).unwrap_or(i64::MAX));
        let lease_ends = lease_end(request, now, &mut params);
        let now = params.bind(now);
        let token = params.bind(token.as_uuid());
        let columns = columns("u");
        let behind = null_columns(&[
            ("seq", "j.seq"),
            ("priority", "j.priority"),
            ("due", "j.due"),
        ]);
        let nulls = null_columns(&[]);
        let sql = format!(
            "WITH {scanned},
j AS MATERIALIZED (SELECT e.*, {{behind}} AS behind FROM c e),
w AS MATERIALIZED (SELECT x.t, x.nth FROM (
        SELECT j.t, j.lane, row_number() OVER o AS nth, sum(j.size) OVER o - j.size AS before
        FROM j WHERE NOT j.behind WINDOW o AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) x
    WHERE x.nth <= {limit} AND x.before < {bytes} ORDER BY x.lane),
u AS (UPDATE {{s}}.events e SET slot = 'l', status = 'i', attempt_count = e.attempt_count + 1,
        last_attempt_at = {now}, lease_token = {token}, lease_expires_at = {lease_ends}
    FROM w WHERE e.ctid = w.t RETURNING w.nth, e.*)
SELECT 'c'::\"char\", u.nth, {columns} FROM u
UNION ALL SELECT 'b'::\"char\", j.lane, {behind} FROM j WHERE j.behind
UNION ALL (SELECT 'n'::\"char\", NULL::bigint, {nulls} FROM {{s}}.events WHERE slot = 'n' LIMIT 1)"
        );
        Stage {
            sql: self.shared.sql.text(&sql),
            params,
            scan,
        }
    }

    /// Blocks candidates that are behind others, in a transaction of its own.
    async fn demote(&self, lanes: &[i64]) -> Result<(), StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let demote = prepared(&client, OPERATION, &self.shared.sql.demote).await?;
        match client.execute(&demote, &[&lanes]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            _ => Ok(()),
        }
    }
}

/// What a scan reads of each candidate.
const SCANNED: &str = "e.ctid AS t, e.seq, e.lane, e.priority, e.due, e.last_attempt_at, e.user_id,
        coalesce(octet_length(e.metadata), 0) AS size";

/// The scan `c` in the order of a request, and that order.
fn in_order_sql(
    order: ClaimOrder,
    after: Option<&Place>,
    filter: &str,
    scan: usize,
    params: &mut Params,
) -> (String, &'static str) {
    let after = after.map_or_else(String::new, |place| {
        let priority = params.bind(place.priority);
        let (due, seq) = (params.bind(place.due), params.bind(place.seq));
        format!(
            " AND e.priority <= {priority} AND (e.priority < {priority} OR (e.due, e.seq) > ({due}, {seq}))"
        )
    });
    let scan = params.bind(i64::try_from(scan).unwrap_or(i64::MAX));
    let by = match order {
        ClaimOrder::Newest => {
            "last_attempt_at NULLS FIRST, CASE WHEN last_attempt_at IS NULL THEN -seq ELSE seq END"
        }
        ClaimOrder::LeastRecent => {
            "last_attempt_at NULLS FIRST, CASE WHEN last_attempt_at IS NULL THEN -priority ELSE 0 END, \
             CASE WHEN last_attempt_at IS NULL THEN due END, seq"
        }
        _ => "priority DESC, due, seq",
    };
    let sql = format!(
        "c AS MATERIALIZED (SELECT {SCANNED} FROM {{s}}.events e
    WHERE e.slot = 'r'{filter}{after} AND NOT {{elders}}
    ORDER BY {by} LIMIT {scan} FOR NO KEY UPDATE OF e SKIP LOCKED)"
    );
    (sql, by)
}

/// The scan `c` of the first event of each user. Each step seeks the next user in the index.
fn each_user_sql(
    after: &str,
    up_to: Option<&str>,
    filter: &str,
    scan: usize,
    params: &mut Params,
) -> (String, &'static str) {
    let after = params.bind(after.to_owned());
    let range = up_to.map_or_else(String::new, |up_to| {
        format!(" AND o.user_id <= {}", params.bind(up_to.to_owned()))
    });
    let scan = params.bind(i64::try_from(scan).unwrap_or(i64::MAX));
    let sql = format!(
        "RECURSIVE users AS (
    (SELECT o.user_id FROM {{s}}.events o WHERE o.slot = 'r' AND o.user_id > {after}{range}
        ORDER BY o.user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.user_id FROM {{s}}.events o WHERE o.slot = 'r' AND o.user_id > users.user_id{range}
        ORDER BY o.user_id LIMIT 1) FROM users WHERE users.user_id IS NOT NULL),
firsts AS MATERIALIZED (SELECT first.t FROM users, LATERAL (SELECT e.ctid AS t FROM {{s}}.events e
    WHERE e.slot = 'r' AND e.user_id = users.user_id{filter} AND NOT {{behind}} AND NOT {{elders}}
    ORDER BY e.priority DESC, e.due, e.seq LIMIT 1) first LIMIT {scan}),
c AS MATERIALIZED (SELECT {SCANNED} FROM firsts JOIN {{s}}.events e ON e.ctid = firsts.t
    WHERE e.slot = 'r' FOR NO KEY UPDATE OF e SKIP LOCKED)"
    );
    (sql, "user_id")
}

/// Splits the request in two, the second for the places that the first leaves: without the avoided
/// users, and with them.
fn parts(request: &ClaimRequest) -> Vec<ClaimRequest> {
    if request.avoided_users().is_empty() {
        return vec![request.clone()];
    }
    let all = request.clone().avoiding_users(Vec::new());
    let mut users = request.excluded_users().to_vec();
    users.extend(request.avoided_users().iter().cloned());
    vec![all.clone().without_users(users), all]
}

fn read_found(rows: &[Row], token: LeaseToken) -> Result<Found, tokio_postgres::Error> {
    let mut found = Found::default();
    let mut claims: Vec<(i64, Claim)> = Vec::new();
    let mut last: Option<Place> = None;
    let mut note_place = |place: Place| {
        let key = |place: &Place| (-i64::from(place.priority), place.due, place.seq);
        if last.is_none_or(|last| key(&place) > key(&last)) {
            last = Some(place);
        }
    };
    for row in rows {
        let kind: i8 = row.try_get(0)?;
        match kind.cast_unsigned() {
            b'c' => {
                let read = row::read(row, 2)?;
                note_place(Place::of(&read.event));
                found.bytes += read.event.metadata.as_ref().map_or(0, RawMetadata::len);
                let lease = Lease {
                    event_id: read.event.id,
                    seq: read.event.seq,
                    token,
                    expires_at: read.event.lease_expires_at.unwrap_or_default(),
                };
                match read.defect {
                    None => {
                        let event = read.event;
                        claims.push((row.try_get(1)?, Claim { event, lease }));
                    }
                    Some(defect) => found.unreadable.push((lease, defect)),
                }
            }
            b'b' => {
                found.behind.push(row.try_get(1)?);
                note_place(Place {
                    seq: row.try_get(3)?,
                    priority: row.try_get(9)?,
                    due: row.try_get(11)?,
                });
            }
            _ => found.has_notes = true,
        }
    }
    // `RETURNING` has no order.
    claims.sort_by_key(|(nth, _)| *nth);
    found.claims = claims.into_iter().map(|(_, claim)| claim).collect();
    found.last = last;
    Ok(found)
}

impl Place {
    fn of(event: &OutboxEvent) -> Self {
        Self {
            priority: event.priority,
            due: event.next_attempt_at,
            seq: event.seq,
        }
    }
}
