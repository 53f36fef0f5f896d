//! The store and connections of rusqlite as sinks for completions.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Savepoint, Transaction};

use super::complete;
use super::completions;
use super::database::{OnConnection, at_once};
use super::fault::{fault_on, stale_in_callers_transaction};
use super::insert::insert;
use super::savepoint::in_savepoint;
use super::store::SqliteStore;
use super::stores_on_file::StoresOnFile;
use crate::clock::Clock;
use crate::completion::{CompleteFuture, Completion, CompletionSink, SupersedingSink};
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{CompleteError, EnqueueError};
use crate::store::kit::superseded_from;

const OPERATION: &str = "complete";

/// Completes an event. After an error, writes may be left behind.
fn complete(
    conn: &Connection,
    now: DateTime<Utc>,
    completion: &Completion,
) -> Result<(), CompleteError> {
    let event_id = completion.lease.event_id;
    let completed = at_once(complete::complete(&OnConnection(conn), now, completion));
    match completed.map_err(|error| fault_on(OPERATION, conn, error))? {
        true => Ok(()),
        false => Err(CompleteError::LeaseLost { event_id }),
    }
}

/// Completes an event and enqueues the next, once: a second call under the same lease answers what
/// the first did. After an error, writes may be left behind.
fn supersede(
    conn: &Connection,
    clock: &dyn Clock,
    completion: &Completion,
    next: &NewEvent,
) -> Result<Enqueued, CompleteError> {
    complete(conn, clock.now(), completion)?;
    let lease = &completion.lease;
    let event_id = lease.event_id;
    let db = OnConnection(conn);
    let storage = |error| fault_on(OPERATION, conn, error);
    if let Some(note) = at_once(completions::superseded(&db, lease)).map_err(storage)? {
        return Ok(superseded_from(&note)?);
    }
    let enqueued = insert(conn, clock, next);
    let enqueued = enqueued.map_err(|source| CompleteError::Next { event_id, source })?;
    at_once(completions::supersede(&db, lease, enqueued)).map_err(storage)?;
    Ok(enqueued)
}

/// Runs `work` on the caller's connection, all of it or nothing, and tells the stores on that file
/// to expect a commit.
fn for_caller<T>(
    conn: &Connection,
    work: impl FnOnce(&dyn Clock) -> Result<T, CompleteError>,
) -> Result<T, CompleteError> {
    let stores = StoresOnFile::of(conn);
    let storage = |error| CompleteError::from(fault_on(OPERATION, conn, error));
    let has_transaction = !conn.is_autocommit();
    let done = in_savepoint(conn, storage, || work(stores.clock.as_ref()));
    let done = done.map_err(|error| match has_transaction {
        true => stale(error),
        false => error,
    })?;
    stores.expect_commit();
    Ok(done)
}

/// Explains an error met in a transaction that the caller had already opened.
fn stale(error: CompleteError) -> CompleteError {
    match error {
        CompleteError::Store(error) => stale_in_callers_transaction(error).into(),
        CompleteError::Next {
            event_id,
            source: EnqueueError::Store(error),
        } => CompleteError::Next {
            event_id,
            source: stale_in_callers_transaction(error).into(),
        },
        error => error,
    }
}

impl SqliteStore {
    /// Completes an event in a transaction of the store, which may include other requests.
    pub(super) async fn complete_now(&self, completion: Completion) -> Result<(), CompleteError> {
        self.in_own_transaction(move |conn, clock| complete(conn, clock.now(), &completion))
            .await
    }

    /// Completes an event and enqueues the next in a transaction of the store.
    pub(super) async fn supersede_now(
        &self,
        completion: Completion,
        next: NewEvent,
    ) -> Result<Enqueued, CompleteError> {
        self.in_own_transaction(move |conn, clock| supersede(conn, clock, &completion, &next))
            .await
    }

    async fn in_own_transaction<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection, &dyn Clock) -> Result<T, CompleteError> + Send + 'static,
    ) -> Result<T, CompleteError> {
        let clock = Arc::clone(&self.shared.clock);
        let connections = self.connections(OPERATION)?;
        connections
            .writer
            .run(OPERATION, move |conn, effects| {
                effects.wakes = true;
                work(conn, clock.as_ref())
            })
            .await
    }
}

/// Resolves once the completion is committed, in the store's own transaction.
impl CompletionSink<SqliteStore> for &SqliteStore {
    type Output = CompleteFuture<'static>;

    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
        let store = self.clone();
        CompleteFuture::new(async move { store.complete_now(completion?).await })
    }
}

/// Resolves once both are committed, in the store's own transaction.
impl SupersedingSink<SqliteStore> for &SqliteStore {
    type Output = CompleteFuture<'static, Enqueued>;

    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
        let store = self.clone();
        CompleteFuture::new(async move {
            let (completion, next) = step?;
            store.supersede_now(completion, next).await
        })
    }
}

/// Implements the sinks for types that deref to a connection.
macro_rules! sinks {
    ($($sink:ty: $doc:literal;)+) => {$(
        #[doc = $doc]
        impl CompletionSink<SqliteStore> for &$sink {
            type Output = Result<(), CompleteError>;

            fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
                let completion = completion?;
                for_caller(self, |clock| complete(self, clock.now(), &completion))
            }
        }

        #[doc = $doc]
        impl SupersedingSink<SqliteStore> for &$sink {
            type Output = Result<Enqueued, CompleteError>;

            fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
                let (completion, next) = step?;
                for_caller(self, |clock| supersede(self, clock, &completion, &next))
            }
        }
    )+};
}

sinks! {
    Connection:
        "Synchronous; takes effect if and only if the transaction open on the connection commits. \
         Without a transaction it is committed when the call returns. A transaction that reads \
         first must begin with `BEGIN IMMEDIATE`, as for enqueueing.";
    Transaction<'_>:
        "Synchronous; takes effect if and only if the transaction commits. A transaction that reads \
         first must begin as [`Immediate`](rusqlite::TransactionBehavior::Immediate), as for \
         enqueueing.";
    Savepoint<'_>:
        "Synchronous; takes effect if and only if the savepoint and the transaction around it \
         commit.";
}
