//! Enqueues and completes events of [`outbox_runtime`] in transactions of [`sqlx`].
//!
//! With this crate among the dependencies, `.on(..)` takes connections and transactions of sqlx: with
//! the feature `sqlite` those of SQLite, with the feature `postgres` those of PostgreSQL. Name it
//! once, as in `use outbox_sqlx as _;`: a crate that nothing names is not linked, and then no
//! connection of sqlx is a sink.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use outbox_runtime::prelude::*;
//! use outbox_sqlx as _; // makes `.on(..)` take connections of sqlx
//! # use serde::{Deserialize, Serialize};
//! use sqlx::SqlitePool;
//!
//! # #[derive(Debug, Clone, Serialize, Deserialize, OutboxEntity)]
//! # #[outbox(event_type = "note")]
//! # struct Note { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
//! async fn save(pool: &SqlitePool, note: &Note) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
//!     sqlx::query("INSERT INTO note (id) VALUES (?)").bind(note.id).execute(&mut *tx).await?;
//!     note.enqueue_create().on(&mut tx).await?;
//!     tx.commit().await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("app.db");
//! let store = SqliteStore::open(&path).await?; // creates the tables, and the processor works on it
//! let pool = SqlitePool::connect(&format!("sqlite://{}", path.display())).await?;
//! # sqlx::query("CREATE TABLE note (id INTEGER PRIMARY KEY)").execute(&pool).await?;
//! save(&pool, &Note { id: 7, user_id: "user-1".into() }).await?;
//! assert_eq!(store.statistics(None).await?.pending_count, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The event exists if and only if the transaction commits, and the processors of this process
//! deliver it at once. One event, [many](outbox_runtime::enqueue_all), events that fold or have a
//! key, [cancellations](outbox_runtime::Cancel) and
//! [completions](outbox_runtime::OutboxEvent::complete_on) by handlers work as on connections of
//! rusqlite and tokio-postgres.
//!
//! # Transactions
//!
//! On PostgreSQL any transaction will do. On SQLite, one that reads before it enqueues begins with
//! `pool.begin_with("BEGIN IMMEDIATE")`.
//! `pool.begin()` begins one that SQLite calls deferred: after a read, enqueueing in it fails at
//! once if another connection is writing or has committed since, and the whole transaction must be
//! repeated ([`needs_new_transaction`](outbox_runtime::EnqueueError::needs_new_transaction)).
//!
//! # What does not work
//!
//! On SQLite, an event is not folded while events of another program on the same file, or events
//! with parents, wait for the next claim to find their place in line; it is then delivered by
//! itself.
//!
//! On PostgreSQL:
//!
//! - Events with a key and cancellations take a transaction at the isolation level READ COMMITTED,
//!   which is the default; at others they are refused, as everywhere.
//! - A batch is written event by event, in one round trip each.
//! - Only a transaction of sqlx counts as open: after a `BEGIN` of one's own, sqlx begins another.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod future; // what all sinks return
#[cfg(feature = "postgres")]
mod postgres; // connections and transactions of PostgreSQL
#[cfg(feature = "sqlite")]
mod sqlite; // connections and transactions of SQLite

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use self::future::SqlxFuture;
#[cfg(feature = "postgres")]
pub use self::postgres::{InOutbox, in_outbox};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{row_values, run_statement};

/// The marker of this crate's sinks, for code that is generic over sinks: see
/// [`EventSink`](outbox_runtime::EventSink).
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Enqueue, EventSink};
/// use outbox_sqlx::Sqlx;
///
/// fn save<S: EventSink<Sqlx>>(change: Enqueue, sink: S) -> S::Output {
///     change.on(sink)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Sqlx {}

/// The README's code compiles and runs.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
