//! The thread that writes: it serves queued requests, and counts blocks when idle.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use rusqlite::ErrorCode;
use tokio::sync::mpsc::error::TryRecvError;

use super::request::{Failure, Request};
use super::transaction::Transaction;
use super::{Message, Writer};
use crate::clock::Clock;
use crate::error::StoreErrorKind;
use crate::store::sqlite::connect::{self, WriterConnection};
use crate::store::sqlite::fault::fault;
use crate::store::sqlite::inbox::Inbox;
use crate::store::sqlite::settings::{Durability, Settings};
use crate::store::sqlite::tally;
use crate::store::sqlite::watch::Watch;

/// Limit on the requests taken at once, which bounds the wait of the first for its commit.
const BATCH: usize = 512;

/// The writer's connection and its queue.
pub(in crate::store::sqlite) struct WriterThread {
    pub(super) connection: WriterConnection,
    pub(super) path: Arc<Path>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watch: Arc<Watch>,
    queue: Inbox<Message>,
    /// Blocks remain to be counted when the writer is idle.
    is_behind: bool,
    /// A commit made an event claimable.
    pub(super) wakes: bool,
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
        let writer = Writer {
            queue: sender,
            watch: Arc::clone(&watch),
        };
        let thread = Self {
            connection,
            path,
            settings,
            clock,
            watch,
            queue,
            is_behind: false,
            wakes: false,
        };
        (writer, thread)
    }

    /// Serves requests until every handle is dropped or the store is closed.
    pub(in crate::store::sqlite) fn serve(&mut self) {
        while let Some(first) = self.next() {
            let mut batch = Vec::new();
            let mut message = Ok(first);
            while let Ok(next) = message {
                match next {
                    Message::Do(request) => batch.push(request),
                    Message::Count => self.is_behind = true,
                }
                if batch.len() >= BATCH {
                    break;
                }
                message = self.queue.try_recv();
            }
            self.commit_all(&mut batch);
        }
    }

    /// Runs the queued requests in order, and sends their answers. Only neighbors share a commit;
    /// several commits are flushed to the storage device together.
    fn commit_all(&mut self, batch: &mut [Request]) {
        let groups = || |one: &Request, next: &Request| one.shares() && next.shares();
        let is_one = batch.chunk_by(groups()).nth(1).is_none();
        let wal = &mut self.connection.wal;
        if !is_one && self.settings.durability == Durability::Full {
            wal.defer_sync(&self.connection.conn);
        }
        for group in batch.chunk_by_mut(groups()) {
            self.commit(group);
            if !self.connection.wal.is_sync_deferred() {
                self.announce();
                group.iter_mut().for_each(Request::send);
            }
        }
        let wal = &mut self.connection.wal;
        if let Err(error) = wal.sync(&self.connection.conn) {
            let message = format!(
                "{}: {error}; the storage device reported an error",
                self.path.display()
            );
            let mut failure = Failure::new(StoreErrorKind::Unavailable, message).unknown();
            batch
                .iter_mut()
                .for_each(|request| request.fail(&mut failure));
            self.reopen();
            let WriterConnection { conn, wal, .. } = &mut self.connection;
            if let Err(error) = wal.restart(conn) {
                let error = error.to_string();
                tracing::warn!(?error, "cannot restart the -wal file");
            }
        }
        self.announce();
        batch.iter_mut().for_each(Request::send);
    }

    /// Wakes the runs after a commit. Precedes the answers, because a caller may check the revision
    /// as soon as it has its answer.
    fn announce(&mut self) {
        if std::mem::take(&mut self.wakes) {
            self.watch.announce_commit();
        }
    }

    /// The next message. Counts blocks until one arrives.
    fn next(&mut self) -> Option<Message> {
        while self.is_behind {
            match self.queue.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.count(),
            }
        }
        self.queue.blocking_recv()
    }

    /// Counts some blocks, and notes whether more remain.
    fn count(&mut self) {
        let counted = self.count_blocks();
        // Statistics are correct without these counts; the next call for statistics requests them
        // again.
        self.is_behind = counted.unwrap_or_else(|error| {
            let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            let error = fault("count", &self.path, error).to_string();
            tracing::debug!(?error, "cannot count events for statistics");
            if !is_busy {
                self.reopen();
            }
            false
        });
    }

    fn count_blocks(&mut self) -> rusqlite::Result<bool> {
        let WriterConnection { conn, gate, .. } = &mut self.connection;
        if tally::next_block(conn)?.is_none() {
            return Ok(false);
        }
        // Counting is background work, so it does not wait for other writers.
        conn.busy_timeout(Duration::ZERO)?;
        let counted = Transaction::begin(conn, gate).and_then(|tx| {
            let is_behind = tally::count_blocks(tx.conn)?;
            tx.commit()?;
            Ok(is_behind)
        });
        conn.busy_timeout(self.settings.busy_timeout)?;
        counted
    }

    /// Reopens the file: after a failed commit, the pages in SQLite's cache may differ from the
    /// file.
    pub(super) fn reopen(&mut self) {
        match connect::reopen_writer(&self.path, &self.settings, &self.connection.identity) {
            Ok(mut connection) => {
                connection.wal.take_over(&self.connection.wal);
                self.connection = connection;
            }
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(?error, "cannot reopen the database after a failed commit");
            }
        }
    }
}
