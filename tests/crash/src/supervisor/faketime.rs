//! A fake wall clock, by libfaketime. The monotonic clock stays real, as when someone sets the
//! system clock.

use std::path::PathBuf;
use std::process::Command;

use super::{Arena, Worker, program, wait};
use crate::ledger::Record;
use crate::plan::Plan;
use crate::tools;

/// A wall clock that can be set while workers run.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock with the real time; `None` if libfaketime is missing.
    #[must_use]
    pub fn new(arena: &Arena) -> Option<Self> {
        let clock = Self {
            library: tools::faketime()?,
            file: arena.folder().join("clock"),
        };
        clock.write(0);
        Some(clock)
    }

    /// Starts a worker on this clock.
    #[must_use]
    pub fn start(&self, plan: &Plan) -> Worker {
        let mut command = Command::new(program());
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            // Older versions read the first of these variables, newer ones the second.
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Worker::start(command, plan)
    }

    /// Sets the offset from the real time in seconds, and waits until the running worker has seen
    /// it.
    pub fn set(&self, arena: &Arena, seconds: i64) {
        let wall = || {
            let records = arena.records();
            records.iter().rev().find_map(|record| match record {
                Record::Statements { wall, .. } => Some(*wall),
                _ => None,
            })
        };
        wait::until("the worker records its time", || wall().is_some());
        let before = wall().expect("the time was recorded");
        self.write(seconds);
        wait::until("the clock jumps", || {
            wall().is_some_and(|now| (now - before).abs() > seconds.abs() / 2)
        });
    }

    /// Sets the offset before a worker starts.
    pub fn write(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds:+}\n")).expect("the test's own file is writable");
        std::fs::rename(next, &self.file).expect("the test's own file is writable");
    }
}
