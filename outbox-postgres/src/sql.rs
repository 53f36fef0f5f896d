//! The statements on the path of an event, each once. The names of the schema are filled in when a
//! store or a sink is made.
//!
//! Where a row is found by its id or its place, its slot and status are compared as text. `slot =
//! 'b'` is the condition of a partial index as well, and an index that was empty at the last
//! `ANALYZE` looks free to the planner: it would read all of it, for each row that is sought.

use std::sync::Arc;

use crate::name::SchemaName;
use crate::texts::Texts;
use crate::{followers, parents};

/// The columns of an event, with their types, in the order in which `row::read` takes them.
const COLUMNS: &[(&str, &str)] = &[
    ("id", "uuid"),
    ("seq", "bigint"),
    ("event_type", "text"),
    ("entity_id", "text"),
    ("user_id", "text"),
    ("operation", "\"char\""),
    ("status", "\"char\""),
    ("priority", "integer"),
    ("created_at", "timestamptz"),
    ("due", "timestamptz"),
    ("last_attempt_at", "timestamptz"),
    ("attempt_count", "integer"),
    ("max_attempts", "bigint"),
    ("error_message", "text"),
    ("completed_at", "timestamptz"),
    ("metadata", "text"),
    ("metadata_version", "bigint"),
    ("lease_token", "uuid"),
    ("lease_expires_at", "timestamptz"),
    ("dead_reason", "text"),
    ("lane_order", "\"char\""),
    ("on_dead", "\"char\""),
    ("destination", "text"),
    ("deferrals", "integer"),
    ("deferred_since", "timestamptz"),
    ("last_refusal", "text"),
    ("crashes", "integer"),
    ("snoozes", "integer"),
    ("revision", "bigint"),
    ("trace_context", "text"),
    ("expires_at", "timestamptz"),
    ("dedup_key", "text"),
    ("parents", "jsonb"),
    ("headers", "text"),
];

/// The number of columns of an event.
pub(crate) const COLUMN_COUNT: usize = COLUMNS.len();

/// The columns that a claim sets, and need not read.
const LEASED: &[&str] = &[
    "status",
    "last_attempt_at",
    "lease_token",
    "lease_expires_at",
];

/// The columns of the table under this alias.
pub(crate) fn columns(alias: &str) -> String {
    let names: Vec<String> = COLUMNS
        .iter()
        .map(|(name, _)| format!("{alias}.{name}"))
        .collect();
    names.join(", ")
}

/// The columns of the row `e`, with NULL for the metadata.
pub(crate) fn columns_without_metadata() -> String {
    columns("e").replace("e.metadata,", "NULL::text AS metadata,")
}

/// The columns that `row::read_leased` takes.
fn leased_columns() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    COLUMNS.iter().filter(|(name, _)| !LEASED.contains(name))
}

/// The columns of an event that was claimed, under this alias.
pub(crate) fn columns_of_leased(alias: &str) -> String {
    let names: Vec<String> = leased_columns()
        .map(|(name, _)| format!("{alias}.{name}"))
        .collect();
    names.join(", ")
}

/// As many columns as those of an event that was claimed, all NULL but these.
pub(crate) fn null_columns(known: &[(&str, &str)]) -> String {
    let column = |(name, of_type): &(&str, &str)| {
        let value = known.iter().find(|(column, _)| column == name);
        value.map_or_else(
            || format!("NULL::{of_type}"),
            |(_, value)| (*value).to_owned(),
        )
    };
    leased_columns().map(column).collect::<Vec<_>>().join(", ")
}

/// Whether the row `e` is behind another event of its lane: a front with a smaller seq, or one that
/// is taken. The row itself is none of these; comparing the seq keeps the planner from reading all
/// taken lanes into a hash, with every entry that no vacuum has removed.
const BEHIND: &str = "(e.lane IS NOT NULL AND (
    EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.lane AND o.slot IN ('r', 'w', 'h') AND o.seq < e.seq)
    OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.lane AND o.slot IN ('l', 'n') AND o.seq <> e.seq)))";

/// Whether the row `e` has elders: open events of its type, entity and user that were enqueued
/// before it under another order. Most outboxes have none, so both looks end at once.
const ELDERS: &str = "(EXISTS (SELECT 1 FROM {s}.events o
        WHERE o.entity_lane = coalesce(e.entity_lane, e.lane) AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
            AND {kin} AND o.seq < e.seq)
    OR e.entity_lane IS NOT NULL AND (
        EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot IN ('r', 'w', 'h')
            AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'b'
            AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'l'
            AND o.slot IN ('l', 'n') AND {kin} AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = e.entity_lane AND o.slot = 'f'
            AND {kin} AND o.seq < e.seq)))";

