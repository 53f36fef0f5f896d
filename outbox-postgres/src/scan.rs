//! The statement of a claim: its scans for candidates, and which of them it leases.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::{Destinations, share_of_turns};
use outbox_runtime::store::{ClaimOrder, ClaimRequest, LeaseToken};

use crate::cursor::Begin;
use crate::destinations::{ARE_FEW, FILLED, first_sql};
use crate::filter::{Params, lease_end};
use crate::pausing::Unpaused;
use crate::plain;
use crate::sql::{columns_of_leased, null_columns};
use crate::store::PostgresStore;
use crate::turns::Look;
use crate::visits::{Range, Visits};

/// The fewest candidates that a scan looks at, so that a claim of one event does not end at the
/// first that is behind another.
const LEAST_SCAN: usize = 64;

/// The most candidates that a scan looks at.
pub(crate) const MOST_SCAN: usize = 2_000;

/// One statement of a claim.
pub(crate) struct Stage {
    pub(crate) sql: Arc<str>,
    pub(crate) params: Params,
}

/// A scan in the order of the request.
pub(crate) struct InOrder<'r> {
    pub(crate) begin: &'r Begin,
    /// The most candidates that it looks at.
    pub(crate) scan: usize,
    pub(crate) budget: Budget,
}

/// The first event of each user in a range.
pub(crate) struct Turns<'r> {
    pub(crate) range: Range<'r>,
    pub(crate) look: Look,
    pub(crate) budget: Budget,
}

/// How many events of a visited user are looked at. Those behind others are met again by a look at
/// all users.
const LOOKS_PER_VISIT: usize = 8;

/// The number that the places of turns are counted from, to tell them from those in order.
pub(crate) const FIRST_TURN: i64 = 1 << 40;

