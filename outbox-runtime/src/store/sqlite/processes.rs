//! The processes that claim from a database, identified so that the leases of a dead one end at
//! once.
//!
//! A process writes its row with its first claim, and the tokens of its leases contain its key. A
//! rescue ends the leases of processes that are [known to be gone](crate::store::process); all
//! other leases end at their expiry.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::held::Held;
use super::store::SqliteStore;
use crate::claim::{Claim, LeaseToken, ProcessKey};
use crate::clock;
use crate::error::StoreError;
use crate::store::process::{Identity, Life};

/// Rows of processes whose state is unknown are kept for this long.
const KEPT: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// A process that has claimed from a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProcess {
    /// The process id assigned by its system. Processes on different machines, or in different
    /// containers, can share one.
    pub process_id: u32,
    /// When it first claimed, by its store's clock.
    pub since: DateTime<Utc>,
    /// Whether it is known to be alive, as far as this process can see.
    pub state: ProcessState,
    /// Whether it is the current process.
    pub is_this: bool,
    /// The number of events it currently holds.
    pub leases: u64,
}

/// Whether a process is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessState {
    /// The process exists. It may be frozen.
    Alive,
    /// The process has ended. The next rescue takes back its events.
    Gone,
    /// The process cannot be seen from here: it belongs to another machine, container or boot, or
    /// the system does not tell. Its events are rescued when their leases end.
    Unknown,
}

impl From<Life> for ProcessState {
    fn from(life: Life) -> Self {
        match life {
            Life::Alive => Self::Alive,
            Life::Gone => Self::Gone,
            Life::Unknown => Self::Unknown,
        }
    }
}

impl SqliteStore {
    /// The processes known to have claimed from this database. A process that is gone is forgotten
    /// once it holds no leases.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// use outbox_runtime::{NewEvent, Operation, OutboxRepository, SqliteStore};
    /// use outbox_runtime::store::{ClaimRequest, OutboxQueue as _, ProcessState};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let store = SqliteStore::open(folder.path().join("app.db")).await?;
    /// store.create_event(NewEvent::new("moodEntry", 7, "user-1", Operation::Create)).await?;
    /// let claims = store.claim(&ClaimRequest::new(1, Duration::from_secs(60))).await?;
    /// let processes = store.processes().await?;
    /// assert_eq!(processes[0].process_id, std::process::id());
    /// assert_eq!((processes[0].is_this, processes[0].leases), (true, 1));
    /// assert_ne!(processes[0].state, ProcessState::Gone);
    /// # drop(claims);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        let rows = self.read("processes", |conn| {
            let leases = leases(&Held::read(conn)?);
            let mut rows = conn.prepare_cached(
                "SELECT process, boot, pid_namespace, time_namespace, started, registered_at FROM outbox_processes
                 ORDER BY process",
            )?;
            let rows = rows.query_map([], |row| {
                let process = Registered::read(row)?;
                let since: i64 = row.get(5)?;
                let leases = leases.get(&Some(process.key)).copied().unwrap_or_default();
                Ok((process, since, leases))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let own = ProcessKey::own();
        let processes = rows.await?.into_iter().map(|(process, since, leases)| {
            let is_this = process.key == own;
            StoreProcess {
                process_id: process.key.process_id(),
                since: DateTime::from_timestamp_micros(since).unwrap_or(DateTime::<Utc>::MIN_UTC),
                state: if is_this {
                    ProcessState::Alive
                } else {
                    process.life().into()
                },
                is_this,
                leases,
            }
        });
        Ok(processes.collect())
    }
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
    let own = ProcessKey::own();
    let identity = Identity::own();
    let written = conn
        .prepare_cached(
            "INSERT INTO outbox_processes (process, boot, pid_namespace, time_namespace, started, registered_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            own.as_i64(),
            identity.boot,
            identity.pid_namespace,
            identity.time_namespace,
            identity.started,
            now.timestamp_micros()
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
        let is_obsolete = match process.life() {
            _ if process.key == ProcessKey::own() || leases.contains_key(&Some(process.key)) => {
                false
            }
            Life::Alive => false,
            Life::Gone => true,
            Life::Unknown => row.get::<_, i64>(5)? < oldest,
        };
        if is_obsolete {
            obsolete.push(process.key);
        }
    }
    let mut delete = conn.prepare_cached("DELETE FROM outbox_processes WHERE process = ?1")?;
    for key in obsolete {
        delete.execute([key.as_i64()])?;
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
        if life == Life::Gone || (alone && life == Life::Unknown) {
            gone.insert(key);
        }
    }
    Ok(gone)
}

/// The process that holds the claim with this token.
pub(super) fn process_of(token: Uuid) -> Option<ProcessKey> {
    LeaseToken::from(token).process_key()
}

fn life_of(conn: &Connection, key: Option<ProcessKey>) -> rusqlite::Result<Life> {
    let Some(key) = key else {
        return Ok(Life::Unknown);
    };
    let registered = conn
        .prepare_cached(
            "SELECT process, boot, pid_namespace, time_namespace, started FROM outbox_processes WHERE process = ?1",
        )?
        .query_row([key.as_i64()], Registered::read)
        .optional()?;
    Ok(registered.map_or(Life::Unknown, |process| process.life()))
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

    fn life(&self) -> Life {
        self.identity.life(self.key.process_id())
    }
}
