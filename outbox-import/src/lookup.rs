//! Looking rows of the source up by what is in a column.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::error::ImportError;
use super::row::SourceRow;
use super::source::{Source, quoted};
use super::table::SourceTable;

/// Which rows have a value in a column.
pub(super) type Index = HashMap<SourceKey, Vec<i64>>;

/// What rows are looked up by: [`Source::find`]. A UUID is found in whatever form the column has it: 16 bytes, or text in either
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceKey(Key);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Uuid(Uuid),
    Integer(i64),
    Text(String),
}

impl From<Uuid> for SourceKey {
    fn from(id: Uuid) -> Self {
        Self(Key::Uuid(id))
    }
}

impl From<i64> for SourceKey {
    fn from(id: i64) -> Self {
        Self(Key::Integer(id))
    }
}

impl From<&str> for SourceKey {
    fn from(text: &str) -> Self {
        Self(Uuid::try_parse(text).map_or_else(|_| Key::Text(text.to_owned()), Key::Uuid))
    }
}

impl From<String> for SourceKey {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl SourceKey {
    fn of(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(id) => Some(Self::from(id)),
            ValueRef::Text(text) => Some(Self::from(std::str::from_utf8(text).ok()?)),
            ValueRef::Blob(bytes) => Some(Self::from(Uuid::from_slice(bytes).ok()?)),
            ValueRef::Null | ValueRef::Real(_) => None,
        }
    }
}

impl Source {
    /// The first row, by its key, with this value in this column, if any.
    ///
    /// The first search in a column reads it once and remembers which rows have which value (some 100 bytes a row), so that each
    /// search after that is quick. By `Z_PK`, [`get`](Self::get) finds a row without.
    ///
    /// # Errors
    ///
    /// [`ImportError`] where the table or the column is not there.
    pub fn find(
        &self,
        table: &SourceTable,
        column: &str,
        value: impl Into<SourceKey>,
    ) -> Result<Option<SourceRow>, ImportError> {
        let keys = self.keys(table, column, &value.into())?;
        keys.first().map_or(Ok(None), |key| self.get(table, *key))
    }

    /// All rows with this value in this column, by their keys. See [`find`](Self::find).
    ///
    /// # Errors
    ///
    /// [`ImportError`] where the table or the column is not there.
    pub fn find_all(
        &self,
        table: &SourceTable,
        column: &str,
        value: impl Into<SourceKey>,
    ) -> Result<Vec<SourceRow>, ImportError> {
        let keys = self.keys(table, column, &value.into())?;
        let rows = keys.into_iter().map(|key| self.get(table, key).transpose());
        rows.flatten().collect()
    }

    fn keys(
        &self,
        table: &SourceTable,
        column: &str,
        value: &SourceKey,
    ) -> Result<Vec<i64>, ImportError> {
        let shape = self.shape(table)?;
        let column = shape.expression(column)?;
        let sql = format!(
            "SELECT {key}, {column} FROM {}{} ORDER BY {key}",
            quoted(&shape.name),
            shape.condition("WHERE"),
            key = shape.key,
        );
        let indices = &mut *self.indices.borrow_mut();
        if !indices.contains_key(&sql) {
            let index = self.index(&sql).map_err(|error| {
                self.fault(&format!("reading column {column} of {}", shape.name), error)
            })?;
            indices.insert(sql.clone(), index);
        }
        let keys = indices.get(&sql).and_then(|index| index.get(value));
        Ok(keys.cloned().unwrap_or_default())
    }

    fn index(&self, sql: &str) -> rusqlite::Result<Index> {
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut index = Index::new();
        while let Some(row) = rows.next()? {
            if let Some(value) = SourceKey::of(row.get_ref(1)?) {
                index.entry(value).or_default().push(row.get(0)?);
            }
        }
        Ok(index)
    }
}
