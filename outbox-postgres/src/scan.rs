//! The statement of a claim: its scan for candidates, and which of them it leases.

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::share_of_turns;
use outbox_runtime::store::{ClaimOrder, ClaimRequest, LeaseToken};

use crate::cursor::Begin;
use crate::filter::{Params, lease_end};
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
}

/// The candidates from which a stage takes events.
#[derive(Clone, Copy)]
pub(crate) enum From<'r> {
    /// Those in the order of the request.
    InOrder,
    /// The first one of each user whose id is greater than the first and at most the second.
    EachUser(&'r str, Option<&'r str>),
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
        let kept = share_of_turns(self.bytes, turns, request.limit());
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

impl PostgresStore {
    /// The statement for the places and the metadata that are left of a request. It reports the
    /// cost of its scan.
    pub(crate) fn stage(
        &self,
        request: &ClaimRequest,
        (from, begin): (From<'_>, &Begin),
        scan: usize,
        budget: &Budget,
        (now, token): (DateTime<Utc>, LeaseToken),
    ) -> Stage {
        let mut params = Params::default();
        let (filter, is_current, _) = self.unpaused(request, &mut params);
        let filter = format!("{filter} AND (SELECT p0.is_current FROM p0)");
        let scan = params.bind(i64::try_from(scan).unwrap_or(i64::MAX));
        let (scanned, order) = match (from, request.order()) {
            (From::InOrder, ClaimOrder::Usual) => {
                let parts = begin.parts(&mut params);
                (in_order_sql(&parts, &filter, &scan), USUAL)
            }
            (From::InOrder, order) => probe_sql(order, &filter, &scan),
            (From::EachUser(after, up_to), _) => {
                let parts = begin.parts(&mut params);
                each_user_sql(after, up_to, &parts, &filter, &scan, &mut params)
            }
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
            "WITH RECURSIVE p0 AS MATERIALIZED (SELECT {is_current} AS is_current),
t0 AS MATERIALIZED (SELECT clock_timestamp() AS at),
{scanned},
t1 AS MATERIALIZED (SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM c) z),
j AS MATERIALIZED (SELECT e.*, {{behind}} AS behind FROM t1, c e),
w AS MATERIALIZED (SELECT x.t, x.nth FROM (
        SELECT j.t, j.lane, row_number() OVER o AS nth, sum(j.size) OVER o - j.size AS before
        FROM j WHERE NOT j.behind WINDOW o AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) x
    WHERE x.nth <= {limit} AND x.before < {bytes} ORDER BY x.lane),
u AS (UPDATE {{s}}.events e SET slot = 'l', status = 'i', attempt_count = e.attempt_count + 1,
        last_attempt_at = {now}, lease_token = {token}, lease_expires_at = {lease_ends}
    FROM w WHERE e.ctid = w.t RETURNING w.nth, e.*)
SELECT 'c'::\"char\", u.nth, {columns} FROM u
UNION ALL SELECT 'b'::\"char\", j.lane, {behind} FROM j WHERE j.behind
UNION ALL SELECT 't'::\"char\", (extract(epoch FROM t1.at - t0.at) * 1000000)::bigint, {nulls} FROM t0, t1
UNION ALL SELECT 'p'::\"char\", NULL::bigint, {nulls} FROM p0 WHERE NOT p0.is_current
UNION ALL (SELECT 'n'::\"char\", NULL::bigint, {nulls} FROM {{s}}.events WHERE slot = 'n' LIMIT 1)"
        );
        Stage {
            sql: self.shared.sql.text(&sql),
            params,
        }
    }
}

/// What a scan reads of each candidate.
const SCANNED: &str = "e.ctid AS t, e.seq, e.lane, e.priority, e.due, e.last_attempt_at, e.user_id,
        coalesce(octet_length(e.metadata), 0) AS size";

const USUAL: &str = "priority DESC, due, seq";

/// The limit of a scan, which begins with it: so the clock is read just before.
fn limit(scan: &str) -> String {
    format!("LIMIT (SELECT CASE WHEN t0.at IS NOT NULL THEN {scan}::bigint END FROM t0)")
}

/// The scan `c` in the usual order. Its parts are read in turn, as far as needed.
fn in_order_sql(parts: &[String], filter: &str, scan: &str) -> String {
    let part = |part: &String, limit: &str| {
        format!(
            "SELECT {SCANNED} FROM {{s}}.events e
    WHERE e.slot = 'r'{filter}{part} AND NOT {{elders}}
    ORDER BY {USUAL} {limit} FOR NO KEY UPDATE OF e SKIP LOCKED"
        )
    };
    if let [whole] = parts {
        return format!("c AS MATERIALIZED ({})", part(whole, &limit(scan)));
    }
    let limit_of_part = format!("LIMIT {scan}");
    let parts = parts
        .iter()
        .enumerate()
        .map(|(nth, one)| format!("SELECT * FROM ({}) p{nth}", part(one, &limit_of_part)));
    let parts: Vec<String> = parts.collect();
    format!(
        "c AS MATERIALIZED (SELECT * FROM (
    {}) whole {})",
        parts.join("\n    UNION ALL "),
        limit(scan)
    )
}

