CREATE TABLE {s}.events (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    lane bigint,
    entity_lane bigint,
    created_at timestamptz NOT NULL,
    due timestamptz NOT NULL,
    last_attempt_at timestamptz,
    completed_at timestamptz,
    lease_expires_at timestamptz,
    lease_token uuid,
    deferred_since timestamptz,
    max_attempts bigint NOT NULL,
    metadata_version bigint NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    priority integer NOT NULL,
    attempt_count integer NOT NULL DEFAULT 0,
    deferrals integer NOT NULL DEFAULT 0,
    crashes integer NOT NULL DEFAULT 0,
    snoozes integer NOT NULL DEFAULT 0,
    status "char" NOT NULL DEFAULT 'p',
    slot "char" DEFAULT 'r',
    operation "char" NOT NULL,
    lane_order "char" NOT NULL,
    on_dead "char" NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    destination text COLLATE "C",
    dead_reason text,
    last_refusal text,
    error_message text,
    metadata text,
    trace_context text,
    expires_at timestamptz,
    dedup_key text COLLATE "C",
    attempts text[],
    parents jsonb,
    awaited boolean,
    headers text,
    freed bigint[]
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.1);
COMMENT ON TABLE {s}.events IS 'Undelivered and delivered events. Change and delete them through the library only.';
COMMENT ON COLUMN {s}.events.status IS 'p pending, i with a handler, c completed, f failed, d dead';
COMMENT ON COLUMN {s}.events.slot IS
    'r candidate, w due later, b blocked, l leased, f leased behind the one with l, h dead or waiting for a parent, and holding, n finished with the next one not unblocked yet, NULL out';
COMMENT ON COLUMN {s}.events.lane_order IS 'e of its entity, u of its user, n none';
COMMENT ON COLUMN {s}.events.attempts IS
    'Attempts that were not delivered, the oldest first: begin and end in microseconds, outcome, message';
COMMENT ON COLUMN {s}.events.trace_context IS
    'The span that enqueued the event: its traceparent, and after a space its tracestate, if any';
COMMENT ON COLUMN {s}.events.expires_at IS 'From then on the event is neither sent nor retried';
COMMENT ON COLUMN {s}.events.dedup_key IS 'A new event of the user with the same key replaces this one until it is claimed';
COMMENT ON COLUMN {s}.events.parents IS 'The entities whose creations must be delivered first';
COMMENT ON COLUMN {s}.events.awaited IS 'Whether events in the table waits may wait for this one';
COMMENT ON COLUMN {s}.events.freed IS
    'Of a creation that was retried: the seq up to which events do not wait for it, of those that skip and of the others';
COMMENT ON COLUMN {s}.events.headers IS
    'A JSON object: the value of each name, as a string or, if tools hide it, as {"sensitive": ".."}';
CREATE FUNCTION {s}.refuse_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'event % has a value that no outbox writes', NEW.id
        USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME, HINT = 'Enqueue events through the library or the function enqueue.';
END $$;
-- Checked on insertion only. A constraint would be checked by each claim and each outcome, too, which
-- change none of these columns except for the slot and the status.
CREATE TRIGGER events_valid BEFORE INSERT ON {s}.events FOR EACH ROW WHEN (NOT (
    NEW.slot IN ('r', 'b', 'w', 'l', 'f', 'h', 'n')
    AND NEW.status IN ('p', 'c', 'd', 'f', 'i')
    AND NEW.operation IN ('u', 'c', 'd')
    AND NEW.on_dead IN ('h', 's')
    AND CASE NEW.lane_order
        WHEN 'e' THEN NEW.lane IS NOT NULL AND NEW.entity_lane IS NULL
        WHEN 'u' THEN NEW.lane IS NOT NULL AND NEW.entity_lane IS NOT NULL
        WHEN 'n' THEN NEW.lane IS NULL AND NEW.entity_lane IS NOT NULL
        ELSE false END
    AND NEW.max_attempts > 0
    AND NEW.event_type <> '' AND NEW.user_id <> '' AND NEW.entity_id <> ''
    AND octet_length(NEW.metadata) <= 16777216))
    EXECUTE FUNCTION {s}.refuse_event();
