//! The report of an import.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::reject::RejectReason;
use super::row::SourceRow;

/// The result of an import. `Display` prints a table.
///
/// Every row that was read is counted once: `read` is the sum of the other counts.
///
/// # Examples
///
/// ```
/// # use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
/// # use outbox_runtime::{NewEvent, Operation, SqliteStore};
/// # fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
/// #     let event = NewEvent::new("mood", row.key(), row.text("user")?, Operation::Create);
/// #     Ok(match row.boolean("sent")? {
/// #         true => Mapped::AlreadyDelivered,
/// #         false => ImportedEvent::new(event, row.date("created_at")?).into(),
/// #     })
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE moods (id INTEGER PRIMARY KEY, user, created_at, sent);
/// #      INSERT INTO moods VALUES (1, 'ann', 1, 1), (2, NULL, 2, 0), (3, 'ben', 3, 0)")?;
/// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// # let import = Import::new(&path).table(SourceTable::plain("moods"));
/// let report = import.run(&store, map).await?;
/// assert_eq!(report.read(), 3);
/// assert_eq!((report.migrated(), report.rejected()), (1, 1));
/// assert_eq!((report.already_delivered(), report.already_there()), (1, 0));
/// let moods = report.table("moods").ok_or("the import has this table")?;
/// assert_eq!(moods.read, 3);
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The path of the source.
    pub source: PathBuf,
    /// Whether everything was rolled back, as [`dry_run`](crate::Import::dry_run) requests.
    pub is_dry_run: bool,
    /// One entry per table, in import order.
    pub tables: Vec<TableReport>,
}

/// The counts of one table.
///
/// # Examples
///
/// ```
/// # use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
/// # use outbox_runtime::{NewEvent, Operation, SqliteStore};
/// # fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
/// #     let event = NewEvent::new("mood", row.key(), row.text("user")?, Operation::Create);
/// #     Ok(match row.boolean("sent")? {
/// #         true => Mapped::AlreadyDelivered,
/// #         false => ImportedEvent::new(event, row.date("created_at")?).into(),
/// #     })
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE moods (id INTEGER PRIMARY KEY, user, created_at, sent);
/// #      INSERT INTO moods VALUES (1, 'ann', 1, 1), (2, NULL, 2, 0), (3, 'ben', 3, 0)")?;
/// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// # let import = Import::new(&path).table(SourceTable::plain("moods"));
/// let report = import.run(&store, map).await?;
/// let moods = &report.tables[0];
/// assert_eq!(moods.migrated.get("mood"), Some(&1));
/// assert_eq!(moods.rejected.get("user is missing"), Some(&1));
/// assert_eq!((moods.migrated_total(), moods.rejected_total()), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TableReport {
    /// The name that the table was given.
    pub table: String,
    /// The number of rows read.
    pub read: u64,
    /// Rows that became events, by event type, or, under the table's name, rows of the
    /// application's own.
    pub migrated: BTreeMap<String, u64>,
    /// Rows that were already there: taken by an earlier import, or a second row with the same id
    /// and content.
    pub already_there: u64,
    /// Rows that need no delivery, as the mapper says.
    pub already_delivered: u64,
    /// Rows that were put aside in `outbox_import_rejects`, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// The first of these rows, at most [20](RejectedRow::MAX_KEPT).
    pub first_rejected: Vec<RejectedRow>,
    /// The checksum of all rows that were read, whatever their result. It is a sum, so the order
    /// does not matter: the same rows have the same checksum.
    pub checksum: u128,
}

/// A row that was put aside, and why.
///
/// # Examples
///
/// ```
/// # use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
/// # use outbox_runtime::{NewEvent, Operation, SqliteStore};
/// # fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
/// #     let event = NewEvent::new("mood", row.key(), row.text("user")?, Operation::Create);
/// #     Ok(match row.boolean("sent")? {
/// #         true => Mapped::AlreadyDelivered,
/// #         false => ImportedEvent::new(event, row.date("created_at")?).into(),
/// #     })
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE moods (id INTEGER PRIMARY KEY, user, created_at, sent);
/// #      INSERT INTO moods VALUES (1, 'ann', 1, 1), (2, NULL, 2, 0), (3, 'ben', 3, 0)")?;
/// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// # let import = Import::new(&path).table(SourceTable::plain("moods"));
/// let report = import.run(&store, map).await?;
/// let row = &report.tables[0].first_rejected[0];
/// assert_eq!((row.key, row.reason.column()), (2, Some("user")));
/// assert!(row.to_string().starts_with("moods, row 2: user is missing"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedRow {
    /// The table, by the name that it was given.
    pub table: String,
    /// The key of the row: `Z_PK`, or `rowid`.
    pub key: i64,
    /// The kind of fault, with the [column](RejectReason::column) if it is that of a column.
    pub reason: RejectReason,
    /// The fault of this row, without its content.
    pub detail: String,
}

