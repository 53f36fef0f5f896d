//! What a worker is to do: its one argument, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::task::Chore;

/// What a worker is to do, and with which settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The file under test.
    pub database: PathBuf,
    /// Where it writes what it does.
    pub ledger: PathBuf,
    /// What it does.
    pub work: Work,
    /// How long a claim lasts, in milliseconds.
    pub lease: u64,
    /// How long a handler may take, in milliseconds.
    pub timeout: u64,
    /// How many handlers run at once.
    pub concurrency: usize,
    /// How long a stop waits for handlers, in milliseconds.
    pub stop_deadline: u64,
    /// How long delivered events are kept, and how often they are cleaned up, in milliseconds.
    pub keep_completed: Option<u64>,
    /// How long to wait for the lock of another process, in milliseconds.
    pub busy_timeout: u64,
    /// How often an event may be attempted.
    pub max_attempts: u32,
    /// The broken variant: it says that an event is enqueued before it is.
    pub acknowledges_early: bool,
}

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// Opens the store, and closes it.
    Open,
    /// Enqueues the mixture from `first` on and delivers meanwhile.
    Mix {
        /// Whose entities.
        producer: u32,
        /// The first number.
        first: u32,
        /// How many.
        count: u32,
        /// What it does then.
        then: Then,
    },
    /// Enqueues these, each in an entity of its own or in the one given, without delivering.
    Enqueue {
        /// What.
        tasks: Vec<(i64, Chore)>,
        /// The number of the first.
        first: u32,
    },
    /// Enqueues so many, each in a transaction of the store and in an entity of its own, all of
    /// which wait at once. Nothing is delivered.
    Together {
        /// How many.
        count: u32,
    },
    /// Delivers until it is told to stop.
    Serve,
    /// Delivers until nothing is left that could be, and ends.
    Drain,
    /// Delivers and cleans up until no delivered event is left, and ends.
    Upkeep,
    /// Writes an entity and its event in one transaction and dies in it.
    DieInTransaction {
        /// Of whose.
        transaction: Transaction,
        /// Where in it.
        point: Point,
    },
}

/// What a worker does when it has enqueued everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Goes on delivering until it is told to stop.
    Serve,
    /// Drains and ends.
    Drain,
}

/// Whose transaction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transaction {
    /// That of the application's own connection.
    Callers,
    /// That of `SqliteStore::transaction`.
    Stores,
}

/// Where in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Point {
    /// Between the entity and its event.
    BetweenTheWrites,
    /// When both are written.
    BeforeTheCommit,
    /// When all is done.
    AfterTheCommit,
}

/// What a worker's process ends with.
pub mod exit {
    /// All as planned.
    pub const FINE: i32 = 0;
    /// A second signal asked for haste, and everything was given back.
    pub const HURRIED: i32 = 75;
    /// The store could not be opened; the ledger says why.
    pub const CANNOT_OPEN: i32 = 66;
    /// Stopping failed; the ledger says why.
    pub const CANNOT_STOP: i32 = 74;
    /// Whoever started it is gone.
    pub const ORPHANED: i32 = 70;
}