CREATE INDEX events_ready ON {s}.events (priority DESC, due, seq) WHERE slot = 'r';
CREATE INDEX events_front ON {s}.events (lane, seq) WHERE slot IN ('r', 'w', 'h');
CREATE INDEX events_blocked ON {s}.events (lane, seq) WHERE slot = 'b';
CREATE UNIQUE INDEX events_taken ON {s}.events (lane) WHERE slot IN ('l', 'n');
CREATE INDEX events_following ON {s}.events (lane, seq) WHERE slot = 'f';
CREATE INDEX events_note ON {s}.events (id) WHERE slot = 'n';
CREATE INDEX events_waiting ON {s}.events (due) WHERE slot = 'w';
CREATE INDEX events_reordered ON {s}.events (entity_lane, seq)
    WHERE entity_lane IS NOT NULL AND slot IN ('r', 'w', 'b', 'l', 'f', 'h');
CREATE INDEX events_noted ON {s}.events (user_id) WHERE (deferrals > 0 OR snoozes > 9) AND status IN ('p', 'i', 'f');
CREATE INDEX events_dead ON {s}.events (entity_id) WHERE status = 'd';
CREATE INDEX events_done ON {s}.events (completed_at) WHERE status = 'c';
CREATE INDEX events_keyed ON {s}.events (dedup_key, user_id) WHERE dedup_key IS NOT NULL;
CREATE INDEX events_seq ON {s}.events USING brin (seq) WITH (pages_per_range = 16, autosummarize = on);
CREATE TABLE {s}.tally (
    block bigint PRIMARY KEY,
    fresh integer NOT NULL,
    retrying integer NOT NULL,
    completed integer NOT NULL,
    dead integer NOT NULL,
    oldest timestamptz,
    newest timestamptz,
    completed_to timestamptz
);
COMMENT ON TABLE {s}.tally IS
    'Counts of events per 1024 values of seq. May be emptied; they are counted again';
CREATE TABLE {s}.tally_delta (
    block bigint NOT NULL,
    fresh integer NOT NULL,
    retrying integer NOT NULL,
    completed integer NOT NULL,
    dead integer NOT NULL,
    completed_to timestamptz
);
COMMENT ON TABLE {s}.tally_delta IS 'Changes since the counts in tally';
CREATE TABLE {s}.folded (
    id uuid PRIMARY KEY,
    into_id uuid NOT NULL,
    fingerprint bigint,
    operation "char",
    metadata_version bigint,
    metadata text,
    headers text
);
COMMENT ON TABLE {s}.folded IS
    'Ids of events that another event carries, and the first content of events that others were folded into';
CREATE INDEX folded_into ON {s}.folded (into_id);
CREATE TABLE {s}.completions (
    id uuid,
    token uuid,
    is_kept boolean NOT NULL,
    completed_at timestamptz NOT NULL,
    superseded text,
    PRIMARY KEY (id, token)
);
COMMENT ON TABLE {s}.completions IS
    'Events that their handlers have completed without having answered yet; with a token of zeros, events that go with their notes';
CREATE TABLE {s}.waits (
    creation uuid,
    child uuid,
    PRIMARY KEY (creation, child)
);
COMMENT ON TABLE {s}.waits IS 'Events that wait for the creation of a parent';
CREATE TABLE {s}.told (
    user_end text COLLATE "C",
    entity_end text COLLATE "C",
    PRIMARY KEY (user_end, entity_end)
);
COMMENT ON TABLE {s}.told IS
    'Ends of the ids of entities that the remote service may know although their events were deleted';
