//! An import in progress, from transaction to transaction.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::ImportError;
use super::hash::Hash;
use super::identity;
use super::ledger;
use super::mapper::RowMapper;
use super::progress::OnProgress;
use super::report::{ImportReport, TableReport};
use super::rows::{Importing, Part};
use super::source::Source;
use super::table::SourceTable;
use outbox_runtime::store::BoxError;

/// An import as it was asked for.
pub(super) struct Plan {
    pub(super) tables: Vec<SourceTable>,
    pub(super) identity: Option<String>,
    pub(super) is_dry_run: bool,
    /// The rows of a transaction; `None`: all.
    pub(super) rows_at_once: Option<usize>,
    /// The content of events whose ids the outbox has that they go to later, and whether it has
    /// them with this content.
    pub(super) known: HashMap<Hash, bool>,
    pub(super) progress: Option<OnProgress>,
}

/// Rolls back a transaction that succeeded.
#[derive(Debug)]
pub(super) struct DryRun(pub(super) ImportReport);

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dry run is rolled back")
    }
}

impl std::error::Error for DryRun {}

/// An import between two of its transactions.
pub(super) struct Work<M> {
    plan: Plan,
    source: Source,
    now: DateTime<Utc>,
    mapper: M,
    /// The name of the source in the ledger, once it is known.
    identity: Option<String>,
    /// The number of rows of each table.
    counts: Vec<u64>,
    /// The number of rows read, in all tables.
    so_far: u64,
    /// One per table that was begun.
    reports: Vec<TableReport>,
    /// The table that is read.
    at: usize,
    /// Its rows in order, and how many of them were read.
    keys: Option<Vec<i64>>,
    done: usize,
}

/// The result of a transaction.
#[derive(Debug)]
pub(super) enum Step<M> {
    More(Box<Work<M>>),
    Ended(ImportReport),
}

impl<M> fmt::Debug for Work<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("tables", &self.plan.tables)
            .field("so_far", &self.so_far)
            .finish_non_exhaustive()
    }
}

impl<M: RowMapper> Work<M> {
    pub(super) fn new(plan: Plan, source: Source, now: DateTime<Utc>, mapper: M) -> Self {
        Self {
            plan,
            source,
            now,
            mapper,
            identity: None,
            counts: Vec::new(),
            so_far: 0,
            reports: Vec::new(),
            at: 0,
            keys: None,
            done: 0,
        }
    }

    /// Imports the next rows, as many as a transaction may have.
    pub(super) fn step(mut self, conn: &Connection) -> Result<Step<M>, BoxError> {
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => self.begin(conn)?,
        };
        let mut left = match self.plan.is_dry_run {
            // A row of one part may be a duplicate of a row of another.
            true => None,
            false => self.plan.rows_at_once,
        };
        let total = self.counts.iter().sum();
        let mut runs = Vec::new();
        while self.at < self.plan.tables.len() && left != Some(0) {
            let table = self.plan.tables[self.at].clone();
            let count = self.counts[self.at];
            let keys = match (left, self.keys.take()) {
                (None, _) => None,
                (Some(_), Some(keys)) => Some(keys),
                (Some(_), None) => Some(self.source.all_keys(&table)?),
            };
            let (part, is_last) = match (&keys, left) {
                (Some(keys), Some(most)) => {
                    let end = keys.len().min(self.done + most);
                    (Part::Keys(&keys[self.done..end]), end == keys.len())
                }
                _ => (Part::All(count), true),
            };
            let read = part.len();
            let mut importing = Importing {
                source: &self.source,
                identity: &identity,
                conn,
                now: self.now,
                mapper: &mut self.mapper,
                known: &self.plan.known,
                progress: self.plan.progress.take(),
                so_far: self.so_far,
                total,
            };
            let (run, sums, report) = importing.table(&table, part, is_last)?;
            self.plan.progress = importing.progress.take();
            self.so_far = importing.so_far;
            runs.push((run, sums, report.clone()));
            match self.reports.get_mut(self.at) {
                Some(whole) => whole.add(report),
                None => self.reports.push(report),
            }
            if let Some(left) = &mut left {
                *left -= usize::try_from(read).unwrap_or(*left).min(*left);
            }
            if is_last {
                (self.at, self.done) = (self.at + 1, 0);
            } else {
                self.done += usize::try_from(read).unwrap_or(0);
                self.keys = keys;
            }
        }
        let has_ended = self.at == self.plan.tables.len();
        if has_ended {
            let ended = |source| ImportError::Mapper {
                at: "after the last row".to_owned(),
                source,
            };
            self.mapper.finish(&self.source, conn).map_err(ended)?;
        }
        for (run, sums, report) in &runs {
            run.finish(report).map_err(ImportError::from)?;
            sums.verify(conn, run, report)?;
        }
        drop(runs);
        if !has_ended {
            self.identity = Some(identity);
            return Ok(Step::More(Box::new(self)));
        }
        let report = ImportReport {
            source: self.source.path().to_owned(),
            is_dry_run: self.plan.is_dry_run,
            tables: self.reports,
        };
        match report.is_dry_run {
            true => Err(Box::new(DryRun(report))),
            false => Ok(Step::Ended(report)),
        }
    }

    /// Prepares everything before the first row, and returns the name of the source.
    fn begin(&mut self, conn: &Connection) -> Result<String, BoxError> {
        let tables = &self.plan.tables;
        // Fails on unreadable tables before anything is written.
        let counts = tables.iter().map(|table| self.source.count(table));
        self.counts = counts.collect::<Result<_, ImportError>>()?;
        ledger::install(conn)?;
        let ended = |source| ImportError::Mapper {
            at: "before the first row".to_owned(),
            source,
        };
        self.mapper.begin(&self.source, conn).map_err(ended)?;
        Ok(match &self.plan.identity {
            Some(name) => name.clone(),
            None => identity::known_as(conn, &self.source, tables)?,
        })
    }
}
