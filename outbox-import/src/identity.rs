//! Identifies which source of the ledger a store is.
//!
//! Core Data gives each new store a UUID, which identifies it wherever it moves. But an app may
//! create its stores by copying a template, including the UUID, for each account. Therefore a store
//! with a known UUID is compared with the ledger: rows never change their key, id and creation
//! time, and a different store has different rows under the same keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::copy::is_one_file;
use super::error::ImportError;
use super::hash::Hash;
use super::path_text::path_of;
use super::row::SourceRow;
use super::source::Source;
use super::table::SourceTable;

/// The name of the source in the ledger, existing or new.
pub(super) fn known_as(
    conn: &Connection,
    source: &Source,
    tables: &[SourceTable],
) -> Result<String, ImportError> {
    let identity = source.identity();
    if !source.has_uuid {
        return Ok(identity.to_owned());
    }
    let mut candidates = candidates(conn, identity)?;
    // The source that was last imported from the same file comes first.
    candidates.sort_by_key(|candidate| !candidate.is_at(source.path()));
    for candidate in &candidates {
        if candidate.is(conn, source, tables)? {
            return Ok(candidate.name.clone());
        }
    }
    let is_taken = |name: &String| candidates.iter().any(|candidate| candidate.name == *name);
    let numbered = (2..).map(|number: u64| format!("{identity} #{number}"));
    let name = std::iter::once(identity.to_owned())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_else(|| identity.to_owned());
    if !candidates.is_empty() {
        tracing::info!(
            path = %source.path().display(), source = %name,
            "an earlier import read another store with this UUID; their rows tell them apart"
        );
    }
    Ok(name)
}

/// A source of the ledger with the same UUID.
struct Candidate {
    name: String,
    /// Its path at its last import.
    path: Option<PathBuf>,
}

fn candidates(conn: &Connection, identity: &str) -> rusqlite::Result<Vec<Candidate>> {
    let mut names = conn.prepare(
        "SELECT source, min(id) FROM outbox_import_tables
         WHERE source = ?1 OR substr(source, 1, length(?1) + 2) = ?1 || ' #' GROUP BY source ORDER BY 2",
    )?;
    let names = names.query_map([identity], |row| row.get::<_, String>(0))?;
    let mut candidates = Vec::new();
    for name in names {
        let name = name?;
        let path = conn
            .query_row(
                "SELECT path FROM outbox_import_runs WHERE table_id IN
                     (SELECT id FROM outbox_import_tables WHERE source = ?1)
                 ORDER BY run DESC LIMIT 1",
                [&name],
                |row| row.get::<_, String>(0),
            )
            .optional()?;
        let path = path.as_deref().map(path_of);
        candidates.push(Candidate { name, path });
    }
    Ok(candidates)
}

/// How many rows of the ledger the source has under their keys, by how they compare.
#[derive(Debug, Default)]
struct Found {
    /// All keys of the ledger.
    recorded: u64,
    /// Unchanged rows.
    equal: u64,
    /// Changed rows with the same id and creation time.
    changed: u64,
    /// Rows with another id or creation time.
    other: u64,
    /// The same for rows that were put aside, whose values may have been repaired.
    other_rejects: u64,
    /// Changed rows without an id and creation time to recognize them by.
    unknown: u64,
}

/// A row as the ledger records it.
struct Recorded {
    hash: Hash,
    anchor: Option<Hash>,
    is_reject: bool,
}

impl Candidate {
    fn is_at(&self, path: &Path) -> bool {
        self.path
            .as_ref()
            .is_some_and(|known| is_one_file(known, path))
    }

    /// Whether the source is this candidate.
    fn is(
        &self,
        conn: &Connection,
        source: &Source,
        tables: &[SourceTable],
    ) -> Result<bool, ImportError> {
        let mut found = Found::default();
        for table in tables {
            for (key, recorded) in self.recorded(conn, table)? {
                found.recorded += 1;
                if let Some(row) = source.get(table, key)? {
                    found.add(&row, &recorded);
                }
            }
        }
        let is_elsewhere = || self.path.as_ref().is_some_and(|path| path.exists());
        Ok(if found.recorded == 0 {
            true
        } else if self.is_at(source.path()) {
            // Unless the app has created a new store in its place.
            found.other <= found.equal + found.changed
        } else if is_elsewhere() {
            // It can only be a copy.
            found.equal > 0 && found.equal == found.comparable()
        } else {
            // The store was moved, and the app may have continued to use it.
            let known = found.equal + found.changed;
            known > 0 && found.other + found.other_rejects == 0 && known >= found.unknown
        })
    }

    fn recorded(
        &self,
        conn: &Connection,
        table: &SourceTable,
    ) -> rusqlite::Result<BTreeMap<i64, Vec<Recorded>>> {
        let mut statement = conn.prepare(
            "WITH known (id) AS (SELECT id FROM outbox_import_tables WHERE source = ?1 AND name = ?2)
             SELECT row_key, row_hash, row_anchor, 0 FROM outbox_import_rows WHERE table_id = (SELECT id FROM known)
             UNION ALL
             SELECT row_key, row_hash, row_anchor, 1 FROM outbox_import_rejects
             WHERE table_id = (SELECT id FROM known) AND resolved_run IS NULL",
        )?;
        let mut rows = statement.query(params![self.name, table.name()])?;
        let mut recorded: BTreeMap<i64, Vec<Recorded>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let anchor: Option<[u8; 16]> = row.get(2)?;
            recorded.entry(row.get(0)?).or_default().push(Recorded {
                hash: Hash::from_bytes(row.get(1)?),
                anchor: anchor.map(Hash::from_bytes),
                is_reject: row.get(3)?,
            });
        }
        Ok(recorded)
    }
}

impl Found {
    fn add(&mut self, row: &SourceRow, recorded: &[Recorded]) {
        let hash = row.hash();
        let anchor = row.anchor();
        let is_known = |it: &Recorded| it.anchor.is_some() && it.anchor == anchor;
        let count = if recorded.iter().any(|it| it.hash == hash) {
            &mut self.equal
        } else if recorded.iter().any(is_known) {
            &mut self.changed
        } else if anchor.is_none() || recorded.iter().all(|it| it.anchor.is_none()) {
            &mut self.unknown
        } else if recorded.iter().all(|it| it.is_reject) {
            &mut self.other_rejects
        } else {
            &mut self.other
        };
        *count += 1;
    }

    fn comparable(&self) -> u64 {
        self.equal + self.changed + self.other + self.other_rejects + self.unknown
    }
}
