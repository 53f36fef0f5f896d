//! The ledger: what workers and producers did, in a file outside the database under test.
//!
//! Each record is one `write(2)` at the end of the file, so no process tears another's, and records
//! survive the process that wrote them. Their order in the file is an order in which the actions
//! may have happened: each is written after what it depends on.

use std::path::Path;

use chrono::{DateTime, Utc};
use outbox_crash::appended::{Appended, read_from};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One action, or one answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A worker has opened its store.
    Opened {
        /// Process id of the worker.
        process: u32,
    },
    /// A producer is about to enqueue an event.
    Intended {
        /// Event id.
        event: Uuid,
    },
    /// The transaction with the event was acknowledged.
    Acknowledged {
        /// Event id.
        event: Uuid,
    },
    /// A claim was answered with these events.
    Claimed {
        /// Event ids.
        events: Vec<Uuid>,
        /// Process id of the worker.
        process: u32,
        /// Milliseconds since 1970.
        at: u64,
        /// The end of the leases, in milliseconds since 1970.
        until: u64,
    },
    /// The store has renewed a lease.
    Renewed {
        /// Event id.
        event: Uuid,
        /// Process id of the worker.
        process: u32,
        /// The new end, in milliseconds since 1970.
        until: u64,
    },
    /// A handler has the event.
    Started {
        /// Event id.
        event: Uuid,
        /// Its entity.
        lane: i64,
        /// Its content.
        number: i64,
        /// Process id of the worker.
        process: u32,
        /// Milliseconds since 1970.
        at: u64,
    },
    /// A handler has saved the remote id in a transaction that is open.
    Saved {
        /// Event id.
        event: Uuid,
        /// Process id of the worker.
        process: u32,
    },
    /// The handler is about to commit the transaction that completes its event.
    Committing {
        /// Event id.
        event: Uuid,
        /// Process id of the worker.
        process: u32,
    },
    /// The handler is about to answer, or to complete its event.
    Answered {
        /// Event id.
        event: Uuid,
        /// Whether it is delivered; else it is to be retried.
        ok: bool,
        /// Process id of the worker.
        process: u32,
    },
    /// The worker is about to ask the store to end these leases.
    Settling {
        /// Event ids.
        events: Vec<Uuid>,
        /// Process id of the worker.
        process: u32,
    },
    /// The store acknowledged the delivery.
    Settled {
        /// Event id.
        event: Uuid,
        /// Process id of the worker.
        process: u32,
    },
    /// The store refused an outcome or a renewal, because the lease was lost.
    Fenced {
        /// Event id.
        event: Uuid,
        /// Process id of the worker.
        process: u32,
    },
    /// A call of the store failed.
    Failed {
        /// The call.
        call: String,
        /// Kind of the error.
        kind: String,
        /// Whether its outcome is unknown.
        unknown: bool,
        /// Text of the error.
        text: String,
        /// Process id of the worker.
        process: u32,
    },
    /// The supervisor has killed a worker, and the process is gone.
    Killed {
        /// Process id of the worker.
        process: u32,
    },
    /// The supervisor has stopped a worker with `SIGSTOP`, or lets it go on.
    Frozen {
        /// Process id of the worker.
        process: u32,
        /// Whether it stands still from now on.
        stands: bool,
    },
    /// The supervisor did something to the server.
    Harmed {
        /// The harm in words.
        what: String,
    },
}

/// Milliseconds since 1970, on the clock that all processes of a machine share.
#[must_use]
pub fn now() -> u64 {
    millis(SystemClock.now())
}

/// A time in milliseconds since 1970.
#[must_use]
pub fn millis(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or(0)
}

/// The writing end.
pub type Ledger = Appended<Record>;

/// All records so far, oldest first. Leaves out a line that is only partly written.
#[must_use]
pub fn read(path: &Path) -> Vec<Record> {
    read_from(path, &mut 0)
}
