//! Which table of the source, how its columns are named, and in which order its rows are taken.

use std::fmt;
use std::path::PathBuf;

use super::source::quoted;

/// A table of the source: where its rows are, how its columns are named, in which order its rows are taken.
///
/// Names are compared without regard to case.
///
/// # Examples
///
/// ```
/// use outbox_runtime::import::{SourceDates, SourceTable};
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

/// What a number means where a date should be. Text is always read as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceDates {
    /// Seconds since 2001-01-01 UTC, as Core Data stores them: whole ones as integers, others as reals, earlier ones negative.
    SinceReferenceDate,
    /// Seconds since 1970-01-01 UTC, with or without a fraction.
    UnixSeconds,
    /// Milliseconds since 1970-01-01 UTC.
    UnixMillis,
    /// Microseconds since 1970-01-01 UTC.
    UnixMicros,
}

impl SourceTable {
    /// The table of a Core Data or SwiftData entity: `Z` and the entity's name in upper case. Its columns go by the names of
    /// the attributes, `createdAt` for `ZCREATEDAT`; `Z_PK` and the like by their own. Dates are
    /// [`SinceReferenceDate`](SourceDates::SinceReferenceDate).
    pub fn entity(name: impl Into<String>) -> Self {
        Self::new(name.into(), true, SourceDates::SinceReferenceDate)
    }

    /// A table by its own name. Dates are [`UnixSeconds`](SourceDates::UnixSeconds) unless told otherwise.
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

    /// The column with the date of creation: earlier rows are taken first, and of equal ones that with the smaller key. Without
    /// it the order is that of the keys (`Z_PK`, `rowid`).
    ///
    /// The events of one entity are delivered in the order in which they are taken.
    pub fn ordered_by(mut self, column: impl Into<String>) -> Self {
        self.order = Some(column.into());
        self
    }

    /// Columns without which nothing is imported: [`ColumnMissing`](super::ImportError::ColumnMissing).
    pub fn requires<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.requires.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Columns that only a newer layout has, which this import cannot read: [`NewerLayout`](super::ImportError::NewerLayout).
    pub fn newer_with<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.newer_with.extend(columns.into_iter().map(Into::into));
        self
    }

    /// What numbers mean where dates should be.
    pub fn dates(mut self, dates: SourceDates) -> Self {
        self.dates = dates;
        self
    }

    /// The name it was given: that of the entity, or of the table.
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

/// The name in the database.
impl fmt::Display for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql_name())
    }
}

/// A table that was found.
#[derive(Debug)]
pub(super) struct Shape {
    /// The original that it is in.
    pub(super) path: PathBuf,
    pub(super) table: SourceTable,
    /// As the database spells it.
    pub(super) name: String,
    /// What tells its rows apart: a name of the rowid.
    pub(super) key: String,
    pub(super) columns: Vec<String>,
    /// The places of the columns in the order of their names, which does not change when columns are added elsewhere.
    pub(super) by_name: Vec<usize>,
}

impl Shape {
    pub(super) fn new(
        path: PathBuf,
        table: SourceTable,
        name: String,
        key: String,
        columns: Vec<String>,
    ) -> Self {
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by(|a, b| columns[*a].cmp(&columns[*b]));
        Self {
            path,
            table,
            name,
            key,
            columns,
            by_name,
        }
    }

    /// Where a column is. The attribute `id` of an entity is in `ZID`; its primary key goes by the name `Z_PK`.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        let find = |wanted: &str| {
            let mut columns = self.columns.iter();
            columns.position(|column| column.to_uppercase() == wanted)
        };
        let name = name.to_uppercase();
        let attribute = self.table.is_entity.then(|| find(&format!("Z{name}")));
        attribute.flatten().or_else(|| find(&name))
    }

    /// `SELECT` of whole rows, the key first.
    pub(super) fn select(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let (key, name) = (&self.key, quoted(&self.name));
        format!("SELECT {key}, {} FROM {name}", columns.join(", "))
    }

    /// In the order of creation, then of the keys.
    pub(super) fn order(&self) -> String {
        let order = self
            .table
            .order
            .as_deref()
            .and_then(|order| self.column(order));
        let key = &self.key;
        match order.map(|at| quoted(&self.columns[at])) {
            // As text, 12:00:00.5Z is less than 12:00:00Z.
            Some(date) => format!(
                "ORDER BY CASE typeof({date}) WHEN 'text' THEN unixepoch({date}, 'subsec') ELSE {date} END, {date}, {key}"
            ),
            None => format!("ORDER BY {key}"),
        }
    }
}
