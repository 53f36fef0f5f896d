//! The handle on the writing thread.

use std::error::Error;
use std::panic::resume_unwind;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::gate::Gate;
use self::request::{Answer, Answered, Call, Enqueueing, Request};
use super::fault::closed;
use super::own_thread::{self, Role};
use super::watch::Watch;
use crate::clock::awaited;
use crate::enqueue::{Enqueued, NewEvent};
use crate::error::{EnqueueError, StoreError};

pub(super) mod closure;
pub(super) mod gate;
mod group;
mod request;
mod thread;
mod transaction;
pub(super) mod wal;

pub(super) use self::thread::WriterThread;

/// A handle on the writer thread. The thread ends when the last handle is dropped or the store is
/// closed.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    watch: Arc<Watch>,
}

enum Message {
    Do(Request),
    /// Some blocks are not counted.
    Count,
}

/// A request's means besides the connection, and its results besides the answer.
#[derive(Debug)]
pub(super) struct Effects {
    /// Set if the commit may make an event claimable.
    pub(super) wakes: bool,
    /// Guards the connection.
    pub(super) gate: Arc<Gate>,
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
    pub(super) async fn enqueue(&self, event: NewEvent) -> Result<Enqueued, EnqueueError> {
        const ENQUEUE: &str = "enqueue";
        let (answer, answered) = Self::answer(ENQUEUE);
        let request = Request::Enqueue(Box::new(Enqueueing { event, answer }));
        self.send(ENQUEUE, request, answered).await
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
        if self.queue.send(Message::Do(request)).await.is_err() {
            return Err(closed(operation).into());
        }
        match awaited(answered).await {
            Some(Ok(answer)) => answer,
            Some(Err(panic)) => resume_unwind(panic),
            None => Err(closed(operation).into()),
        }
    }
}
