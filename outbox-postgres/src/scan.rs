//! The statement of a claim: its scan for candidates, and which of them it leases.

use chrono::{DateTime, Utc};
use outbox_runtime::OutboxEvent;
use outbox_runtime::store::{ClaimOrder, ClaimRequest, LeaseToken};

use crate::filter::{Params, conditions, lease_end};
use crate::sql::{columns, null_columns};
use crate::store::PostgresStore;

/// The fewest candidates that a scan looks at, so that a claim of one event does not end at the
/// first that is behind another.
const LEAST_SCAN: usize = 64;

/// The most candidates that a scan looks at.
pub(crate) const MOST_SCAN: usize = 2_000;

/// One statement of a claim.
pub(crate) struct Stage {
    pub(crate) sql: String,
    pub(crate) params: Params,
    /// The candidates that the scan may find.
    pub(crate) scan: usize,
}

/// The candidates from which a stage takes events.
#[derive(Clone, Copy)]
pub(crate) enum From<'r> {
    /// Those in the order of the request, after this one.
    InOrder(Option<&'r Place>),
    /// The first one of each user whose id is greater than the first and at most the second.
    EachUser(&'r str, Option<&'r str>),
}

/// A position in claim order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) priority: i32,
    pub(crate) due: DateTime<Utc>,
    pub(crate) seq: i64,
}

impl Place {
    pub(crate) fn of(event: &OutboxEvent) -> Self {
        Self {
            priority: event.priority,
            due: event.next_attempt_at,
            seq: event.seq,
        }
    }
}

/// The rest of a claim: places and metadata.
pub(crate) struct Budget {
    pub(crate) places: usize,
    pub(crate) bytes: usize,
}

impl Budget {
    pub(crate) fn of(request: &ClaimRequest) -> Self {
        Self {
            places: request.limit(),
            bytes: ClaimRequest::MAX_METADATA_BYTES,
        }
    }

    /// The part that is filled in the order of the request before the turns, and the metadata that
    /// is kept for these: their share, however large the other events are.
    pub(crate) fn before_turns(&self, request: &ClaimRequest) -> (Self, usize) {
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
    pub(crate) fn scan(&self) -> usize {
        self.places.clamp(LEAST_SCAN, MOST_SCAN)
    }
}

/// Splits the request in two, the second for the places that the first leaves: without the avoided
/// users, and with them.
pub(crate) fn parts(request: &ClaimRequest) -> Vec<ClaimRequest> {
    if request.avoided_users().is_empty() {
        return vec![request.clone()];
    }
    let all = request.clone().avoiding_users(Vec::new());
    let mut users = request.excluded_users().to_vec();
    users.extend(request.avoided_users().iter().cloned());
    vec![all.clone().without_users(users), all]
}

impl PostgresStore {
    /// The statement for the places and the metadata that are left of a request.
    pub(crate) fn stage(
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
