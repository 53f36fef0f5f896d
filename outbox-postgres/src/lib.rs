//! The outbox of [`outbox_runtime`] in PostgreSQL, for any number of workers on any number of
//! machines.
//!
//! The package is `outbox-runtime-postgres`, and its name in code is `outbox_postgres`:
//!
//! ```toml
//! [dependencies]
//! outbox-runtime-postgres = "0.1"
//! ```
//!
//! # Examples
//!
//! ```no_run
//! use outbox_postgres::PostgresStore;
//! use outbox_runtime::prelude::*;
//!
//! #[derive(OutboxEntity)]
//! #[outbox(event_type = "goal")]
//! struct Goal {
//!     #[outbox(entity_id)]
//!     id: i64,
//!     #[outbox(user_id)]
//!     user_id: String,
//!     #[outbox(metadata)]
//!     title: String,
//! }
//!
//! # async fn run(mut client: tokio_postgres::Client, goal: Goal) -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::connect("postgres://app@localhost/fitness").await?;
//! let running = Processor::builder(store.clone())
//!     .handle::<Goal>(|event| async move {
//!         println!("PUT {:?}, key {}", event.metadata().title, event.idempotency_key());
//!         Ok(())
//!     })
//!     .build()?
//!     .start_all_users();
//!
//! let tx = client.transaction().await?;
//! tx.execute("UPDATE goal SET title = $2 WHERE id = $1", &[&goal.id, &goal.title]).await?;
//! goal.enqueue_update().on(&tx).await?;
//! tx.commit().await?;
//! # running.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! Everything that [`OutboxRepository`](outbox_runtime::OutboxRepository) promises. In particular:
//!
//! * An event exists if and only if the transaction that enqueued it commits.
//! * The events of a lane are delivered one at a time, in the order of their `seq` as far as they
//!   are committed. An application that writes the entity's row before it enqueues gets the order
//!   of commits.
//! * Enqueueing waits for nothing but an equal event id. Workers never wait for transactions of the
//!   application; manual edits and deletions may.
//! * A worker with nothing to do runs no statement. A commit elsewhere wakes it.
//! * Times are the server's.
//!
//! [The guide] has the details, the grants of roles, and the limits.
//!
//! [The guide]: https://docs.rs/outbox-guide/latest/outbox_guide/postgresql/
//!
//! # Features
//!
//! | feature | default | enables |
//! |---|---|---|
//! | `rustls` | no | the module `tls`: TLS by rustls |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod back_off; // pauses between looks at rows that others have locked
mod batch; // one or many events on a connection
mod beside; // whether claims are made beside outcomes
mod breakdown; // counts by type and user
mod builder; // opening a store
mod cancel; // cancellations
mod check; // checks of the database
mod chosen; // the candidates that a claim takes
mod claim; // candidates and leases
mod clock; // the server's time
mod codes; // one-byte codes of enums
mod complete; // completing an event on a connection
mod completions; // handlers that have not answered
mod connect; // connections and their settings
mod creation; // indexes that are created where they are needed
mod cursor; // where claims begin
mod delete; // deleting events
mod destinations; // claims of some destinations
mod due; // when there is work next
mod edit; // manual changes
mod exchange; // outcomes and the next claim
mod fault; // errors of the driver
mod filter; // the filter of a request as SQL
mod follow; // events behind leased ones
mod followers; // the statements about followers
mod foreign; // drivers unknown to this library
mod found; // what a claim finds
mod group; // group commit
mod held; // lanes of claimed events
mod index; // indexes that not every outbox has
mod insert; // the values of new events
mod keyed; // events with a key, and cancellations
mod lane; // numbers of lanes
mod leases; // renewing and rescuing
mod lifeline; // the lock of a live process
mod listen; // wake-ups
mod locked; // outcomes of locked events
mod migrate; // versions of the schema
mod name; // names of schemas
mod notes; // successors that were locked
mod on_client; // connections of tokio-postgres as sessions
mod outcomes; // the statements about outcomes
mod page; // listings by pages
mod parents; // the statements about parents
mod pauses; // the pauses that a store remembers
mod pausing; // events that claims leave out
mod place; // positions in claim order
mod plain; // claims of an outbox without elders and parents
mod presence; // the processes that work on the outbox
mod query; // listings and explanations
mod queue; // implementation of the work queue
mod remove; // deleting events on a connection
mod repository; // implementation of the management contract
mod restore; // events of another outbox
mod row; // row to event
mod scan; // the statement of a claim
mod sequence; // the sequence after a copy
mod session; // a connection of any driver
mod settle; // outcomes
mod sink; // enqueueing in the caller's transaction
mod slowness; // whether looks have become slow
mod sql; // the statements
mod stage; // one statement of a claim
mod statistics; // counts
mod store; // the store itself
mod storm; // notifications of many sessions
mod tally; // counts per block
mod texts; // texts of statements that are put together
mod transaction; // transactions of our own
mod turning; // the statement about turns
mod turns; // one event per user
mod unblocking; // the statements about blocked events
mod value; // values that any driver has
mod visits; // where turns look
mod waits; // events that wait for a parent

#[cfg(feature = "rustls")]
pub mod tls;

pub use crate::builder::PostgresStoreBuilder;
pub use crate::connect::Durability;
pub use crate::foreign::{PostgresFailure, PostgresStatement, PostgresStep};
pub use crate::sink::{CancelFuture, Connection, EnqueueFuture, Outbox, OutboxOn};
pub use crate::store::PostgresStore;
pub use crate::value::PostgresValue;
pub use deadpool_postgres;
pub use tokio_postgres;
