//! The statements about outcomes, each once for all rows and once for those that nobody else holds
//! locked.

/// The history of the row `e` with one more attempt, whose end, outcome and message follow; see
/// `PastAttempt::to_line`. The oldest go.
const WITH_ATTEMPT: &str = "array_append(
    CASE WHEN cardinality(e.attempts) > 19 THEN e.attempts[cardinality(e.attempts) - 18:] ELSE e.attempts END,
    (extract(epoch FROM e.last_attempt_at) * 1000000)::bigint || ' ' || (extract(epoch FROM {now}::timestamptz) * 1000000)::bigint
        || ' {outcome} ' || left(translate({message}, E'\\n\\r', '  '), 500))";

/// Fills in the end, the outcome and the message of an attempt.
pub(crate) fn with_attempt(now: &str, outcome: &str, message: &str) -> String {
    WITH_ATTEMPT
        .replace("{now}", now)
        .replace("{outcome}", outcome)
        .replace("{message}", message)
}

/// Records deliveries. Separate from the other outcomes, because nearly all are. One that others
/// wait for keeps a note, unless it was leased behind another one of its lane. Returns the leases
/// under which it has, or a row of NULLs for all of them.
/// `{kept}` sets the history, where one is kept; `{lock}` and `{of_locked}` as in `of_unlocked`.
const COMPLETE: &str =
    "WITH {lock}u AS (UPDATE {s}.events e SET slot = CASE WHEN e.awaited AND e.slot::text = 'l' THEN 'n'::\"char\" END, status = 'c', completed_at = $3, error_message = NULL,
        lease_token = NULL, lease_expires_at = NULL, crashes = 0{kept}
    FROM unnest($1::uuid[], $2::uuid[]) s(id, token)
    WHERE e.id = s.id AND e.lease_token = s.token AND e.lease_expires_at > $3 AND e.slot::text IN ('l', 'f'){of_locked}
    RETURNING e.id, s.token, e.seq, e.attempt_count),
y AS (INSERT INTO {s}.tally_delta SELECT {block}, -count(*) FILTER (WHERE attempt_count <= 1),
    -count(*) FILTER (WHERE attempt_count > 1), count(*), 0, $3 FROM u GROUP BY 1),
a AS MATERIALIZED (SELECT count(*) = cardinality($1) AS were_all FROM u)
SELECT NULL::uuid, NULL::uuid FROM a WHERE a.were_all
UNION ALL SELECT u.id, u.token FROM a, u WHERE NOT a.were_all";

/// Records the other outcomes; `$3` has their codes: f failed, b buried, g given back, d deferred,
/// s snoozed. A follower that goes back is blocked again.
const SETTLE: &str = "WITH {lock}u AS (UPDATE {s}.events e SET
    slot = CASE WHEN s.kind = 'b' THEN CASE WHEN e.on_dead = 'h' AND s.reason <> 'expired' THEN 'h'::\"char\" END
        WHEN e.slot::text = 'f' THEN 'b'
        WHEN coalesce(s.due, least(e.due, $8)) <= $8 THEN 'r' ELSE 'w' END,
    status = CASE WHEN s.kind = 'b' THEN 'd'::\"char\" WHEN s.kind = 'f' OR e.attempt_count > 1 THEN 'f' ELSE 'p' END,
    attempt_count = CASE WHEN s.kind IN ('f', 'b') THEN e.attempt_count ELSE greatest(e.attempt_count - 1, 0) END,
    due = CASE WHEN s.kind = 'b' THEN e.due ELSE coalesce(s.due, least(e.due, $8)) END,
    error_message = CASE WHEN s.kind IN ('f', 'b') THEN s.message ELSE e.error_message END,
    dead_reason = CASE WHEN s.kind = 'b' THEN s.reason ELSE e.dead_reason END,
    last_refusal = CASE WHEN s.kind IN ('g', 'd') THEN coalesce(s.message, e.last_refusal) ELSE e.last_refusal END,
    deferrals = e.deferrals + CASE WHEN s.kind = 'd' THEN 1 ELSE 0 END,
    deferred_since = CASE WHEN s.kind = 'd' THEN coalesce(e.deferred_since, $8) ELSE e.deferred_since END,
    snoozes = e.snoozes + CASE WHEN s.kind = 's' THEN 1 ELSE 0 END,
    attempts = CASE WHEN s.kind = 'f' THEN {failed} WHEN s.kind = 'd' THEN {deferred} WHEN s.kind = 'b' THEN {dead}
        ELSE e.attempts END,
    crashes = 0, lease_token = NULL, lease_expires_at = NULL