impl RejectedRow {
    /// The most rejected rows that the report of a table names.
    pub const MAX_KEPT: usize = 20;

    pub(super) fn new(row: &SourceRow, reason: &RejectReason, detail: &str) -> Self {
        Self {
            table: row.table().to_owned(),
            key: row.key(),
            reason: reason.clone(),
            detail: detail.to_owned(),
        }
    }
}

/// One line: the table, the row and the reason.
impl fmt::Display for RejectedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            key,
            reason,
            detail,
        } = self;
        write!(f, "{table}, row {key}: {reason}")?;
        match detail.is_empty() {
            true => Ok(()),
            false => write!(f, " ({detail})"),
        }
    }
}

impl TableReport {
    /// Adds the counts of further rows of the table.
    pub(super) fn add(&mut self, other: Self) {
        self.read += other.read;
        for (event_type, count) in other.migrated {
            *self.migrated.entry(event_type).or_default() += count;
        }
        self.already_there += other.already_there;
        self.already_delivered += other.already_delivered;
        for (reason, count) in other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        let room = RejectedRow::MAX_KEPT.saturating_sub(self.first_rejected.len());
        let others = other.first_rejected.into_iter().take(room);
        self.first_rejected.extend(others);
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }

    /// The number of rows that became events or rows of the application's own.
    #[must_use]
    pub fn migrated_total(&self) -> u64 {
        self.migrated.values().sum()
    }

    /// The number of rows that were put aside.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    pub(super) fn accounted(&self) -> u64 {
        self.migrated_total() + self.already_there + self.already_delivered + self.rejected_total()
    }
}

impl ImportReport {
    /// The counts of one table, by the name that it was given.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables.iter().find(|table| table.table == name)
    }

    /// The number of rows read in all tables.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.sum(|table| table.read)
    }

    /// The number of rows that became events or rows of the application's own.
    #[must_use]
    pub fn migrated(&self) -> u64 {
        self.sum(TableReport::migrated_total)
    }

    /// The number of rows that were already there.
    #[must_use]
    pub fn already_there(&self) -> u64 {
        self.sum(|table| table.already_there)
    }

    /// The number of rows that need no delivery.
    #[must_use]
    pub fn already_delivered(&self) -> u64 {
        self.sum(|table| table.already_delivered)
    }

    /// The number of rows that were put aside.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.sum(TableReport::rejected_total)
    }

    fn sum(&self, of: impl Fn(&TableReport) -> u64) -> u64 {
        self.tables.iter().map(of).sum()
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dry = if self.is_dry_run {
            " (dry run: nothing was written)"
        } else {
            ""
        };
        writeln!(f, "Import of {}{dry}", self.source.display())?;
        let mut lines = vec![["", "rows"].map(str::to_owned)];
        for table in &self.tables {
            let mut line = |indent: usize, what: &str, count: u64| {
                lines.push([format!("{:indent$}{what}", ""), count.to_string()]);
            };
            line(0, &format!("{}: read", table.table), table.read);
            line(2, "migrated", table.migrated_total());
            for (kind, count) in &table.migrated {
                line(4, kind, *count);
            }
            line(2, "already there", table.already_there);
            line(2, "already delivered", table.already_delivered);
            line(2, "rejected", table.rejected_total());
            for (reason, count) in &table.rejected {
                line(4, reason, *count);
            }
        }
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
        let (names, counts) = (width(0).unwrap_or(0), width(1).unwrap_or(0));
        let rule = format!("  {}  {}", "─".repeat(names), "─".repeat(counts));
        for (at, [name, count]) in lines.iter().enumerate() {
            if at == 1 {
                writeln!(f, "{rule}")?;
            }
            writeln!(f, "  {name:names$}  {count:>counts$}")?;
        }
        write!(f, "{rule}")?;
        for table in &self.tables {
            write!(
                f,
                "\n  checksum of {}: {:032x}",
                table.table, table.checksum
            )?;
        }
        Ok(())
    }
}
