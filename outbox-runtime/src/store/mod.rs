//! Stores: the only place that names a database crate.

pub mod kit;
mod memory;
#[cfg(feature = "sqlite")]
mod process;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use self::memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    Durability, EnqueueFuture, ProcessState, SqlValue, SqliteInsert, SqliteStore,
    SqliteStoreBuilder, StatementCounter, StoreProcess,
};
