//! The supervisor: starts workers, does them harm, and waits for what they write down.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ledger::{self, Record};
use crate::plan::{Plan, Then, Work, exit};
use crate::rows::Database;
use crate::verdict::{Circumstances, Verdict, judge};

pub mod campaign; // kills at random moments, and their results
pub mod faketime; // another wall clock, by libfaketime
pub mod injection; // faults at the N-th system call, by strace
pub mod wait; // waiting in real time

/// Set for a process that is to be a worker.
pub const PLAN: &str = "OUTBOX_CRASH_WORKER";

/// Statements a second that a worker may run while its store fails. At work it runs a thousand and more.
pub const FEW_STATEMENTS: f64 = 150.0;

/// A database, a ledger, and whoever works on them.
#[derive(Debug)]
pub struct Arena {
    folder: TempDir,
    database: PathBuf,
}

impl Arena {
    /// A new one, in a folder of its own.
    ///
    /// # Panics
    ///
    /// Where there can be none.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let database = folder.path().join("app.db");
        Self { folder, database }
    }

    /// The same with its database in another folder, which may be one that fails. The ledger stays where it is.
    #[must_use]
    pub fn with_database_in(mut self, folder: &Path) -> Self {
        self.database = folder.join("app.db");
        self
    }

    /// A folder for whatever else a test needs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the database is.
    #[must_use]
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// A file beside the database: `-wal`, `-shm`.
    #[must_use]
    pub fn beside_database(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Where its workers write what they do.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// A plan with short times: a lease of 0.4 s, four handlers at once, a hundred attempts.
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
        }
    }

    /// Everything that was written down so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        ledger::read(&self.ledger())
    }

    /// Starts a worker.
    #[must_use]
    pub fn start(&self, plan: &Plan) -> Worker {
        Worker::start(Command::new(program()), plan)
    }

    /// Starts a worker and waits for its end.
    pub fn run(&self, plan: &Plan) -> ExitStatus {
        self.start(plan).wait()
    }

    /// Delivers what is left, unharmed.
    ///
    /// # Panics
    ///
    /// Where that does not end well.
    pub fn drain(&self) {
        let mut plan = self.plan(Work::Drain);
        plan.concurrency = 16;
        // Nobody harms this one, so that no attempt of it is to end but by its handler.
        plan.lease = 20_000;
        plan.timeout = 19_000;
        let before = self.count(|record| *record == Record::Drained);
        let status = self.run(&plan);
        let drained = self.count(|record| *record == Record::Drained) - before;
        assert!(
            status.code() == Some(exit::FINE) && drained == 1,
            "the drain ended with {status}: {:?}",
            self.records().last()
        );
    }

    /// A plan of producer 0 that enqueues so many events of all kinds, and delivers.
    #[must_use]
    pub fn mix(&self, count: u32, then: Then) -> Plan {
        self.plan(Work::Mix {
            producer: 0,
            first: 0,
            count,
            then,
        })
    }

    /// How many enqueues were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.count(|record| matches!(record, Record::Acknowledged { .. }))
    }

    /// How many records are such.
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
    /// Where none has.
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

    /// What enqueueing was refused with so far: the kind, and whether the outcome was called unknown.
    #[must_use]
    pub fn refusals(&self) -> Vec<(String, bool)> {
        let records = self.records().into_iter();
        let refused = records.filter_map(|record| match record {
            Record::Refused { kind, unknown, .. } => Some((kind, unknown)),
            _ => None,
        });
        refused.collect()
    }

    /// Statements a second that the store runs, over about a second and from a second on, when delays have grown.
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
        wait::until("the worker counts", || told().len() > first + 20);
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

    /// Drains, compares, and fails where anything is not as it must be.
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

/// A worker's process, which does not outlive this.
#[derive(Debug)]
pub struct Worker(Child);

impl Worker {
    /// Starts `command`, which is or becomes the worker's program.
    ///
    /// # Panics
    ///
    /// Where it does not start.
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

    /// Kills it, whatever it is at.
    pub fn kill(mut self) -> ExitStatus {
        self.0.kill().expect("it can be killed");
        self.wait()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// Where it cannot be sent.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the signal can be sent");
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// Where it does not come within a minute.
    pub fn wait(mut self) -> ExitStatus {
        let mut status = None;
        wait::until("a worker ends", || {
            status = self.0.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Tells it to end in order, and waits until it has.
    pub fn stop(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended long ago.
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

/// The worker's program, which cargo builds beside the tests.
#[must_use]
pub fn program() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let folder = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("it is in a folder");
    folder.join(format!("outbox-crash{}", std::env::consts::EXE_SUFFIX))
}
