//! The processes that work on an outbox, and whether they are alive.
//!
//! A process holds an advisory lock, numbered by its key, in the session that listens: as long as
//! the session lives, it is alive, on whatever machine. Without such a session the operating system
//! is asked, which knows the processes of this machine only.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::StoreError;
use outbox_runtime::store::kit::{Identity, ProcessKey, before, host};
use outbox_runtime::store::{Announcement, LeaseToken, ProcessState, StoreProcess};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::fault::{commit_fault, fault};
use crate::store::PostgresStore;

/// The runs of processes whose sessions have ended, or that have none that listens, are kept for
/// this long after they were last announced, unless the operating system knows that the process is
/// gone.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const ANNOUNCE: &str = "INSERT INTO {s}.runs (run_id, process, started_at, event_types, user_id, version, host, boot,
    pid_namespace, time_namespace, started, listens, announced_at, held_types)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (run_id) DO UPDATE SET process = excluded.process, started_at = excluded.started_at,
    event_types = excluded.event_types, user_id = excluded.user_id, version = excluded.version, listens = excluded.listens,
    announced_at = excluded.announced_at, held_types = excluded.held_types";

const RUNS: &str =
    "SELECT run_id, process, started_at, event_types, user_id, version, host, boot, pid_namespace,
    time_namespace, started, listens, announced_at, held_types FROM {s}.runs ORDER BY started_at, run_id";

const HELD: &str = "SELECT e.lease_token, e.last_attempt_at FROM {s}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n')
UNION ALL SELECT e.lease_token, e.last_attempt_at FROM {s}.events e WHERE e.slot = 'f'";

const LIVE: &str = "SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())";

/// A row of the table.
struct Run {
    announcement: Announcement,
    process: ProcessKey,
    host: Option<String>,
    identity: Identity,
    listens: bool,
    /// When its process was last heard of: a run announces itself again once a day.
    announced_at: DateTime<Utc>,
}

impl Run {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let mut announcement = Announcement::new(row.try_get(2)?);
        announcement.run_id = row.try_get(0)?;
        announcement.event_types = row.try_get(3)?;
        announcement.user_id = row.try_get(4)?;
        announcement.version = row.try_get(5)?;
        announcement.held_types = row.try_get::<_, Option<_>>(13)?.unwrap_or_default();
        let identity = Identity {
            boot: row.try_get(7)?,
            pid_namespace: row.try_get(8)?,
            time_namespace: row.try_get(9)?,
            started: row.try_get(10)?,
        };
        Ok(Self {
            announcement,
            process: ProcessKey::from_i64(row.try_get(1)?),
            host: row.try_get(6)?,
            identity,
            listens: row.try_get(11)?,
            announced_at: row.try_get(12)?,
        })
    }

    /// The state of its process, which has no session that listens.
    fn state(&self) -> ProcessState {
        match self.identity.state(self.process.process_id()) {
            ProcessState::Unknown if self.listens => ProcessState::Gone,
            state => state,
        }
    }
}

/// The processes, and the runs that can be forgotten.
struct Present {
    processes: Vec<StoreProcess>,
    obsolete: Vec<Uuid>,
}

impl PostgresStore {
    pub(crate) async fn announce_run(&self, run: &Announcement) -> Result<(), StoreError> {
        const OPERATION: &str = "announce";
        let obsolete = self.present(OPERATION).await?.obsolete;
        let client = self.connection(OPERATION).await?;
        let identity = Identity::own();
        let process = ProcessKey::own().as_i64();
        let (host, listens) = (host(), self.shared.wakes.listens());
        let written = client
            .query_typed(
                &self.shared.sql.text(ANNOUNCE),
                &[
                    (&run.run_id, Type::UUID),
                    (&process, Type::INT8),
                    (&run.started_at, Type::TIMESTAMPTZ),
                    (&run.event_types, Type::TEXT_ARRAY),
                    (&run.user_id, Type::TEXT),
                    (&run.version, Type::TEXT),
                    (&host, Type::TEXT),
                    (&identity.boot, Type::TEXT),
                    (&identity.pid_namespace, Type::TEXT),
                    (&identity.time_namespace, Type::TEXT),
                    (&identity.started, Type::INT8),
                    (&listens, Type::BOOL),
                    (&self.now(), Type::TIMESTAMPTZ),
                    (&run.held_types, Type::TEXT_ARRAY),
                ],
            )
            .await;
        written.map_err(|error| commit_fault(OPERATION, error))?;
        drop(client);
        self.forget_runs(OPERATION, &obsolete).await
    }

