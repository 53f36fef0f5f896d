//! The thread that reads, on a connection of its own that cannot write: a long listing delays no commit.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::fault::{closed, fault};
use super::inbox::Inbox;
use crate::clock::awaited;
use crate::error::StoreError;

pub(super) type Question = Box<dyn FnOnce(&Connection) + Send>;

/// A handle on the reader thread, which ends when the last handle is gone.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    queue: mpsc::Sender<Question>,
    path: Arc<Path>,
}

impl Reader {
    pub(super) fn new(
        path: Arc<Path>,
        bound: usize,
        closing: CancellationToken,
    ) -> (Self, Inbox<Question>) {
        let (queue, questions) = Inbox::new(bound, closing);
        (Self { queue, path }, questions)
    }

    /// Runs `query` on the reader's connection.
    pub(super) async fn run<T, F>(&self, operation: &'static str, query: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |conn| {
            // Whoever asked may have stopped waiting.
            let _ = reply.send(query(conn));
        });
        if self.queue.send(question).await.is_err() {
            return Err(closed(operation));
        }
        match awaited(answer).await {
            Some(answer) => answer.map_err(|error| fault(operation, &self.path, error)),
            None => Err(closed(operation)),
        }
    }
}

/// Serves questions until every handle is gone or the store is closed.
pub(super) fn serve(conn: &Connection, mut questions: Inbox<Question>) {
    while let Some(question) = questions.blocking_recv() {
        question(conn);
    }
}
