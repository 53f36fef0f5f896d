//! Stores, and the types that authors of stores and drivers need. Applications use the names at the
//! crate root.
//!
//! A store implements [`OutboxRepository`](crate::OutboxRepository), whose `# Contract` section
//! lists its obligations; the test suite `outbox_testing::conformance!` checks them. To enqueue on
//! the connections of another driver, implement [`EventSink`](crate::EventSink) and [`BatchSink`],
//! and to complete events on them [`CompletionSink`](crate::CompletionSink). A driver of SQLite
//! only runs statements for that: `SqliteStep` says which.
//!
//! Except for the stores, the items of this module are not covered by semantic versioning yet.

pub mod kit;
mod memory;
mod process;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use self::memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    CancelFuture, Durability, EnqueueFuture, SqlValue, SqliteFailure, SqliteInsert, SqliteReply,
    SqliteStatement, SqliteStep, SqliteStore, SqliteStoreBuilder, StatementCounter,
};
pub use crate::cancellation::CancelSink;
pub use crate::claim::{
    Claim, ClaimOrder, ClaimRequest, EventTypes, FollowRequest, Lease, LeaseToken, Selector,
};
pub use crate::clock::{Sleep, SystemClock};
pub use crate::completion::{CompleteFuture, Completion};
pub use crate::enqueue::BatchSink;
pub use crate::error::BoxError;
pub use crate::event::UnknownWord;
pub use crate::outcome::{
    Attempts, Cause, Disposition, LeaseChange, MANY_SNOOZES, MAX_DEFERRALS, MAX_MESSAGE_BYTES,
    Outcome, Place, Settled, Settlement, TRANSITIONS, Transition, When,
};
pub use crate::presence::{Announcement, ProcessState, StoreProcess};
pub use crate::repository::{
    DeleteUnit, Exchange, OutboxQueue, Page, PageKey, PendingDelete, Rescued, Revision,
};
pub use crate::statistics::{
    BreakdownCounter, CheckDepth, Finding, Remedy, Repaired, Severity, Subject,
};