    pub(crate) async fn forget_runs(
        &self,
        operation: &'static str,
        run_ids: &[Uuid],
    ) -> Result<(), StoreError> {
        if run_ids.is_empty() {
            return Ok(());
        }
        let client = self.connection(operation).await?;
        let sql = "DELETE FROM {s}.runs WHERE run_id = ANY ($1)";
        let forgotten = client
            .query_typed(&self.shared.sql.text(sql), &[(&run_ids, Type::UUID_ARRAY)])
            .await;
        forgotten
            .map(drop)
            .map_err(|error| commit_fault(operation, error))
    }

    pub(crate) async fn list_processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        Ok(self.present("processes").await?.processes)
    }

    async fn present(&self, operation: &'static str) -> Result<Present, StoreError> {
        let storage = |error| fault(operation, error);
        let client = self.connection(operation).await?;
        let sql = &self.shared.sql;
        // The locks come last: a process that ends meanwhile is one that has ended.
        let runs = client.query_typed(&sql.text(RUNS), &[]).await;
        let held = client.query_typed(&sql.text(HELD), &[]).await;
        let live = client.query_typed(LIVE, &[]).await;
        drop(client);
        let runs: Result<Vec<Run>, _> = runs.map_err(storage)?.iter().map(Run::read).collect();
        let live: Result<HashSet<i64>, _> = live
            .map_err(storage)?
            .iter()
            .map(|row| row.try_get(0))
            .collect();
        let live = live.map_err(storage)?;
        let state_of = |key: ProcessKey| match live.contains(&key.as_i64()) {
            true => ProcessState::Alive,
            false => ProcessState::Unknown,
        };
        let mut processes: BTreeMap<ProcessKey, StoreProcess> = BTreeMap::new();
        for row in held.map_err(storage)? {
            let token: Option<Uuid> = row.try_get(0).map_err(storage)?;
            let since: Option<DateTime<Utc>> = row.try_get(1).map_err(storage)?;
            let Some(key) = token.and_then(|token| LeaseToken::from(token).process_key()) else {
                continue;
            };
            let since = since.unwrap_or_else(|| self.now());
            let process = processes
                .entry(key)
                .or_insert_with(|| StoreProcess::new(key, state_of(key), since));
            process.leases += 1;
            process.since = process.since.min(since);
        }
        let oldest = before(self.now(), KEPT);
        let mut obsolete = Vec::new();
        for run in runs.map_err(storage)? {
            let (key, since) = (run.process, run.announcement.started_at);
            let process = processes
                .entry(key)
                .or_insert_with(|| StoreProcess::new(key, state_of(key), since));
            if process.state == ProcessState::Unknown {
                process.state = run.state();
            }
            let is_certain = run.identity.state(key.process_id()) == ProcessState::Gone;
            let is_gone = process.state == ProcessState::Gone;
            let is_old = process.state != ProcessState::Alive && run.announced_at < oldest;
            if process.leases == 0 && ((is_gone && is_certain) || is_old) {
                obsolete.push(run.announcement.run_id);
            }
            process.since = process.since.min(since);
            process.host = run.host;
            process.runs.push(run.announcement);
        }
        Ok(Present {
            processes: processes.into_values().collect(),
            obsolete,
        })
    }
}
