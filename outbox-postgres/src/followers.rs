//! The statements about followers: see [`follow`](crate::follow).

/// Of the locked rows `k0` of leased events, those that may go back in line, as `k`. The lane of a
/// first one that goes back is held by its next follower from then on, so somebody else must not
/// have the locks of all of these. A locked follower in `g` takes its place.
pub(crate) const MAY_GO_BACK: &str =
    "g AS MATERIALIZED (SELECT o.lane FROM k0 CROSS JOIN LATERAL (SELECT o.lane FROM {s}.events o
        WHERE o.lane = k0.lane AND o.slot = 'f' AND o.id NOT IN (SELECT k0.id FROM k0)
        ORDER BY o.seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) o
    WHERE k0.slot = 'l'),
k AS MATERIALIZED (SELECT k0.id FROM k0 WHERE k0.slot <> 'l' OR k0.lane IS NULL OR k0.lane IN (SELECT g.lane FROM g)
    OR (SELECT o.id FROM {s}.events o WHERE o.lane = k0.lane AND o.slot = 'f' AND o.id NOT IN (SELECT k0.id FROM k0)
        LIMIT 1) IS NULL)";

/// Whether the row `e` of a first leased event may go back in line as far as the locks of others
/// tell, as in `MAY_GO_BACK`.
pub(crate) const IS_FREE_TO_GO: &str =
    "((SELECT o.id FROM {s}.events o WHERE o.lane = e.lane AND o.slot = 'f' LIMIT 1) IS NULL
    OR (SELECT o.id FROM {s}.events o WHERE o.lane = e.lane AND o.slot = 'f' LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) IS NOT NULL)";

/// As `UNBLOCK_NEXT`, for events that may have been leased together with others of their lanes. The
/// next of these holds the lane from now on; if somebody has all of them locked, an ended event
/// keeps a note, and if none of the lane has ended, this waits, for as long as a lock may take.
/// Only then is the first blocked event unblocked, unless it waits for one that went back in line
/// before it, in this transaction.
pub(crate) const UNBLOCK_AFTER_BATCH: &str =
    "WITH d AS MATERIALIZED (SELECT d.id, d.lane, d.seq, d.slot IS NULL AND d.xmin = pg_current_xact_id()::xid AS has_ended
    FROM {s}.events d WHERE d.id = ANY ($1) AND d.lane IS NOT NULL),
z AS MATERIALIZED (SELECT x.lane, x.done,
        (SELECT o.id FROM {s}.events o WHERE o.lane = x.lane AND o.slot = 'f' LIMIT 1) IS NOT NULL AS is_followed,
        (SELECT o.id FROM {s}.events o WHERE o.lane = x.lane AND o.slot IN ('l', 'n') LIMIT 1) IS NOT NULL AS is_taken
    FROM (SELECT d.lane, (array_agg(d.id ORDER BY d.seq DESC) FILTER (WHERE d.has_ended))[1] AS done
        FROM d GROUP BY d.lane) x),
p AS MATERIALIZED (SELECT z.lane, o.id FROM z CROSS JOIN LATERAL (SELECT o.id FROM {s}.events o
        WHERE o.lane = z.lane AND o.slot = 'f' ORDER BY o.seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) o
    WHERE z.is_followed AND NOT z.is_taken),
q AS MATERIALIZED (SELECT z.lane, o.id, o.seq FROM z CROSS JOIN LATERAL (SELECT o.id, o.seq FROM {s}.events o
        WHERE o.lane = z.lane AND o.slot = 'f' ORDER BY o.seq FOR NO KEY UPDATE) o
    WHERE z.is_followed AND NOT z.is_taken AND z.done IS NULL AND z.lane NOT IN (SELECT p.lane FROM p)),
l AS (UPDATE {s}.events e SET slot = 'l' FROM (SELECT p.id FROM p
        UNION ALL SELECT (array_agg(q.id ORDER BY q.seq))[1] FROM q GROUP BY q.lane) x WHERE e.id = x.id),
f AS MATERIALIZED (SELECT z.lane, b.id FROM z CROSS JOIN LATERAL (SELECT b.id, b.seq FROM {s}.events b
        WHERE b.lane = z.lane AND b.slot = 'b' ORDER BY b.seq LIMIT 1) b
    WHERE NOT z.is_followed AND NOT z.is_taken AND (SELECT o.id FROM {s}.events o WHERE o.lane = z.lane
        AND o.slot IN ('r', 'w', 'h') AND o.seq < b.seq AND o.xmin = pg_current_xact_id()::xid LIMIT 1) IS NULL),
k AS MATERIALIZED (SELECT f.lane, e.id FROM f JOIN {s}.events e ON e.id = f.id
    WHERE e.slot::text = 'b' FOR NO KEY UPDATE OF e SKIP LOCKED),
