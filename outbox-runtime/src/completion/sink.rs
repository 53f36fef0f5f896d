//! The connections and stores that complete events.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::claimed::Completion;
use crate::enqueue::NewEvent;
use crate::error::CompleteError;

/// A sink for completions: a store, or the caller's own connection or transaction. The counterpart
/// of [`EventSink`](crate::EventSink), with the same `Driver` parameter, and open in the same way.
///
/// An implementation completes the event if the lease token is that of its current claim and the
/// lease has not ended, or if the event was completed under this token before; otherwise it
/// answers [`CompleteError::LeaseLost`] and writes nothing. It notes the completion in the same
/// transaction, so that [`settle`](crate::store::OutboxQueue::settle) can tell it from a lost
/// lease: [`Settled::AlreadyCompleted`](crate::store::Settled::AlreadyCompleted).
///
/// # Examples
///
/// ```
/// use std::sync::Mutex;
/// use outbox_runtime::store::Completion;
/// use outbox_runtime::{CompleteError, CompletionSink};
///
/// /// Notes what would be completed, for a test.
/// #[derive(Default)]
/// struct Completions(Mutex<Vec<Completion>>);
///
/// impl CompletionSink<Completions> for &Completions {
///     type Output = Result<(), CompleteError>;
///
///     fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output {
///         self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(completion?);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "events cannot be completed on `{Self}`",
    label = "not a store and not a connection that completes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your connection, transaction or savepoint",
    note = "a connection of sqlx or diesel is passed as `&mut tx`, and takes events once the program names the package for it: `use outbox_sqlx as _;`, or `use outbox_diesel as _;`"
)]
pub trait CompletionSink<Driver> {
    /// `Result<(), CompleteError>`, or a future of one.
    type Output;

    /// Completes the event, or returns the error that kept the call from being made.
    fn complete(self, completion: Result<Completion, CompleteError>) -> Self::Output;
}

/// A sink that completes an event and enqueues the next in one step.
///
/// Not implemented for a connection that cannot do both or neither by itself, because it may have
/// no transaction open.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::Sender;
/// use outbox_runtime::store::Completion;
/// use outbox_runtime::{CompleteError, NewEvent, SupersedingSink};
///
/// /// Sends both to the thread that writes.
/// struct Writer(Sender<(Completion, NewEvent)>);
///
/// impl SupersedingSink<Writer> for &Writer {
///     type Output = Result<(), CompleteError>;
///
///     fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output {
///         // The receiver outlives every sender.
///         let _ = self.0.send(step?);
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "an event cannot be superseded on `{Self}`",
    label = "not a store and not a transaction that completes events",
    note = "pass a reference: `&store`, or `&tx` with `tx` your transaction or savepoint",
    note = "a connection of sqlx or diesel is passed as `&mut tx`, and takes events once the program names the package for it: `use outbox_sqlx as _;`, or `use outbox_diesel as _;`"
)]
pub trait SupersedingSink<Driver> {
    /// `Result<Enqueued, CompleteError>`, or a future of one: what became of the next event.
    type Output;

    /// Completes the event and enqueues the next, or returns the error that kept the call from
    /// being made. An error leaves neither.
    fn supersede(self, step: Result<(Completion, NewEvent), CompleteError>) -> Self::Output;
}

/// The future of a completion.
///
/// # Cancel safety
///
/// Once polled, the event may be completed even if the future is dropped: on a store for good, in
/// a transaction of the caller if that commits. Completing it again is harmless.
#[must_use = "nothing is completed until the future is awaited"]
pub struct CompleteFuture<'c, T = ()>(
    Pin<Box<dyn Future<Output = Result<T, CompleteError>> + Send + 'c>>,
);

impl<'c, T> CompleteFuture<'c, T> {
    /// For implementations of [`CompletionSink`] and [`SupersedingSink`].
    pub fn new(work: impl Future<Output = Result<T, CompleteError>> + Send + 'c) -> Self {
        Self(Box::pin(work))
    }
}

impl<T> Future for CompleteFuture<'_, T> {
    type Output = Result<T, CompleteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for CompleteFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompleteFuture").finish_non_exhaustive()
    }
}
