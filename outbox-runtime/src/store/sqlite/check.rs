//! Checks of the database: the schema, the pages, and everything that is kept twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, ErrorCode, named_params, params};

use super::held::Held;
use super::identity::wal_of;
use super::lane::{Lane, Lanes, lane_columns};
use super::store::SqliteStore;
use super::{frozen, schema, tally};
use crate::error::StoreError;
use crate::presence::ProcessState;
use crate::repository::OutboxRepository;
use crate::statistics::{CheckDepth, Finding, Remedy, Repaired, Severity, Subject};

/// A `-wal` beyond this length is not written back.
const LONG_LOG: u64 = 256 << 20;

/// Free pages beyond this size, and half of the file, are worth giving back.
const MUCH_FREE: i64 = 64 << 20;

/// The differences between clocks that go unmentioned.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// A lease that ended longer ago would have been rescued by any running worker.
const RESCUED_BY: TimeDelta = TimeDelta::seconds(60);

impl SqliteStore {
    /// Checks the database: settings, schema, leases, processes and clocks. With
    /// [`Full`](CheckDepth::Full), also checks each page of the file, the order of all lanes, and
    /// the counts behind statistics. Writes nothing.
    ///
    /// The check of the pages reads the whole file, the application's tables included, in one read
    /// transaction, during which the `-wal` grows; the others read in short ones.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::SqliteStore;
    /// use outbox_runtime::store::CheckDepth;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqliteStore::open_in_memory().await?;
    /// assert_eq!(store.check(CheckDepth::Full).await?, []);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        const OPERATION: &str = "check";
        let path = Arc::clone(&self.shared.path);
        let now = self.shared.clock.now();
        let mut found = self
            .read(OPERATION, move |conn| {
                let mut found = settings(conn, &path)?;
                found.extend(objects(conn)?);
                found.extend(leases(conn, now)?);
                found.extend(clocks(conn, now)?);
                Ok(found)
            })
            .await?;
        found.extend(self.dead_processes().await?);
        found.extend(self.log());
        if depth == CheckDepth::Quick {
            return Ok(found);
        }
        let damage = self.read(OPERATION, pages).await?;
        if !damage.is_empty() {
            // Counts that are read from damaged pages prove nothing.
            found.extend(damage);
            return Ok(found);
        }
        found.extend(
            self.read(OPERATION, move |conn| {
                let stuck = stuck_lanes(conn, now)?.len();
                Ok((stuck > 0).then(|| {
                    let message =
                        format!("{stuck} lanes are stuck: all of their events are blocked");
                    let finding = Finding::new(Subject::Lanes, Severity::Fault, message);
                    finding.with_remedy(Remedy::Repair)
                }))
            })
            .await?,
        );
        let wrong = self.wrong_blocks(OPERATION).await?;
        if wrong > 0 {
            let message = format!("the counts of {wrong} blocks differ from their rows");
            let finding = Finding::new(Subject::Statistics, Severity::Warning, message);
            found.push(finding.with_remedy(Remedy::Repair));
        }
        Ok(found)
    }

    /// Places the events of stuck lanes again, and discards counts that differ from the rows, so
    /// that they are counted again. Changes nothing else. Returns the numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](crate::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::SqliteStore;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = SqliteStore::open_in_memory().await?;
    /// println!("{:?}", store.repair().await?); // counts of what was mended
    /// # Ok(())
    /// # }
    /// ```
    pub async fn repair(&self) -> Result<Repaired, StoreError> {
        const OPERATION: &str = "repair";
        // Not in the transaction that writes: nobody may wait until all rows are read.
        let blocks = self.wrong_blocks(OPERATION).await?;
        self.write(OPERATION, move |conn, now, effects| {
            effects.wakes = true;
            let stuck = stuck_lanes(conn, now)?;
            // A claim places what is not placed.
            let mut replace = conn.prepare_cached(
                "UPDATE outbox_events SET slot = 0, lane = 0 WHERE lane = ?1 AND slot = 3",
            )?;
            for lane in &stuck {
                replace.execute([lane])?;
            }
            if blocks > 0 {
                // Counts of the blocks in between would be taken for missing rows.
                conn.execute("DELETE FROM outbox_tally", [])?;
            }
            Ok(Repaired::new(stuck.len() as u64, blocks))
        })
        .await
    }

    /// The number of counted blocks whose counts differ from their rows. Each is read in a snapshot
    /// of its own.
    async fn wrong_blocks(&self, operation: &'static str) -> Result<u64, StoreError> {
        let mut wrong = 0;
        let mut after = None;
        loop {
            let (next, is_right) = self
                .read(operation, move |conn| compare_block(conn, after))
                .await?;
            wrong += u64::from(!is_right);
            after = next;
            if next.is_none() {
                return Ok(wrong);
            }
        }
    }

    async fn dead_processes(&self) -> Result<Option<Finding>, StoreError> {
        let processes = self.processes().await?;
        let gone = processes
            .iter()
            .filter(|process| process.state == ProcessState::Gone && process.leases > 0);
        let (ids, leases) = gone.fold((Vec::new(), 0), |(mut ids, leases), process| {
            ids.push(process.process_id.to_string());
            (ids, leases + process.leases)
        });
        Ok((leases > 0).then(|| {
            let message = format!(
                "{leases} events are leased by processes that are gone: {}",
                ids.join(", ")
            );
            let finding = Finding::new(Subject::Processes, Severity::Warning, message);
            finding.with_remedy(Remedy::Rescue)
        }))
    }

    fn log(&self) -> Option<Finding> {
        let path = std::fs::canonicalize(&self.shared.path).ok()?;
        let length = std::fs::metadata(wal_of(&path)).ok()?.len();
        (length > LONG_LOG).then(|| {
            let message = format!(
                "the -wal file has {} MiB: a connection holds an old snapshot, or held one until lately",
                length >> 20
            );
            let finding = Finding::new(Subject::Log, Severity::Warning, message);
            finding.with_remedy(Remedy::Sql("PRAGMA wal_checkpoint(TRUNCATE);".to_owned()))
        })
    }
}

