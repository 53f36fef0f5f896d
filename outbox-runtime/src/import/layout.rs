//! Which tables and columns the source has, and what it is known by.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::error::ImportError;
use super::source::{Source, quoted};
use super::table::{Shape, SourceTable};

impl Source {
    pub(super) fn column(&self, shape: &Shape, column: &str) -> Result<usize, ImportError> {
        shape
            .column(column)
            .ok_or_else(|| ImportError::ColumnMissing {
                path: self.original.clone(),
                table: shape.name.clone(),
                column: column.to_owned(),
                there: shape.columns.clone(),
            })
    }

    pub(super) fn shape(&self, table: &SourceTable) -> Result<Arc<Shape>, ImportError> {
        if let Some(shape) = self.shapes.borrow().get(table) {
            return Ok(Arc::clone(shape));
        }
        let shape = Arc::new(self.find_shape(table)?);
        self.shapes
            .borrow_mut()
            .insert(table.clone(), Arc::clone(&shape));
        Ok(shape)
    }

    fn find_shape(&self, table: &SourceTable) -> Result<Shape, ImportError> {
        let wanted = table.sql_name();
        let there = self.tables()?;
        let exact = there.iter().find(|name| **name == wanted);
        let same = || {
            there
                .iter()
                .find(|name| name.to_uppercase() == wanted.to_uppercase())
        };
        let Some(name) = exact.or_else(same).cloned() else {
            return Err(ImportError::TableMissing {
                path: self.original.clone(),
                table: wanted,
                there,
            });
        };
        let columns = self
            .columns(&name)
            .map_err(|error| self.fault(&format!("reading the columns of {name}"), error))?;
        let key = self.find_key(&name, &columns)?;
        let shape = Shape::new(self.original.clone(), table.clone(), name, key, columns);
        for column in table.requires.iter().chain(&table.order) {
            self.column(&shape, column)?;
        }
        match table
            .newer_with
            .iter()
            .find(|column| shape.column(column).is_some())
        {
            Some(column) => Err(ImportError::NewerLayout {
                path: self.original.clone(),
                table: shape.name,
                column: column.clone(),
            }),
            None => Ok(shape),
        }
    }

    fn columns(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        // With the generated ones, but without what a virtual table hides.
        let mut columns = self
            .conn
            .prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1")?;
        let names = columns.query_map([table], |row| row.get(0))?;
        names.collect()
    }

    /// A name of the rowid that no column has taken. `Z_PK` is one: an `INTEGER PRIMARY KEY`.
    fn find_key(&self, table: &str, columns: &[String]) -> Result<String, ImportError> {
        let is_column = |name: &str| {
            columns
                .iter()
                .any(|column| column.eq_ignore_ascii_case(name))
        };
        let rowids = ["_rowid_", "rowid", "oid"];
        let rowid = rowids.into_iter().find(|name| !is_column(name));
        let no_rowid = || ImportError::NoRowid {
            path: self.original.clone(),
            table: table.to_owned(),
        };
        let rowid = rowid.ok_or_else(no_rowid)?;
        let is_table: bool = self
            .conn
            .query_row(
                "SELECT type = 'table' FROM sqlite_schema WHERE name = ?1 AND type IN ('table', 'view')",
                [table],
                |row| row.get(0),
            )
            .map_err(|error| self.fault("looking at the tables", error))?;
        let sql = format!("SELECT {rowid} FROM {} LIMIT 0", quoted(table));
        if !is_table || self.conn.prepare(&sql).is_err() {
            return Err(no_rowid());
        }
        Ok(rowid.to_owned())
    }

    pub(super) fn find_identity(&self) -> Result<String, ImportError> {
        let has_metadata = self.tables()?.iter().any(|name| name == "Z_METADATA");
        let stored = if has_metadata {
            self.conn
                .query_row(
                    "SELECT Z_UUID FROM Z_METADATA WHERE Z_UUID <> '' LIMIT 1",
                    [],
                    |row| {
                        Ok(
                            String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default())
                                .into_owned(),
                        )
                    },
                )
                .optional()
                .map_err(|error| self.fault("reading Z_METADATA", error))?
        } else {
            None
        };
        Ok(stored.filter(|id| !id.is_empty()).unwrap_or_else(|| {
            let path = self.original.canonicalize();
            path.unwrap_or_else(|_| self.original.clone())
                .to_string_lossy()
                .into_owned()
        }))
    }
}
