//! The writing connection, and what runs on it: the thread has it for each batch of requests, and a
//! caller without company for its own event.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::request::{Failure, Request};
use super::transaction::Transaction;
use super::wal;
use crate::clock::Clock;
use crate::error::StoreErrorKind;
use crate::store::sqlite::connect::{self, WriterConnection};
use crate::store::sqlite::fault::fault;
use crate::store::sqlite::settings::{Durability, Settings};
use crate::store::sqlite::tally;
use crate::store::sqlite::watch::Watch;

/// The writer's connection.
pub(super) struct Committer {
    pub(super) connection: WriterConnection,
    pub(super) path: Arc<Path>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watch: Arc<Watch>,
    /// A commit made an event claimable.
    pub(super) wakes: bool,
    /// Events written since the length of the log was read.
    pub(super) written: usize,
    /// A caller's commit failed, so the file must be reopened first.
    pub(super) is_suspect: bool,
    /// The log was due for a checkpoint when its length was last read.
    pub(super) is_log_long: bool,
}

/// The number of events, in a commit each or together, after which the length of the log is read.
const LOOK_AFTER: usize = 32;

impl Committer {
    /// Runs the queued requests in order, and sends their answers. Only neighbors share a commit;
    /// several commits are flushed to the storage device together.
    pub(super) fn commit_all(&mut self, batch: &mut [Request]) {
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

    /// Runs one request and sends its answer, without waiting for the write lock and without
    /// opening a file. Returns false if the thread is to run the request.
    pub(super) fn commit_without_waiting(&mut self, request: &mut Request) -> bool {
        let WriterConnection { conn, wal, .. } = &self.connection;
        // A sync that failed to be switched on again concerns the thread.
        if self.is_suspect || wal.is_sync_deferred() || conn.busy_timeout(Duration::ZERO).is_err() {
            return false;
        }
        let is_done = self.commit_once(request);
        let conn = &self.connection.conn;
        // Fails only for a closed connection.
        let _ = conn.busy_timeout(self.settings.busy_timeout);
        if is_done {
            self.announce();
            request.send();
        }
        is_done
    }

    /// Reopens the file if a caller's commit failed.
    pub(super) fn recover(&mut self) {
        if std::mem::take(&mut self.is_suspect) {
            self.reopen();
        }
    }

    /// Whether the log is due for a checkpoint. Looks after every few events, and after each other
    /// request, which may be long.
    pub(super) fn is_checkpoint_due(&mut self, requests: &[Request]) -> bool {
        let weight = |request: &Request| if request.is_enqueue() { 1 } else { LOOK_AFTER };
        self.written += requests.iter().map(weight).sum::<usize>();
        // A reader may have kept an earlier checkpoint from finishing.
        if self.written < LOOK_AFTER && !self.is_log_long {
            return false;
        }
        self.written = 0;
        self.is_log_long = wal::is_checkpoint_due(&self.connection.conn);
        self.is_log_long
    }

    /// Writes the log back into the database.
    pub(super) fn checkpoint(&self) {
        wal::checkpoint(&self.connection.conn);
    }

    /// Wakes the runs after a commit. Precedes the answers, because a caller may check the revision
    /// as soon as it has its answer.
    fn announce(&mut self) {
        if std::mem::take(&mut self.wakes) {
            self.watch.announce_commit();
        }
    }

    /// Counts some blocks, and returns whether more remain.
    pub(super) fn count(&mut self) -> bool {
        let counted = self.count_blocks();
        // Statistics are correct without these counts; the next call for statistics requests them
        // again.
        counted.unwrap_or_else(|error| {
            let is_busy = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            let error = fault("count", &self.path, error).to_string();
            tracing::debug!(?error, "cannot count events for statistics");
            if !is_busy {
                self.reopen();
            }
            false
        })
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
