//! The rows of a table. Each is already known, taken, or put aside, and is counted once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::error::ImportError;
use super::hash::{self, Hash, Sum};
use super::imported::ImportedEvent;
use super::ledger::{Run, Taken};
use super::mapper::{Mapped, RowMapper};
use super::progress::{ImportProgress, OnProgress};
use super::reject::{Reject, RejectReason, Rejected};
use super::report::{RejectedRow, TableReport};
use super::row::SourceRow;
use super::source::Source;
use super::table::SourceTable;
use super::verify::{Sums, check, with_payload};
use outbox_runtime::{EnqueueError, SqliteStore};

/// The number of rows between progress reports.
const PROGRESS_EVERY: u64 = 100;

/// An import in progress.
pub(super) struct Importing<'i, 'c, M> {
    pub(super) source: &'i Source,
    pub(super) identity: &'c str,
    pub(super) conn: &'c Connection,
    pub(super) now: DateTime<Utc>,
    pub(super) mapper: &'i mut M,
    /// See [`Plan`](super::work::Plan).
    pub(super) known: &'i HashMap<Hash, bool>,
    pub(super) progress: Option<OnProgress>,
    pub(super) so_far: u64,
    pub(super) total: u64,
}

/// The rows of a table that a transaction takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'k> {
    /// All of them, which is this many.
    All(u64),
    /// Those with these keys.
    Keys(&'k [i64]),
}

impl Part<'_> {
    pub(super) fn len(self) -> u64 {
        match self {
            Self::All(count) => count,
            Self::Keys(keys) => keys.len() as u64,
        }
    }
}

/// The result for one row.
enum Fate {
    /// It became an event of this type, with this checksum.
    Event(String, Hash),
    Entity,
    AlreadyThere,
    AlreadyDelivered,
}

