//! The ledger: tables beside the outbox that record which rows were taken, and keep the rejected
//! ones.
//!
//! | table | one row for |
//! |---|---|
//! | `outbox_import_tables` | each table of each source |
//! | `outbox_import_runs` | each import of a table: its counts, and the checksum of all rows read |
//! | `outbox_import_rows` | each row taken: its checksum, its event, and its raw payload |
//! | `outbox_import_rejects` | each row put aside, whole and with the reason |
//!
//! A rejected row has a `resolved_run` if a later import took it. The first import creates them in
//! its transaction. Nothing is ever deleted from them.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::error::ImportError;
use super::hash::{Hash, Hasher};
use super::path_text::text_of;
use super::reject::RejectReason;
use super::report::TableReport;
use super::row::SourceRow;
use super::source::Source;

/// The schema version that this program writes.
const VERSION: i64 = 2;

/// One step per version, applied in order. A released step is never edited.
const STEPS: &[&str] = &["
CREATE TABLE outbox_import_tables (
    id     INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    name   TEXT NOT NULL,
    UNIQUE (source, name)
) STRICT;

CREATE TABLE outbox_import_runs (
    run               INTEGER PRIMARY KEY,
    table_id          INTEGER NOT NULL,
    path              TEXT    NOT NULL,
    imported_at       INTEGER NOT NULL,
    read              INTEGER NOT NULL DEFAULT 0,
    migrated          INTEGER NOT NULL DEFAULT 0,
    already_there     INTEGER NOT NULL DEFAULT 0,
    already_delivered INTEGER NOT NULL DEFAULT 0,
    rejected          INTEGER NOT NULL DEFAULT 0,
    checksum          BLOB,
    CHECK (read = migrated + already_there + already_delivered + rejected)
) STRICT;

CREATE TABLE outbox_import_rows (
    seq          INTEGER PRIMARY KEY,
    table_id     INTEGER NOT NULL,
    row_key      INTEGER NOT NULL,
    row_hash     BLOB    NOT NULL,
    run          INTEGER NOT NULL,
    outcome      TEXT    NOT NULL
        CHECK (outcome = 'event' OR outcome = 'duplicate' OR outcome = 'entity' OR outcome = 'delivered'),
    event_id     BLOB,
    content_hash BLOB,
    written_hash BLOB,
    raw_payload  BLOB,
    UNIQUE (table_id, row_key, row_hash)
) STRICT;

CREATE INDEX outbox_import_events ON outbox_import_rows (event_id) WHERE outcome = 'event';

CREATE TABLE outbox_import_rejects (
    seq          INTEGER PRIMARY KEY,
    table_id     INTEGER NOT NULL,
    row_key      INTEGER NOT NULL,
    row_hash     BLOB    NOT NULL,
    run          INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    detail       TEXT    NOT NULL,
    raw          TEXT    NOT NULL,
    resolved_run INTEGER,
    UNIQUE (table_id, row_key, row_hash)
) STRICT;
", "
ALTER TABLE outbox_import_rows ADD COLUMN row_anchor BLOB;
ALTER TABLE outbox_import_rejects ADD COLUMN row_anchor BLOB;
"];

/// Creates the tables or upgrades them to the current version. Public for the command, which keeps
/// the ledger of an outbox on a server there.
///
/// # Errors
///
/// [`ImportError`] if a newer program has written them, or SQLite fails.
pub fn install(conn: &Connection) -> Result<(), ImportError> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS outbox_import_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT",
    )?;
    let found: i64 = conn.query_row(
        "SELECT coalesce(max(version), 0) FROM outbox_import_schema",
        [],
        |row| row.get(0),
    )?;
    if found > VERSION {
        return Err(ImportError::LedgerTooNew {
            found,
            known: VERSION,
        });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
        conn.execute_batch(step)?;
        conn.execute(
            "INSERT INTO outbox_import_schema (version, applied_at) VALUES (?1, datetime('now'))",
            [version],
        )?;
    }
    Ok(())
}

