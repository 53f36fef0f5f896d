//! Enqueues and completes events of [`outbox_runtime`] in transactions of [`diesel`].
//!
//! With this crate among the dependencies, `.on(..)` takes connections of diesel: with the feature
//! `sqlite` those of SQLite, with the feature `postgres` those of PostgreSQL. Name it once, as in
//! `use outbox_diesel as _;`: a crate that nothing names is not linked, and then no connection of
//! diesel is a sink.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use diesel::prelude::*;
//! use outbox_diesel as _; // makes `.on(..)` take connections of diesel
//! use outbox_runtime::prelude::*;
//! # use serde::{Deserialize, Serialize};
//!
//! # #[derive(Debug, Clone, Serialize, Deserialize, OutboxEntity)]
//! # #[outbox(event_type = "note")]
//! # struct Note { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! fn save(conn: &mut SqliteConnection, note: &Note) -> Result<(), Error> {
//!     conn.immediate_transaction(|conn| {
//!         diesel::sql_query("INSERT INTO note (id) VALUES (?)")
//!             .bind::<diesel::sql_types::BigInt, _>(note.id)
//!             .execute(conn)?;
//!         note.enqueue_create().on(&mut *conn)?;
//!         Ok(())
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("app.db");
//! let store = SqliteStore::open(&path).await?; // creates the tables, and the processor works on it
//! let mut conn = SqliteConnection::establish(&path.display().to_string())?;
//! # diesel::sql_query("CREATE TABLE note (id INTEGER PRIMARY KEY)").execute(&mut conn)?;
//! save(&mut conn, &Note { id: 7, user_id: "user-1".into() })?;
//! assert_eq!(store.statistics(None).await?.pending_count, 1);
//! # Ok(())
//! # }
//! ```
//!
//! The event exists if and only if the transaction commits, and the processors of this process
//! deliver it at once. One event, [many](outbox_runtime::enqueue_all), events that fold or have a
//! key, [cancellations](outbox_runtime::Cancel) and
//! [completions](outbox_runtime::OutboxEvent::complete_on) by handlers work as on connections of
//! rusqlite and tokio-postgres. Calls are synchronous, as diesel is.
//!
//! # Transactions
//!
//! On PostgreSQL any transaction will do. On SQLite, one that reads before it enqueues is an
//! `immediate_transaction`. `transaction` begins
//! one that SQLite calls deferred: after a read, enqueueing in it fails at once if another
//! connection is writing or has committed since, and the whole transaction must be repeated
//! ([`needs_new_transaction`](outbox_runtime::EnqueueError::needs_new_transaction)).
//!
//! # What does not work
//!
//! On SQLite:
//!
//! - An event is not folded while events of another program on the same file, or events with
//!   parents, wait for the next claim to find their place in line; it is then delivered by itself.
//! - diesel does not tell SQLite's error codes, so the kind of an error is told by its message.
//!
//! On PostgreSQL:
//!
//! - Events with a key and cancellations take a transaction at the isolation level READ COMMITTED,
//!   which is the default; at others they are refused, as everywhere.
//! - A batch is written event by event, in one round trip each.
//! - diesel tells only some error codes; the kind of other errors is told by their English message.

#[cfg(feature = "postgres")]
mod postgres; // connections of PostgreSQL
#[cfg(feature = "sqlite")]
mod sqlite; // connections of SQLite

#[cfg(feature = "postgres")]
pub use self::postgres::{InOutbox, in_outbox};

/// The marker of this crate's sinks, for code that is generic over sinks: see
/// [`EventSink`](outbox_runtime::EventSink).
///
/// # Examples
///
/// ```
/// use outbox_diesel::Diesel;
/// use outbox_runtime::{Enqueue, EventSink};
///
/// fn save<S: EventSink<Diesel>>(change: Enqueue, sink: S) -> S::Output {
///     change.on(sink)
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Diesel {}

/// The README's code compiles and runs.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
