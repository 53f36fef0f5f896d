//! Enqueueing on connections that the caller opened, inside whatever transaction is open there.

use rusqlite::{Connection, Savepoint, Transaction};

use super::fault::fault_on;
use super::insert::{insert, insert_all};
use super::savepoint::in_savepoint;
use super::watch::Surroundings;
use crate::enqueue::{BatchSink, Enqueued, EventSink, NewEvent};
use crate::error::EnqueueError;

/// Enqueues one event, and tells the stores on that file to look out for the commit.
fn insert_for_caller(
    conn: &Connection,
    event: Result<NewEvent, EnqueueError>,
) -> Result<Enqueued, EnqueueError> {
    let event = event?;
    let surroundings = Surroundings::of(conn);
    let enqueued = insert(conn, surroundings.clock.as_ref(), &event)?;
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
    let enqueued = in_savepoint(conn, storage, || insert_all(conn, clock, events))?;
    surroundings.expect_commit();
    Ok(enqueued)
}

/// What derefs to a connection takes events as that does.
macro_rules! sinks {
    ($($sink:ty: $of_one:literal, $of_many:literal;)+) => {$(
        #[doc = $of_one]
        impl EventSink for &$sink {
            type Output = Result<Enqueued, EnqueueError>;

            fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
                insert_for_caller(self, event)
            }
        }

        #[doc = $of_many]
        impl BatchSink for &$sink {
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
         committed when the call returns.",
        "Synchronous, as for a single event; an error leaves none of them.";
    Transaction<'_>:
        "Synchronous; the event exists if and only if the transaction commits.",
        "Synchronous; an error leaves none of the events, and the transaction open.";
    Savepoint<'_>:
        "Synchronous; the event exists if and only if the savepoint and the transaction around it commit.",
        "Synchronous; an error leaves none of the events, and the savepoint open.";
}
