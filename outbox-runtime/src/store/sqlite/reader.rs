//! The reading thread, with its own read-only connection: a long listing delays no commit. A long
//! question is answered aside, on a thread and a connection that exist for such questions only, so
//! that it delays no other.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender};
use std::thread::{Builder, Scope};

use crate::cancel::Cancel;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::fault::{closed, fault, gone, thawed};
use super::identity::Identity;
use super::inbox::Inbox;
use super::own_thread::{self, Role};
use super::watch::Watch;
use crate::clock::awaited;
use crate::error::{StoreError, StoreErrorKind};

/// Asks on a connection, or tells that there is none.
type Ask = Box<dyn FnOnce(Result<&Connection, StoreError>, &Identity) + Send>;

pub(super) struct Question {
    ask: Ask,
    is_long: bool,
}

/// A handle on the reader thread. The thread ends when the last handle is dropped or the store is
/// closed.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    queue: mpsc::Sender<Question>,
    path: Arc<Path>,
    watch: Arc<Watch>,
}

impl Reader {
    pub(super) fn new(
        path: Arc<Path>,
        watch: Arc<Watch>,
        bound: usize,
        closing: Cancel,
    ) -> (Self, Inbox<Question>) {
        let (queue, questions) = Inbox::new(bound, closing);
        (Self { queue, path, watch }, questions)
    }

    /// Runs `query` on the reading connection.
    pub(super) async fn run<T, F>(&self, operation: &'static str, query: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.ask(operation, false, query).await
    }

    /// Runs `query`, which takes long, beside other questions.
    pub(super) async fn run_aside<T, F>(
        &self,
        operation: &'static str,
        query: F,
    ) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.ask(operation, true, query).await
    }

    async fn ask<T, F>(
        &self,
        operation: &'static str,
        is_long: bool,
        query: F,
    ) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        own_thread::refuse_to_wait(&self.watch, Role::Reader, operation)?;
        let (reply, answer) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let ask = Box::new(
            move |conn: Result<&Connection, StoreError>, identity: &Identity| {
                if reply.is_closed() {
                    // Nobody waits any more; a long count would only delay the others, or the end.
                    return;
                }
                let answer = match conn {
                    Ok(conn) => query(conn),
                    // The caller may have stopped waiting.
                    Err(error) => return drop(reply.send(Err(error))),
                };
                // Data read from a file that nobody else can open anymore is not a valid answer.
                let answer = match identity.gone() {
                    _ if identity.is_thawed() => Err(thawed(operation, &path)),
                    Some(file) => {
                        let message = gone(&path, &file);
                        Err(StoreError::new(
                            StoreErrorKind::FileReplaced,
                            operation,
                            message,
                        ))
                    }
                    None => answer.map_err(|error| fault(operation, &path, error)),
                };
                // The caller may have stopped waiting.
                let _ = reply.send(answer);
            },
        );
        let question = Question { ask, is_long };
        if self.queue.send(question).await.is_err() {
            return Err(closed(operation));
        }
        match awaited(answer).await {
            Some(answer) => answer,
            None => Err(closed(operation)),
        }
    }
}

/// Serves queries until every handle is dropped or the store is closed. `open` prepares a thread
/// and opens a connection for long questions.
pub(super) fn serve<O>(
    conn: &Connection,
    identity: &Identity,
    mut questions: Inbox<Question>,
    open: &O,
) where
    O: Fn() -> Result<Connection, StoreError> + Sync,
{
    // Its end waits for the thread aside, which ends when its queue is dropped.
    std::thread::scope(|scope| {
        let mut aside = None;
        while let Some(question) = questions.blocking_recv() {
            let left = match question.is_long {
                true => give_aside(scope, &mut aside, question, identity, open),
                false => Some(question),
            };
            if let Some(question) = left {
                (question.ask)(Ok(conn), identity);
            }
        }
    });
}

/// Gives a question to the thread for long ones, which starts with the first. Returns the question
/// if there can be no such thread.
fn give_aside<'scope, O>(
    scope: &'scope Scope<'scope, '_>,
    aside: &mut Option<Sender<Question>>,
    question: Question,
    identity: &'scope Identity,
    open: &'scope O,
) -> Option<Question>
where
    O: Fn() -> Result<Connection, StoreError> + Sync,
{
    if aside.is_none() {
        let (queue, questions) = std::sync::mpsc::channel();
        let thread = Builder::new().name("outbox-reader-2".to_owned());
        let serve = move || serve_aside(&questions, identity, open);
        if thread.spawn_scoped(scope, serve).is_err() {
            return Some(question);
        }
        *aside = Some(queue);
    }
    let sent = aside.as_ref().map(|queue| queue.send(question));
    sent.and_then(|sent| sent.err().map(|SendError(question)| question))
}

/// Has a connection only while there are questions.
fn serve_aside<O>(questions: &Receiver<Question>, identity: &Identity, open: &O)
where
    O: Fn() -> Result<Connection, StoreError>,
{
    while let Ok(first) = questions.recv() {
        let conn = open();
        let mut next = Some(first);
        while let Some(question) = next {
            (question.ask)(conn.as_ref().map_err(StoreError::clone), identity);
            next = questions.try_recv().ok();
        }
    }
}