/// The rest of a claim: places and metadata.
#[derive(Clone, Copy)]
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
    /// A statement that takes events in the order of the request, then by turns, or one of both. It
    /// reports the cost of its scan in the order of the request.
    pub(crate) fn stage(
        &self,
        request: &ClaimRequest,
        in_order: Option<&InOrder<'_>>,
        turns: Option<&Turns<'_>>,
        (now, token): (DateTime<Utc>, LeaseToken),
    ) -> Stage {
        let mut params = Params::default();
        let Unpaused {
            filter,
            is_current,
            to,
            ..
        } = self.unpaused(request, &mut params);
        let filter = format!("{filter} AND (SELECT p0.is_current AND p0.has_no_elders FROM p0)");
        let is_plain = self.shared.plain.is_enough();
        let has_no_elders = if is_plain { plain::NO_ELDERS } else { "true" };
        let mut parts = vec![
            format!(
                "p0 AS MATERIALIZED (SELECT {is_current} AS is_current, {has_no_elders} AS has_no_elders)"
            ),
            "t0 AS MATERIALIZED (SELECT clock_timestamp() AS at)".to_owned(),
        ];
        let mut chosen = Vec::new();
        let mut results = Vec::new();
        if let Some(part) = in_order {
            let scan = params.bind(amount(part.scan));
            let mut filled = "NULL::bigint";
            let mut or_filled = String::new();
            let (scanned, order) = match request.order() {
                ClaimOrder::Usual => {
                    let parts = part.begin.parts(&mut params);
                    let sql = match &to {
                        None => in_order_sql(&parts, &filter, &scan),
                        Some(to) => {
                            filled = FILLED;
                            or_filled = format!(" OR {FILLED} > 0");
                            let places = amount(part.budget.places);
                            merged_sql(to, &parts, &filter, (&scan, places), &mut params)
                        }
                    };
                    (sql, USUAL)
                }
                order => probe_sql(order, &filter, &scan),
            };
            let sql = chosen_sql("w1", "j", order, &part.budget, &mut params);
            parts.push(format!(
                "{scanned},
t1 AS MATERIALIZED (SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM c) z),
j0 AS MATERIALIZED (SELECT e.*, {{behind}} AS is_in_line FROM t1, c e),
j AS MATERIALIZED (SELECT j0.*, j0.is_in_line OR j0.waits AS is_behind FROM j0),
{sql},
more AS MATERIALIZED (SELECT count(*) >= {scan}
    OR count(*) FILTER (WHERE NOT j.is_behind) > (SELECT count(*) FROM w1){or_filled} AS is_any FROM j)"
            ));
            chosen.push("SELECT w1.t, w1.lane, w1.nth FROM w1".to_owned());
            results.push(format!(
                "SELECT 'b'::\"char\", j.lane, NULL::bigint, {} FROM j WHERE j.is_in_line",
                null_columns(&[
                    ("seq", "j.seq"),
                    ("priority", "j.priority"),
                    ("due", "j.due"),
                ])
            ));
            results.push(format!(
                "SELECT 'w'::\"char\", j.lane, NULL::bigint, {} FROM j WHERE j.waits AND NOT j.is_in_line",
                null_columns(&[
                    ("id", "j.id"),
                    ("seq", "j.seq"),
                    ("priority", "j.priority"),
                    ("due", "j.due"),
                ])
            ));
            results.push(format!(
                "SELECT 't'::\"char\", (extract(epoch FROM t1.at - t0.at) * 1000000)::bigint, {filled}, {} FROM t0, t1",
                null_columns(&[])
            ));
        }
        if let Some(turns) = turns {
            parts.push(turns_sql(turns, in_order.is_some(), &filter, &mut params));
            chosen.push(format!(
                "SELECT w2.t, w2.lane, w2.nth + {FIRST_TURN} AS nth FROM w2"
            ));
            let candidates = match turns.look {
                Look::AllCandidates => "(SELECT max(firsts.candidates) FROM firsts)",
                Look::AllUsers | Look::Users(_) => "NULL::bigint",
            };
            results.push(format!(
                "SELECT 'u'::\"char\", (extract(epoch FROM t3.at - t2.at) * 1000000)::bigint, {candidates}, {} FROM t2, t3",
                null_columns(&[])
            ));
        }
        let scans = [("c", in_order.is_some()), ("c2", turns.is_some())];
        let scans = scans.iter().filter(|(_, is_made)| *is_made && is_plain);
        let no_parents: String = scans.map(|(scan, _)| plain::no_parents(scan)).collect();
        parts.push(format!(
            "q0 AS MATERIALIZED (SELECT p0.is_current, p0.has_no_elders{no_parents} AS is_right FROM p0)"
        ));
        let lease_ends = lease_end(request, now, &mut params);
        let now = params.bind(now);
        let token = params.bind(token.as_uuid());
        let parts = parts.join(",\n");
        let chosen = chosen.join(" UNION ALL ");
        let returned = columns_of_leased("e");
        let columns = columns_of_leased("u");
        results.insert(
            0,
            format!("SELECT 'c'::\"char\", u.claim_lane, u.nth, {columns} FROM u"),
        );
        results.push(format!(
            "SELECT 'p'::\"char\", CASE WHEN q0.is_right THEN 0 ELSE 1 END::bigint, NULL::bigint, {} FROM q0
    WHERE NOT (q0.is_current AND q0.is_right)",
            null_columns(&[])
        ));
        results.push(format!(
            "(SELECT 'n'::\"char\", NULL::bigint, NULL::bigint, {} FROM {{s}}.events WHERE slot = 'n' LIMIT 1)",
            null_columns(&[])
        ));
        let results = results.join("\nUNION ALL ");
        // Two claims that meet on several lanes wait for each other in one order.
        let sql = format!(
            "WITH RECURSIVE {parts},
w AS MATERIALIZED (SELECT * FROM ({chosen}) x WHERE (SELECT q0.is_right FROM q0) ORDER BY x.lane),
u AS (UPDATE {{s}}.events e SET slot = 'l', status = 'i', attempt_count = e.attempt_count + 1,
        last_attempt_at = {now}, lease_token = {token}, lease_expires_at = {lease_ends}
    FROM w WHERE e.ctid = w.t RETURNING w.nth, w.lane AS claim_lane, {returned})
{results}"
        );
        let sql = if is_plain {
            plain::without_looks(&sql)
        } else {
            sql
        };
        Stage {
            sql: self.shared.sql.text_of(sql),
            params,
        }
    }
}

fn amount(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The first events of `from` in this order, as far as places and metadata allow.
fn chosen_sql(name: &str, from: &str, order: &str, budget: &Budget, params: &mut Params) -> String {
    let places = params.bind(amount(budget.places));
    let bytes = params.bind(amount(budget.bytes));
    format!(
        "{name} AS MATERIALIZED (SELECT x.t, x.lane, x.seq, x.nth FROM (
        SELECT k.t, k.lane, k.seq, row_number() OVER o AS nth, sum(k.size) OVER o - k.size AS before
        FROM {from} k WHERE NOT k.is_behind WINDOW o AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) x
    WHERE x.nth <= {places} AND x.before < {bytes})"
    )
}

