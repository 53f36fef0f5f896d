//! The handle on the writer.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::task::Poll;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::lone::{InFlight, Lone};
use self::request::{Answer, Answered, Call, Enqueueing, Request};
use super::fault::closed;
use super::own_thread::{self, Role};
use super::watch::Watch;
use crate::clock::awaited;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{EnqueueError, StoreError};

pub(super) mod closure;
mod committer;
mod effects;
pub(super) mod gate;
mod group;
mod lone;
mod request;
mod spin;
mod thread;
mod transaction;
pub(super) mod wal;

pub(super) use self::effects::Effects;
pub(super) use self::thread::WriterThread;

/// A handle on the writer thread. The thread ends when the last handle is dropped or the store is
/// closed.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    watch: Arc<Watch>,
    lone: Arc<Lone>,
}

enum Message {
    Do(Request, InFlight),
    /// Some blocks are not counted.
    Count,
    /// The log is due for a checkpoint.
    Checkpoint,
}

impl Writer {
    /// Asks the writer to count blocks when it is idle.
    pub(super) fn count_soon(&self) {
        // If the queue is full, a later call asks again.
        let _ = self.queue.try_send(Message::Count);
    }

    /// Runs `work` in the next transaction, which other requests may share, and returns after it
    /// has committed.
    ///
    /// If `work` fails, its writes are rolled back, and other requests in the same transaction are
    /// not affected. `work` runs again if another request broke the transaction. A panic of `work`
    /// is propagated to the caller.
    pub(super) async fn run<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnMut(&mut Connection, &mut Effects) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Error + Send + 'static,
    {
        let (answer, answered) = Self::answer(operation);
        let call = Box::new(Call { work, answer });
        self.send(operation, Request::Call(call), answered).await
    }

    /// Runs `work` once, in an unshared transaction, and returns after it has committed.
    pub(super) async fn run_alone<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Connection, &mut Effects) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Error + Send + 'static,
    {
        let (answer, answered) = Self::answer(operation);
        let mut once = Some(work);
        let work = move |conn: &mut Connection, effects: &mut Effects| match once.take() {
            Some(work) => work(conn, effects),
            None => Err(closed(operation).into()),
        };
        let call = Box::new(Call { work, answer });
        self.send(operation, Request::Closure(call), answered).await
    }

    /// Enqueues an event in the next transaction, and returns after it has committed.
    ///
    /// A caller without company may commit on its own thread; see [`lone`].
    pub(super) async fn enqueue(&self, event: NewEvent) -> Result<Enqueued, EnqueueError> {
        const ENQUEUE: &str = "enqueue";
        let (answer, answered) = Self::answer(ENQUEUE);
        own_thread::refuse_to_wait(&self.watch, Role::Writer, ENQUEUE)?;
        let mut enqueueing = Some(Box::new(Enqueueing { event, answer }));
        let attempted = poll_fn(|cx| {
            let request = enqueueing.take().map(Request::Enqueue);
            Poll::Ready(request.map(|request| self.lone.commit(request, cx.waker())))
        });
        match attempted.await.ok_or_else(|| closed(ENQUEUE))? {
            Ok(is_checkpoint_due) => {
                if is_checkpoint_due {
                    // If the queue is full, a later commit asks again.
                    let _ = self.queue.try_send(Message::Checkpoint);
                }
                received(ENQUEUE, answered).await
            }
            Err(request) => self.send(ENQUEUE, request, answered).await,
        }
    }

    fn answer<T, E: From<StoreError> + Error + 'static>(
        operation: &'static str,
    ) -> (Answer<T, E>, oneshot::Receiver<Answered<T, E>>) {
        let (reply, answered) = oneshot::channel();
        (Answer::new(operation, reply), answered)
    }

    async fn send<T, E>(
        &self,
        operation: &'static str,
        request: Request,
        answered: oneshot::Receiver<Answered<T, E>>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        own_thread::refuse_to_wait(&self.watch, Role::Writer, operation)?;
        let message = Message::Do(request, self.lone.depart());
        if self.queue.send(message).await.is_err() {
            return Err(closed(operation).into());
        }
        received(operation, answered).await
    }
}

/// The answer to a request.
async fn received<T, E>(
    operation: &'static str,
    answered: oneshot::Receiver<Answered<T, E>>,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match awaited(answered).await {
        Some(Ok(answer)) => answer,
        Some(Err(panic)) => resume_unwind(panic),
        None => Err(closed(operation).into()),
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