/// Whether `o` is of the same type, entity and user as `e`, under another order.
const KIN: &str = "o.lane_order <> e.lane_order AND o.event_type = e.event_type
    AND o.user_id = e.user_id AND o.entity_id = e.entity_id";

/// The block of a `seq`: those with the same ten last bits removed are counted together.
pub(crate) const BLOCK: &str = "seq >> 10";

/// The slot of the row that is no longer blocked, at `{now}`. An event that was neither attempted
/// nor delayed is due, even after a clock jump.
pub(crate) const UNBLOCKED: &str =
    "CASE WHEN e.last_attempt_at IS NULL AND e.due <= e.created_at OR e.due <= {now}
    THEN 'r'::\"char\" ELSE 'w'::\"char\" END";

/// The time `$2` of a statement for any driver, or the server's.
const GIVEN_NOW: &str = "coalesce($2::text::timestamptz, statement_timestamp())";

/// Writes one event, unless its id is known: how many were written. The body is in the schema.
const INSERT: &str = "SELECT {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

/// The same, for an event with the headers `$18`.
const INSERT_HEADED: &str = "SELECT {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";

/// The same, for an event with the headers `$20`, if any, that expires: after `$18` microseconds,
/// or at `$19`.
const INSERT_EXPIRING: &str = "SELECT {s}.enqueue_expiring($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// The same, for an event with the parents `$21`.
const INSERT_AFTER: &str = "SELECT {s}.enqueue_after($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";

/// Writes many events, or none if one of the ids is known. `$1` to `$15` are arrays, and `$17`:
/// whether an event is close behind another one of its lane in the same statement. `$18`: whether
/// the id of another event fails the statement, instead of being looked up first. `$19`: the trace
/// contexts, and `$20`: the headers; NULL if no event has any.
const INSERT_MANY: &str = "SELECT {s}.enqueue_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// Folds an event into the newest open one of its lane, if the table of `Coalesce::Latest` allows
/// it: the same decision as `NewEvent::folded_into` and `NewEvent::cancels`. A row that somebody
/// else has locked, or that has changed since, is left alone, and the event gets a row of its own.
/// Completed events have no index by entity; in a table beyond 64 MB nobody looks whether the
/// remote service knows the entity, and both events are sent, which is harmless.
const FOLD: &str = "SELECT carrier, cancelled FROM {s}.fold($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
    $16, $17, $18, $19, $20)";

/// Completes an event under its lease: whether it has. The body is in the schema.
const COMPLETE_ON: &str = "SELECT {s}.complete($1, $2, $3, $4)";

/// Which of the ids `$1` are known: their rows, or those of the events that carry them, and the
/// first content under the id where that differs from the row's.
const KNOWN: &str =
    "SELECT {columns_e}, f.id, f.fingerprint, f.operation, f.metadata, f.metadata_version, f.headers
FROM unnest($1::uuid[]) w(id)
    LEFT JOIN {s}.folded f ON f.id = w.id
    JOIN {s}.events e ON e.id = coalesce(f.into_id, w.id)";

/// Makes rows candidates whose due time has come.
const PROMOTE: &str =
    "WITH p AS MATERIALIZED (SELECT ctid AS t FROM {s}.events WHERE slot = 'w' AND due <= $1
    ORDER BY due LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
UPDATE {s}.events e SET slot = 'r' FROM p WHERE e.ctid = p.t";

/// Blocks the candidates of the lanes `$1` up to the seq `$2` behind a front that it holds locked
/// meanwhile. The worker that ends that front updates its row first, so it waits, and then sees the
/// blocked ones. Those beyond the scan stay candidates: their turn may come before a claim meets
/// them. So do those before a leased event, which have to be found before it once it comes back.
const DEMOTE: &str = "WITH f AS MATERIALIZED (SELECT coalesce(
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot IN ('l', 'n')),
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot IN ('r', 'w', 'h') ORDER BY o.seq LIMIT 1)) AS id
    FROM (SELECT DISTINCT l FROM unnest($1::bigint[]) l) z),
k AS MATERIALIZED (SELECT e.seq, e.lane FROM f JOIN {s}.events e ON e.id = f.id
    WHERE e.slot IN ('r', 'w', 'l', 'h', 'n') FOR NO KEY UPDATE OF e SKIP LOCKED),