CREATE TABLE {s}.pauses (
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('everything', 'event_type', 'user', 'destination')),
    name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL UNIQUE,
    since timestamptz NOT NULL,
    until timestamptz,
    paused_by text,
    because text,
    PRIMARY KEY (kind, name)
);
COMMENT ON TABLE {s}.pauses IS 'Events that claims leave out. Change it through the library only';
CREATE TABLE {s}.runs (
    run_id uuid PRIMARY KEY,
    process bigint NOT NULL,
    started_at timestamptz NOT NULL,
    event_types text[],
    held_types text[],
    user_id text,
    version text NOT NULL,
    host text,
    boot text,
    pid_namespace text,
    time_namespace text,
    started bigint,
    listens boolean NOT NULL,
    announced_at timestamptz NOT NULL
);
COMMENT ON TABLE {s}.runs IS 'Runs of processors that have not ended, as their processes announced them';
CREATE TABLE {s}.cleaned_up (
    user_id text COLLATE "C" NOT NULL,
    completed bigint NOT NULL
);
COMMENT ON TABLE {s}.cleaned_up IS 'How many delivered events of each user were deleted; a user''s rows add up';
CREATE INDEX cleaned_up_user ON {s}.cleaned_up (user_id);
CREATE FUNCTION {s}.lane(lane_order text, user_id text, entity_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog
    RETURN ('x' || encode(substr(sha256(convert_to(
        lane_order || octet_length(user_id) || ':' || user_id
            || CASE WHEN lane_order = 'u' THEN '' ELSE entity_id END, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint;
-- The bodies are planned once per session, whatever pooler is between: planning takes three times
-- as long as the rest. Enqueueing reads no other event and takes no lock but those on the ids, so it
-- is right in any transaction at any isolation level.
CREATE FUNCTION {s}.wake() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- A sleeping worker holds the locks in share mode. A notification in each transaction would make
    -- all commits wait for each other.
    IF pg_try_advisory_lock({class}, pg_backend_pid() & 15) THEN
        PERFORM pg_advisory_unlock({class}, pg_backend_pid() & 15);
    ELSE
        PERFORM pg_notify('{channel}', '');
    END IF;
END $$;
COMMENT ON FUNCTION {s}.wake IS 'Tells a sleeping worker of the commit to come';
CREATE FUNCTION {s}.enqueue(uuid, bigint, bigint, "char", text, "char", text, text, integer, bigint, text, bigint,
    "char", text, bigint, timestamptz, text, text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    statement_now CONSTANT timestamptz := coalesce($16, statement_timestamp());
    written bigint;
BEGIN
    INSERT INTO {s}.events
        (id, lane, entity_lane, lane_order, event_type, operation, user_id, entity_id, priority,
    max_attempts, metadata, metadata_version, on_dead, destination, trace_context, headers, created_at, due, slot)
    SELECT $1, $2, CASE WHEN $4 <> 'e' THEN $3 END, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $17, $18,
        statement_now, statement_now + $15 * interval '1 microsecond', CASE WHEN $15 > 0 THEN 'w'::"char" ELSE 'r' END
    WHERE NOT EXISTS (SELECT 1 FROM {s}.folded f WHERE f.id = $1)
    ON CONFLICT (id) DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM {s}.wake();
    RETURN written;
END $$;
COMMENT ON FUNCTION {s}.enqueue IS 'Writes one event and returns 1, or 0 if its id is known';
CREATE FUNCTION {s}.expire(uuid[], bigint[], timestamptz[]) RETURNS void LANGUAGE sql
    SET enable_seqscan = off BEGIN ATOMIC
    UPDATE {s}.events e SET expires_at = x.ends, due = x.due,
        slot = CASE WHEN e.slot = 'w' AND x.due <= e.created_at THEN 'r' ELSE e.slot END
    FROM (SELECT b.id, b.ends, least(b.due, greatest(b.ends, b.created_at)) AS due
        FROM (SELECT n.id, n.due, n.created_at,
                coalesce(g.moment, n.created_at + g.micros * interval '1 microsecond') AS ends
            FROM unnest($1, $2, $3) g(id, micros, moment) JOIN {s}.events n ON n.id = g.id) b) x
    WHERE e.id = x.id;
END;
COMMENT ON FUNCTION {s}.expire IS
    'Lets events that this transaction has written expire, each so many microseconds after it was enqueued, or at a time';
CREATE FUNCTION {s}.enqueue_expiring(uuid, bigint, bigint, "char", text, "char", text, text, integer, bigint, text, bigint,
    "char", text, bigint, timestamptz, text, bigint, timestamptz, text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    written CONSTANT bigint := {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $20);
BEGIN
    IF written > 0 THEN
        PERFORM {s}.expire(ARRAY[$1], ARRAY[$18], ARRAY[$19]);
    END IF;
    RETURN written;
END $$;
COMMENT ON FUNCTION {s}.enqueue_expiring IS
    'As enqueue, for an event that expires so many microseconds after it is enqueued, or at a time';
CREATE FUNCTION {s}.after(uuid[], text[]) RETURNS void LANGUAGE sql
    SET enable_seqscan = off BEGIN ATOMIC
    UPDATE {s}.events e SET parents = g.parents::jsonb FROM unnest($1, $2) g(id, parents) WHERE e.id = g.id;
END;
COMMENT ON FUNCTION {s}.after IS
    'Lets events that this transaction has written wait for the creations of other entities: {"eventType", "entityID", "aliases"}, in an array';
CREATE FUNCTION {s}.enqueue_after(uuid, bigint, bigint, "char", text, "char", text, text, integer, bigint, text, bigint,
    "char", text, bigint, timestamptz, text, bigint, timestamptz, text, text) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    written CONSTANT bigint := {s}.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $20);
BEGIN
    IF written > 0 THEN
        PERFORM {s}.after(ARRAY[$1], ARRAY[$21]);
        IF $18 IS NOT NULL OR $19 IS NOT NULL THEN
            PERFORM {s}.expire(ARRAY[$1], ARRAY[$18], ARRAY[$19]);
        END IF;
    END IF;
    RETURN written;
END $$;
COMMENT ON FUNCTION {s}.enqueue_after IS
    'As enqueue_expiring, for an event that waits for the creations of other entities. The times and the headers may be NULL';
CREATE FUNCTION {s}.enqueue_many(uuid[], bigint[], bigint[], "char"[], text[], "char"[], text[], text[], integer[],
    bigint[], text[], bigint[], "char"[], text[], bigint[], timestamptz, boolean[], boolean, text[], text[] DEFAULT NULL)
    RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    statement_now CONSTANT timestamptz := coalesce($16, statement_timestamp());
    written bigint;
BEGIN
    INSERT INTO {s}.events (id, lane, entity_lane, lane_order, event_type, operation, user_id, entity_id, priority,
    max_attempts, metadata, metadata_version, on_dead, destination, trace_context, headers, created_at, due, slot)
    SELECT b.id, b.lane, CASE WHEN b.lane_order <> 'e' THEN b.entity_lane END, b.lane_order, b.event_type, b.operation,
        b.user_id, b.entity_id, b.priority, b.max_attempts, b.metadata, b.metadata_version, b.on_dead, b.destination,
        b.trace_context, b.headers, statement_now, statement_now + b.delay * interval '1 microsecond',
        CASE WHEN b.is_behind THEN 'b'::"char" WHEN b.delay > 0 THEN 'w' ELSE 'r' END
    FROM (SELECT unnest($1) AS id, unnest($2) AS lane, unnest($3) AS entity_lane, unnest($4) AS lane_order,
        unnest($5) AS event_type, unnest($6) AS operation, unnest($7) AS user_id, unnest($8) AS entity_id,
        unnest($9) AS priority, unnest($10) AS max_attempts, unnest($11) AS metadata, unnest($12) AS metadata_version,
        unnest($13) AS on_dead, unnest($14) AS destination, unnest($15) AS delay, unnest($17) AS is_behind,
        unnest($19) AS trace_context, unnest($20) AS headers) b
    WHERE ($18 OR NOT EXISTS (SELECT 1 FROM {s}.events k WHERE k.id = ANY ($1)))
        AND NOT (EXISTS (SELECT 1 FROM {s}.folded) AND EXISTS (SELECT 1 FROM {s}.folded k WHERE k.id = ANY ($1)));
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM {s}.wake();
    RETURN written;
END $$;
COMMENT ON FUNCTION {s}.enqueue_many IS
    'Writes events and returns their number, or 0 if an id is known. If the last boolean is true, an id of another event is a unique_violation, which is faster';
CREATE FUNCTION {s}.complete(uuid, uuid, boolean, timestamptz) RETURNS boolean LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    statement_now CONSTANT timestamptz := coalesce($4, statement_timestamp());
    done record;
BEGIN
    INSERT INTO {s}.completions (id, token, is_kept, completed_at) VALUES ($1, $2, $3, statement_now)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    -- The next event is unblocked by the worker that takes up the note: one that is blocked before
    -- this transaction ends may be missing in its snapshot. So are those that wait for a creation.
    -- Behind another leased event, none is unblocked yet, and the outcome that the worker records
    -- frees those that wait.
    UPDATE {s}.events e SET
        slot = CASE WHEN e.slot::text = 'l' AND (e.lane IS NOT NULL OR e.operation = 'c') THEN 'n'::"char" END,
        status = 'c', completed_at = statement_now, error_message = NULL, lease_token = NULL,
        lease_expires_at = NULL, crashes = 0
    WHERE e.id = $1 AND e.lease_token = $2 AND e.lease_expires_at > statement_now AND e.slot::text IN ('l', 'f')
    RETURNING e.seq, e.attempt_count INTO done;
    IF NOT FOUND THEN
        DELETE FROM {s}.completions c WHERE c.id = $1 AND c.token = $2;
        RETURN false;
    END IF;
    INSERT INTO {s}.tally_delta SELECT done.seq >> 10, -(done.attempt_count <= 1)::integer,
        -(done.attempt_count > 1)::integer, 1, 0, statement_now;
    PERFORM {s}.wake();
    RETURN true;
END $$;
COMMENT ON FUNCTION {s}.complete IS
    'Completes an event under the token of its lease, for a handler: whether it has. The boolean tells whether the event is kept';
CREATE FUNCTION {s}.fold(uuid, bigint, bigint, "char", text, "char", text, text, integer, bigint, text, bigint,
    "char", text, bigint, timestamptz, text, bigint, text, text) RETURNS TABLE (carrier uuid, cancelled boolean) LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY WITH t AS MATERIALIZED (SELECT coalesce($16::timestamptz, statement_timestamp()) AS now),
newest AS MATERIALIZED (SELECT x.id, x.seq FROM (
    (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = $2 AND o.slot IN ('r', 'w', 'h') ORDER BY o.seq DESC LIMIT 1)
    UNION ALL
    (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = $2 AND o.slot = 'b' ORDER BY o.seq DESC LIMIT 1)
    UNION ALL
    (SELECT o.id, o.seq FROM {s}.events o WHERE o.lane = $2 AND o.slot = 'l' AND o.slot IN ('l', 'n') LIMIT 1)
    UNION ALL
    (SELECT o.id, o.seq FROM {s}.events o WHERE $4 = 'n' AND o.entity_lane = $3
        AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h') AND o.lane_order = 'n' AND o.user_id = $7 AND o.entity_id = $8
        ORDER BY o.seq DESC LIMIT 1)) x ORDER BY x.seq DESC LIMIT 1),
k AS MATERIALIZED (SELECT e.id, e.seq, e.operation, e.metadata, e.metadata_version, e.headers,
        e.operation = 'c' AND $6 = 'd' AS cancels
    FROM newest n JOIN {s}.events e ON e.id = n.id
    WHERE e.slot IN ('r', 'w', 'b', 'h') AND e.status = 'p' AND e.last_attempt_at IS NULL AND e.attempt_count = 0
        AND e.event_type = $5 AND e.user_id = $7 AND e.entity_id = $8 AND e.lane_order = $4
        AND e.destination IS NOT DISTINCT FROM $14 AND e.dedup_key IS NULL AND e.expires_at IS NULL
        AND e.parents IS NOT DISTINCT FROM $20::jsonb
        AND (e.operation = 'u' AND $6 IN ('u', 'd') OR e.operation = 'c' AND $6 = 'u'
            OR e.operation = 'c' AND $6 = 'd' AND CASE WHEN pg_relation_size('{s}.events') > 67108864 THEN false ELSE
    NOT EXISTS (SELECT 1 FROM {s}.told WHERE user_end = right($7, 4) AND entity_end IN ('', right($8, 4)))
    AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.id <> e.id AND o.user_id = $7 AND o.entity_id = $8
        AND NOT (o.status = 'c' AND o.last_attempt_at IS NULL)) END)
        AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.entity_lane = $3 AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
            AND o.lane_order <> $4 AND o.event_type = $5 AND o.user_id = $7 AND o.entity_id = $8 AND o.seq > e.seq)
        AND NOT ($4 <> 'e' AND (
            EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = $3 AND o.slot IN ('r', 'w', 'h')
                AND o.event_type = $5 AND o.user_id = $7 AND o.entity_id = $8 AND o.seq > e.seq)
            OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'b'
                AND o.event_type = $5 AND o.user_id = $7 AND o.entity_id = $8 AND o.seq > e.seq)
            OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'l' AND o.slot IN ('l', 'n')
                AND o.event_type = $5 AND o.user_id = $7 AND o.entity_id = $8 AND o.seq > e.seq)
            OR EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = $3 AND o.slot = 'f'
                AND o.event_type = $5 AND o.user_id = $7 AND o.entity_id = $8 AND o.seq > e.seq)))
        AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.id = $1)
        AND NOT EXISTS (SELECT 1 FROM {s}.folded f WHERE f.id = $1)
    FOR NO KEY UPDATE OF e SKIP LOCKED),
