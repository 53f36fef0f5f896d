//! The processes that claim from a database, identified so that the leases of a dead one end at
//! once.
//!
//! A process writes its row with its first claim or announced run, and the tokens of its leases
//! contain its key. A
//! rescue ends the leases of processes that are [known to be gone](crate::store::process); all
//! other leases end at their expiry.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::held::Held;
use crate::claim::{Claim, LeaseToken, ProcessKey};
use crate::clock;
use crate::presence::{Announcement, ProcessState, StoreProcess};
use crate::store::process::{Identity, host};

/// Rows of processes whose state is unknown are kept for this long.
const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// The processes that have claimed from this database or announced a run.
pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<StoreProcess>> {
    let leases = leases(&Held::read(conn)?);
    let mut runs = runs(conn)?;
    let mut rows = conn.prepare_cached(
        "SELECT process, boot, pid_namespace, time_namespace, started, registered_at, host FROM outbox_processes
         ORDER BY process",
    )?;
    let processes = rows.query_map([], |row| {
        let registered = Registered::read(row)?;
        let since = time(row.get(5)?);
        let mut process = StoreProcess::new(registered.key, registered.state(), since);
        process.host = row.get(6).unwrap_or_default();
        process.leases = leases
            .get(&Some(registered.key))
            .copied()
            .unwrap_or_default();
        process.runs = runs.remove(&registered.key).unwrap_or_default();
        Ok(process)
    })?;
    let mut processes = processes.collect::<rusqlite::Result<Vec<_>>>()?;
    processes.retain(|process| process.leases > 0 || !process.runs.is_empty());
    Ok(processes)
}

/// The announced runs of each process, the oldest first.
fn runs(conn: &Connection) -> rusqlite::Result<HashMap<ProcessKey, Vec<Announcement>>> {
    let mut rows = conn.prepare_cached(
        "SELECT process, run_id, started_at, event_types, user_id, version, held_types FROM outbox_runs",
    )?;
    let mut rows = rows.query([])?;
    let mut runs: HashMap<ProcessKey, Vec<Announcement>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let mut run = Announcement::new(time(row.get(2)?));
        run.run_id = row.get(1)?;
        let names = |list: String| serde_json::from_str(&list).unwrap_or_default();
        run.event_types = row.get::<_, Option<String>>(3)?.map(names);
        run.user_id = row.get(4)?;
        run.version = row.get(5)?;
        let held_types: Option<String> = row.get(6)?;
        run.held_types = held_types.map(names).unwrap_or_default();
        let process = ProcessKey::from_i64(row.get(0)?);
        runs.entry(process).or_default().push(run);
    }
    for of_process in runs.values_mut() {
        of_process.sort_by_key(|run| (run.started_at, run.run_id));
    }
    Ok(runs)
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Records a run of this process.
pub(super) fn announce(
    conn: &Connection,
    now: DateTime<Utc>,
    run: &Announcement,
) -> rusqlite::Result<()> {
    register_this(conn, now)?;
    let event_types = run
        .event_types
        .as_ref()
        .map(|types| serde_json::json!(types).to_string());
    let held_types = match &run.held_types[..] {
        [] => None,
        types => Some(serde_json::json!(types).to_string()),
    };
    conn.prepare_cached(
        "INSERT OR REPLACE INTO outbox_runs (run_id, process, started_at, event_types, user_id, version, held_types)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        run.run_id,
        ProcessKey::own().as_i64(),
        run.started_at.timestamp_micros(),
        event_types,
        run.user_id,
        run.version,
        held_types
    ])?;
    Ok(())
}

/// Forgets a run.
pub(super) fn withdraw(conn: &Connection, run_id: Uuid) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM outbox_runs WHERE run_id = ?1")?
        .execute([run_id])?;
    Ok(())
}

/// Records this process after a claim that found events, and forgets processes that are gone.
pub(super) fn register(
    conn: &Connection,
    now: DateTime<Utc>,
    claims: &[Claim],
) -> rusqlite::Result<()> {
    if claims.is_empty() {
        return Ok(());
    }
    register_this(conn, now)
}