x AS MATERIALIZED (SELECT e.id FROM k JOIN {s}.events e ON e.lane = k.lane
    WHERE e.slot IN ('r', 'w') AND e.slot IN ('r', 'w', 'h') AND e.seq > k.seq AND e.seq <= $2 LIMIT 5000
    FOR NO KEY UPDATE OF e SKIP LOCKED)
UPDATE {s}.events e SET slot = 'b' FROM x WHERE e.id = x.id";

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
const MAY_END: &str = "k AS MATERIALIZED (SELECT k0.id FROM k0)";

/// Whether the row `e` is one of those that are locked and may have their outcome.
const OF_LOCKED: &str = " AND e.id IN (SELECT k.id FROM k)";

/// Which of the leases `$1`, `$2` are still those of their holders although no outcome could be
/// recorded at `$3`: their rows are locked, or were until now. One that has ended counts only if
/// its row is locked.
const LOCKED: &str =
    "WITH h AS MATERIALIZED (SELECT e.id, s.token FROM unnest($1::uuid[], $2::uuid[]) s(id, token)
    JOIN {s}.events e ON e.id = s.id WHERE e.lease_token = s.token AND e.slot::text IN ('l', 'f')),
x AS MATERIALIZED (SELECT e.id FROM h JOIN {s}.events e ON e.id = h.id
    WHERE e.lease_token = h.token AND e.lease_expires_at <= $3 FOR NO KEY UPDATE OF e SKIP LOCKED)
SELECT h.id, h.token FROM h WHERE h.id NOT IN (SELECT x.id FROM x)";

/// The rest of a clean-up of the events `d`. Counts are appended: a counter would make workers wait
/// for each other.
pub(crate) const FORGET: &str = "y AS (INSERT INTO {s}.tally_delta SELECT {block}, 0, 0, -count(*), 0 FROM d GROUP BY 1),
f AS (DELETE FROM {s}.folded f USING d WHERE f.into_id = d.id),
t AS (INSERT INTO {s}.told (user_end, entity_end)
    SELECT DISTINCT right(d.user_id, 4), right(d.entity_id, 4) FROM d
    WHERE d.last_attempt_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {s}.told o
        WHERE o.user_end = right(d.user_id, 4) AND o.entity_end = right(d.entity_id, 4))
    ORDER BY 1, 2 ON CONFLICT DO NOTHING),
c AS (INSERT INTO {s}.cleaned_up (user_id, completed) SELECT d.user_id, count(*) FROM d GROUP BY d.user_id)";

/// Cleans up those of the events `$1` that this transaction has completed. One with a note stays
/// until that is taken up.
const REMOVE: &str = "WITH d AS (DELETE FROM {s}.events e
    WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot IS NULL AND e.xmin = pg_current_xact_id()::xid
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
m AS (INSERT INTO {s}.completions (id, token, is_kept, completed_at)
    SELECT e.id, {nobody}, false, e.completed_at FROM {s}.events e
    WHERE e.id = ANY ($1) AND e.status::text = 'c' AND e.slot = 'n' AND e.xmin = pg_current_xact_id()::xid
    ON CONFLICT DO NOTHING),
{forget}
SELECT count(*) FROM d";

/// The token of a completion that no handler answers for: it marks an event that goes with its
/// note.
const NOBODY: &str = "'00000000-0000-0000-0000-000000000000'::uuid";

/// Cleans up the events that were to go with their notes, once they have none.
const REMOVE_UNNOTED: &str =
    "WITH k AS MATERIALIZED (SELECT e.id FROM {s}.completions c JOIN {s}.events e ON e.id = c.id
    WHERE c.token = {nobody} AND e.status::text = 'c' AND e.slot IS NULL FOR UPDATE OF e SKIP LOCKED),
m AS (DELETE FROM {s}.completions c USING k WHERE c.id = k.id AND c.token = {nobody}),
d AS (DELETE FROM {s}.events e USING k WHERE e.id = k.id
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
{forget}
SELECT count(*) FROM d";

/// Unblocks what waited for the events `$1`, which have just ended or come back. A statement of its
/// own, because it needs a snapshot from after their row locks. Where somebody holds the next event
/// locked, the ended one keeps a note, which the next claim takes up; an event that another
/// transaction ended had its note from that one. An event that came back gives way to an earlier
/// one that joined its lane meanwhile. Frees the events that waited for one that is dead, too.
const UNBLOCK_NEXT: &str = "WITH f AS MATERIALIZED (SELECT d.id AS done,
        (SELECT b.id FROM {s}.events b WHERE b.lane = d.lane AND b.slot = 'b'
            AND (d.slot IS NULL OR b.seq < d.seq) ORDER BY b.seq LIMIT 1) AS id
    FROM {s}.events d WHERE d.id = ANY ($1) AND d.lane IS NOT NULL),
