//! Which table of the source, how its columns are named, and in which order its rows are taken.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::entities::Entities;
use super::error::ImportError;
use super::numbered::{Numbered, Place};
use super::source::quoted;

/// A table of the source: where its rows are, how its columns are named, in which order its rows are taken.
///
/// Names are compared without regard to case.
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
    /// the attributes, `createdAt` for `ZCREATEDAT`; `Z_PK`, relationship columns such as `Z3_BOOK` and the like by their own.
    /// Dates are [`SinceReferenceDate`](SourceDates::SinceReferenceDate).
    ///
    /// An entity that inherits from another has no table of its own. Its rows, and those of the entities that inherit from it,
    /// are read from the table of its root, which `Z_PRIMARYKEY` tells; the table of a root is read with the rows of all of them.
    /// [`SourceRow::entity`](super::SourceRow::entity) tells which one a row is of.
    ///
    /// Where entities that share a table have attributes of the same name, Core Data numbers the columns (`ZTITLE`, `ZTITLE1`), anew
    /// in each version of the app. Which one is whose is told by where the rows of the entity have values: the name of the
    /// attribute is enough. Where they have values in several of them, the import refuses with
    /// [`AmbiguousColumn`](super::ImportError::AmbiguousColumn), and the name of the column itself decides.
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
    /// The events of one entity are delivered in the order in which they are taken. A column that is NULL in all of several rows
    /// orders nothing: [`EmptyOrder`](super::ImportError::EmptyOrder).
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

/// A column that was found.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type that the table declares.
    pub(super) declared: String,
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
    /// Which columns hold decimal numbers.
    pub(super) decimals: Vec<bool>,
    /// The places of the columns in the order of their names, which does not change when columns are added elsewhere.
    pub(super) by_name: Vec<usize>,
    pub(super) entities: Arc<Entities>,
    /// The numbers of the entities whose rows are meant, where others have rows in the same table.
    pub(super) only: Option<Vec<i64>>,
    /// Where several entities share the table: which columns theirs are.
    pub(super) numbered: Option<Numbered>,
}

impl Shape {
    pub(super) fn new(
        path: PathBuf,
        table: SourceTable,
        name: String,
        key: String,
        columns: Vec<Column>,
    ) -> Self {
        let is_decimal = |column: &Column| {
            ["DECIMAL", "NUMERIC"]
                .iter()
                .any(|name| column.declared.to_uppercase().starts_with(name))
        };
        let decimals = columns.iter().map(is_decimal).collect();
        let columns: Vec<String> = columns.into_iter().map(|column| column.name).collect();
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by(|a, b| columns[*a].cmp(&columns[*b]));
        Self {
            path,
            table,
            name,
            key,
            columns,
            decimals,
            by_name,
            entities: Arc::default(),
            only: None,
            numbered: None,
        }
    }

    /// Where a column is in the rows of an entity, by its number. The attribute `id` of an entity is in `ZID`; its primary key goes
    /// by the name `Z_PK`.
    pub(super) fn column(
        &self,
        name: &str,
        entity: Option<i64>,
    ) -> Result<Option<usize>, ImportError> {
        let find = |wanted: &str| {
            let mut columns = self.columns.iter();
            columns.position(|column| column.to_uppercase() == wanted)
        };
        let upper = name.to_uppercase();
        if self.table.is_entity {
            let attribute = format!("Z{upper}");
            let place = match &self.numbered {
                Some(numbered) => numbered.place(&self.columns, &attribute, entity),
                None => find(&attribute).map_or(Place::Nowhere, Place::At),
            };
            match place {
                Place::At(at) => return Ok(Some(at)),
                Place::Any(places) => {
                    let entity = entity.and_then(|number| self.entities.name(number));
                    return Err(ImportError::AmbiguousColumn {
                        path: self.path.clone(),
                        table: self.described(),
                        entity: entity.unwrap_or(&self.table.name).to_owned(),
                        attribute: name.to_owned(),
                        columns: places.iter().map(|at| self.columns[*at].clone()).collect(),
                    });
                }
                Place::Nowhere => {}
            }
        }
        Ok(find(&upper))
    }

    /// The entities whose rows are read, by number; one of an unknown number where that makes no difference.
    fn kinds(&self) -> Vec<Option<i64>> {
        let kinds: Vec<_> = self
            .numbered
            .iter()
            .flat_map(Numbered::entities)
            .map(Some)
            .collect();
        if kinds.is_empty() { vec![None] } else { kinds }
    }

    /// Where a column is in each row, as an expression of SQL.
    pub(super) fn expression(&self, name: &str) -> Result<String, ImportError> {
        let mut places = Vec::new();
        for kind in self.kinds() {
            places.push((kind, self.must_have(name, kind)?));
        }
        let column = |at: usize| quoted(&self.columns[at]);
        let Some((_, first)) = places.first().copied() else {
            return Err(self.missing(name));
        };
        if places.iter().all(|(_, at)| *at == first) {
            return Ok(column(first));
        }
        let cases: String = places
            .iter()
            .filter_map(|(kind, at)| Some(format!(" WHEN {} THEN {}", (*kind)?, column(*at))))
            .collect();
        Ok(format!("CASE Z_ENT{cases} END"))
    }

    pub(super) fn must_have(&self, name: &str, kind: Option<i64>) -> Result<usize, ImportError> {
        self.column(name, kind)?.ok_or_else(|| self.missing(name))
    }

    /// That the table does not have the column, and what it has.
    pub(super) fn missing(&self, name: &str) -> ImportError {
        ImportError::ColumnMissing {
            path: self.path.clone(),
            table: self.described(),
            column: name.to_owned(),
            there: self.columns.clone(),
        }
    }

    /// Whether a column is there that only a newer layout has; where the table is shared, with values in the rows that are read.
    pub(super) fn is_newer(&self, name: &str) -> Result<bool, ImportError> {
        for kind in self.kinds() {
            let place = match self.column(name, kind) {
                Err(ImportError::AmbiguousColumn { .. }) => return Ok(true),
                place => place?,
            };
            if let Some(at) = place
                && self.numbered.as_ref().is_none_or(|it| it.has_values(at))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The table's name, and whose rows of it are meant.
    pub(super) fn described(&self) -> String {
        match self.only {
            Some(_) => format!("{} (where the rows of {} are)", self.name, self.table.name),
            None => self.name.clone(),
        }
    }

    /// Which rows of the table are meant, after `WHERE` or `AND`; nothing where it is all of them.
    pub(super) fn condition(&self, word: &str) -> String {
        let Some(only) = &self.only else {
            return String::new();
        };
        let numbers: Vec<String> = only.iter().map(i64::to_string).collect();
        format!(" {word} Z_ENT IN ({})", numbers.join(", "))
    }

    /// `SELECT` of whole rows, the key first, without a condition.
    pub(super) fn select(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let (key, name) = (&self.key, quoted(&self.name));
        format!("SELECT {key}, {} FROM {name}", columns.join(", "))
    }

    /// In the order of creation, then of the keys.
    pub(super) fn order(&self) -> Result<String, ImportError> {
        let key = &self.key;
        let Some(order) = self.table.order.as_deref() else {
            return Ok(format!("ORDER BY {key}"));
        };
        let date = self.expression(order)?;
        // As text, 12:00:00.5Z is less than 12:00:00Z.
        Ok(format!(
            "ORDER BY CASE typeof({date}) WHEN 'text' THEN unixepoch({date}, 'subsec') ELSE {date} END, {date}, {key}"
        ))
    }
}