fn settings(conn: &Connection, path: &std::path::Path) -> rusqlite::Result<Vec<Finding>> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let mut found = Vec::new();
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    // A file that is read without locks has no journal mode.
    if !mode.eq_ignore_ascii_case("wal") && !frozen::is_closed(path) {
        let message = format!("the journal mode is {mode:?}: writers and readers block each other");
        let finding = Finding::new(Subject::Settings, Severity::Warning, message);
        found.push(finding.with_remedy(Remedy::Sql("PRAGMA journal_mode = WAL;".to_owned())));
    }
    let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
    let bytes = free.saturating_mul(pragma("page_size")?);
    if bytes > MUCH_FREE && free > pages / 2 {
        let message = format!("{} MiB of the file are free pages", bytes >> 20);
        let finding = Finding::new(Subject::Space, Severity::Notice, message);
        found.push(finding.with_remedy(Remedy::Sql("VACUUM;".to_owned())));
    }
    Ok(found)
}

/// Compares the tables, indices, triggers and views with those of a new database.
fn objects(conn: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let model = Connection::open_in_memory()?;
    model.execute_batch(&schema::script())?;
    let there = definitions(conn)?;
    let mut found = Vec::new();
    for (name, sql) in definitions(&model)? {
        let message = match there.get(&name) {
            Some(text) if *text == sql => continue,
            Some(_) => format!("{name} was changed"),
            None => format!("{name} is missing"),
        };
        let remedy = match there.contains_key(&name) {
            true => Remedy::Advice(format!("compare it with `outbox migrate sql`: {sql}")),
            false => Remedy::Sql(format!("{sql};")),
        };
        let finding = Finding::new(Subject::Schema, Severity::Fault, message);
        found.push(finding.with_remedy(remedy));
    }
    Ok(found)
}

fn definitions(conn: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let mut objects = conn.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE name LIKE 'outbox^_%' ESCAPE '^' AND sql IS NOT NULL",
    )?;
    let objects = objects.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    objects.collect()
}

