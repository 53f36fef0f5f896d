//! The ledger: an append-only file outside the database under test, with one `write(2)` per record.

use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::appended::read_from;

use crate::appended::Appended;

/// One action of a worker, or one answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The store is open; work starts now.
    Opened {
        /// Process id of the worker.
        process: u32,
    },
    /// An event is about to be enqueued.
    Intended {
        /// Event id.
        event: Uuid,
        /// User of the event.
        user: String,
        /// Entity of the event.
        entity: i64,
        /// Its number among all events of its producer.
        number: u32,
    },
    /// The store acknowledged the event.
    Acknowledged {
        /// Event id.
        event: Uuid,
    },
    /// The store refused the event, or reported an unknown outcome.
    Refused {
        /// Event id.
        event: Uuid,
        /// Kind of the error.
        kind: String,
        /// Whether the error reports an unknown outcome.
        unknown: bool,
        /// Text of the error.
        text: String,
    },
    /// A handler has the event.
    Started {
        /// Event id.
        event: Uuid,
        /// Idempotency key of the request.
        key: Uuid,
        /// User of the event.
        user: String,
        /// Entity of the event.
        entity: i64,
        /// Its number among all events of its producer.
        number: u32,
        /// Number of the attempt, according to the event.
        attempt: u32,
        /// Consecutive crashes before this attempt, according to the event; they take no attempt.
        crashes: u32,
        /// Process id of the handler.
        process: u32,
    },
    /// The handler is about to answer.
    Answered {
        /// Event id.
        event: Uuid,
        /// Number of the attempt.
        attempt: u32,
        /// The handler's answer.
        answer: Answer,
    },
    /// An operation other than enqueueing or handling failed: opening, stopping, querying.
    Failed {
        /// The operation.
        operation: String,
        /// Kind of the error.
        kind: String,
        /// Text of the error.
        text: String,
    },
    /// Number of statements that the store has run, and the time that it took.
    Statements {
        /// Statements so far.
        count: u64,
        /// Milliseconds so far.
        millis: u64,
        /// Seconds since 1970 on the clock of the process.
        wall: i64,
    },
    /// Nothing deliverable is left.
    Drained,
    /// A termination signal arrived; the run is being stopped.
    Stopping,
    /// The run was stopped.
    Stopped {
        /// Number of handlers that answered meanwhile.
        finished: usize,
        /// Number of events that were given back.
        given_back: usize,
    },
}

/// A handler's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Delivered.
    Ok,
    /// Retry.
    Retry,
    /// Rejected for good.
    Reject,
    /// Snoozed, without taking an attempt.
    Snooze,
}

/// The writing end.
pub type Ledger = Appended<Record>;

/// All records so far, oldest first. Leaves out a line that is only partly written.
#[must_use]
pub fn read(path: &Path) -> Vec<Record> {
    read_from(path, &mut 0)
}