k AS MATERIALIZED (SELECT e.id FROM f JOIN {s}.events e ON e.id = f.id
    WHERE f.id IS NOT NULL AND e.slot::text = 'b' FOR NO KEY UPDATE OF e SKIP LOCKED),
n AS (UPDATE {s}.events e SET slot = 'n' FROM f
    WHERE f.id IS NOT NULL AND f.id NOT IN (SELECT k.id FROM k) AND e.id = f.done AND e.slot IS NULL
        AND e.xmin = pg_current_xact_id()::xid),
{freed}
UPDATE {s}.events e SET slot = {unblocked} FROM (SELECT k.id FROM k UNION SELECT c.id FROM c) b WHERE e.id = b.id
RETURNING e.priority, e.due";

/// The events `c` that wait for one of `$1` that does not hold them back anymore.
const FREED: &str = "c AS MATERIALIZED (SELECT e.id, w.creation FROM {s}.events o JOIN {s}.waits w ON w.creation = o.id
        JOIN {s}.events e ON e.id = w.child
    WHERE o.id = ANY ($1) AND NOT {holds} AND {waiting} FOR NO KEY UPDATE OF e SKIP LOCKED),
x AS (DELETE FROM {s}.waits w USING c WHERE w.creation = c.creation AND w.child = c.id)";

/// As `UNBLOCK_NEXT`, for completed events `$1` whose lanes `$3` are known: nothing is read of
/// events behind which none waits. A lane that is not free yet may get a candidate, which claims
/// step over.
const UNBLOCK_LANES: &str = "WITH f AS MATERIALIZED (SELECT x.done, x.id FROM (SELECT d.id AS done,
        (SELECT b.id FROM {s}.events b WHERE b.lane = d.lane AND b.slot = 'b' ORDER BY b.seq LIMIT 1) AS id
    FROM unnest($1::uuid[], $3::bigint[]) d(id, lane)) x WHERE x.id IS NOT NULL),
k AS MATERIALIZED (SELECT e.id FROM f JOIN {s}.events e ON e.id = f.id
    WHERE e.slot::text = 'b' FOR NO KEY UPDATE OF e SKIP LOCKED),
n AS (UPDATE {s}.events e SET slot = 'n' FROM f
    WHERE f.id NOT IN (SELECT k.id FROM k) AND e.id = f.done AND e.slot IS NULL
        AND e.xmin = pg_current_xact_id()::xid)
UPDATE {s}.events e SET slot = {unblocked} FROM k WHERE e.id = k.id
RETURNING e.priority, e.due";

/// Locks the notes after `$1`, for the next statement.
const LOCK_NOTES: &str = "SELECT id FROM {s}.events WHERE slot = 'n' AND id > $1 ORDER BY id LIMIT 20 FOR NO KEY UPDATE SKIP LOCKED";

/// Takes up the notes `$1`, whose rows are locked: unblocks the next event and drops the note,
/// unless somebody still holds the next event locked. A lane with followers goes to the first of
/// them that nobody has locked. Returns how many notes it drops, which comes before another event
/// takes their place in the index.
const TAKE_UP_NOTES: &str = "WITH d AS MATERIALIZED (SELECT d.id, d.lane,
        (SELECT o.id FROM {s}.events o WHERE o.lane = d.lane AND o.slot = 'f' LIMIT 1) IS NOT NULL AS is_followed
    FROM {s}.events d WHERE d.id = ANY ($1) AND d.slot::text = 'n'),
f AS MATERIALIZED (SELECT d.id AS done,
        (SELECT b.id FROM {s}.events b WHERE b.lane = d.lane AND b.slot = 'b' ORDER BY b.seq LIMIT 1) AS id
    FROM d WHERE NOT d.is_followed),
p AS MATERIALIZED (SELECT d.id AS done, o.id FROM d CROSS JOIN LATERAL (SELECT o.id FROM {s}.events o
        WHERE o.lane = d.lane AND o.slot = 'f' ORDER BY o.seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) o
    WHERE d.is_followed),
k AS MATERIALIZED (SELECT e.id FROM f JOIN {s}.events e ON e.id = f.id
    WHERE f.id IS NOT NULL AND e.slot::text = 'b' FOR NO KEY UPDATE OF e SKIP LOCKED),