fn leases(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Option<Finding>> {
    let held = Held::read(conn)?;
    let late = (now - RESCUED_BY).timestamp_micros();
    let ended = held
        .seqs()
        .filter(|seq| held.of(*seq).is_some_and(|claim| claim.expires_at < late))
        .count();
    Ok((ended > 0).then(|| {
        let message = format!(
            "{ended} leases ended more than a minute ago: no worker is running that could rescue their events"
        );
        let finding = Finding::new(Subject::Leases, Severity::Warning, message);
        finding.with_remedy(Remedy::Rescue)
    }))
}

fn clocks(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Option<Finding>> {
    let newest: Option<i64> = conn.query_row(
        "SELECT max(at) FROM (
            SELECT created_at AS at FROM (SELECT created_at FROM outbox_events ORDER BY seq DESC LIMIT 16)
            UNION ALL SELECT claimed_at FROM outbox_claims)",
        [],
        |row| row.get(0),
    )?;
    let newest = newest.and_then(DateTime::from_timestamp_micros);
    Ok(newest
        .filter(|newest| *newest > now + TOLERANCE)
        .map(|newest| {
            let message = format!(
                "an event was enqueued or claimed at {newest}, {} s after the time of this machine",
                (newest - now).num_seconds()
            );
            let finding = Finding::new(Subject::Clock, Severity::Warning, message);
            finding.with_remedy(Remedy::Advice(
                "synchronize the clocks of the machines that use the file".to_owned(),
            ))
        }))
}

fn pages(conn: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let mut check = conn.prepare("PRAGMA integrity_check(20)")?;
    let mut messages: Vec<String> = Vec::new();
    for message in check.query_map([], |row| row.get(0))? {
        match message {
            Ok(message) => messages.push(message),
            // So damaged that the check cannot go on.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                messages.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    messages.retain(|message| message != "ok");
    let finding = |message| {
        let finding = Finding::new(Subject::Integrity, Severity::Fault, message);
        finding.with_remedy(Remedy::Advice(DAMAGED.to_owned()))
    };
    Ok(messages.into_iter().map(finding).collect())
}

const DAMAGED: &str =
    "stop writing to the file, keep a copy with its -wal, and recover from a backup";

/// The lanes whose events are all blocked, although nothing in another lane goes first.
fn stuck_lanes(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Vec<i64>> {
    let mut suspects = conn.prepare(
        "SELECT lane, min(seq) FROM outbox_events INDEXED BY outbox_lane
         WHERE lane IS NOT NULL AND lane <> 0 GROUP BY lane HAVING min(slot) = 3 AND max(slot) = 3",
    )?;
    let suspects = suspects.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let suspects: HashMap<i64, i64> = suspects.collect::<rusqlite::Result<_>>()?;
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let held = Held::read(conn)?;
    let lanes = Lanes::new(conn, now.timestamp_micros())?;
    let mut first = conn.prepare(concat!(
        "SELECT ",
        lane_columns!(),
        " FROM outbox_events WHERE seq = ?1"
    ))?;
    let mut stuck = Vec::new();
    for (number, seq) in suspects {
        let before = first.query_row([seq], |row| {
            Lane::of(lanes.key, row, 0)?.predecessors(&lanes, &held, seq)
        })?;
        if before.is_empty() {
            stuck.push(number);
        }
    }
    stuck.sort_unstable();
    Ok(stuck)
}

/// Compares the counts of the first counted block after this one with its rows. Returns its number,
/// or `None` if there is none, and whether the counts are right.
fn compare_block(conn: &Connection, after: Option<i64>) -> rusqlite::Result<(Option<i64>, bool)> {
    let block: Option<i64> = conn
        .prepare_cached("SELECT min(block) FROM outbox_tally WHERE ?1 IS NULL OR block > ?1")?
        .query_row(params![after], |row| row.get(0))?;
    let Some(block) = block else {
        return Ok((None, true));
    };
    let is_right = conn
        .prepare_cached(
            "SELECT t.fresh = r.fresh AND t.retrying = r.retrying AND t.completed = r.completed AND t.dead = r.dead
             FROM outbox_tally t, (SELECT coalesce(sum(status = 0), 0) AS fresh,
                 coalesce(sum(status = 1), 0) AS retrying, coalesce(sum(status = 2), 0) AS completed,
                 coalesce(sum(status = 3), 0) AS dead
                 FROM outbox_events NOT INDEXED WHERE seq >= :from AND seq < :beyond) r
             WHERE t.block = :block",
        )?
        .query_row(
            named_params! {
                ":block": block, ":from": tally::first_of(block), ":beyond": tally::first_of(block + 1),
            },
            |row| row.get(0),
        )?;
    Ok((Some(block), is_right))
}
