//! Stores: the only place that names a database crate.

use std::sync::Mutex;

use crate::repository::Revision;

mod memory;
#[cfg(feature = "sqlite")]
mod process;
mod rules;
mod signal;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use self::memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    Durability, EnqueueFuture, ProcessState, SqlValue, SqliteInsert, SqliteStore,
    SqliteStoreBuilder, StatementCounter, StoreProcess,
};
