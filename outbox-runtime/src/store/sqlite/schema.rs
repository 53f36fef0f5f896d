//! The tables and their versions.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault::fault;
use super::triggers::TRIGGERS;
use crate::error::{StoreError, StoreErrorKind};

/// The schema version that this program writes.
pub(super) const VERSION: i64 = 1;

/// A `GLOB` pattern of this many lowercase hexadecimal digits.
macro_rules! hex {
    (4) => {
        "[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
    };
    (8) => {
        concat!(hex!(4), hex!(4))
    };
    (12) => {
        concat!(hex!(8), hex!(4))
    };
}

/// One step per version, applied in order. A released step is never edited.
///
/// `slot` is the place of an undelivered event in the queue. The partial indexes depend on it, so
/// that no query's cost grows with finished or blocked events:
///
/// - `ready`: due and at the front of its lane; the claim's index holds only these
/// - `waiting`: at the front of its lane, due later
/// - `blocked`: behind another event of its lane
/// - `leased`: held by a handler
/// - `held`: dead, and holding back the events behind it
/// - NULL: finished, or dead and skipped
///
/// `entity_id` holds an [`EntityId`](crate::EntityId) in its canonical form: a string that is a
/// UUID or an integer would open a second lane next to that of the UUID or integer.
///
/// `open` is NULL where `slot` is, and 1 otherwise. The indexes of undelivered events use it,
/// because a change of `slot` rewrites the row's entry in each index whose condition names `slot`.
/// Every index ends in `seq`, like all of SQLite's.
///
/// The constraints compare one value at a time: for `IN (..)`, SQLite builds a table on every
/// check.
///
/// Rarely used columns stand last: they cost an event one byte each. `last_refusal` is `class:
/// message`. Reserved, so that using them needs no change to existing files: `expires_at`
/// (microseconds; after that the event is not worth sending), `dedup_key`, `waits_for` (the entity
/// that must be delivered first), `headers` and `trace_context`. A column that folding or an edit
/// must change needs a new version all the same, because older programs leave it as it is.
///
/// `outbox_attempted` and `outbox_noted` are usually empty. Probes use the first to find the event
/// with the least recent attempt, and statistics use the second.
///
/// `outbox_reordered` indexes the events that are not in an entity's lane, and is usually empty;
/// see [`elders`](super::elders).
///
/// `lane` tells which events wait for each other, and `on_dead` whether they wait for a dead one.
/// The usual values, one lane per entity and `hold`, are stored as NULL, which takes no space.
///
/// `outbox_cleaned_up` counts, per user, the completed events that were deleted for their age.
///
/// `outbox_tally` counts the events of a block of rows by class; see [`tally`](super::tally), which
/// writes it.
///
/// `outbox_processes` lists the processes that claim; see [`processes`](super::processes).
/// `outbox_told` records the entities that the service may know although their events are gone; see
/// [`told`](super::told).
///
/// `outbox_folded` records, as long as the row `into_seq` exists, what was enqueued under an id
/// before it was folded into that row, and the row's own original content.
const STEPS: &[&[&str]] = &[&[concat!("
CREATE TABLE outbox_events (
    seq              INTEGER PRIMARY KEY,
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    event_type       TEXT    NOT NULL,
    entity_id        ANY     NOT NULL CHECK (CASE typeof(entity_id)
        WHEN 'integer' THEN true
        WHEN 'blob' THEN length(entity_id) = 16
        WHEN 'text' THEN length(CAST(entity_id AS BLOB)) BETWEEN 1 AND 255
            AND CAST(CAST(entity_id AS INTEGER) AS TEXT) <> entity_id
            AND (length(entity_id) <> 36 OR entity_id NOT GLOB '", hex!(8), "-", hex!(4), "-", hex!(4), "-", hex!(4), "-", hex!(12), "')
        ELSE false END),
    user_id          TEXT    NOT NULL,
    operation        TEXT    NOT NULL CHECK (operation = 'create' OR operation = 'update' OR operation = 'delete'),
    status           TEXT    NOT NULL,
    slot             TEXT,
    open             INTEGER DEFAULT 1 CHECK ((open IS NULL) = (slot IS NULL)),
    priority         INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    next_attempt_at  INTEGER NOT NULL,
    last_attempt_at  INTEGER,
    attempt_count    INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    max_attempts     INTEGER NOT NULL CHECK (max_attempts > 0),
    error_message    TEXT,
    completed_at     INTEGER,
    metadata         TEXT,
    metadata_version INTEGER NOT NULL DEFAULT 1,
    lease_token      BLOB,
    lease_expires_at INTEGER,
    dead_reason      TEXT,
    lane             TEXT             CHECK (lane = 'user' OR lane = 'none'),
    on_dead          TEXT             CHECK (on_dead = 'skip'),
    destination      TEXT,
    deferrals        INTEGER NOT NULL DEFAULT 0,
    deferred_since   INTEGER,
    last_refusal     TEXT,
    crashes          INTEGER NOT NULL DEFAULT 0,
    snoozes          INTEGER NOT NULL DEFAULT 0,
    revision         INTEGER NOT NULL DEFAULT 0,
    expires_at       INTEGER,
    dedup_key        TEXT,
    waits_for        ANY,
    headers          TEXT,
    trace_context    TEXT,
    CHECK ((completed_at IS NULL) = (status IS NOT 'completed')),
    CHECK ((dead_reason IS NULL) = (status IS NOT 'dead')),
    CHECK ((lease_token IS NULL) = (status IS NOT 'processing')),
    CHECK (CASE status
        WHEN 'pending'    THEN slot IS 'ready' OR slot IS 'waiting' OR slot IS 'blocked'
        WHEN 'processing' THEN slot IS 'leased' AND lease_expires_at IS NOT NULL
        WHEN 'completed'  THEN slot IS NULL AND lease_expires_at IS NULL
        WHEN 'failed'     THEN slot IS 'ready' OR slot IS 'waiting' OR slot IS 'blocked'
        WHEN 'dead'       THEN (slot IS NULL OR slot IS 'held') AND lease_expires_at IS NULL
        ELSE false END)
) STRICT;

CREATE INDEX outbox_ready      ON outbox_events (priority DESC, next_attempt_at) WHERE slot = 'ready';
CREATE INDEX outbox_ready_user ON outbox_events (user_id, priority DESC, next_attempt_at) WHERE slot = 'ready';
CREATE INDEX outbox_attempted  ON outbox_events (last_attempt_at) WHERE slot = 'ready' AND last_attempt_at IS NOT NULL;
CREATE INDEX outbox_waiting    ON outbox_events (next_attempt_at) WHERE slot = 'waiting';
CREATE INDEX outbox_leased     ON outbox_events (lease_expires_at) WHERE slot = 'leased';
CREATE INDEX outbox_entity     ON outbox_events (entity_id, user_id, lane) WHERE open IS NOT NULL;
CREATE INDEX outbox_user       ON outbox_events (user_id) WHERE lane = 'user' AND open IS NOT NULL;
CREATE INDEX outbox_reordered  ON outbox_events (entity_id, user_id, event_type, lane) WHERE lane IS NOT NULL AND open IS NOT NULL;
CREATE INDEX outbox_noted      ON outbox_events (user_id) WHERE (deferrals > 0 OR snoozes > 9) AND open IS NOT NULL;
CREATE INDEX outbox_dead       ON outbox_events (entity_id, user_id) WHERE status = 'dead';
CREATE INDEX outbox_completed  ON outbox_events (completed_at, user_id, entity_id) WHERE completed_at IS NOT NULL;

CREATE TABLE outbox_folded (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    into_seq    INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_cleaned_up (
    user_id   TEXT    NOT NULL PRIMARY KEY,
    completed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_tally (
    block     INTEGER PRIMARY KEY,
    fresh     INTEGER NOT NULL,
    retrying  INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    oldest    INTEGER NOT NULL,
    newest    INTEGER NOT NULL,
    user_id   TEXT
) STRICT;

CREATE TABLE outbox_processes (
    process        INTEGER PRIMARY KEY,
    boot           TEXT,
    pid_namespace  TEXT,
    time_namespace TEXT,
    started        INTEGER,
    registered_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_folded_into ON outbox_folded (into_seq);

CREATE TABLE outbox_told (
    user_end   BLOB NOT NULL,
    entity_end BLOB NOT NULL,
    PRIMARY KEY (user_end, entity_end)
) STRICT, WITHOUT ROWID;
"), TRIGGERS]];

/// Migrates the tables to this program's version in one transaction: if the process dies in it, the
/// old version remains.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let migrated = |conn: &mut Connection| -> rusqlite::Result<i64> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A separate table instead of `user_version`, because that pragma belongs to the
        // application.
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS outbox_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;",
        )?;
        let found: i64 = tx.query_row(
            "SELECT coalesce(max(version), 0) FROM outbox_schema",
            [],
            |row| row.get(0),
        )?;
        let done = usize::try_from(found).unwrap_or(0);
        for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
            for part in *step {
                tx.execute_batch(part)?;
            }
            tx.execute(
                "INSERT INTO outbox_schema (version, applied_at) VALUES (?1, datetime('now'))",
                [version],
            )?;
        }
        if done < STEPS.len() {
            tx.commit()?;
        }
        Ok(found)
    };
    match read_version(conn) {
        // A normal start writes nothing.
        Ok(Some(VERSION)) => Ok(()),
        Ok(Some(found)) if found > VERSION => Err(too_new(found, path)),
        Ok(_) => match migrated(conn) {
            Ok(found) if found > VERSION => Err(too_new(found, path)),
            Ok(_) => Ok(()),
            Err(error) => Err(fault("migrate", path, error)),
        },
        Err(error) => Err(fault("open", path, error)),
    }
}

fn read_version(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let there: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'outbox_schema')",
        [],
        |row| row.get(0),
    )?;
    if !there {
        return Ok(None);
    }
    conn.query_row("SELECT max(version) FROM outbox_schema", [], |row| {
        row.get(0)
    })
}

/// Returns an error text if a newer program has migrated the tables since they were opened: this
/// program must not write by outdated rules.
pub(super) fn outgrown(conn: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
    let found: i64 = conn
        .prepare_cached("SELECT max(version) FROM outbox_schema")?
        .query_row([], |row| row.get(0))?;
    Ok((found > VERSION).then(|| too_new_message(found, path)))
}

fn too_new(found: i64, path: &Path) -> StoreError {
    let message = too_new_message(found, path);
    StoreError::new(StoreErrorKind::SchemaTooNew, "open", message)
}

fn too_new_message(found: i64, path: &Path) -> String {
    format!(
        "{}: the outbox tables have version {found}, but this program supports versions up to {VERSION}; \
         update the program (the file was left unchanged)",
        path.display()
    )
}
