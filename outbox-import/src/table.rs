//! The description of a source table: its name, the names of its columns, and the order of its
//! rows.

use std::fmt;

/// A table of the source: its name, the names of its columns, and the order of its rows.
///
/// Names are case-insensitive.
///
/// # Examples
///
/// ```
/// use outbox_import::{SourceDates, SourceTable};
///
/// // The table ZSDOUTBOXEVENT with the columns ZID, ZCREATEDAT, ..
/// let events = SourceTable::entity("SDOutboxEvent")
///     .ordered_by("createdAt")
///     .requires(["id", "eventType", "payload", "status"])
///     .newer_with(["metadata"]);
/// assert_eq!(events.to_string(), "ZSDOUTBOXEVENT");
///
/// // An ordinary table, whose numeric dates are milliseconds since 1970.
/// let rows = SourceTable::plain("outbox").ordered_by("created_at").dates(SourceDates::UnixMillis);
/// assert_eq!(rows.to_string(), "outbox");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "give it to an `Import` or a `Source`"]
pub struct SourceTable {
    pub(super) name: String,
    pub(super) is_entity: bool,
    pub(super) order: Option<String>,
    pub(super) requires: Vec<String>,
    pub(super) newer_with: Vec<String>,
    pub(super) dates: SourceDates,
}

/// The meaning of numbers in date columns. Text is always parsed as RFC 3339.
///
/// # Examples
///
/// ```
/// use outbox_import::{Source, SourceDates, SourceTable};
/// # use chrono::{DateTime, TimeDelta};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE outbox (created_at);
/// #      INSERT INTO outbox VALUES (60000), ('1970-01-01T01:01:00+01:00')")?;
/// # let source = Source::open(&path)?;
/// // The column has 60000 in one row, and 1970-01-01T01:01:00+01:00 in the other.
/// let table = SourceTable::plain("outbox").dates(SourceDates::UnixMillis);
/// for key in [1, 2] {
///     let row = source.get(&table, key)?.ok_or("no row")?;
///     assert_eq!(row.date("created_at")?, DateTime::UNIX_EPOCH + TimeDelta::minutes(1));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceDates {
    /// Seconds since 2001-01-01 UTC, as Core Data stores them: whole seconds as integers, others as
    /// reals, earlier dates as negative numbers.
    SinceReferenceDate,
    /// Seconds since 1970-01-01 UTC, with or without a fraction.
    UnixSeconds,
    /// Milliseconds since 1970-01-01 UTC.
    UnixMillis,
    /// Microseconds since 1970-01-01 UTC.
    UnixMicros,
}

impl SourceTable {
    /// The table of a Core Data or SwiftData entity: `Z` and the entity's name in upper case.
    /// Columns are named by their attributes, `createdAt` for `ZCREATEDAT`; `Z_PK`, relationship
    /// columns such as `Z3_BOOK` and similar columns keep their own names. Dates are
    /// [`SinceReferenceDate`](SourceDates::SinceReferenceDate).
    ///
    /// An entity that inherits from another has no table of its own. Its rows, and those of its
    /// subentities, are read from the table of its root entity, which `Z_PRIMARYKEY` names. Reading
    /// the root entity's table yields the rows of all its subentities.
    /// [`SourceRow::entity`](crate::SourceRow::entity) names the entity of a row.
    ///
    /// If entities that share a table have attributes of the same name, Core Data numbers the
    /// columns (`ZTITLE`, `ZTITLE1`) and renumbers them in each version of the app. The import
    /// determines the right column from where the entity's rows have values, so the attribute's
    /// name is enough. If the rows have values in several of these columns, the import returns
    /// [`AmbiguousColumn`](crate::ImportError::AmbiguousColumn); name the column itself then.
    pub fn entity(name: impl Into<String>) -> Self {
        Self::new(name.into(), true, SourceDates::SinceReferenceDate)
    }

    /// A table by its own name. Dates are [`UnixSeconds`](SourceDates::UnixSeconds) by default.
    pub fn plain(name: impl Into<String>) -> Self {
        Self::new(name.into(), false, SourceDates::UnixSeconds)
    }

    fn new(name: String, is_entity: bool, dates: SourceDates) -> Self {
        Self {
            name,
            is_entity,
            order: None,
            requires: Vec::new(),
            newer_with: Vec::new(),
            dates,
        }
    }

    /// Sets the column with the creation time: rows are taken by it, and by key if equal. Default:
    /// none, so that rows are taken by key (`Z_PK`, `rowid`).
    ///
    /// Each entity's events are delivered in the order in which their rows are taken. A column that
    /// is NULL in every one of several rows orders nothing and is an error:
    /// [`EmptyOrder`](crate::ImportError::EmptyOrder).
    pub fn ordered_by(mut self, column: impl Into<String>) -> Self {
        self.order = Some(column.into());
        self
    }

    /// Adds required columns. Without them the import fails:
    /// [`ColumnMissing`](crate::ImportError::ColumnMissing). Default: none.
    pub fn requires<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.requires.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Adds columns that only a newer layout has, which this import cannot read. With them the
    /// import fails: [`NewerLayout`](crate::ImportError::NewerLayout). Default: none.
    pub fn newer_with<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.newer_with.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Sets the meaning of numbers in date columns. Default: seconds, of an
    /// [`entity`](Self::entity) since 2001-01-01 UTC, and of a [`plain`](Self::plain) table since
    /// 1970-01-01 UTC.
    pub fn dates(mut self, dates: SourceDates) -> Self {
        self.dates = dates;
        self
    }

    /// The name that the table was given: the name of the entity or of the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name in the database.
    pub(super) fn sql_name(&self) -> String {
        if self.is_entity {
            format!("Z{}", self.name.to_uppercase())
        } else {
            self.name.clone()
        }
    }
}

/// Displays the name in the database.
impl fmt::Display for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql_name())
    }
}
