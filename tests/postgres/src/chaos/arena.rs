//! An outbox in a schema of its own, with workers, producers and a ledger.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outbox_crash::plan::Completes;
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::{Client, Config, NoTls};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::ledger::{self, Ledger, Record};
use super::pause;
use super::producers::{FOLDING, Load, Producers, SHARED_LANES, Tally};
use super::rows::Rows;
use super::verdict::{Circumstances, Verdict, judge};
use super::worker::{PLAN, Plan};

/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything of one run.
#[derive(Debug)]
pub struct Arena {
    folder: TempDir,
    /// The program that is a worker when [`PLAN`] is set.
    program: PathBuf,
    /// Schema of the outbox.
    pub schema: String,
    /// Where workers and producers find the server.
    pub address: String,
    /// Where the supervisor finds it.
    pub direct: Config,
    /// Duration of a lease, in milliseconds.
    pub lease: u64,
    /// A delivery takes up to this long, in milliseconds.
    pub slowest: u64,
    /// What the supervisor records.
    pub ledger: Ledger,
    workers: u64,
}

impl Arena {
    /// Creates the outbox and the application's tables on this server.
    pub async fn new(program: PathBuf, direct: Config, address: String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arena = Self {
            program,
            schema: crate::new_schema(),
            address,
            direct,
            lease: 1_000,
            slowest: 6,
            ledger: Ledger::open(&folder.path().join("ledger")),
            folder,
            workers: 0,
        };
        let builder = PostgresStore::builder().schema(&arena.schema);
        let store = builder.connect_with(arena.direct.clone()).await;
        drop(store.expect("the server takes connections"));
        let tables = format!(
            "CREATE TABLE {s}_entity (id bigint PRIMARY KEY, version bigint NOT NULL);
            INSERT INTO {s}_entity SELECT i, 0 FROM generate_series(0, {last}) i;
            INSERT INTO {s}_entity SELECT {FOLDING} + i, 0 FROM generate_series(0, {last}) i;
            CREATE TABLE {s}_journal (event uuid PRIMARY KEY, lane bigint NOT NULL, version bigint NOT NULL);",
            s = arena.schema,
            last = SHARED_LANES - 1,
        );
        let client = arena.connect().await;
        client
            .batch_execute(&tables)
            .await
            .expect("the tables are new");
        arena
    }

    /// A session of the supervisor, which waits until the server takes it.
    pub async fn connect(&self) -> Client {
        let deadline = SystemClock.uptime() + PATIENCE;
        let mut config = self.direct.clone();
        config.application_name("supervisor");
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(async move {
                        // An error shows in the statements that it concerns.
                        let _ = connection.await;
                    });
                    return client;
                }
                Err(error) => assert!(SystemClock.uptime() < deadline, "{error}"),
            }
            pause(50).await;
        }
    }

    /// A worker's plan.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            address: self.address.clone(),
            schema: self.schema.clone(),
            ledger: self.folder.path().join("ledger"),
            seed: self.workers,
            lease: self.lease,
            slowest: self.slowest,
            acknowledges_early: false,
            completes: Completes::ByAnswer,
        }
    }

    /// Starts a worker.
    pub fn start_worker(&mut self) -> Worker {
        let plan = self.plan();
        self.start_with(&plan)
    }

    /// Starts a worker with this plan.
    pub fn start_with(&mut self, plan: &Plan) -> Worker {
        self.workers += 1;
        let plan = serde_json::to_string(plan).expect("a plan is JSON");
        let child = Command::new(&self.program)
            .env(PLAN, plan)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Worker(child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())))
    }

    /// Starts producers.
    #[must_use]
    pub fn produce(&self, load: Load, seed: u64) -> Producing {
        let producers = Arc::new(Producers {
            address: self.address.clone(),
            schema: self.schema.clone(),
            ledger: self.folder.path().join("ledger"),
            load,
            stops: AtomicBool::new(false),
            tally: Arc::new(Tally::default()),
        });
        let tasks = producers.start(seed);
        Producing { producers, tasks }
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        ledger::read(&self.folder.path().join("ledger"))
    }

    /// Kills a worker; the record comes after its end.
    pub fn kill(&self, mut worker: Worker) {
        let process = worker.0.id();
        worker.0.kill().expect("our child can be killed");
        worker.0.wait().expect("our child can be waited for");
        self.ledger.write(&Record::Killed { process });
    }

    /// Stops a worker with `SIGSTOP`, or lets it go on.
    pub fn freeze(&self, worker: &Worker, stands: bool) {
        let process = worker.0.id();
        let signal = if stands { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&worker.0), signal).expect("our child takes signals");
        self.ledger.write(&Record::Frozen { process, stands });
    }

    /// Waits until the workers have delivered everything, and compares. Events that are left once
    /// nothing has been delivered for half a minute are stuck.
    pub async fn judge(&self) -> Verdict {
        let client = self.connect().await;
        // The limits of a campaign are for workers and producers.
        let unlimited =
            "SET idle_session_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0";
        client.batch_execute(unlimited).await.unwrap();
        let open = format!(
            "SELECT count(*) FROM {}.events WHERE status <> 'c'",
            self.schema
        );
        let (mut least, mut since) = (i64::MAX, SystemClock.uptime());
        while least > 0 && SystemClock.uptime() - since < PATIENCE {
            let row = client.query_one(&open, &[]).await;
            let left = row.expect("the server is up").get(0);
            if left < least {
                (least, since) = (left, SystemClock.uptime());
            }
            pause(20).await;
        }
        // The last outcomes are being recorded.
        pause(100).await;
        let rows = Rows::read(&client, &self.schema).await;
        let records = self.records();
        let circumstances = Circumstances { lease: self.lease };
        let verdict = judge(&records, &rows, circumstances);
        for event in verdict.suspects().into_iter().take(3) {
            eprintln!("{}", history(&records, event));
        }
        verdict
    }

    /// Calls of workers' stores that failed with this SQLSTATE, or without any.
    #[must_use]
    pub fn failures(&self, of: Option<&str>) -> usize {
        let is_such = |record: &&Record| match (record, of) {
            (Record::Failed { text, .. }, Some(code)) => text.contains(code),
            (Record::Failed { .. }, None) => true,
            _ => false,
        };
        self.records().iter().filter(is_such).count()
    }
}

/// All records about an event, as they are in the ledger.
fn history(records: &[Record], event: Uuid) -> String {
    let mut history = format!("history of {event}:");
    for (nth, record) in records.iter().enumerate() {
        let line = serde_json::to_string(record).expect("a record is JSON");
        if line.contains(&event.to_string()) || matches!(record, Record::Frozen { .. }) {
            history.push_str(&format!("\n  {nth}: {line}"));
        }
    }
    history
}

/// Producers at work.
#[derive(Debug)]
pub struct Producing {
    /// What they share.
    pub producers: Arc<Producers>,
    tasks: Vec<JoinHandle<()>>,
}

impl Producing {
    /// The counts so far.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.producers.tally)
    }

    /// Lets each finish what it has begun.
    pub async fn stop(self) -> Arc<Tally> {
        self.producers.stops.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.expect("a producer does not panic");
        }
        Arc::clone(&self.producers.tally)
    }
}

/// A worker process, which is killed when this is dropped.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
