//! Enqueueing on the store, and on the caller's own connections inside the transaction that is open
//! there.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rusqlite::{Connection, Savepoint, Transaction};

use super::fault::{fault_on, in_callers_transaction};
use super::insert::{insert, insert_all};
use super::keyed;
use super::savepoint::in_savepoint;
use super::store::SqliteStore;
use super::stores_on_file::StoresOnFile;
use crate::cancellation::{Cancel, CancelSink, Canceled};
use crate::enqueue::{BatchSink, Enqueued, EventSink, NewEvent};
use crate::error::{EnqueueError, StoreError};
use crate::repository::OutboxRepository;

/// Resolves once the event is committed, in the store's own transaction, which may include other
/// requests.
impl EventSink<SqliteStore> for &SqliteStore {
    type Output = EnqueueFuture;

    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
        EnqueueFuture(Box::pin(self.clone().enqueue(event)))
    }
}

/// Resolves once all events are committed, in one transaction that may include other requests.
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

/// The future of an enqueueing on a store.
///
/// # Cancel safety
///
/// Once polled, the event may be written even if the future is dropped. Enqueueing it again under
/// the same id is harmless.
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

/// Enqueues one event, and tells the stores on that file to expect a commit.
fn insert_for_caller(
    conn: &Connection,
    event: Result<NewEvent, EnqueueError>,
) -> Result<Enqueued, EnqueueError> {
    let event = event?;
    let stores = StoresOnFile::of(conn);
    let transaction = InTransaction::on(conn);
    let enqueued = insert(conn, stores.clock.as_ref(), &event);
    let enqueued = enqueued.map_err(|error| transaction.explain(error))?;
    stores.expect_commit();
    Ok(enqueued)
}

/// Enqueues many events, all or none, and tells the stores on that file to expect a commit.
fn insert_all_for_caller(
    conn: &Connection,
    events: impl Iterator<Item = Result<NewEvent, EnqueueError>>,
) -> Result<Vec<Enqueued>, EnqueueError> {
    let stores = StoresOnFile::of(conn);
    let storage = |error| EnqueueError::from(fault_on("enqueue", conn, error));
    let clock = stores.clock.as_ref();
    let transaction = InTransaction::on(conn);
    let enqueued = in_savepoint(conn, storage, || insert_all(conn, clock, events));
    let enqueued = enqueued.map_err(|error| transaction.explain(error))?;
    stores.expect_commit();
    Ok(enqueued)
}

/// Whether the caller has a transaction open. If so, `SQLITE_BUSY` means that this transaction
/// could not become a writing one.
struct InTransaction(bool);

impl InTransaction {
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

/// Cancels events in the caller's transaction, and tells the stores on that file to expect a
/// commit: the events behind the canceled ones go on.
fn cancel_for_caller(conn: &Connection, cancel: &Cancel) -> Result<Canceled, StoreError> {
    let stores = StoresOnFile::of(conn);
    let canceled =
        keyed::cancel_on(conn, cancel).map_err(|error| fault_on("cancel", conn, error))?;
    stores.expect_commit();
    Ok(canceled)
}

/// Resolves once the cancellation is committed, in the store's own transaction.
impl CancelSink<SqliteStore> for &SqliteStore {
    type Output = CancelFuture;

    fn cancel_events(self, cancel: Cancel) -> Self::Output {
        let store = self.clone();
        CancelFuture(Box::pin(async move {
            OutboxRepository::cancel(&store, &cancel).await
        }))
    }
}

/// The future of a cancellation on a store.
///
/// # Cancel safety
///
/// Once polled, the events may be canceled even if the future is dropped. Canceling them again is
/// harmless.
#[must_use = "nothing is canceled until the future is awaited"]
pub struct CancelFuture(Pin<Box<dyn Future<Output = Result<Canceled, StoreError>> + Send>>);

impl Future for CancelFuture {
    type Output = Result<Canceled, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for CancelFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelFuture").finish_non_exhaustive()
    }
}

/// Implements the sinks for types that deref to a connection.
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

        /// Synchronous; the events are canceled if and only if the transaction commits.
        impl CancelSink<SqliteStore> for &$sink {
            type Output = Result<Canceled, StoreError>;

            fn cancel_events(self, cancel: Cancel) -> Self::Output {
                cancel_for_caller(self, &cancel)
            }
        }
    )+};
}

sinks! {
    Connection:
        "Synchronous; the event exists if and only if the transaction open on the connection \
         commits. Without a transaction it is committed when the call returns. A transaction that \
         reads before it enqueues must begin with `BEGIN IMMEDIATE`: otherwise enqueueing fails \
         if the transaction can no longer write \
         ([`needs_new_transaction`](EnqueueError::needs_new_transaction)).",
        "Synchronous; an error leaves none of the events. A transaction that reads first must \
         begin with `BEGIN IMMEDIATE`, as for a single event.";
    Transaction<'_>:
        "Synchronous; the event exists if and only if the transaction commits. A transaction that \
         reads before it enqueues must begin as \
         [`Immediate`](rusqlite::TransactionBehavior::Immediate): `conn.transaction()` is \
         deferred, and can no longer write if another connection commits between its first read \
         and its first write ([`needs_new_transaction`](EnqueueError::needs_new_transaction)).",
        "Synchronous; an error leaves none of the events, and the transaction stays open. A \
         transaction that reads first must begin as \
         [`Immediate`](rusqlite::TransactionBehavior::Immediate), as for a single event.";
    Savepoint<'_>:
        "Synchronous; the event exists if and only if the savepoint and the transaction around it \
         commit. An outermost savepoint is a deferred transaction: if it reads before it \
         enqueues, it may no longer be able to write \
         ([`needs_new_transaction`](EnqueueError::needs_new_transaction)); this cannot happen in \
         `SqliteStore::transaction`.",
        "Synchronous; an error leaves none of the events, and the savepoint stays open. The limit \
         for a savepoint that reads first applies as for a single event.";
}
