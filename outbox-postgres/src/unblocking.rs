//! The statements about blocked events: which ones claims may take.

/// The slot of the row that is no longer blocked, at `{now}`. An event that was neither attempted
/// nor delayed is due, even after a clock jump.
const UNBLOCKED: &str =
    "CASE WHEN e.last_attempt_at IS NULL AND e.due <= e.created_at OR e.due <= {now}
    THEN 'r'::\"char\" ELSE 'w'::\"char\" END";

/// Fills in the slot of rows that are no longer blocked at `now`, an expression of the statement.
pub(crate) fn at(template: &str, now: &str) -> String {
    template.replace("{unblocked}", &UNBLOCKED.replace("{now}", now))
}

/// Makes rows candidates whose due time has come.
pub(crate) const PROMOTE: &str =
    "WITH p AS MATERIALIZED (SELECT ctid AS t FROM {s}.events WHERE slot = 'w' AND due <= $1
    ORDER BY due LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED)
UPDATE {s}.events e SET slot = 'r' FROM p WHERE e.ctid = p.t";

/// Blocks the candidates of the lanes `$1` up to the seq `$2` behind a front that it holds locked
/// meanwhile. The worker that ends that front updates its row first, so it waits, and then sees the
/// blocked ones. Those beyond the scan stay candidates: their turn may come before a claim meets
/// them. So do those before a leased event, which have to be found before it once it comes back.
pub(crate) const DEMOTE: &str = "WITH f AS MATERIALIZED (SELECT coalesce(
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot IN ('l', 'n')),
        (SELECT o.id FROM {s}.events o WHERE o.lane = z.l AND o.slot IN ('r', 'w', 'h') ORDER BY o.seq LIMIT 1)) AS id
    FROM (SELECT DISTINCT l FROM unnest($1::bigint[]) l) z),
k AS MATERIALIZED (SELECT e.seq, e.lane FROM f JOIN {s}.events e ON e.id = f.id
    WHERE e.slot IN ('r', 'w', 'l', 'h', 'n') FOR NO KEY UPDATE OF e SKIP LOCKED),
x AS MATERIALIZED (SELECT e.id FROM k JOIN {s}.events e ON e.lane = k.lane
    WHERE e.slot IN ('r', 'w') AND e.slot IN ('r', 'w', 'h') AND e.seq > k.seq AND e.seq <= $2 LIMIT 5000
    FOR NO KEY UPDATE OF e SKIP LOCKED)
UPDATE {s}.events e SET slot = 'b' FROM x WHERE e.id = x.id";

/// Unblocks what waited for the events `$1`, which have just ended or come back. A statement of its
/// own, because it needs a snapshot from after their row locks. Where somebody holds the next event
/// locked, the ended one keeps a note, which the next claim takes up; an event that another
/// transaction ended had its note from that one. An event that came back gives way to an earlier
/// one that joined its lane meanwhile. Frees the events that waited for one that is dead, too.
pub(crate) const UNBLOCK_NEXT: &str = "WITH f AS MATERIALIZED (SELECT d.id AS done,
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
pub(crate) const FREED: &str = "c AS MATERIALIZED (SELECT e.id, w.creation FROM {s}.events o JOIN {s}.waits w ON w.creation = o.id
        JOIN {s}.events e ON e.id = w.child
    WHERE o.id = ANY ($1) AND NOT {holds} AND {waiting} FOR NO KEY UPDATE OF e SKIP LOCKED),
x AS (DELETE FROM {s}.waits w USING c WHERE w.creation = c.creation AND w.child = c.id)";

/// As `UNBLOCK_NEXT`, for completed events `$1` whose lanes `$3` are known: nothing is read of
/// events behind which none waits. A lane that is not free yet may get a candidate, which claims
/// step over.
pub(crate) const UNBLOCK_LANES: &str = "WITH f AS MATERIALIZED (SELECT x.done, x.id FROM (SELECT d.id AS done,
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
pub(crate) const LOCK_NOTES: &str = "SELECT id FROM {s}.events WHERE slot = 'n' AND id > $1 ORDER BY id LIMIT 20 FOR NO KEY UPDATE SKIP LOCKED";

/// Takes up the notes `$1`, whose rows are locked: unblocks the next event and drops the note,
/// unless somebody still holds the next event locked. A lane with followers goes to the first of
/// them that nobody has locked. Returns how many notes it drops, which comes before another event
/// takes their place in the index.
pub(crate) const TAKE_UP_NOTES: &str = "WITH d AS MATERIALIZED (SELECT d.id, d.lane,
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
pub(crate) const UNBLOCK: &str = "WITH f AS MATERIALIZED (SELECT
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
