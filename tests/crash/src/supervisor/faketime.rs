//! Another wall clock, by libfaketime. The monotonic clock stays the machine's, as it does when somebody sets the real one.

use std::path::PathBuf;
use std::process::Command;

use super::{Arena, Worker, program, wait};
use crate::ledger::Record;
use crate::plan::Plan;
use crate::tools;

/// A wall clock that can be set while workers look at it.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// One that tells the real time, where the library is installed.
    #[must_use]
    pub fn new(arena: &Arena) -> Option<Self> {
        let clock = Self {
            library: tools::faketime()?,
            file: arena.folder().join("clock"),
        };
        clock.write(0);
        Some(clock)
    }

    /// Starts a worker that looks at it.
    #[must_use]
    pub fn start(&self, plan: &Plan) -> Worker {
        let mut command = Command::new(program());
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            // Older versions know the first of these names, newer ones the second.
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Worker::start(command, plan)
    }

    /// Sets it to so many seconds from the real time, and waits until the worker that is running has seen that.
    pub fn set(&self, arena: &Arena, seconds: i64) {
        let wall = || {
            let records = arena.records();
            records.iter().rev().find_map(|record| match record {
                Record::Statements { wall, .. } => Some(*wall),
                _ => None,
            })
        };
        wait::until("the worker tells its time", || wall().is_some());
        let before = wall().expect("it was told");
        self.write(seconds);
        wait::until("the clock jumps", || {
            wall().is_some_and(|now| (now - before).abs() > seconds.abs() / 2)
        });
    }

    /// Sets it before a worker starts.
    pub fn write(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}\n")).expect("a file of the test's");
        std::fs::rename(next, &self.file).expect("a file of the test's");
    }
}