n AS (UPDATE {s}.events e SET slot = NULL
    FROM (SELECT f.done FROM f WHERE f.id IS NULL OR f.id IN (SELECT k.id FROM k) UNION ALL SELECT p.done FROM p) x
    WHERE e.id = x.done AND e.slot::text = 'n' RETURNING e.id),
u AS (UPDATE {s}.events e SET slot = {unblocked} FROM k WHERE e.id = k.id),
l AS (UPDATE {s}.events e SET slot = 'l' FROM p JOIN n ON n.id = p.done WHERE e.id = p.id)
SELECT count(*) FROM n";

/// Unblocks the first blocked event of the lanes `$1`, whose fronts were deleted or moved, or lets
/// a follower hold them. It waits for locks, because there is no row left to keep a note. Returns
/// how many of these events were gone once it had their locks: then another one is the first, which
/// only a new statement sees.
const UNBLOCK: &str = "WITH f AS MATERIALIZED (SELECT
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot = 'f' ORDER BY o.seq LIMIT 1) AS follower,
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot IN ('l', 'n') LIMIT 1) IS NOT NULL AS is_taken,
        (SELECT b.id FROM {s}.events b WHERE b.lane = z.l AND b.slot = 'b' ORDER BY b.seq LIMIT 1) AS id
    FROM (SELECT DISTINCT l FROM unnest($1::text::bigint[]) l ORDER BY l) z),
l AS (UPDATE {s}.events e SET slot = 'l' FROM f
    WHERE e.id = f.follower AND NOT f.is_taken AND e.slot::text = 'f' RETURNING 1),
u AS (UPDATE {s}.events e SET slot = {unblocked} FROM f
    WHERE e.id = f.id AND f.follower IS NULL AND e.slot::text = 'b' RETURNING 1)
SELECT (SELECT count(*) FROM f WHERE CASE WHEN f.follower IS NULL THEN f.id IS NOT NULL ELSE NOT f.is_taken END)
    - (SELECT count(*) FROM l) - (SELECT count(*) FROM u)";

/// The statements of an outbox.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) schema: SchemaName,
    texts: Texts,
    pub(crate) insert: String,
    pub(crate) insert_headed: String,
    pub(crate) insert_expiring: String,
    pub(crate) insert_after: String,
    pub(crate) insert_many: String,
    pub(crate) known: String,
    pub(crate) fold: String,
    pub(crate) promote: String,
    pub(crate) demote: String,
    pub(crate) complete: String,
    /// The same, with an entry in the history.
    pub(crate) complete_kept: String,
    /// In a transaction of the caller.
    pub(crate) complete_on: String,
    pub(crate) settle: String,
    /// As the three above, without waiting for locked rows.
    pub(crate) unlocked: Unlocked,
    pub(crate) locked: String,
    pub(crate) unblock_next: String,
    pub(crate) unblock_lanes: String,
    pub(crate) unblock_after_batch: String,
    pub(crate) next_of_leased: String,
    pub(crate) lease_followers: String,
    pub(crate) remove: String,
    pub(crate) remove_unnoted: String,
    pub(crate) lock_notes: String,
    pub(crate) take_up_notes: String,
    pub(crate) unblock: String,
    /// Lets candidates wait for their parents.
    pub(crate) wait: String,
    pub(crate) free: String,
    pub(crate) free_of_gone: String,
}

/// The statements that record outcomes of rows that nobody else holds locked.
#[derive(Debug)]
pub(crate) struct Unlocked {
    pub(crate) complete: String,
    pub(crate) complete_kept: String,
    pub(crate) settle: String,
}

/// The statement that records outcomes of all rows, and waits for those that others hold locked.
fn of_all(template: &str) -> String {
    template.replace("{lock}", "").replace("{of_locked}", "")
}

/// The statement that records the same outcomes, but only of rows that it can lock at once, and of
/// them only the rows `k` that this text selects.
fn of_unlocked(template: &str, which: &str) -> String {
    template
        .replace("{lock}", &format!("{LOCK}{which},\n"))
        .replace("{of_locked}", OF_LOCKED)
}