fn register_this(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let own = ProcessKey::own();
    let identity = Identity::own();
    let written = conn
        .prepare_cached(
            "INSERT INTO outbox_processes (process, boot, pid_namespace, time_namespace, started, registered_at, host)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            own.as_i64(),
            identity.boot,
            identity.pid_namespace,
            identity.time_namespace,
            identity.started,
            now.timestamp_micros(),
            host()
        ])?;
    if written > 0 {
        forget(conn, now)?;
    }
    Ok(())
}

/// Forgets processes that are gone and hold no leases, and old ones whose state is unknown.
fn forget(conn: &Connection, now: DateTime<Utc>) -> rusqlite::Result<()> {
    let leases = leases(&Held::read(conn)?);
    let oldest = clock::before(now, KEPT).timestamp_micros();
    let mut rows = conn.prepare_cached(
        "SELECT process, boot, pid_namespace, time_namespace, started, registered_at FROM outbox_processes",
    )?;
    let mut rows = rows.query([])?;
    let mut obsolete = Vec::new();
    while let Some(row) = rows.next()? {
        let process = Registered::read(row)?;
        let is_obsolete = match process.state() {
            _ if process.key == ProcessKey::own() || leases.contains_key(&Some(process.key)) => {
                false
            }
            ProcessState::Alive => false,
            ProcessState::Gone => true,
            ProcessState::Unknown => row.get::<_, i64>(5)? < oldest,
        };
        if is_obsolete {
            obsolete.push(process.key);
        }
    }
    let mut delete = conn.prepare_cached("DELETE FROM outbox_processes WHERE process = ?1")?;
    let mut delete_runs = conn.prepare_cached("DELETE FROM outbox_runs WHERE process = ?1")?;
    for key in obsolete {
        delete.execute([key.as_i64()])?;
        delete_runs.execute([key.as_i64()])?;
    }
    Ok(())
}

/// Finds the processes that are known to be gone. With `alone`, only this process can hold leases,
/// so unknown processes count as gone.
///
/// Never those of this process: their expiry tells whether one of its other runs has stalled.
pub(super) fn gone(
    conn: &Connection,
    held: &Held,
    alone: bool,
) -> rusqlite::Result<HashSet<Option<ProcessKey>>> {
    let mut gone = HashSet::new();
    for key in leases(held).into_keys() {
        if key == Some(ProcessKey::own()) {
            continue;
        }
        let life = life_of(conn, key)?;
        if life == ProcessState::Gone || (alone && life == ProcessState::Unknown) {
            gone.insert(key);
        }
    }
    Ok(gone)
}

/// The process that holds the claim with this token.
pub(super) fn process_of(token: Uuid) -> Option<ProcessKey> {
    LeaseToken::from(token).process_key()
}

fn life_of(conn: &Connection, key: Option<ProcessKey>) -> rusqlite::Result<ProcessState> {
    let Some(key) = key else {
        return Ok(ProcessState::Unknown);
    };
    let registered = conn
        .prepare_cached(
            "SELECT process, boot, pid_namespace, time_namespace, started FROM outbox_processes WHERE process = ?1",
        )?
        .query_row([key.as_i64()], Registered::read)
        .optional()?;
    Ok(registered.map_or(ProcessState::Unknown, |process| process.state()))
}

/// The number of events with handlers by process.
fn leases(held: &Held) -> HashMap<Option<ProcessKey>, u64> {
    let mut counts = HashMap::new();
    for (_, token) in held.tokens() {
        *counts.entry(process_of(token)).or_default() += 1;
    }
    counts
}

/// A row of `outbox_processes`.
struct Registered {
    key: ProcessKey,
    identity: Identity,
}

impl Registered {
    /// Reads the first five columns. An unreadable value counts as missing.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: ProcessKey::from_i64(row.get(0)?),
            identity: Identity {
                boot: row.get(1).unwrap_or_default(),
                pid_namespace: row.get(2).unwrap_or_default(),
                time_namespace: row.get(3).unwrap_or_default(),
                started: row.get(4).unwrap_or_default(),
            },
        })
    }

    fn state(&self) -> ProcessState {
        self.identity.state(self.key.process_id())
    }
}
