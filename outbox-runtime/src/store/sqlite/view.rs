//! The view `outbox`: the events in words, for people with any SQLite tool.

/// A time in microseconds as ISO 8601, in UTC, to the microsecond. Rounds down before 1970 as well.
macro_rules! iso {
    ($micros:literal) => {
        concat!(
            "strftime('%Y-%m-%dT%H:%M:%S', (",
            $micros,
            " - ((",
            $micros,
            " % 1000000) + 1000000) % 1000000) / 1000000, 'unixepoch') || printf('.%06dZ', ((",
            $micros,
            " % 1000000) + 1000000) % 1000000)"
        )
    };
}

/// A UUID in its usual text.
macro_rules! uuid {
    ($bytes:literal) => {
        concat!(
            "lower(substr(hex(",
            $bytes,
            "), 1, 8) || '-' || substr(hex(",
            $bytes,
            "), 9, 4) || '-' || substr(hex(",
            $bytes,
            "), 13, 4) || '-' || substr(hex(",
            $bytes,
            "), 17, 4) || '-' || substr(hex(",
            $bytes,
            "), 21))"
        )
    };
}

/// The last part of the schema's first step. Its columns are the stable way to look at the outbox
/// by SQL; docs/guide/tables.md lists them. An application's own table of this name is left
/// alone; then there is no view.
pub(super) const VIEW: &str = concat!(
    "
CREATE VIEW IF NOT EXISTS outbox AS
SELECT event.seq, ",
    uuid!("event.id"),
    " AS id, event.event_type, event.entity_id, event.user_id,
    CASE event.operation WHEN 0 THEN 'create' WHEN 1 THEN 'update' WHEN 2 THEN 'delete' END AS operation,
    CASE WHEN claim.token IS NOT NULL THEN 'processing' ELSE
        CASE event.status WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' WHEN 2 THEN 'completed' WHEN 3 THEN 'dead' END
    END AS status,
    CASE WHEN claim.token IS NOT NULL THEN 'with a handler' ELSE
        CASE event.slot WHEN 0 THEN 'new' WHEN 1 THEN 'ready' WHEN 2 THEN 'waiting for its time'
            WHEN 3 THEN 'behind another event' WHEN 4 THEN 'ready' WHEN 5 THEN 'holding back others' END
    END AS place,
    event.priority,
    event.attempt_count + (claim.token IS NOT NULL) AS attempt_count, event.max_attempts, ",
    iso!("event.created_at"),
    " AS created_at, ",
    iso!("event.next_attempt_at"),
    " AS next_attempt_at, ",
    iso!("coalesce(claim.claimed_at, event.last_attempt_at)"),
    " AS last_attempt_at, ",
    iso!("event.completed_at"),
    " AS completed_at,
    CASE event.dead_reason WHEN 1 THEN 'attempts_exhausted' WHEN 2 THEN 'rejected' WHEN 3 THEN 'undecodable'
        WHEN 4 THEN 'deferred_out' WHEN 5 THEN 'crash_loop' WHEN 6 THEN 'snoozed_out'
        WHEN 7 THEN 'expired' WHEN 8 THEN 'retired' END AS dead_reason,
    event.error_message, event.last_refusal, event.destination,
    CASE event.lane_order WHEN 0 THEN 'entity' WHEN 1 THEN 'user' WHEN 2 THEN 'none' END AS \"order\",
    CASE event.on_dead WHEN 0 THEN 'hold' WHEN 1 THEN 'skip' END AS on_dead,
    event.deferrals, event.snoozes, event.crashes, event.revision,
    event.metadata, event.metadata_version, ",
    iso!("claim.expires_at"),
    " AS lease_expires_at, event.trace_context, event.dedup_key, event.parents, ",
    iso!("event.expires_at"),
    " AS expires_at, event.headers
FROM outbox_events AS event
LEFT JOIN outbox_claims AS claim ON event.status < 2 AND instr(claim.seqs, ',' || event.seq || ',');
"
);
