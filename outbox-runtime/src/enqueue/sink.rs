//! The sinks of events: stores, and connections of the caller.

use super::new_event::NewEvent;
use crate::error::EnqueueError;

/// A sink for events: a store, or the caller's own connection or transaction.
///
/// The trait is open. `Driver` is a marker type of the crate that implements the trait, so that any
/// crate can implement it for connections of a driver that neither it nor this library defines. If
/// that driver speaks SQLite, `store::SqliteStep` has the statements to run. Callers of `.on(..)`
/// never name the marker: it is inferred from the connection. Code that is generic over sinks names
/// it in its bound: for `MemoryStore` it is `MemoryStore`, and for `SqliteStore` and the
/// connections of rusqlite it is `SqliteStore`.
///
/// `Output` is a `Result` for a synchronous driver, and a future of one for an asynchronous driver.
///
/// # Examples
///
/// A type of your own can be its own marker:
///
/// ```
/// use std::sync::Mutex;
/// use outbox_runtime::{EnqueueError, EventSink, NewEvent};
///
/// /// Collects the events that would be sent.
/// #[derive(Default)]
/// struct Outgoing(Mutex<Vec<NewEvent>>);
///
/// impl EventSink<Outgoing> for &Outgoing {
///     type Output = Result<(), EnqueueError>;
///
///     fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
///         self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(event?);
///         Ok(())
///     }
/// }
/// ```
///
/// A connection type of another crate needs a separate marker:
///
/// ```
/// # use outbox_runtime::{EnqueueError, EventSink, NewEvent};
/// /// The marker for the other crate: an empty enum, which has no values.
/// pub enum MyDriver {}
///
/// impl EventSink<MyDriver> for &std::sync::mpsc::Sender<NewEvent> {
///     type Output = Result<(), EnqueueError>;
///
///     fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
///         // The receiver outlives every sender.
///         let _ = self.send(event?);
///         Ok(())
///     }
/// }
/// ```
///
/// The guide: [drivers](https://docs.rs/outbox-guide/latest/outbox_guide/drivers/).
#[diagnostic::on_unimplemented(
    message = "events cannot be enqueued on `{Self}`",
    label = "not a store and not a connection that takes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint",
    note = "a connection of sqlx or diesel is passed as `&mut tx`, and takes events once the program names the package for it: `use outbox_sqlx as _;`, or `use outbox_diesel as _;`",
    note = "if it is a reference to one of rusqlite's, there may be two versions of rusqlite in the tree: `cargo tree -d` shows them, and `outbox_runtime::rusqlite` is the one that takes events"
)]
pub trait EventSink<Driver> {
    /// `Result<_, EnqueueError>`, or a future of one.
    type Output;

    /// Writes the event, or returns the error that kept it from being made.
    fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output;
}
