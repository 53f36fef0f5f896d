//! The thread that writes: it takes what waits, and counts blocks while nothing does.

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
use crate::store::sqlite::builder::{Durability, Settings};
use crate::store::sqlite::connect::{self, WriterConnection};
use crate::store::sqlite::fault::fault;
use crate::store::sqlite::inbox::Inbox;
use crate::store::sqlite::tally;
use crate::store::sqlite::watch::Watch;

/// At most how many requests are taken at once, so that the first of them does not wait for ever
/// for its commit.
const BATCH: usize = 512;

/// The writer's side: its connection and what waits for it.
pub(in crate::store::sqlite) struct WriterThread {
    pub(super) connection: WriterConnection,
    pub(super) path: Arc<Path>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watch: Arc<Watch>,
    queue: Inbox<Message>,
    /// Blocks are to be counted while nothing else is to be done.
    is_behind: bool,
    /// What was committed made something claimable.
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

    /// Serves requests until every handle is gone or the store is closed.
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

    /// Does what waits, in the order in which it came, and answers. Only neighbors share a commit;
    /// where there are several commits, they reach the medium together.
    fn commit_all(&mut self, batch: &mut [Request]) {
        let groups = || |one: &Request, next: &Request| one.shares() && next.shares();
        let is_one = batch.chunk_by(groups()).nth(1).is_none();
        let wal = &mut self.connection.wal;
        if !is_one && self.settings.durability == Durability::Full {
            wal.put_off(&self.connection.conn);
        }
        for group in batch.chunk_by_mut(groups()) {
            self.commit(group);
            if !self.connection.wal.is_put_off() {
                self.announce();
                group.iter_mut().for_each(Request::send);
            }
        }
        let wal = &mut self.connection.wal;
        if let Err(error) = wal.catch_up(&self.connection.conn) {
            let message = format!(
                "{}: {error}; the medium reported a fault",
                self.path.display()
            );
            let mut failure = Failure::new(StoreErrorKind::Unavailable, message).unknown();
            batch
                .iter_mut()
                .for_each(|request| request.fail(&mut failure));
            self.reopen();
            let WriterConnection { conn, wal, .. } = &mut self.connection;
            if let Err(error) = wal.start_over(conn) {
                let error = error.to_string();
                tracing::warn!(?error, "the -wal file could not be begun anew");
            }
        }
        self.announce();
        batch.iter_mut().for_each(Request::send);
    }

    /// Tells runs of what was committed: before anybody is answered, who may look at the revision
    /// then.
    fn announce(&mut self) {
        if std::mem::take(&mut self.wakes) {
            self.watch.announce_commit();
        }
    }

    /// The next message. Until there is one, blocks are counted.
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

    /// Counts some blocks, and notes whether there are more.
    fn count(&mut self) {
        let counted = self.count_blocks();
        // Statistics are right without; the next to ask for them brings it up again.
        self.is_behind = counted.unwrap_or_else(|error| {
            let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            let error = fault("count", &self.path, error).to_string();
            tracing::debug!(?error, "events were not counted for statistics");
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
        // Nobody waits for this, so it waits for nobody who writes.
        conn.busy_timeout(Duration::ZERO)?;
        let counted = Transaction::begin(conn, gate).and_then(|tx| {
            let is_behind = tally::count_blocks(tx.conn)?;
            tx.commit()?;
            Ok(is_behind)
        });
        conn.busy_timeout(self.settings.busy_timeout)?;
        counted
    }

    /// Opens the file again: after a failed commit the pages that SQLite holds may not be those of
    /// the file.
    pub(super) fn reopen(&mut self) {
        match connect::reopen_writer(&self.path, &self.settings, &self.connection.identity) {
            Ok(mut connection) => {
                connection.wal.succeed(&self.connection.wal);
                self.connection = connection;
            }
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(
                    ?error,
                    "the database could not be opened again after a failed commit"
                );
            }
        }
    }
}
