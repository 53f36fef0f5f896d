//! The tables and columns of the source, and its identity.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::error::ImportError;
use super::numbered::Numbered;
use super::path_text::text_of;
use super::schema::{columns, quoted};
use super::shape::Shape;
use super::source::Source;
use super::table::SourceTable;

impl Source {
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
        let (name, only) = self.find_table(table)?;
        let columns = columns(&self.conn, &name)
            .map_err(|error| self.fault(&format!("reading the columns of {name}"), error))?;
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let key = self.find_key(&name, &names)?;
        let has_number = names
            .iter()
            .any(|column| column.eq_ignore_ascii_case("Z_ENT"));
        let mut shape = Shape::new(self.original.clone(), table.clone(), name, key, columns);
        shape.entities = Arc::clone(&self.entities);
        shape.only = only;
        if !has_number && shape.only.is_some() {
            return Err(shape.missing("Z_ENT"));
        }
        if has_number && table.is_entity && self.is_shared(&shape) {
            shape.numbered = Some(self.numbered(&shape)?);
        }
        for column in table.requires.iter().chain(&table.order) {
            shape.expression(column)?;
        }
        for column in &table.newer_with {
            if shape.is_newer(column)? {
                return Err(ImportError::NewerLayout {
                    path: self.original.clone(),
                    table: shape.name,
                    column: column.clone(),
                });
            }
        }
        self.check_order(&shape)?;
        Ok(shape)
    }

    /// The table's name, and the entities to read if it is the table of their root entity.
    fn find_table(&self, table: &SourceTable) -> Result<(String, Option<Vec<i64>>), ImportError> {
        let there = self.tables()?;
        let find = |wanted: &str| {
            let same = || {
                there
                    .iter()
                    .find(|name| name.to_uppercase() == wanted.to_uppercase())
            };
            let exact = there.iter().find(|name| *name == wanted);
            exact.or_else(same).cloned()
        };
        let mut wanted = table.sql_name();
        if let Some(name) = find(&wanted) {
            return Ok((name, None));
        }
        if table.is_entity
            && let Some(number) = self.entities.number(&table.name)
            && let Some(root) = self.entities.name(self.entities.root(number))
        {
            let of_root = SourceTable::entity(root).sql_name();
            if let Some(name) = find(&of_root) {
                return Ok((name, Some(self.entities.family(number))));
            }
            wanted = format!("{of_root} (where the rows of {} should be)", table.name);
        }
        Err(ImportError::TableMissing {
            path: self.original.clone(),
            table: wanted,
            there,
        })
    }

    /// Reads which columns the entities use.
    fn numbered(&self, shape: &Shape) -> Result<Numbered, ImportError> {
        let condition = shape.condition("WHERE");
        Numbered::read(&self.conn, &shape.name, &shape.columns, &condition).map_err(|error| {
            let doing = format!("reading which columns of {} are used", shape.name);
            self.fault(&doing, error)
        })
    }

    /// Whether the table holds rows of more than one entity.
    fn is_shared(&self, shape: &Shape) -> bool {
        let number = self.entities.number(&shape.table.name);
        number.is_some_and(|number| {
            let root = self.entities.root(number);
            self.entities.family(root).len() > 1
        })
    }

    /// Checks that the column to order by orders the rows.
    fn check_order(&self, shape: &Shape) -> Result<(), ImportError> {
        let Some(order) = &shape.table.order else {
            return Ok(());
        };
        let column = shape.expression(order)?;
        let sql = format!(
            "SELECT count(*), count({column}) FROM {}{}",
            quoted(&shape.name),
            shape.condition("WHERE")
        );
        let (rows, dated): (i64, i64) = self
            .conn
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|error| self.fault(&format!("reading {order} of {}", shape.name), error))?;
        // A single row needs no order.
        if rows > 1 && dated == 0 {
            return Err(ImportError::EmptyOrder {
                path: self.original.clone(),
                table: shape.described(),
                column: order.clone(),
                rows: rows.unsigned_abs(),
            });
        }
        Ok(())
    }

    /// A name of the rowid that no column uses. `Z_PK` is an alias of it: an `INTEGER PRIMARY KEY`.
    fn find_key(&self, table: &str, columns: &[&str]) -> Result<String, ImportError> {
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
            .map_err(|error| self.fault("reading the schema", error))?;
        let sql = format!("SELECT {rowid} FROM {} LIMIT 0", quoted(table));
        if !is_table || self.conn.prepare(&sql).is_err() {
            return Err(no_rowid());
        }
        Ok(rowid.to_owned())
    }

    /// The UUID that Core Data gave the store, if it is a Core Data store.
    pub(super) fn find_uuid(&self) -> Result<Option<String>, ImportError> {
        if !self.tables()?.iter().any(|name| name == "Z_METADATA") {
            return Ok(None);
        }
        let stored = self
            .conn
            .query_row(
                "SELECT Z_UUID FROM Z_METADATA WHERE Z_UUID <> '' LIMIT 1",
                [],
                |row| {
                    let bytes = row.get_ref(0)?.as_bytes().unwrap_or_default();
                    Ok(String::from_utf8_lossy(bytes).into_owned())
                },
            )
            .optional()
            .map_err(|error| self.fault("reading Z_METADATA", error))?;
        Ok(stored.filter(|id| !id.is_empty()))
    }

    pub(super) fn canonical_path(&self) -> String {
        let path = self.original.canonicalize();
        let path = path.unwrap_or_else(|_| self.original.clone());
        text_of(&path)
    }
}
