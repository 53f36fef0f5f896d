//! The part of a claim's statement that takes turns: the first event of each user.

use chrono::{DateTime, Utc};

use crate::chosen::{Budget, SCANNED, amount, chosen_sql};
use crate::filter::Params;
use crate::turns::Look;
use crate::visits::{Range, Visits};

/// How many events of a visited user are looked at. Those behind others are met again by a look at
/// all users.
const LOOKS_PER_VISIT: usize = 8;

/// The first event of each user in a range.
pub(crate) struct Turns<'r> {
    pub(crate) range: Range<'r>,
    pub(crate) look: Look,
    pub(crate) budget: Budget,
}

/// What lets a look for turns begin after a scan in order: only if that has left anything.
pub(crate) fn gate(follows: bool) -> &'static str {
    match follows {
        true => ", more WHERE more.is_any",
        false => "",
    }
}

/// The bytes that a scan in order has left of this budget and that of the turns: at least the share
/// of the turns, whatever it has taken.
pub(crate) fn left_bytes(before: &Budget, of_turns: &Budget, params: &mut Params) -> String {
    let share = params.bind(amount(of_turns.bytes));
    let all = params.bind(amount(before.bytes.saturating_add(of_turns.bytes)));
    format!("greatest({share}, {all} - (SELECT coalesce(sum(w1.size), 0) FROM w1))")
}

/// The scan `c2` of the first event of each user, and `w2`, those of them that are taken. After a
/// scan in order with a budget it leaves out what that has taken, and it looks only if anything is
/// left.
pub(crate) fn turns_sql(
    turns: &Turns<'_>,
    before: Option<&Budget>,
    filter: &str,
    params: &mut Params,
) -> String {
    let (clock, others) = match before {
        Some(_) => (
            "clock_timestamp() AS at FROM (SELECT count(*) FROM more) z",
            " AND e.seq NOT IN (SELECT w1.seq FROM w1)",
        ),
        None => ("clock_timestamp() AS at", ""),
    };
    let gate = gate(before.is_some());
    let filter = format!("{filter}{others}");
    let budget = match before {
        None => turns.budget.bind(params),
        Some(before) => {
            let places = params.bind(amount(turns.budget.places));
            (places, left_bytes(before, &turns.budget, params))
        }
    };
    let limit = &budget.0;
    let mut order = "user_id".to_owned();
    let firsts = match &turns.look {
        Look::AllUsers => {
            let after = params.bind(turns.range.after.to_owned());
            if turns.range.wraps() {
                order = order_from(&after);
            }
            all_users_sql(&turns.range, &after, gate, (&filter, limit), params)
        }
        Look::Users(visits) => visits_sql(visits, gate, &filter, limit, params),
        Look::AllCandidates => {
            let after = params.bind(turns.range.after.to_owned());
            order = order_from(&after);
            all_candidates_sql(&order, gate, &filter, limit)
        }
    };
    let chosen = chosen_sql("w2", "c2", &order, &budget);
    format!(
        "t2 AS MATERIALIZED (SELECT {clock}),
{firsts},
t3 AS MATERIALIZED (SELECT clock_timestamp() AS at FROM (SELECT count(*) FROM firsts) z),
c2 AS MATERIALIZED (SELECT {SCANNED}, false AS is_behind FROM t3, firsts JOIN {{s}}.events e ON e.ctid = firsts.t
    WHERE e.slot::text = 'r' FOR NO KEY UPDATE OF e SKIP LOCKED),
{chosen}"
    )
}

/// The order of users that begins after this one.
fn order_from(after: &str) -> String {
    format!("user_id <= {after}::text COLLATE \"C\", user_id")
}

/// The first event of each user in a range, and, if it wraps, of the users before it. Each step
/// seeks the next user in the index, and begins again once there is none.
fn all_users_sql(
    range: &Range<'_>,
    after: &str,
    gate: &str,
    (filter, limit): (&str, &str),
    params: &mut Params,
) -> String {
    let up_to = range.up_to.map_or_else(String::new, |up_to| {
        format!(" AND e.user_id <= {}", params.bind(up_to.to_owned()))
    });
    let next = format!(
        "SELECT e.user_id, e.ctid AS t FROM {{s}}.events e
        WHERE e.slot = 'r' AND e.user_id > users.user_id{up_to}{filter} AND NOT {{behind}} AND NOT {{elders}} AND NOT {{waits}}
        ORDER BY e.user_id, e.priority DESC, e.due, e.seq LIMIT 1"
    );
    let steps = match range.wraps() {
        false => format!("SELECT next.user_id, next.t, false FROM users, LATERAL ({next}) next"),
        true => format!(
            "SELECT step.user_id, step.t, step.is_again FROM users, LATERAL (
        SELECT next.user_id, next.t, users.is_again FROM ({next}) next
        UNION ALL SELECT '' COLLATE \"C\", NULL::tid, true WHERE NOT users.is_again
        LIMIT 1) step
    WHERE NOT step.is_again OR step.user_id <= {after}::text COLLATE \"C\""
        ),
    };
    format!(
        "users AS (
    SELECT {after}::text COLLATE \"C\" AS user_id, NULL::tid AS t, false AS is_again FROM t2{gate}
    UNION ALL
    {steps}),
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
