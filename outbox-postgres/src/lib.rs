//! A transactional outbox in PostgreSQL.
#![forbid(unsafe_code)]

mod batch; // one or many events on a connection
mod builder; // opening a store
mod claim; // candidates and leases
mod clock; // the server's time
mod codes; // one-byte codes of enums
mod connect; // connections and their settings
mod delete; // deleting events
mod edit; // manual changes
mod fault; // errors of the driver
mod filter; // the filter of a request as SQL
mod group; // group commit
mod insert; // the values of new events
mod lane; // numbers of lanes
mod leases; // renewing and rescuing
mod listen; // wake-ups
mod migrate; // versions of the schema
mod name; // names of schemas
mod notes; // successors that were locked
mod query; // listings and explanations
mod queue; // implementation of the work queue
mod repository; // implementation of the management contract
mod row; // row to event
mod settle; // outcomes
mod sink; // enqueueing in the caller's transaction
mod sql; // the statements
mod statistics; // counts
mod store; // the store itself
mod turns; // the index for turns

pub use crate::builder::{Durability, PostgresStoreBuilder};
pub use crate::sink::{Connection, EnqueueFuture, Outbox, OutboxOn};
pub use crate::store::PostgresStore;
pub use deadpool_postgres;
pub use tokio_postgres;