impl Sql {
    pub(crate) fn new(schema: SchemaName) -> Self {
        let text = |template: &str| render(&schema, template);
        let delivered = with_attempt("$3", "delivered", "''");
        let complete = COMPLETE.replace("{kept}", "");
        let complete_kept = COMPLETE.replace("{kept}", &format!(", attempts = {delivered}"));
        let settle = SETTLE
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
            .replace("{dead}", &with_attempt("$8", "dead", "s.message"));
        Self {
            unlocked: Unlocked {
                complete: text(&of_unlocked(&complete, MAY_END)),
                complete_kept: text(&of_unlocked(&complete_kept, MAY_END)),
                settle: text(&of_unlocked(&settle, followers::MAY_GO_BACK)),
            },
            insert: text(INSERT),
            insert_headed: text(INSERT_HEADED),
            insert_expiring: text(INSERT_EXPIRING),
            insert_after: text(INSERT_AFTER),
            insert_many: text(INSERT_MANY),
            known: text(KNOWN),
            fold: text(FOLD),
            promote: text(PROMOTE),
            demote: text(DEMOTE),
            complete: text(&of_all(&complete)),
            complete_kept: text(&of_all(&complete_kept)),
            locked: text(LOCKED),
            complete_on: text(COMPLETE_ON),
            settle: text(&of_all(&settle)),
            unblock_next: text(
                &UNBLOCK_NEXT.replace("{unblocked}", &UNBLOCKED.replace("{now}", "$2")),
            ),
            unblock_lanes: text(
                &UNBLOCK_LANES.replace("{unblocked}", &UNBLOCKED.replace("{now}", "$2")),
            ),
            unblock_after_batch: text(
                &followers::UNBLOCK_AFTER_BATCH
                    .replace("{unblocked}", &UNBLOCKED.replace("{now}", "$2")),
            ),
            next_of_leased: text(
                &followers::NEXT_OF_LEASED.replace("{columns}", &columns_without_metadata()),
            ),
            lease_followers: text(followers::LEASE_FOLLOWERS),
            remove: text(&REMOVE.replace("{forget}", FORGET)),
            remove_unnoted: text(&REMOVE_UNNOTED.replace("{forget}", FORGET)),
            lock_notes: text(LOCK_NOTES),
            take_up_notes: text(
                &TAKE_UP_NOTES.replace("{unblocked}", &UNBLOCKED.replace("{now}", "$2")),
            ),
            unblock: text(&UNBLOCK.replace("{unblocked}", &UNBLOCKED.replace("{now}", GIVEN_NOW))),
            wait: text(parents::WAIT),
            free: text(&parents::FREE.replace("{unblocked}", &UNBLOCKED.replace("{now}", "$2"))),
            free_of_gone: text(
                &parents::FREE_OF_GONE
                    .replace("{unblocked}", &UNBLOCKED.replace("{now}", GIVEN_NOW)),
            ),
            schema,
            texts: Texts::default(),
        }
    }

    /// Fills the names and the shared conditions into a statement: `{s}` the schema, `{behind}` and
    /// `{elders}` of the row `e`, and others above.
    pub(crate) fn text(&self, template: &str) -> String {
        render(&self.schema, template)
    }

    /// The same, for a text that is put together for each request.
    pub(crate) fn text_of(&self, template: String) -> Arc<str> {
        self.texts.of(template, |template| self.text(template))
    }

    /// The same, for a statement that unblocks rows at `now`, which is one of its parameters.
    pub(crate) fn unblocking(&self, template: &str, now: &str) -> String {
        let unblocked = UNBLOCKED.replace("{now}", now);
        self.text(&template.replace("{unblocked}", &unblocked))
    }

    /// The channel on which sleeping workers are woken.
    pub(crate) fn channel(schema: &SchemaName) -> String {
        format!("{schema}_wake")
    }
}

/// Fills the names of the schema, its locks and its channel, and the shared conditions into a text.
pub(crate) fn render(schema: &SchemaName, template: &str) -> String {
    template
        .replace("{behind}", BEHIND)
        .replace("{elders}", ELDERS)
        .replace("{kin}", KIN)
        .replace("{freed}", FREED)
        .replace("{may_go_back}", followers::MAY_GO_BACK)
        .replace("{is_free_to_go}", followers::IS_FREE_TO_GO)
        .replace("{is_lost}", followers::IS_LOST)
        .replace("{waits}", parents::WAITS)
        .replace("{creations}", parents::CREATIONS)
        .replace("{holds}", parents::HOLDS)
        .replace("{waiting}", parents::WAITING)
        .replace("{nobody}", NOBODY)
        .replace("{columns_e}", &columns("e"))
        .replace("{class}", &schema.lock_class().to_string())
        .replace("{channel}", &Sql::channel(schema))
        .replace("{block}", BLOCK)
        .replace("{s}", schema.as_str())
}
