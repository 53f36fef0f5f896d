CREATE TABLE floor (
    id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    lane bigint,
    priority integer NOT NULL,
    max_attempts integer NOT NULL DEFAULT 5,
    attempt_count integer NOT NULL DEFAULT 0,
    metadata_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    due timestamptz NOT NULL DEFAULT now(),
    last_attempt_at timestamptz,
    completed_at timestamptz,
    lease_expires_at timestamptz,
    lease_token uuid,
    status "char" NOT NULL DEFAULT 'p',
    slot "char" DEFAULT 'r',
    operation "char" NOT NULL DEFAULT 'u',
    event_type text NOT NULL DEFAULT 'moodEntry',
    user_id text NOT NULL,
    entity_id text NOT NULL,
    error_message text,
    metadata text
);
CREATE INDEX floor_ready ON floor (priority DESC, due, seq) WHERE slot = 'r';
CREATE INDEX floor_leased ON floor (lease_expires_at) WHERE slot = 'l';
