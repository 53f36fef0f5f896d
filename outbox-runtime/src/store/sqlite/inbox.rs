//! The inbox of one of the store's threads: a bounded queue that closing ends, whoever still holds a handle on it.
//!
//! A future of the store that was polled and is kept holds a handle on the queue, or even a place in it. Nobody waits for that: what
//! is in the queue when the store is closed is served, and then the thread ends.

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
        // More is more than there can be places.
        let bound = bound.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let (sender, queue) = mpsc::channel(bound);
        (sender, Self { queue, closing })
    }

    /// Waits for the next one. `None`: every handle is gone, or the store is closed and everything was served.
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
            // Waiting would be for whoever has a place in the queue and does not use it.
            self.queue.try_recv().ok()
        })
    }

    /// The next one, if it is there.
    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.queue.try_recv() {
            Err(TryRecvError::Empty) if self.closing.is_cancelled() => {
                Err(TryRecvError::Disconnected)
            }
            next => next,
        }
    }
}

/// Runs a future on this thread, which needs no runtime.
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