x AS MATERIALIZED (SELECT o.id FROM k JOIN {s}.events o ON o.lane = $2
    WHERE k.cancels AND o.slot = 'n' AND o.slot IN ('l', 'n') FOR NO KEY UPDATE OF o SKIP LOCKED),
u AS (UPDATE {s}.events e SET
        revision = e.revision + 1,
        status = CASE WHEN k.cancels THEN 'c'::"char" ELSE e.status END,
        completed_at = CASE WHEN k.cancels THEN t.now END,
        -- A front that is cancelled leaves a note: this snapshot may lack an event that was blocked
        -- behind it since. A note that the lane has already serves for both, as long as nobody takes
        -- it up before this transaction ends. Beside a leased event the note fails, and the deletion
        -- gets a row of its own.
        slot = CASE WHEN k.cancels
                THEN CASE WHEN e.slot <> 'b' AND e.lane IS NOT NULL AND NOT EXISTS (SELECT 1 FROM x)
                    THEN 'n'::"char" END
            WHEN e.slot = 'w' AND t.now + $15 * interval '1 microsecond' <= t.now THEN 'r' ELSE e.slot END,
        operation = CASE WHEN k.operation = 'u' THEN $6 ELSE e.operation END,
        metadata = CASE WHEN k.cancels THEN e.metadata ELSE $11 END,
        metadata_version = CASE WHEN k.cancels THEN e.metadata_version ELSE $12 END,
        trace_context = CASE WHEN k.cancels THEN e.trace_context ELSE $17 END,
        headers = CASE WHEN k.cancels THEN e.headers ELSE $19 END,
        priority = CASE WHEN k.cancels THEN e.priority ELSE greatest(e.priority, $9) END,
        max_attempts = CASE WHEN k.cancels THEN e.max_attempts ELSE greatest(e.max_attempts, $10) END,
        due = CASE WHEN k.cancels THEN e.due
            ELSE least(e.due, t.now + $15 * interval '1 microsecond') END
    FROM k, t WHERE e.id = k.id
    RETURNING e.id, e.seq, k.cancels AS is_cancelled),
y AS (INSERT INTO {s}.tally_delta SELECT u.seq >> 10, -1, 0, 1, 0, t.now FROM u, t WHERE u.is_cancelled),
g AS (DELETE FROM {s}.waits w USING u WHERE w.creation = u.id AND u.is_cancelled RETURNING w.child),
h AS (UPDATE {s}.events e SET slot = CASE WHEN e.due <= e.created_at THEN 'r'::"char" ELSE 'w' END
    FROM g WHERE e.id = g.child AND e.slot::text = 'h' AND e.status::text IN ('p', 'f')),
f AS (INSERT INTO {s}.folded (id, into_id, fingerprint, operation, metadata_version, metadata, headers)
    SELECT u.id, u.id, NULL, k.operation, k.metadata_version, k.metadata, k.headers FROM u JOIN k ON k.id = u.id
    UNION ALL SELECT $1, u.id, $18::bigint, NULL, NULL, NULL, NULL FROM u
    ON CONFLICT (id) DO NOTHING)
SELECT u.id, u.is_cancelled FROM u;
    IF FOUND THEN
        PERFORM {s}.wake();
    END IF;
END $$;
COMMENT ON FUNCTION {s}.fold IS 'Folds an event into the newest open one of its lane, if it may be, and returns that one';
