//! Verification before the commit: reads back what was written and compares counts and checksums.

use std::fmt;

use rusqlite::Connection;

use super::error::ImportError;
use super::hash::{self, Hash, Sum};
use super::ledger::Run;
use super::report::TableReport;
use outbox_runtime::SqliteStore;

/// The checksum of an event and of the payload that the ledger keeps.
pub(super) fn with_payload(written: Hash, payload: Option<&[u8]>) -> Hash {
    payload.map_or(written, |payload| written.with(Hash::of_bytes(payload)))
}

/// The checksums of what was written, to compare with what is stored.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) taken: Sum,
    pub(super) events: Sum,
    pub(super) rejected: Sum,
}

impl Sums {
    /// Reads back what the run wrote and compares.
    pub(super) fn verify(
        &self,
        conn: &Connection,
        run: &Run<'_>,
        report: &TableReport,
    ) -> Result<(), ImportError> {
        let mut found = Self::default();
        run.read_back(|hash, event| {
            found.taken.add(hash);
            if let Some((id, payload)) = event
                && let Some(stored) = SqliteStore::restored(conn, id)?
            {
                found
                    .events
                    .add(with_payload(hash::written(&stored), payload));
            }
            Ok::<(), ImportError>(())
        })?;
        run.read_back_rejects(|hash, raw| found.rejected.add(hash.with(Hash::of_bytes(raw))))?;
        let table = &report.table;
        for (counted, summed, written, there) in [
            (
                "the count of rows in the ledger",
                "the checksum of the rows in the ledger",
                self.taken,
                found.taken,
            ),
            (
                "the count of events in the outbox",
                "the checksum of the events in the outbox",
                self.events,
                found.events,
            ),
            (
                "the count of rows put aside",
                "the checksum of the rows put aside",
                self.rejected,
                found.rejected,
            ),
        ] {
            check(table, counted, &written.count, &there.count)?;
            check(table, summed, &Hex(written.total), &Hex(there.total))?;
        }
        Ok(())
    }
}

/// A checksum in hexadecimal.
#[derive(PartialEq)]
struct Hex(u128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

pub(super) fn check<T: PartialEq + fmt::Display>(
    table: &str,
    what: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), ImportError> {
    if expected == found {
        return Ok(());
    }
    Err(ImportError::NotVerified {
        table: table.to_owned(),
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    })
}
