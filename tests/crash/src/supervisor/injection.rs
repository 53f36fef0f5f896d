//! Faults at the N-th system call, by `strace -e inject`.

use std::path::PathBuf;
use std::process::Command;

use super::{Arena, Worker, program};
use crate::plan::Plan;

/// A fault in some system calls on the database's files.
#[derive(Debug, Clone)]
pub struct Injection {
    calls: &'static str,
    what: String,
    log: PathBuf,
}

impl Injection {
    /// `calls` on the database's files fail with `error`. `when` selects them: `3` the third, `3+`
    /// the third and all later ones, `3..5` the third to the fifth. Each thread counts separately,
    /// and one thread does all writing.
    #[must_use]
    pub fn error(arena: &Arena, calls: &'static str, error: &str, when: &str) -> Self {
        Self::new(arena, calls, format!("error={error}:when={when}"))
    }

    /// Kills the process at the N-th of `calls` on the database's files.
    #[must_use]
    pub fn kill(arena: &Arena, calls: &'static str, n: usize) -> Self {
        Self::new(arena, calls, format!("signal=SIGKILL:when={n}"))
    }

    /// Counts the calls without injecting a fault.
    #[must_use]
    pub fn none(arena: &Arena, calls: &'static str) -> Self {
        Self::new(arena, calls, String::new())
    }

    fn new(arena: &Arena, calls: &'static str, what: String) -> Self {
        let log = arena.folder().join(format!("strace.{}", fastrand::u32(..)));
        Self { calls, what, log }
    }

    /// Starts a worker with this fault.
    #[must_use]
    pub fn start(&self, arena: &Arena, plan: &Plan) -> Worker {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(&self.log);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            strace.arg("-P").arg(arena.beside_database(suffix));
        }
        strace.args(["-e", &format!("trace={}", self.calls)]);
        if !self.what.is_empty() {
            strace.args(["-e", &format!("inject={}:{}", self.calls, self.what)]);
        }
        strace.arg(program());
        Worker::start(strace, plan)
    }

    /// Number of injected faults.
    #[must_use]
    pub fn fired(&self) -> usize {
        let is_error = |line: &&str| line.contains("(INJECTED)");
        if self.what.starts_with("error") {
            return self.log().lines().filter(is_error).count();
        }
        usize::from(self.log().contains("+++ killed by SIGKILL +++"))
    }

    /// Number of these calls on the thread that made the most.
    #[must_use]
    pub fn calls_of_one_thread(&self, call: &str) -> usize {
        let mut threads = std::collections::HashMap::<&str, usize>::new();
        let log = self.log();
        for line in log.lines() {
            if let Some((thread, rest)) = line.split_once(' ')
                && rest.trim_start().starts_with(&format!("{call}("))
            {
                *threads.entry(thread).or_default() += 1;
            }
        }
        threads.into_values().max().unwrap_or(0)
    }

    /// Output of strace.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
