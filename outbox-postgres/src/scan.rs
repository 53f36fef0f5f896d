//! The statement of a claim: its scans for candidates, and which of them it leases.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::store::kit::Destinations;
use outbox_runtime::store::{ClaimOrder, ClaimRequest, LeaseToken};

use crate::chosen::{Budget, SCANNED, USUAL, amount, chosen_sql};
use crate::cursor::Begin;
use crate::destinations::{ARE_FEW, FILLED, first_sql};
use crate::filter::{Params, lease_end};
use crate::pausing::Unpaused;
use crate::plain;
use crate::sql::{columns_of_leased, null_columns};
use crate::store::PostgresStore;
use crate::turning::{Turns, gate, left_bytes, turns_sql};
use crate::turns::Look;

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

/// The number that the places of turns are counted from, to tell them from those in order.
pub(crate) const FIRST_TURN: i64 = 1 << 40;

/// The numbers that the places are counted from that turns have left to the order of the request.
/// They come after the turns if each user has had one. Otherwise they come before these: the next
/// turns are those of the users after the last event of a claim.
pub(crate) const FIRST_LEFT: i64 = 1 << 39;
pub(crate) const LEFT_AFTER_ALL: i64 = 1 << 41;

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
        let mut scans = Vec::new();
        if let Some(part) = in_order {
            scans.push("c");
            let scan = params.bind(amount(part.scan));
            let mut filled = "NULL::bigint";
            let mut or_filled = String::new();
            let (scanned, order) = match request.order() {
                ClaimOrder::Usual => {
                    let parts = part.begin.parts(&mut params);
                    let sql = match &to {
                        None => in_order_sql("c", &parts, &filter, (&scan, &limit(&scan))),
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
            let budget = part.budget.bind(&mut params);
            let sql = chosen_sql("w1", "j", order, &budget);
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
            scans.push("c2");
            let before = in_order.map(|part| &part.budget);
            parts.push(turns_sql(turns, before, &filter, &mut params));
            chosen.push(format!(
                "SELECT w2.t, w2.lane, w2.nth + {FIRST_TURN} AS nth FROM w2"
            ));
            // After visits, the turns go on with the users before the range.
            let is_last = !matches!(turns.look, Look::Users(_));
            let is_usual = request.order() == ClaimOrder::Usual && to.is_none();
            if let Some(part) = in_order.filter(|_| is_usual && is_last) {
                parts.push(left_sql(part, &filter, &turns.budget, &mut params));
                let turns = params.bind(amount(turns.budget.places));
                chosen.push(format!(
                    "SELECT w3.t, w3.lane, w3.nth + CASE WHEN (SELECT count(*) FROM firsts) < {turns}
            AND (SELECT count(*) FROM c2) = (SELECT count(*) FROM w2)
        THEN {LEFT_AFTER_ALL} ELSE {FIRST_LEFT} END AS nth FROM w3"
                ));
                scans.push("c3");
            }
            let gate = gate(in_order.is_some());
            let candidates = match turns.look {
                Look::AllCandidates => "(SELECT max(firsts.candidates) FROM firsts)",
                Look::AllUsers | Look::Users(_) => "NULL::bigint",
            };
            results.push(format!(
                "SELECT 'u'::\"char\", (extract(epoch FROM t3.at - t2.at) * 1000000)::bigint, {candidates}, {} FROM t2, t3{gate}",
                null_columns(&[])
            ));
        }
        let no_parents = match is_plain {
            true => scans.into_iter().map(plain::no_parents).collect(),
            false => String::new(),
        };
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

/// A scan in the usual order up to a limit. Its parts are read in turn, as far as needed, and at
/// most `most` candidates of each.
fn in_order_sql(name: &str, parts: &[String], filter: &str, (most, limit): (&str, &str)) -> String {
    if let [whole] = parts {
        let whole = part_sql(whole, filter, limit);
        return format!("{name} AS MATERIALIZED ({whole})");
    }
    let parts = parts_sql(parts, filter, most);
    format!("{name} AS MATERIALIZED (SELECT * FROM (\n    {parts}) whole {limit})")
}

/// The scan `c3` in the usual order, and `w3`, what is taken of it: as many events as the turns
/// have left places, because fewer users have events, or because other workers are taking these.
/// Places that the scan `c` has left stay empty: behind its last candidate there may be more.
fn left_sql(
    in_order: &InOrder<'_>,
    filter: &str,
    of_turns: &Budget,
    params: &mut Params,
) -> String {
    let parts = in_order.begin.parts(params);
    let places = params.bind(amount(of_turns.places));
    let bytes = left_bytes(&in_order.budget, of_turns, params);
    let filter = format!(
        "{filter} AND e.seq NOT IN (SELECT w1.seq FROM w1) AND e.seq NOT IN (SELECT w2.seq FROM w2)"
    );
    let left = format!("{places} - (SELECT count(*) FROM w2)");
    let limit = format!("LIMIT (SELECT CASE WHEN more.is_any THEN {left} ELSE 0 END FROM more)");
    let scanned = in_order_sql("c3", &parts, &filter, (&places, &limit));
    let bytes = format!("{bytes} - (SELECT coalesce(sum(w2.size), 0) FROM w2)");
    let chosen = chosen_sql("w3", "j3", USUAL, &(left, bytes));
    format!(
        "{scanned},
j3 AS MATERIALIZED (SELECT e.*, {{behind}} OR e.waits AS is_behind FROM c3 e),
{chosen}"
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
