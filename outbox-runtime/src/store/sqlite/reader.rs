//! The reading thread, with its own read-only connection: a long listing delays no commit.

use std::path::Path;
use std::sync::Arc;

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

pub(super) type Question = Box<dyn FnOnce(&Connection, &Identity) + Send>;

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
        own_thread::refuse_to_wait(&self.watch, Role::Reader, operation)?;
        let (reply, answer) = oneshot::channel();
        let path = Arc::clone(&self.path);
        let question: Question = Box::new(move |conn, identity| {
            let answer = query(conn);
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
        });
        if self.queue.send(question).await.is_err() {
            return Err(closed(operation));
        }
        match awaited(answer).await {
            Some(answer) => answer,
            None => Err(closed(operation)),
        }
    }
}

/// Serves queries until every handle is dropped or the store is closed.
pub(super) fn serve(conn: &Connection, identity: &Identity, mut questions: Inbox<Question>) {
    while let Some(question) = questions.blocking_recv() {
        question(conn, identity);
    }
}