/// One import of one table.
pub(super) struct Run<'c> {
    conn: &'c Connection,
    identity: &'c str,
    table_id: i64,
    run: i64,
    /// The last row of the ledger before this run.
    after: i64,
    /// Whether earlier runs left rejected rows that this run may take.
    has_rejects: bool,
}

/// The result for a row that was taken.
pub(super) enum Taken<'m> {
    Event {
        id: Uuid,
        content: Hash,
        written: Hash,
        raw_payload: Option<&'m [u8]>,
    },
    /// Its event was already there.
    Duplicate {
        id: Uuid,
    },
    Entity,
    Delivered,
}

/// An event that an import wrote.
pub(super) struct Imported {
    /// Whether it came from another row of the same table.
    pub(super) is_of_another_row: bool,
    pub(super) content: Hash,
    pub(super) written: Hash,
}

impl<'c> Run<'c> {
    pub(super) fn begin(
        conn: &'c Connection,
        now: DateTime<Utc>,
        source: &Source,
        identity: &'c str,
        table: &str,
    ) -> rusqlite::Result<Self> {
        conn.execute(
            "INSERT INTO outbox_import_tables (source, name) VALUES (?1, ?2) ON CONFLICT (source, name) DO NOTHING",
            [identity, table],
        )?;
        let table_id: i64 = conn.query_row(
            "SELECT id FROM outbox_import_tables WHERE source = ?1 AND name = ?2",
            [identity, table],
            |row| row.get(0),
        )?;
        conn.execute(
            "INSERT INTO outbox_import_runs (table_id, path, imported_at) VALUES (?1, ?2, ?3)",
            params![table_id, text_of(source.path()), now.timestamp_micros()],
        )?;
        let run = conn.last_insert_rowid();
        let one = |sql| conn.query_row(sql, [], |row| row.get(0));
        let after = one("SELECT coalesce(max(seq), 0) FROM outbox_import_rows")?;
        let has_rejects: i64 =
            one("SELECT EXISTS (SELECT 1 FROM outbox_import_rejects WHERE resolved_run IS NULL)")?;
        Ok(Self {
            conn,
            identity,
            table_id,
            run,
            after,
            has_rejects: has_rejects != 0,
        })
    }