impl<'c, M: RowMapper> Importing<'_, 'c, M> {
    /// Takes a part of a table; `is_last` tells that no other part follows.
    pub(super) fn table(
        &mut self,
        table: &SourceTable,
        part: Part<'_>,
        is_last: bool,
    ) -> Result<(Run<'c>, Sums, TableReport), ImportError> {
        let count = part.len();
        let run = Run::begin(
            self.conn,
            self.now,
            self.source,
            self.identity,
            table.name(),
        )?;
        let mut report = TableReport {
            table: table.name().to_owned(),
            ..TableReport::default()
        };
        let mut sums = Sums::default();
        let mut read = Sum::default();
        let source = self.source;
        let each = |row: SourceRow| {
            let hash = row.hash();
            read.add(hash);
            report.read += 1;
            if run.knows(&row, hash)? {
                report.already_there += 1;
            } else {
                self.row(&run, &row, hash, &mut sums, &mut report)?;
            }
            self.tell(table, is_last && report.read == count);
            Ok::<(), ImportError>(())
        };
        match part {
            Part::All(_) => source.for_each(table, each)?,
            Part::Keys(keys) => source.for_keys(table, keys, each)?,
        }
        report.checksum = read.total;
        check(table.name(), "the count of rows read", &count, &report.read)?;
        check(
            table.name(),
            "the sum of the counts by outcome",
            &report.read,
            &report.accounted(),
        )?;
        Ok((run, sums, report))
    }

    /// Maps and writes a row, or puts it aside.
    fn row(
        &mut self,
        run: &Run<'_>,
        row: &SourceRow,
        hash: Hash,
        sums: &mut Sums,
        report: &mut TableReport,
    ) -> Result<(), ImportError> {
        self.conn
            .prepare_cached("SAVEPOINT outbox_import_row")?
            .execute([])?;
        let fate = match self.take(run, row, hash) {
            // The caller rolls everything back; SQLite may have done so itself.
            Err(Reject(Rejected::Import(error))) => return Err(*error),
            Err(Reject(Rejected::Fatal(source))) => {
                let at = format!("row {} of {}", row.key(), row.table());
                return Err(ImportError::Mapper { at, source });
            }
            Err(Reject(Rejected::Row { reason, detail })) => Err((reason, detail)),
            Ok(fate) => Ok(fate),
        };
        if fate.is_err() {
            self.conn
                .prepare_cached("ROLLBACK TO outbox_import_row")?
                .execute([])?;
        }
        self.conn
            .prepare_cached("RELEASE outbox_import_row")?
            .execute([])?;
        match fate {
            Ok(fate) => {
                sums.taken.add(hash);
                match fate {
                    Fate::Event(event_type, written) => {
                        sums.events.add(written);
                        *report.migrated.entry(event_type).or_default() += 1;
                    }
                    Fate::Entity => {
                        *report.migrated.entry(row.table().to_owned()).or_default() += 1;
                    }
                    Fate::AlreadyThere => report.already_there += 1,
                    Fate::AlreadyDelivered => report.already_delivered += 1,
                }
            }
            Err((reason, detail)) => {
                if report.first_rejected.len() < RejectedRow::MAX_KEPT {
                    report
                        .first_rejected
                        .push(RejectedRow::new(row, &reason, &detail));
                }
                let raw = row.to_json().to_string();
                run.reject(row, hash, &reason, &detail, &raw)?;
                sums.rejected.add(hash.with(Hash::of_bytes(raw.as_bytes())));
                *report.rejected.entry(reason.to_string()).or_default() += 1;
            }
        }
        Ok(())
    }

    fn take(&mut self, run: &Run<'_>, row: &SourceRow, hash: Hash) -> Result<Fate, Reject> {
        let mapped = match self.mapper.map(row, self.source)? {
            Mapped::Event(event) => {
                let created_at = event.created_at();
                event.identified(|| run.id_of(row, created_at)).into()
            }
            other => other,
        };
        let fate = match &mapped {
            Mapped::Event(event) => match self.event(run, row, hash, event)? {
                Some(written) => Fate::Event(event.event().event_type().to_owned(), written),
                None => return Ok(Fate::AlreadyThere),
            },
            Mapped::Entity => {
                run.take(row, hash, &Taken::Entity)?;
                Fate::Entity
            }
            Mapped::AlreadyDelivered => {
                run.take(row, hash, &Taken::Delivered)?;
                return Ok(Fate::AlreadyDelivered);
            }
        };
        self.mapper.write(row, &mapped, self.conn)?;
        Ok(fate)
    }

    /// Writes the event unless it is there. Returns its checksum if it was written.
    fn event(
        &self,
        run: &Run<'_>,
        row: &SourceRow,
        hash: Hash,
        event: &ImportedEvent,
    ) -> Result<Option<Hash>, Reject> {
        let stored = event.row(self.now)?;
        let id = stored.id;
        let (content, written) = (hash::content(&stored), hash::written(&stored));
        let is_there = match run.imported(row, id)? {
            // Both rows state how far the event came. If they differ, a person has to decide.
            Some(first) if first.is_of_another_row && first.written != written => {
                let detail = "another row has this id with other content or another state; that row was taken";
                return Err(Reject::new(RejectReason::DuplicateId, detail));
            }
            // The same row, changed since. Its event may have been delivered and cleaned up in the
            // meantime.
            Some(first) if first.content != content => {
                let detail = if event.has_own_id() {
                    "an earlier import took an event with this id and other content"
                } else {
                    "an earlier import made an event of this row when it had other content; \
                     give events their own ids if rows can change"
                };
                return Err(Reject::new(RejectReason::DuplicateId, detail));
            }
            Some(_) => true,
            None => match self.known.get(&content) {
                Some(true) => true,
                Some(false) => return Err(refused(EnqueueError::Conflict { event_id: id })),
                None => !SqliteStore::restore(self.conn, self.now, event.event(), &stored)
                    .map_err(refused)?,
            },
        };
        if is_there {
            run.take(row, hash, &Taken::Duplicate { id })?;
            return Ok(None);
        }
        let raw_payload = event.payload();
        let taken = Taken::Event {
            id,
            content,
            written,
            raw_payload,
        };
        run.take(row, hash, &taken)?;
        Ok(Some(with_payload(written, raw_payload)))
    }

    fn tell(&mut self, table: &SourceTable, is_last: bool) {
        self.so_far += 1;
        let Some(progress) = &mut self.progress else {
            return;
        };
        if is_last || self.so_far.is_multiple_of(PROGRESS_EVERY) {
            progress(&ImportProgress {
                table: table.name().to_owned(),
                read: self.so_far,
                total: self.total,
            });
        }
    }
}

fn refused(error: EnqueueError) -> Reject {
    match error {
        EnqueueError::Store(error) => Reject::from(ImportError::from(error)),
        EnqueueError::Conflict { .. } => Reject::new(
            RejectReason::DuplicateId,
            "the outbox has an event with this id and other content",
        ),
        EnqueueError::Invalid { field, reason, .. } => {
            let field = field.into();
            Reject::new(RejectReason::Invalid { field }, reason)
        }
        other => Reject::fatal(other),
    }
}
