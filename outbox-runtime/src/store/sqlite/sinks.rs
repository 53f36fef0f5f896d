//! Enqueueing: on the store, and on connections that the caller opened, inside whatever transaction is open there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rusqlite::{Connection, Savepoint, Transaction};

use super::SqliteStore;
use super::fault::{fault_on, in_callers_transaction};
use super::insert::{insert, insert_all};
use super::savepoint::in_savepoint;
use super::watch::Surroundings;
use crate::enqueue::{BatchSink, Enqueued, EventSink, NewEvent};
use crate::error::EnqueueError;

/// Resolves once the event is committed, in a transaction of its own that is grouped with others.
impl EventSink<SqliteStore> for &SqliteStore {
    type Output = EnqueueFuture;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        EnqueueFuture(Box::pin(self.clone().enqueue(event)))
    }
}

/// Resolves once all of the events are committed, in one transaction that may hold others too.
impl BatchSink<SqliteStore> for &SqliteStore {
    type Output = EnqueueFuture<Vec<Enqueued>>;

    fn enqueue_all(
        self,
        events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
    ) -> Self::Output {
        let events = events.enumerate();
        let events = events.map(|(index, event)| event.map_err(|error| error.at(index)));
        let events: Result<Vec<NewEvent>, EnqueueError> = events.collect();
        EnqueueFuture(Box::pin(self.clone().enqueue_all(events)))
    }
}

/// What enqueueing on a store returns.
///
/// # Cancel safety
///
/// Once polled, the event may be written although the future is dropped. Enqueueing it again under the same id is harmless.
#[must_use = "nothing is enqueued until the future is awaited"]
pub struct EnqueueFuture<T = Enqueued>(
    Pin<Box<dyn Future<Output = Result<T, EnqueueError>> + Send>>,
);

impl<T> Future for EnqueueFuture<T> {
    type Output = Result<T, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for EnqueueFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueFuture").finish_non_exhaustive()
    }
}

/// Enqueues one event, and tells the stores on that file to look out for the commit.
fn insert_for_caller(
    conn: &Connection,
    event: Result<NewEvent, EnqueueError>,
) -> Result<Enqueued, EnqueueError> {
    let event = event?;
    let surroundings = Surroundings::of(conn);
    let transaction = Open::on(conn);
    let enqueued = insert(conn, surroundings.clock.as_ref(), &event);
    let enqueued = enqueued.map_err(|error| transaction.explain(error))?;
    surroundings.expect_commit();
    Ok(enqueued)
}

/// The same for many: all of them or none.
fn insert_all_for_caller(
    conn: &Connection,
    events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let surroundings = Surroundings::of(conn);
    let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
    let clock = surroundings.clock.as_ref();
    let transaction = Open::on(conn);
    let enqueued = in_savepoint(conn, storage, || insert_all(conn, clock, events));
    let enqueued = enqueued.map_err(|error| transaction.explain(error))?;
    surroundings.expect_commit();
    Ok(enqueued)
}

/// Whether the caller has a transaction open. Where it has, one that cannot get the write lock is
/// one that has not got it yet.
struct Open(bool);

impl Open {
    fn on(conn: &Connection) -> Self {
        Self(!conn.is_autocommit())
    }

    fn explain(&self, error: EnqueueError) -> EnqueueError {
        if self.0 {
            in_callers_transaction(error)
        } else {
            error
        }
    }
}

/// What derefs to a connection takes events as that does.
macro_rules! sinks {
    ($($sink:ty: $of_one:literal, $of_many:literal;)+) => {$(
        #[doc = $of_one]
        impl EventSink<SqliteStore> for &$sink {
            type Output = Result<Enqueued, EnqueueError>;

            fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
                insert_for_caller(self, event)
            }
        }

        #[doc = $of_many]
        impl BatchSink<SqliteStore> for &$sink {
            type Output = Result<Vec<Enqueued>, EnqueueError>;

            fn enqueue_all(
                self,
                events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
            ) -> Self::Output {
                insert_all_for_caller(self, events)
            }
        }
    )+};
}

sinks! {
    Connection:
        "Synchronous; the event exists if and only if the transaction open on the connection commits. Without one it is \
         committed when the call returns. A transaction that reads before it enqueues must begin with `BEGIN IMMEDIATE`: one \
         that did not, and cannot write any more, is told so \
         ([`needs_new_transaction`](EnqueueError::needs_new_transaction)).",
        "Synchronous, as for a single event, `BEGIN IMMEDIATE` included; an error leaves none of them.";
    Transaction<'_>:
        "Synchronous; the event exists if and only if the transaction commits. One that reads before it enqueues must \
         begin as [`Immediate`](rusqlite::TransactionBehavior::Immediate): `conn.transaction()` is deferred, and where another \
         connection commits between its first read and its first write it cannot write any more \
         ([`needs_new_transaction`](EnqueueError::needs_new_transaction)).",
        "Synchronous; an error leaves none of the events, and the transaction open. It must begin as \
         [`Immediate`](rusqlite::TransactionBehavior::Immediate) where it reads first, as for a single event.";
    Savepoint<'_>:
        "Synchronous; the event exists if and only if the savepoint and the transaction around it commit. An outermost \
         savepoint is a deferred transaction: one that reads before it enqueues may not be able to write any more \
         ([`needs_new_transaction`](EnqueueError::needs_new_transaction)); in `SqliteStore::transaction` that does not happen.",
        "Synchronous; an error leaves none of the events, and the savepoint open. What is said of a transaction that \
         reads first holds as for a single event.";
}
