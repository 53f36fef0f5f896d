//! The queue of one of the store's threads: bounded, and ended by closing the store, even while
//! handles exist.
//!
//! A caller may keep a store's future after polling it, and with it a handle on the queue or even a
//! reserved place. Closing does not wait for it: the thread serves the requests that are in the
//! queue and ends.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::cancel::Cancel;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// A thread's side of its queue.
pub(super) struct Inbox<T> {
    queue: mpsc::Receiver<T>,
    closing: Cancel,
}

impl<T> Inbox<T> {
    pub(super) fn new(bound: usize, closing: Cancel) -> (mpsc::Sender<T>, Self) {
        // The semaphore of the channel allows no more.
        let bound = bound.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, queue) = mpsc::channel(bound);
        (sender, Self { queue, closing })
    }

    /// Waits for the next request. Returns `None` when every handle is dropped, or when the store
    /// is closed and all requests are served.
    pub(super) fn blocking_recv(&mut self) -> Option<T> {
        let Self { queue, closing } = self;
        let next = block_on(async {
            tokio::select! {
                biased;
                () = closing.cancelled() => None,
                next = queue.recv() => Some(next),
            }
        });
        next.unwrap_or_else(|| {
            self.queue.close();
            // Does not wait: a reserved place may never be used.
            self.queue.try_recv().ok()
        })
    }

    /// Returns the next request if one is queued.
    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.queue.try_recv() {
            Err(TryRecvError::Empty) if self.closing.is_cancelled() => {
                Err(TryRecvError::Disconnected)
            }
            next => next,
        }
    }
}

/// Runs a future on this thread, without a runtime.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