n AS (UPDATE {s}.events e SET slot = 'n' FROM z WHERE e.id = z.done AND e.slot IS NULL AND NOT z.is_taken
    AND (z.is_followed AND z.lane NOT IN (SELECT p.lane FROM p)
        OR z.lane IN (SELECT f.lane FROM f) AND z.lane NOT IN (SELECT k.lane FROM k))),
{freed}
UPDATE {s}.events e SET slot = {unblocked} FROM (SELECT k.id FROM k UNION SELECT c.id FROM c) b WHERE e.id = b.id
RETURNING e.priority, e.due";

/// Which of the leases `$1`, `$2` hold at `$4`, whose rows it locks, and the next rows of their
/// lanes, at most `$5` in all, in the order of the leases: those beyond `$3`, or beyond the event
/// of the lease. Rows that can follow are locked; others, and those that somebody else has locked,
/// are reported without their columns. A lane has none if an earlier event joined it meanwhile,
/// which goes first.
pub(crate) const NEXT_OF_LEASED: &str = "WITH a AS MATERIALIZED (SELECT s.nth, coalesce(s.beyond, e.seq) AS beyond, e.lane, {columns}
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) WITH ORDINALITY s(id, token, beyond, nth)
    JOIN {s}.events e ON e.id = s.id
    WHERE e.lease_token = s.token AND e.slot::text IN ('l', 'f') AND e.lease_expires_at > $4 AND e.lane IS NOT NULL
    FOR NO KEY UPDATE OF e SKIP LOCKED),
n AS MATERIALIZED (SELECT a.nth, x.id, x.seq FROM a CROSS JOIN LATERAL (SELECT y.id, y.seq FROM (
        (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = a.lane AND o.slot IN ('r', 'w', 'h') AND o.seq > a.beyond
            ORDER BY o.seq LIMIT $5)
        UNION ALL (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = a.lane AND o.slot = 'b' AND o.seq > a.beyond
            ORDER BY o.seq LIMIT $5)
        UNION ALL (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = a.lane AND o.slot = 'f' AND o.seq > a.beyond
            ORDER BY o.seq LIMIT 1)
        UNION ALL (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = a.lane AND o.slot = 'l' AND o.slot IN ('l', 'n')
            AND o.seq > a.beyond)) y ORDER BY y.seq LIMIT $5) x
    WHERE (SELECT o.id FROM {s}.events o WHERE o.lane = a.lane AND o.slot IN ('r', 'w', 'h') AND o.seq < a.seq LIMIT 1) IS NULL
        AND (SELECT o.id FROM {s}.events o WHERE o.lane = a.lane AND o.slot = 'b' AND o.seq < a.seq LIMIT 1) IS NULL
    ORDER BY a.nth, x.seq LIMIT $5),
k AS MATERIALIZED (SELECT n.nth, coalesce(octet_length(e.metadata), 0)::bigint AS size, {elders} OR {waits} AS is_held_back,
        {columns}
    FROM n JOIN {s}.events e ON e.id = n.id WHERE e.slot::text IN ('r', 'w', 'b') FOR NO KEY UPDATE OF e SKIP LOCKED)
SELECT e.nth, e.seq AS place, true, true, 0::bigint, false, {columns_e} FROM a e
UNION ALL SELECT e.nth, e.seq, false, true, e.size, e.is_held_back, {columns_e} FROM k e
UNION ALL SELECT n.nth, n.seq, false, false, 0, false, {columns_e} FROM n LEFT JOIN (SELECT * FROM k LIMIT 0) e ON true
    WHERE n.id NOT IN (SELECT k.id FROM k)
ORDER BY nth, place";

/// Leases the followers `$1` under the tokens `$2` until `$3`, at `$4`. Their rows are locked.
pub(crate) const LEASE_FOLLOWERS: &str =
    "UPDATE {s}.events e SET slot = 'f', status = 'i', attempt_count = e.attempt_count + 1,
    last_attempt_at = $4, lease_token = s.token, lease_expires_at = s.ends
FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) s(id, token, ends) WHERE e.id = s.id
RETURNING e.lane, {columns_e}";

/// Gives the lanes of followers without a first leased event, which other SQL has deleted, such a
/// one.
pub(crate) const LEAD: &str = "UPDATE {s}.events e SET slot = 'l' FROM (SELECT DISTINCT ON (f.lane) f.id FROM {s}.events f
    WHERE f.slot = 'f' AND {is_lost} ORDER BY f.lane, f.seq) x WHERE e.id = x.id AND e.slot::text = 'f'";

/// Whether the lane of the follower `f` has no first leased event.
pub(crate) const IS_LOST: &str = "(SELECT o.id FROM {s}.events o WHERE o.lane = f.lane AND o.slot IN ('l', 'n') LIMIT 1) IS NULL";
