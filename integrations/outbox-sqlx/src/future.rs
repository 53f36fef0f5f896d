//! The future that all sinks return.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future of an enqueueing or a cancellation.
///
/// # Cancel safety
///
/// Dropped before it is done, it leaves all of the change in the transaction or nothing of it:
/// which, is unknown. Enqueueing an event again under the same id is harmless.
///
/// # Examples
///
/// A function of one's own that hands the future on, for connections of either database:
///
/// ```
/// use outbox_runtime::{Enqueue, EnqueueError, Enqueued, EventSink};
/// use outbox_sqlx::{Sqlx, SqlxFuture};
///
/// type Saved<'c> = SqlxFuture<'c, Result<Enqueued, EnqueueError>>;
///
/// fn save<'c, C>(change: Enqueue, conn: &'c mut C) -> Saved<'c>
/// where
///     &'c mut C: EventSink<Sqlx, Output = Saved<'c>>,
/// {
///     change.on(conn)
/// }
/// ```
#[must_use = "nothing happens until the future is awaited"]
pub struct SqlxFuture<'c, T>(Pin<Box<dyn Future<Output = T> + Send + 'c>>);

impl<'c, T> SqlxFuture<'c, T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'c) -> Self {
        Self(Box::pin(work))
    }
}

impl<T> Future for SqlxFuture<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for SqlxFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlxFuture").finish_non_exhaustive()
    }
}