FROM unnest($1::uuid[], $2::uuid[], $3::\"char\"[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[])
    s(id, token, kind, due, message, reason, nth)
WHERE e.id = s.id AND e.lease_token = s.token AND e.lease_expires_at > $8 AND e.slot::text IN ('l', 'f'){of_locked}
RETURNING e.id, s.token, s.kind, e.seq, e.attempt_count, e.priority, e.due, coalesce(e.slot = 'r', false) AS is_ready),
y AS (INSERT INTO {s}.tally_delta SELECT {block}, -count(*) FILTER (WHERE attempt_count <= 1),
    count(*) FILTER (WHERE kind = 'f') - count(*) FILTER (WHERE attempt_count > 1), 0,
    count(*) FILTER (WHERE kind = 'b')
    FROM u WHERE kind = 'b' OR kind = 'f' AND attempt_count <= 1 GROUP BY 1)
SELECT id, token, priority, due, is_ready FROM u";

/// Locks the rows of the leases `$1`, `$2` that nobody else holds locked, for the rest of a
/// statement that records outcomes.
const LOCK: &str = "k0 AS MATERIALIZED (SELECT e.id, e.lane, e.slot FROM unnest($1::uuid[], $2::uuid[]) s(id, token)
    JOIN {s}.events e ON e.id = s.id WHERE e.lease_token = s.token AND e.slot::text IN ('l', 'f')
    FOR NO KEY UPDATE OF e SKIP LOCKED),
";

/// All of these rows, for deliveries: one that ends can keep a note for its lane.
pub(crate) const MAY_END: &str = "k AS MATERIALIZED (SELECT k0.id FROM k0)";

/// Whether the row `e` is one of those that are locked and may have their outcome.
const OF_LOCKED: &str = " AND e.id IN (SELECT k.id FROM k)";

/// Which of the leases `$1`, `$2` are still those of their holders although no outcome could be
/// recorded at `$3`: their rows are locked, or were until now. One that has ended counts only if
/// its row is locked.
pub(crate) const LOCKED: &str =
    "WITH h AS MATERIALIZED (SELECT e.id, s.token FROM unnest($1::uuid[], $2::uuid[]) s(id, token)
    JOIN {s}.events e ON e.id = s.id WHERE e.lease_token = s.token AND e.slot::text IN ('l', 'f')),
x AS MATERIALIZED (SELECT e.id FROM h JOIN {s}.events e ON e.id = h.id
    WHERE e.lease_token = h.token AND e.lease_expires_at <= $3 FOR NO KEY UPDATE OF e SKIP LOCKED)
SELECT h.id, h.token FROM h WHERE h.id NOT IN (SELECT x.id FROM x)";

/// Records deliveries, with an entry in the history if one `is_kept`.
pub(crate) fn complete(is_kept: bool) -> String {
    let kept = match is_kept {
        true => format!(", attempts = {}", with_attempt("$3", "delivered", "''")),
        false => String::new(),
    };
    COMPLETE.replace("{kept}", &kept)
}

/// Records the other outcomes.
pub(crate) fn settle() -> String {
    SETTLE
        .replace("{failed}", &with_attempt("$8", "failed", "s.message"))
        // Without the class of the refusal.
        .replace(
            "{deferred}",
            &with_attempt(
                "$8",
                "deferred",
                "regexp_replace(s.message, '^[a-z_]+: ', '')",
            ),
        )
        .replace("{dead}", &with_attempt("$8", "dead", "s.message"))
}

/// The statement that records outcomes of all rows, and waits for those that others hold locked.
pub(crate) fn of_all(template: &str) -> String {
    template.replace("{lock}", "").replace("{of_locked}", "")
}

/// The statement that records the same outcomes, but only of rows that it can lock at once, and of
/// them only the rows `k` that this text selects.
pub(crate) fn of_unlocked(template: &str, which: &str) -> String {
    template
        .replace("{lock}", &format!("{LOCK}{which},\n"))
        .replace("{of_locked}", OF_LOCKED)
}