    /// Whether an earlier run took the row in its current state.
    pub(super) fn knows(&self, row: &SourceRow, hash: Hash) -> rusqlite::Result<bool> {
        self.conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM outbox_import_rows WHERE table_id = ?1 AND row_key = ?2 AND row_hash = ?3)",
            )?
            .query_row(params![self.table_id, row.key(), hash.to_bytes()], |row| row.get(0))
    }

    /// The event with this id, if an import wrote it.
    pub(super) fn imported(&self, row: &SourceRow, id: Uuid) -> rusqlite::Result<Option<Imported>> {
        self.conn
            .prepare_cached(
                "SELECT table_id = ?2 AND row_key <> ?3, content_hash, written_hash FROM outbox_import_rows
                 WHERE event_id = ?1 AND outcome = 'event'",
            )?
            .query_row(params![id, self.table_id, row.key()], |row| {
                Ok(Imported {
                    is_of_another_row: row.get(0)?,
                    content: Hash::from_bytes(row.get(1)?),
                    written: Hash::from_bytes(row.get(2)?),
                })
            })
            .optional()
    }

    /// The id of a row's event if the mapper gives none. It is the same in each run, whatever else
    /// changes in the row. If another row reuses the key, its creation time differs.
    pub(super) fn id_of(&self, row: &SourceRow, created_at: DateTime<Utc>) -> Uuid {
        let mut hasher = Hasher::new();
        hasher.part(b"source", self.identity.as_bytes());
        hasher.part(b"table", row.shape.name.as_bytes());
        hasher.part(b"key", &row.key().to_be_bytes());
        hasher.part(b"created", &created_at.timestamp_micros().to_be_bytes());
        uuid::Builder::from_custom_bytes(hasher.finish().to_bytes()).into_uuid()
    }

    pub(super) fn take(
        &self,
        row: &SourceRow,
        hash: Hash,
        taken: &Taken<'_>,
    ) -> rusqlite::Result<()> {
        let (outcome, id, content, written, payload) = match taken {
            Taken::Event {
                id,
                content,
                written,
                raw_payload,
            } => (
                "event",
                Some(*id),
                Some(content.to_bytes()),
                Some(written.to_bytes()),
                *raw_payload,
            ),
            Taken::Duplicate { id } => ("duplicate", Some(*id), None, None, None),
            Taken::Entity => ("entity", None, None, None, None),
            Taken::Delivered => ("delivered", None, None, None, None),
        };
        self.conn
            .prepare_cached(
                "INSERT INTO outbox_import_rows
                     (table_id, row_key, row_hash, run, outcome, event_id, content_hash, written_hash, raw_payload, row_anchor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.table_id,
                row.key(),
                hash.to_bytes(),
                self.run,
                outcome,
                id,
                content,
                written,
                payload,
                row.anchor().map(Hash::to_bytes)
            ])?;
        if self.has_rejects {
            self.conn
                .prepare_cached(
                    "UPDATE outbox_import_rejects SET resolved_run = ?3
                     WHERE table_id = ?1 AND row_key = ?2 AND resolved_run IS NULL",
                )?
                .execute(params![self.table_id, row.key(), self.run])?;
        }
        Ok(())
    }

    pub(super) fn reject(
        &self,
        row: &SourceRow,
        hash: Hash,
        reason: &RejectReason,
        detail: &str,
        raw: &str,
    ) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO outbox_import_rejects (table_id, row_key, row_hash, run, reason, detail, raw, row_anchor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (table_id, row_key, row_hash) DO UPDATE
                 SET run = excluded.run, reason = excluded.reason, detail = excluded.detail, resolved_run = NULL",
            )?
            .execute(params![
                self.table_id,
                row.key(),
                hash.to_bytes(),
                self.run,
                reason.to_string(),
                detail,
                raw,
                row.anchor().map(Hash::to_bytes)
            ])?;
        Ok(())
    }

    /// Calls `each` for every row that this run has taken, as the ledger now stores it: its
    /// checksum and, for an event, its id and raw payload.
    pub(super) fn read_back<E: From<rusqlite::Error>>(
        &self,
        mut each: impl FnMut(Hash, Option<(Uuid, Option<&[u8]>)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.conn.prepare(
            "SELECT row_hash, outcome = 'event', event_id, raw_payload FROM outbox_import_rows WHERE seq > ?1 AND run = ?2",
        )?;
        let mut rows = statement.query([self.after, self.run])?;
        while let Some(row) = rows.next()? {
            let event = if row.get(1)? {
                let payload = row.get_ref(3)?.as_bytes_or_null();
                Some((row.get(2)?, payload.map_err(rusqlite::Error::from)?))
            } else {
                None
            };
            each(Hash::from_bytes(row.get(0)?), event)?;
        }
        Ok(())
    }

    /// Calls `each` for every row that this run has put aside: its checksum and the raw row.
    pub(super) fn read_back_rejects(
        &self,
        mut each: impl FnMut(Hash, &[u8]),
    ) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare(
            "SELECT row_hash, raw FROM outbox_import_rejects WHERE table_id = ?1 AND run = ?2",
        )?;
        let mut rows = statement.query([self.table_id, self.run])?;
        while let Some(row) = rows.next()? {
            let raw = row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?;
            each(Hash::from_bytes(row.get(0)?), raw);
        }
        Ok(())
    }

    /// Records the counts of the run.
    pub(super) fn finish(&self, report: &TableReport) -> rusqlite::Result<()> {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.conn.execute(
            "UPDATE outbox_import_runs
             SET read = ?2, migrated = ?3, already_there = ?4, already_delivered = ?5, rejected = ?6, checksum = ?7
             WHERE run = ?1",
            params![
                self.run,
                count(report.read),
                count(report.migrated_total()),
                count(report.already_there),
                count(report.already_delivered),
                count(report.rejected_total()),
                report.checksum.to_be_bytes()
            ],
        )?;
        Ok(())
    }
}
