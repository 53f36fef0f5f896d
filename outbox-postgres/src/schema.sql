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
    CONSTRAINT events_valid CHECK (
        status IN ('p', 'i', 'c', 'f', 'd')
        AND slot IN ('r', 'w', 'b', 'l', 'h', 'n')
        AND operation IN ('c', 'u', 'd')
        AND lane_order IN ('e', 'u', 'n')
        AND on_dead IN ('h', 's')
        AND (lane IS NULL) = (lane_order = 'n')
        AND (entity_lane IS NULL) = (lane_order = 'e')
        AND max_attempts > 0
        AND event_type <> '' AND user_id <> '' AND entity_id <> ''
        AND octet_length(metadata) <= 16777216)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.1);
COMMENT ON TABLE {s}.events IS 'Undelivered and delivered events. Change and delete them through the library only.';
COMMENT ON COLUMN {s}.events.status IS 'p pending, i with a handler, c completed, f failed, d dead';
COMMENT ON COLUMN {s}.events.slot IS
    'r candidate, w due later, b blocked, l leased, h dead and holding, n finished with the next one not unblocked yet, NULL out';
COMMENT ON COLUMN {s}.events.lane_order IS 'e of its entity, u of its user, n none';
CREATE INDEX events_ready ON {s}.events (priority DESC, due, seq) WHERE slot = 'r';
CREATE INDEX events_front ON {s}.events (lane, seq) WHERE slot IN ('r', 'w', 'h');
CREATE INDEX events_blocked ON {s}.events (lane, seq) WHERE slot = 'b';
CREATE UNIQUE INDEX events_taken ON {s}.events (lane) WHERE slot IN ('l', 'n');
CREATE INDEX events_note ON {s}.events (id) WHERE slot = 'n';
CREATE INDEX events_waiting ON {s}.events (due) WHERE slot = 'w';
CREATE INDEX events_reordered ON {s}.events (entity_lane, seq)
    WHERE entity_lane IS NOT NULL AND slot IN ('r', 'w', 'b', 'l', 'h');
CREATE INDEX events_noted ON {s}.events (user_id) WHERE (deferrals > 0 OR snoozes > 9) AND status IN ('p', 'i', 'f');
CREATE INDEX events_dead ON {s}.events (entity_id) WHERE status = 'd';
CREATE INDEX events_done ON {s}.events USING brin (completed_at) WITH (pages_per_range = 16, autosummarize = on);
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
    metadata text
);
COMMENT ON TABLE {s}.folded IS
    'Ids of events that another event carries, and the first content of events that others were folded into';
CREATE INDEX folded_into ON {s}.folded (into_id);
CREATE TABLE {s}.told (
    user_end text COLLATE "C",
    entity_end text COLLATE "C",
    PRIMARY KEY (user_end, entity_end)
);
COMMENT ON TABLE {s}.told IS
    'Ends of the ids of entities that the remote service may know although their events were deleted';
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
