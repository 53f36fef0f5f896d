//! The thread that writes: it serves queued requests, and counts blocks when idle.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;

use super::committer::Committer;
use super::lone::Lone;
use super::spin::Spin;
use super::{Message, Writer};
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::store::sqlite::connect::WriterConnection;
use crate::store::sqlite::inbox::Inbox;
use crate::store::sqlite::settings::Settings;
use crate::store::sqlite::watch::Watch;

/// Limit on the requests taken at once, which bounds the wait of the first for its commit.
const BATCH: usize = 512;

/// The queue, and the connection, which a lone caller may borrow.
pub(in crate::store::sqlite) struct WriterThread {
    lone: Arc<Lone>,
    queue: Inbox<Message>,
    /// Blocks remain to be counted when the writer is idle.
    is_behind: bool,
    spin: Spin,
    /// The last batch was one request, whose caller may come back at once.
    was_one: bool,
}

impl WriterThread {
    pub(in crate::store::sqlite) fn new(
        connection: WriterConnection,
        path: Arc<Path>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        watch: Arc<Watch>,
        closing: Cancel,
    ) -> (Writer, Self) {
        let (sender, queue) = Inbox::new(settings.queue_bound, closing);
        let lone = Arc::new(Lone::new(Committer {
            connection,
            path,
            settings,
            clock,
            watch: Arc::clone(&watch),
            wakes: false,
            written: 0,
            is_suspect: false,
            is_log_long: false,
        }));
        let writer = Writer {
            queue: sender,
            watch,
            lone: Arc::clone(&lone),
        };
        let thread = Self {
            lone,
            queue,
            is_behind: false,
            spin: Spin::new(),
            was_one: false,
        };
        (writer, thread)
    }

    /// Serves requests until every handle is dropped or the store is closed.
    pub(in crate::store::sqlite) fn serve(&mut self) {
        while let Some(first) = self.next() {
            self.serve_batch(first);
        }
    }

    /// Serves a message and those behind it in the queue.
    fn serve_batch(&mut self, first: Message) {
        let mut committer = self.lone.committer();
        let Some(committer) = committer.as_mut() else {
            return;
        };
        committer.recover();
        let mut batch = Vec::new();
        let mut in_flight = Vec::new();
        let mut is_due = false;
        let mut message = Ok(first);
        while let Ok(next) = message {
            match next {
                Message::Do(request, place) => {
                    batch.push(request);
                    in_flight.push(place);
                }
                Message::Count => self.is_behind = true,
                Message::Checkpoint => is_due = true,
            }
            if batch.len() >= BATCH {
                break;
            }
            message = self.queue.try_recv();
        }
        self.was_one = batch.len() == 1;
        let is_lone = matches!(&batch[..], [one] if one.is_enqueue());
        let began = committer.clock.uptime();
        committer.commit_all(&mut batch);
        // Early, as a lone caller comes back at once.
        drop(in_flight);
        if is_lone {
            let took = committer.clock.uptime().saturating_sub(began);
            self.lone.pace().note(took);
        } else if batch.len() > 1 {
            self.lone.pace().restart();
        }
        if committer.is_checkpoint_due(&batch) || is_due {
            committer.checkpoint();
        }
    }

    /// The next message. Counts blocks until one arrives.
    fn next(&mut self) -> Option<Message> {
        while self.is_behind {
            match self.queue.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {
                    let mut committer = self.lone.committer();
                    self.is_behind = committer.as_mut().is_some_and(|committer| {
                        committer.recover();
                        committer.count()
                    });
                }
            }
        }
        if std::mem::take(&mut self.was_one) {
            let queue = &mut self.queue;
            if let Some(message) = self.spin.until(|| queue.try_recv().ok()) {
                return Some(message);
            }
        }
        self.queue.blocking_recv()
    }
}

impl Drop for WriterThread {
    /// Closes the connection here, even while handles exist.
    fn drop(&mut self) {
        drop(self.lone.committer().take());
    }
}