/// What a scan reads of each candidate.
const SCANNED: &str = "e.ctid AS t, e.seq, e.lane, e.priority, e.due, e.last_attempt_at, e.user_id,
        coalesce(octet_length(e.metadata), 0) AS size, e.id, {waits} AS waits";

const USUAL: &str = "priority DESC, due, seq";

/// The limit of a scan, which begins with it: so the clock is read just before.
fn limit(scan: &str) -> String {
    format!("LIMIT (SELECT CASE WHEN t0.at IS NOT NULL THEN {scan}::bigint END FROM t0)")
}

/// The candidates of a part of the scan in the usual order.
fn part_sql(part: &str, filter: &str, limit: &str) -> String {
    format!(
        "SELECT {SCANNED} FROM {{s}}.events e
    WHERE e.slot = 'r'{filter}{part} AND NOT {{elders}}
    ORDER BY {USUAL} {limit} FOR NO KEY UPDATE OF e SKIP LOCKED"
    )
}

/// The candidates of all these parts, up to so many of each.
fn parts_sql(parts: &[String], filter: &str, scan: &str) -> String {
    let limit = format!("LIMIT {scan}");
    let parts = parts
        .iter()
        .enumerate()
        .map(|(nth, one)| format!("SELECT * FROM ({}) p{nth}", part_sql(one, filter, &limit)));
    let parts: Vec<String> = parts.collect();
    parts.join("\n    UNION ALL ")
}

/// The scan `c` in the usual order. Its parts are read in turn, as far as needed.
fn in_order_sql(parts: &[String], filter: &str, scan: &str) -> String {
    if let [whole] = parts {
        return format!(
            "c AS MATERIALIZED ({})",
            part_sql(whole, filter, &limit(scan))
        );
    }
    format!(
        "c AS MATERIALIZED (SELECT * FROM (
    {}) whole {})",
        parts_sql(parts, filter, scan),
        limit(scan)
    )
}

/// The scan `c` in the usual order, of the events for these destinations alone: with one look at
/// each, or, if they are many, by a scan of all candidates.
fn merged_sql(
    to: &Destinations,
    parts: &[String],
    filter: &str,
    (scan, places): (&str, i64),
    params: &mut Params,
) -> String {
    let condition = format!("{filter} AND NOT {{elders}}");
    let first = first_sql(to, (&condition, parts), (scan, places), params);
    let all = parts_sql(parts, &format!("{filter} AND NOT {ARE_FEW}"), scan);
    let limit = limit(scan);
    format!(
        "{first},
c AS MATERIALIZED (SELECT * FROM (
    SELECT * FROM (SELECT {SCANNED} FROM f JOIN {{s}}.events e ON e.ctid = f.t
    WHERE e.slot::text = 'r' ORDER BY f.priority DESC, f.due, f.seq LIMIT {scan}
    FOR NO KEY UPDATE OF e SKIP LOCKED) d
    UNION ALL {all}) whole {limit})"
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

/// The scan `c2` of the first event of each user, and `w2`, those of them that are taken. After a
/// scan in order it leaves out what that has taken, and it looks only if anything is left.
fn turns_sql(turns: &Turns<'_>, follows: bool, filter: &str, params: &mut Params) -> String {
    let (clock, gate, others) = match follows {
        true => (
            "clock_timestamp() AS at FROM (SELECT count(*) FROM more) z",
            ", more WHERE more.is_any",
            " AND e.seq NOT IN (SELECT w1.seq FROM w1)",
        ),
        false => ("clock_timestamp() AS at", "", ""),
    };
    let filter = format!("{filter}{others}");
    let limit = params.bind(amount(turns.budget.places));
    let mut order = "user_id".to_owned();
    let firsts = match &turns.look {
        Look::AllUsers => all_users_sql(&turns.range, gate, &filter, &limit, params),
        Look::Users(visits) => visits_sql(visits, gate, &filter, &limit, params),
        Look::AllCandidates => {
            let after = params.bind(turns.range.after.to_owned());
            order = format!("user_id <= {after}::text COLLATE \"C\", user_id");
            all_candidates_sql(&order, gate, &filter, &limit)
        }
    };
    let chosen = chosen_sql("w2", "c2", &order, &turns.budget, params);
    format!(
        "t2 AS MATERIALIZED (SELECT {clock}),
{firsts},
t3 AS MATERIALIZED (SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM firsts) z),
c2 AS MATERIALIZED (SELECT {SCANNED}, false AS is_behind FROM t3, firsts JOIN {{s}}.events e ON e.ctid = firsts.t
    WHERE e.slot::text = 'r' FOR NO KEY UPDATE OF e SKIP LOCKED),
{chosen}"
    )
}

/// The first event of each user in a range. Each step seeks the next user in the index.
fn all_users_sql(
    range: &Range<'_>,
    gate: &str,
    filter: &str,
    limit: &str,
    params: &mut Params,
) -> String {
    let after = params.bind(range.after.to_owned());
    let range = range.up_to.map_or_else(String::new, |up_to| {
        format!(" AND e.user_id <= {}", params.bind(up_to.to_owned()))
    });
    format!(
        "users AS (
    SELECT {after}::text COLLATE \"C\" AS user_id, NULL::tid AS t FROM t2{gate}
    UNION ALL
    SELECT first.user_id, first.t FROM users, LATERAL (SELECT e.user_id, e.ctid AS t FROM {{s}}.events e
        WHERE e.slot = 'r' AND e.user_id > users.user_id{range}{filter} AND NOT {{behind}} AND NOT {{elders}} AND NOT {{waits}}
        ORDER BY e.user_id, e.priority DESC, e.due, e.seq LIMIT 1) first),
firsts AS MATERIALIZED (SELECT users.t FROM users WHERE users.t IS NOT NULL LIMIT {limit})"
    )
}

