//! A worker's instructions: its only argument, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::task::Chore;

/// A worker's task and settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The database under test.
    pub database: PathBuf,
    /// Path of the ledger.
    pub ledger: PathBuf,
    /// The task.
    pub work: Work,
    /// Duration of a lease, in milliseconds.
    pub lease: u64,
    /// Timeout of a handler, in milliseconds.
    pub timeout: u64,
    /// Maximum number of concurrent handlers.
    pub concurrency: usize,
    /// Time that a stop waits for handlers, in milliseconds.
    pub stop_deadline: u64,
    /// Retention of delivered events and interval of clean-up, in milliseconds.
    pub keep_completed: Option<u64>,
    /// Time to wait for another process's lock, in milliseconds.
    pub busy_timeout: u64,
    /// Maximum number of attempts per event.
    pub max_attempts: u32,
    /// The broken variant: acknowledges an event before it is enqueued.
    pub acknowledges_early: bool,
    /// How handlers complete their events.
    pub completes: Completes,
}

/// How a handler completes its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Completes {
    /// By its answer.
    ByAnswer,
    /// In the transaction that saves the remote id.
    InOneTransaction,
    /// The broken variant: after the transaction that saves the remote id.
    InTwo,
}

/// A worker's task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// Opens the store and closes it.
    Open,
    /// Enqueues the mixture, starting with number `first`, and delivers meanwhile.
    Mix {
        /// Number of the producer, which has entities of its own.
        producer: u32,
        /// First number.
        first: u32,
        /// Number of events.
        count: u32,
        /// What to do afterwards.
        then: Then,
    },
    /// Enqueues these, each for its own entity or for the given one, without delivering.
    Enqueue {
        /// Entity, if not one of its own, and chore of each task.
        tasks: Vec<(i64, Chore)>,
        /// Number of the first task.
        first: u32,
    },
    /// Enqueues `count` events for different entities, in concurrent store transactions. Nothing is
    /// delivered.
    Together {
        /// Number of events.
        count: u32,
    },
    /// Delivers until told to stop.
    Serve,
    /// Delivers until nothing deliverable is left, and exits.
    Drain,
    /// Delivers and cleans up until no delivered event is left, and exits.
    Upkeep,
    /// Writes an entity and its event in one transaction, and dies during it.
    DieInTransaction {
        /// Owner of the transaction.
        transaction: Transaction,
        /// When to die.
        point: Point,
    },
}

/// What a worker does after enqueueing everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// Continues to deliver until told to stop.
    Serve,
    /// Drains and exits.
    Drain,
}

/// Owner of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transaction {
    /// The application's own connection.
    Callers,
    /// `SqliteStore::transaction`.
    Stores,
}

/// A point in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Point {
    /// Between the entity and its event.
    BetweenTheWrites,
    /// After both, before the commit.
    BeforeTheCommit,
    /// After the commit.
    AfterTheCommit,
}

/// Exit codes of a worker.
pub mod exit {
    /// Everything went as planned.
    pub const FINE: i32 = 0;
    /// A second signal asked for an immediate stop, and everything was given back.
    pub const HURRIED: i32 = 75;
    /// The store could not be opened; the ledger has the reason.
    pub const CANNOT_OPEN: i32 = 66;
    /// Stopping failed; the ledger has the reason.
    pub const CANNOT_STOP: i32 = 74;
    /// The parent process has exited.
    pub const ORPHANED: i32 = 70;
}
