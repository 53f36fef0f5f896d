//! The supervisor: starts workers, injects faults, and waits for ledger records.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ledger::{self, Record};
use crate::plan::{Completes, Plan, Then, Work, exit};
use crate::rows::Database;
use crate::verdict::{Circumstances, Verdict, judge};

pub mod campaign; // kills at random moments, and their results
pub mod completing; // the same, for handlers that complete their events
pub mod faketime; // another wall clock, by libfaketime
pub mod injection; // faults at the N-th system call, by strace
pub mod wait; // waiting in real time

/// Environment variable that makes a process a worker.
pub const PLAN: &str = "OUTBOX_CRASH_WORKER";

/// Maximum statements per second of a worker whose store fails: its tries, each of which is a dozen
/// statements, with growing pauses. At work it runs some thousand.
pub const FEW_STATEMENTS: f64 = 250.0;

/// A database, a ledger, and the workers on them.
#[derive(Debug)]
pub struct Arena {
    folder: TempDir,
    database: PathBuf,
}

impl Arena {
    /// A new arena in a temporary directory.
    ///
    /// # Panics
    ///
    /// If the directory cannot be created.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let database = folder.path().join("app.db");
        Self { folder, database }
    }

    /// Moves the database to another directory, which may be on a failing file system. The ledger
    /// stays.
    #[must_use]
    pub fn with_database_in(mut self, folder: &Path) -> Self {
        self.database = folder.join("app.db");
        self
    }

    /// Directory for other files of a test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Path of the database.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// Path of a file beside the database: `-wal`, `-shm`.
    #[must_use]
    pub fn beside_database(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Path of the ledger.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A plan with short times: a lease of 0.4 s, four concurrent handlers, a hundred attempts.
    #[must_use]
    pub fn plan(&self, work: Work) -> Plan {
        Plan {
            database: self.database.clone(),
            ledger: self.ledger(),
            work,
            lease: 400,
            timeout: 390,
            concurrency: 4,
            stop_deadline: 5_000,
            keep_completed: None,
            busy_timeout: 5_000,
            max_attempts: 100,
            acknowledges_early: false,
            completes: Completes::ByAnswer,
        }
    }

    /// All ledger records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        ledger::read(&self.ledger())
    }

    /// Starts a worker.
    #[must_use]
    pub fn start(&self, plan: &Plan) -> Worker {
        Worker::start(Command::new(program()), plan)
    }

    /// Starts a worker and waits until it exits.
    pub fn run(&self, plan: &Plan) -> ExitStatus {
        self.start(plan).wait()
    }

    /// Delivers the rest, without faults.
    ///
    /// # Panics
    ///
    /// If the drain fails.
    pub fn drain(&self) {
        self.drain_completing(Completes::ByAnswer);
    }

    /// Delivers the rest, without faults, with handlers that complete their events in this way.
    ///
    /// # Panics
    ///
    /// If the drain fails.
    pub fn drain_completing(&self, completes: Completes) {
        let mut plan = self.plan(Work::Drain);
        plan.completes = completes;
        plan.concurrency = 16;
        // Generous times: without faults, only handlers end attempts.
        plan.lease = 20_000;
        plan.timeout = 19_000;
        let before = self.count(|record| *record == Record::Drained);
        let status = self.run(&plan);
        let drained = self.count(|record| *record == Record::Drained) - before;
        assert!(
            status.code() == Some(exit::FINE) && drained == 1,
            "the drain exited with {status}: {:?}",
            self.records().last()
        );
    }

    /// A plan for producer 0 to enqueue `count` events of all kinds, and to deliver.
    #[must_use]
    pub fn mix(&self, count: u32, then: Then) -> Plan {
        self.plan(Work::Mix {
            producer: 0,
            first: 0,
            count,
            then,
        })
    }

    /// Number of acknowledged events.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.count(|record| matches!(record, Record::Acknowledged { .. }))
    }

    /// Number of records that satisfy a condition.
    #[must_use]
    pub fn count(&self, is_such: impl Fn(&Record) -> bool) -> usize {
        self.records()
            .iter()
            .filter(|record| is_such(record))
            .count()
    }

    /// The process that opened the store last.
    ///
    /// # Panics
    ///
    /// If no process has opened it.
    #[must_use]
    pub fn last_process(&self) -> Pid {
        let records = self.records();
        let opened = records.iter().rev().find_map(|record| match record {
            Record::Opened { process } => Some(*process),
            _ => None,
        });
        let process = opened.expect("a worker has opened the store");
        let process = i32::try_from(process).expect("a process id is positive");
        Pid::from_raw(process).expect("a process id is positive")
    }

    /// Refused enqueues so far: the error's kind, and whether it reports an unknown outcome.
    #[must_use]
    pub fn refusals(&self) -> Vec<(String, bool)> {
        let records = self.records().into_iter();
        let refused = records.filter_map(|record| match record {
            Record::Refused { kind, unknown, .. } => Some((kind, unknown)),
            _ => None,
        });
        refused.collect()
    }

    /// Statements per second of the store, measured for about a second, after a first second in
    /// which delays have grown.
    #[must_use]
    pub fn statements_a_second(&self) -> f64 {
        let told = || -> Vec<(u64, u64)> {
            let records = self.records().into_iter();
            let told = records.filter_map(|record| match record {
                Record::Statements { count, millis, .. } => Some((count, millis)),
                _ => None,
            });
            told.collect()
        };
        let first = told().len();
        wait::until("the worker's statement counts", || {
            told().len() > first + 20
        });
        let told = told();
        let ((count, millis), (count_then, millis_then)) = (told[first + 10], told[first + 20]);
        (count_then - count) as f64 * 1_000.0 / (millis_then - millis) as f64
    }

    /// Compares the ledger with the database.
    #[must_use]
    pub fn judge(&self, circumstances: Circumstances) -> Verdict {
        judge(
            &self.records(),
            &Database::read(&self.database),
            circumstances,
        )
    }

    /// Drains, compares, and fails unless the verdict is sound.
    pub fn drain_and_judge(&self, circumstances: Circumstances) -> Verdict {
        self.drain();
        let verdict = self.judge(circumstances);
        verdict.assert_sound();
        verdict
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// A worker process, which is killed when this is dropped.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Starts `command`, which is or execs the worker's program.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(mut command: Command, plan: &Plan) -> Self {
        let plan = serde_json::to_string(plan).expect("a plan is JSON");
        let child = command
            .arg(plan)
            .env(PLAN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Kills the worker at any point of its work.
    pub fn kill(mut self) -> ExitStatus {
        self.0.kill().expect("our child can be killed");
        self.wait()
    }

    /// Sends a signal to the worker.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the signal can be sent");
    }

    /// Waits until the worker exits.
    ///
    /// # Panics
    ///
    /// If it does not exit within a minute.
    pub fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait::until("a worker's exit", || {
            status = self.0.try_wait().expect("our child can be waited for");
            status.is_some()
        });
        status.expect("the worker has exited")
    }

    /// Asks the worker to stop, and waits until it exits.
    pub fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The worker may have exited before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process was killed with SIGKILL.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Whether a process aborted itself.
#[must_use]
pub fn has_aborted(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::ABORT.as_raw())
}

/// The worker's program, which cargo builds next to the tests.
#[must_use]
pub fn program() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let folder = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("this program is in a target directory");
    folder.join(format!("outbox-crash{}", std::env::consts::EXE_SUFFIX))
}