/// The first event of each user, with one look at all candidates, and how many these are.
fn all_candidates_sql(order: &str, gate: &str, filter: &str, limit: &str) -> String {
    format!(
        "firsts AS MATERIALIZED (SELECT f.t, f.candidates FROM (SELECT t2.at FROM t2{gate}) g,
        LATERAL (SELECT DISTINCT ON (e.user_id) e.user_id, e.ctid AS t, count(*) OVER () AS candidates
            FROM {{s}}.events e
            WHERE g.at IS NOT NULL AND e.slot = 'r'{filter} AND NOT {{behind}} AND NOT {{elders}} AND NOT {{waits}}
            ORDER BY e.user_id, e.priority DESC, e.due, e.seq) f
    ORDER BY {order} LIMIT {limit})"
    )
}

/// The first event of each of these users, after its place. Each is sought in up to three parts:
/// higher priorities, that of the place, and lower ones.
fn visits_sql(
    visits: &Visits,
    gate: &str,
    filter: &str,
    limit: &str,
    params: &mut Params,
) -> String {
    let users: Vec<String> = visits.iter().map(|(user, _)| user.clone()).collect();
    let priorities: Vec<i32> = visits.iter().map(|(_, at)| at.priority).collect();
    let due: Vec<DateTime<Utc>> = visits.iter().map(|(_, at)| at.due).collect();
    let seqs: Vec<i64> = visits.iter().map(|(_, at)| at.seq).collect();
    let (users, priorities) = (params.bind(users), params.bind(priorities));
    let (due, seqs) = (params.bind(due), params.bind(seqs));
    let parts = [
        "e.priority > k.priority",
        "e.priority = k.priority AND (e.due, e.seq) > (k.due, k.seq)",
        "e.priority < k.priority",
    ];
    let parts = parts.map(|part| {
        format!(
            "(SELECT e.t FROM (SELECT e.ctid AS t, e.seq, e.lane, e.entity_lane, e.lane_order, e.event_type,
                e.user_id, e.entity_id, e.parents, e.on_dead, e.last_attempt_at FROM {{s}}.events e
            WHERE e.slot = 'r' AND e.user_id = k.user_id AND {part}{filter}
            ORDER BY e.priority DESC, e.due, e.seq LIMIT {LOOKS_PER_VISIT}) e
        WHERE NOT {{behind}} AND NOT {{elders}} AND NOT {{waits}} LIMIT 1)"
        )
    });
    let parts = parts.join("\n        UNION ALL ");
    // The users are unnested after the clock is read.
    format!(
        "firsts AS MATERIALIZED (SELECT f.t
    FROM (SELECT t2.at FROM t2{gate}) g,
        LATERAL unnest(CASE WHEN g.at IS NOT NULL THEN {users}::text[] END, {priorities}::integer[],
            {due}::timestamptz[], {seqs}::bigint[]) k(user_id, priority, due, seq),
        LATERAL ({parts} LIMIT 1) f
    LIMIT {limit})"
    )
}