/// The scan `c` of a probe, and its order. It reads all candidates.
fn probe_sql(order: ClaimOrder, filter: &str, scan: &str) -> (String, &'static str) {
    let by = match order {
        ClaimOrder::Newest => {
            "last_attempt_at NULLS FIRST, CASE WHEN last_attempt_at IS NULL THEN -seq ELSE seq END"
        }
        ClaimOrder::LeastRecent => {
            "last_attempt_at NULLS FIRST, CASE WHEN last_attempt_at IS NULL THEN -priority ELSE 0 END, \
             CASE WHEN last_attempt_at IS NULL THEN due END, seq"
        }
        _ => USUAL,
    };
    let limit = limit(scan);
    let sql = format!(
        "c AS MATERIALIZED (SELECT {SCANNED} FROM {{s}}.events e
    WHERE e.slot = 'r'{filter} AND NOT {{elders}}
    ORDER BY {by} {limit} FOR NO KEY UPDATE OF e SKIP LOCKED)"
    );
    (sql, by)
}

/// The scan `c` of the first event of each user. Each step seeks the next user in the index.
fn each_user_sql(
    after: &str,
    up_to: Option<&str>,
    parts: &[String],
    filter: &str,
    scan: &str,
    params: &mut Params,
) -> (String, &'static str) {
    let after = params.bind(after.to_owned());
    let range = up_to.map_or_else(String::new, |up_to| {
        format!(" AND o.user_id <= {}", params.bind(up_to.to_owned()))
    });
    let limit = limit(scan);
    let firsts = parts.iter().map(|part| {
        format!(
            "(SELECT e.ctid AS t FROM {{s}}.events e
    WHERE e.slot = 'r' AND e.user_id = users.user_id{filter}{part} AND NOT {{behind}} AND NOT {{elders}}
    ORDER BY e.priority DESC, e.due, e.seq LIMIT 1)"
        )
    });
    let firsts: Vec<String> = firsts.collect();
    let firsts = firsts.join("\n    UNION ALL ");
    let sql = format!(
        "users AS (
    (SELECT o.user_id FROM {{s}}.events o WHERE o.slot = 'r' AND o.user_id > {after}{range}
        ORDER BY o.user_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.user_id FROM {{s}}.events o WHERE o.slot = 'r' AND o.user_id > users.user_id{range}
        ORDER BY o.user_id LIMIT 1) FROM users WHERE users.user_id IS NOT NULL),
firsts AS MATERIALIZED (SELECT first.t FROM users, LATERAL (SELECT whole.t FROM ({firsts}) whole LIMIT 1) first
    {limit}),
c AS MATERIALIZED (SELECT {SCANNED} FROM firsts JOIN {{s}}.events e ON e.ctid = firsts.t
    WHERE e.slot = 'r' FOR NO KEY UPDATE OF e SKIP LOCKED)"
    );
    (sql, "user_id")
}
