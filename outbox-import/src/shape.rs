//! A table that was found in the source: its columns, and the rows of it that are read.

use std::path::PathBuf;
use std::sync::Arc;

use super::entities::Entities;
use super::error::ImportError;
use super::numbered::{Numbered, Place};
use super::schema::{Column, quoted};
use super::table::SourceTable;

/// A table of the database.
#[derive(Debug)]
pub(super) struct Shape {
    /// The path of the original store.
    pub(super) path: PathBuf,
    pub(super) table: SourceTable,
    /// The name as the database spells it.
    pub(super) name: String,
    /// The column that identifies rows: a name of the rowid.
    pub(super) key: String,
    pub(super) columns: Vec<String>,
    /// Whether each column holds decimal numbers.
    pub(super) decimals: Vec<bool>,
    /// The column indices ordered by name. Unlike the columns' own order, it does not change when a
    /// column is added in between.
    pub(super) by_name: Vec<usize>,
    pub(super) entities: Arc<Entities>,
    /// The numbers of the entities to read, if others have rows in the same table.
    pub(super) only: Option<Vec<i64>>,
    /// The columns of each entity, if several share the table.
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

    /// The index of a column in the rows of an entity, by the entity's number. The attribute `id`
    /// of an entity is `ZID`; the primary key keeps its name `Z_PK`.
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

    /// The numbers of the entities whose rows are read; `[None]` if the entity makes no difference.
    fn kinds(&self) -> Vec<Option<i64>> {
        let kinds: Vec<_> = self
            .numbered
            .iter()
            .flat_map(Numbered::entities)
            .map(Some)
            .collect();
        if kinds.is_empty() { vec![None] } else { kinds }
    }

    /// A SQL expression for the column in each row.
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

    /// The error for a missing column, with the columns that exist.
    pub(super) fn missing(&self, name: &str) -> ImportError {
        ImportError::ColumnMissing {
            path: self.path.clone(),
            table: self.described(),
            column: name.to_owned(),
            there: self.columns.clone(),
        }
    }

    /// Whether the table has a column of a newer layout. In a shared table, only columns with
    /// values in the rows that are read count.
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

    /// The table's name, and the entity if only some of its rows are read.
    pub(super) fn described(&self) -> String {
        match self.only {
            Some(_) => format!("{} (where the rows of {} are)", self.name, self.table.name),
            None => self.name.clone(),
        }
    }

    /// A SQL condition on the entity, after `WHERE` or `AND`; empty if all rows are read.
    pub(super) fn condition(&self, word: &str) -> String {
        let Some(only) = &self.only else {
            return String::new();
        };
        let numbers: Vec<String> = only.iter().map(i64::to_string).collect();
        format!(" {word} Z_ENT IN ({})", numbers.join(", "))
    }

    /// A `SELECT` of whole rows, the key first, without a condition.
    pub(super) fn select(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        let (key, name) = (&self.key, quoted(&self.name));
        format!("SELECT {key}, {} FROM {name}", columns.join(", "))
    }

    /// An `ORDER BY` of the creation time, then the key.
    pub(super) fn order(&self) -> Result<String, ImportError> {
        let key = &self.key;
        let Some(order) = self.table.order.as_deref() else {
            return Ok(format!("ORDER BY {key}"));
        };
        let date = self.expression(order)?;
        // As text, 12:00:00.5Z sorts before 12:00:00Z.
        Ok(format!(
            "ORDER BY CASE typeof({date}) WHEN 'text' THEN unixepoch({date}, 'subsec') ELSE {date} END, {date}, {key}"
        ))
    }
}
