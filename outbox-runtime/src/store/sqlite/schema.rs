//! The tables and their versions.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault::fault;
use super::triggers::TRIGGERS;
use super::view::VIEW;
use crate::error::{StoreError, StoreErrorKind};

/// The schema version that this program writes.
pub(super) const VERSION: i64 = 1;

/// One step per version, applied in order. A released step is never edited.
///
/// The numbers in columns are those of [`codes`](super::codes). Columns that most statements touch
/// come first, rarely used ones last: they cost an event one byte each. `entity_id` is the text of
/// an [`EntityId`](crate::EntityId), which every tool reads, and from which the id is read back
/// exactly: each id has one text.
///
/// `slot` is the place of an undelivered event in the queue, and NULL once it is completed, or dead
/// and skipped. `lane` is the number of the events that wait for each other
/// ([`LaneKey`](crate::store::kit::LaneKey)), 0 before it is known, and NULL where `slot` is.
/// `entity_lane` is the number that the event would have with the order `entity`, for events of
/// another order: see [`elders`](super::elders). The partial indexes depend on these columns, so
/// that no query's cost grows with finished events, and no claim's with blocked ones:
///
/// - `outbox_ready`: what a claim takes, in its order
/// - `outbox_aside`: by due time, what is due later; and what is parked
/// - `outbox_attempted`: ready after an attempt, by the time of it, for probes
/// - `outbox_lane`: undelivered events by lane
/// - `outbox_reordered`: the undelivered events that are not in an entity's lane; usually empty
/// - `outbox_noted`: dead letters, and the few events that were deferred or often snoozed, each of
///   the two kinds apart
///
/// Each index costs every insert the better part of a thousand instructions, even if its condition
/// is false.
///
/// A claim that needs it adds [`outbox_ready_user`](super::user_index) or
/// [`outbox_ready_to`](super::destinations). Every index ends in `seq`, like all of SQLite's. There
/// is none over completed rows.
///
/// `attempts` is the history of attempts that were not delivered; see [`history`](super::history).
/// `last_refusal` is `class: message`. `trace_context` is a traceparent, and after a space the
/// tracestate unless it is empty. No column is reserved: `ALTER TABLE .. ADD COLUMN` rewrites no
/// row, and each column costs every insert and every outcome.
///
/// `outbox_claims` has a row per claim: see [`held`](super::held). `parked` tells that its events
/// are in slot 4.
///
/// `outbox_identity` has the key of this database's lanes.
///
/// `outbox_cleaned_up` counts, per user, the completed events that were deleted for their age.
///
/// `outbox_tally` counts the events of a block of rows by class; see [`tally`](super::tally), which
/// writes it.
///
/// `outbox_processes` lists the processes that claim, and `outbox_runs` the runs that they have
/// announced; see [`processes`](super::processes).
/// `outbox_pauses` has the events that claims leave out; see [`pausing`](super::pausing).
/// `outbox_completions` notes which events their handlers have completed without having answered
/// yet, and in `superseded` what became of the next event; see [`completions`](super::completions).
/// `outbox_told` records the entities that the service may know although their events are gone; see
/// [`told`](super::told).
///
/// `expires_at`, `dedup_key`, `parents` and `headers` are NULL for most events, which is why they
/// come last. `headers` is the JSON of [`Headers`](crate::Headers).
///
/// `outbox_keys` finds the events with a `dedup_key`; see [`keyed`](super::keyed). A partial index
/// would cost every insert, whether or not it has a key.
///
/// `outbox_waits` tells which creations an event with `parents` waits for; see
/// [`waits`](super::waits).
///
/// `outbox_folded` records, as long as the row `into_seq` exists, what was enqueued under an id
/// before it was folded into that row, and the row's own original content.
const STEPS: &[&[&str]] = &[&[
    "
CREATE TABLE outbox_events (
    seq              INTEGER PRIMARY KEY,
    status           INTEGER NOT NULL DEFAULT 0,
    slot             INTEGER DEFAULT 0,
    lane             INTEGER DEFAULT 0,
    entity_lane      INTEGER,
    lane_order       INTEGER NOT NULL DEFAULT 0 CHECK (lane_order BETWEEN 0 AND 2),
    on_dead          INTEGER NOT NULL DEFAULT 0 CHECK (on_dead BETWEEN 0 AND 1),
    operation        INTEGER NOT NULL CHECK (operation BETWEEN 0 AND 2),
    priority         INTEGER NOT NULL DEFAULT 0,
    attempt_count    INTEGER NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    max_attempts     INTEGER NOT NULL CHECK (max_attempts > 0),
    created_at       INTEGER NOT NULL,
    next_attempt_at  INTEGER NOT NULL,
    last_attempt_at  INTEGER,
    completed_at     INTEGER,
    dead_reason      INTEGER,
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    user_id          TEXT    NOT NULL,
    entity_id        TEXT    NOT NULL CHECK (octet_length(entity_id) BETWEEN 1 AND 255),
    event_type       TEXT    NOT NULL,
    crashes          INTEGER NOT NULL DEFAULT 0,
    deferrals        INTEGER NOT NULL DEFAULT 0,
    snoozes          INTEGER NOT NULL DEFAULT 0,
    revision         INTEGER NOT NULL DEFAULT 0,
    metadata_version INTEGER NOT NULL DEFAULT 1,
    metadata         TEXT,
    error_message    TEXT,
    destination      TEXT,
    trace_context    TEXT,
    deferred_since   INTEGER,
    last_refusal     TEXT,
    attempts         TEXT,
    expires_at       INTEGER,
    dedup_key        TEXT,
    parents          TEXT,
    headers          TEXT,
    CHECK (
        (status = 2 AND slot IS NULL AND lane IS NULL AND completed_at IS NOT NULL AND dead_reason IS NULL)
        OR (status >= 0 AND status < 2 AND slot IS NOT NULL AND slot >= 0 AND slot < 5 AND lane IS NOT NULL
            AND completed_at IS NULL AND dead_reason IS NULL)
        OR (status = 3 AND dead_reason IS NOT NULL AND completed_at IS NULL
            AND ((slot IS NULL AND lane IS NULL) OR (slot IS NOT NULL AND slot = 5 AND lane IS NOT NULL)))
    )
) STRICT;

CREATE INDEX outbox_ready     ON outbox_events (priority DESC, next_attempt_at) WHERE slot = 1;
CREATE INDEX outbox_aside     ON outbox_events (slot, next_attempt_at) WHERE slot = 2 OR slot = 4;
CREATE INDEX outbox_attempted ON outbox_events (last_attempt_at) WHERE slot = 1 AND last_attempt_at IS NOT NULL;
CREATE INDEX outbox_lane      ON outbox_events (lane) WHERE lane IS NOT NULL;
CREATE INDEX outbox_reordered ON outbox_events (entity_lane) WHERE entity_lane IS NOT NULL;
CREATE INDEX outbox_noted     ON outbox_events ((dead_reason IS NOT NULL), user_id, entity_id)
    WHERE dead_reason IS NOT NULL OR (deferrals > 0 OR snoozes > 9);

CREATE TABLE outbox_claims (
    token      BLOB    NOT NULL CHECK (length(token) = 16),
    expires_at INTEGER NOT NULL,
    claimed_at INTEGER NOT NULL,
    parked     INTEGER NOT NULL DEFAULT 0,
    seqs       TEXT    NOT NULL CHECK (instr(seqs, ',') = 1),
    PRIMARY KEY (token, expires_at, claimed_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_identity (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    lane_key BLOB    NOT NULL CHECK (length(lane_key) = 16)
) STRICT;
INSERT INTO outbox_identity VALUES (1, randomblob(16));

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
    block          INTEGER PRIMARY KEY,
    fresh          INTEGER NOT NULL,
    retrying       INTEGER NOT NULL,
    completed      INTEGER NOT NULL,
    dead           INTEGER NOT NULL,
    oldest         INTEGER NOT NULL,
    newest         INTEGER NOT NULL,
    completed_from INTEGER,
    completed_to   INTEGER,
    user_id        TEXT
) STRICT;

CREATE TABLE outbox_processes (
    process        INTEGER PRIMARY KEY,
    boot           TEXT,
    pid_namespace  TEXT,
    time_namespace TEXT,
    started        INTEGER,
    registered_at  INTEGER NOT NULL,
    host           TEXT
) STRICT;

CREATE TABLE outbox_runs (
    run_id      BLOB    NOT NULL PRIMARY KEY CHECK (length(run_id) = 16),
    process     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    event_types TEXT,
    held_types  TEXT,
    user_id     TEXT,
    version     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_folded_into ON outbox_folded (into_seq);

CREATE TABLE outbox_pauses (
    kind      TEXT    NOT NULL CHECK (kind IN ('everything', 'event_type', 'user', 'destination')),
    name      TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    until     INTEGER,
    paused_by TEXT,
    because   TEXT,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_keys (
    user_id   TEXT    NOT NULL,
    dedup_key TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (user_id, dedup_key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_waits (
    creation INTEGER NOT NULL,
    child    INTEGER NOT NULL,
    PRIMARY KEY (creation, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_waits_of ON outbox_waits (child);

CREATE TABLE outbox_completions (
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    token        BLOB    NOT NULL CHECK (length(token) = 16),
    completed_at INTEGER NOT NULL,
    superseded   TEXT,
    PRIMARY KEY (id, token)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox_told (
    user_end   BLOB NOT NULL,
    entity_end BLOB NOT NULL,
    PRIMARY KEY (user_end, entity_end)
) STRICT, WITHOUT ROWID;
",
    TRIGGERS,
    VIEW,
]];

/// The table with the versions.
///
/// A separate table instead of `user_version`, because that pragma belongs to the application.
const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS outbox_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT;";

const NOTE_VERSION: &str =
    "INSERT INTO outbox_schema (version, applied_at) VALUES (?1, datetime('now'))";

/// The whole schema as one script.
pub(super) fn script() -> String {
    let mut script = format!("BEGIN IMMEDIATE;\n{VERSION_TABLE}\n");
    for (step, version) in STEPS.iter().zip(1_i64..) {
        for part in *step {
            script.push_str(part.trim());
            script.push('\n');
        }
        script.push_str(&NOTE_VERSION.replace("?1", &version.to_string()));
        script.push_str(";\n");
    }
    script.push_str("COMMIT;\n");
    script
}

/// Checks that the file has the tables of this program's version.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    match read_version(conn).map_err(|error| fault("open", path, error))? {
        Some(VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(too_new(found, path)),
        found => {
            let path = path.display();
            let message = match found {
                None => format!("{path}: the database has no outbox"),
                Some(found) => format!(
                    "{path}: the outbox tables have version {found}, and this program needs {VERSION}; migrate them"
                ),
            };
            Err(StoreError::new(
                StoreErrorKind::NotInstalled,
                "open",
                message,
            ))
        }
    }
}

/// Migrates the tables to this program's version in one transaction: if the process dies in it, the
/// old version remains.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let migrated = |conn: &mut Connection| -> rusqlite::Result<i64> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(VERSION_TABLE)?;
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
            tx.execute(NOTE_VERSION, [version])?;
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

pub(super) fn read_version(conn: &Connection) -> rusqlite::Result<Option<i64>> {
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
