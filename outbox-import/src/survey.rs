//! A look at a source: its tables, columns, entities and numbers of rows.

use std::collections::BTreeMap;

use super::error::ImportError;
use super::schema::{columns, quoted};
use super::source::Source;

/// A table of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableSurvey {
    /// The name in the database.
    pub name: String,
    /// The number of rows. `None` if the table cannot be read here, as a virtual table of a missing
    /// module.
    pub rows: Option<u64>,
    /// The columns, in the order of the table.
    pub columns: Vec<ColumnSurvey>,
    /// The Core Data entities that have rows in the table.
    pub entities: Vec<EntitySurvey>,
}

/// A column of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnSurvey {
    /// The name in the database.
    pub name: String,
    /// The declared type; empty if there is none.
    pub declared: String,
}

/// A Core Data entity with rows in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntitySurvey {
    /// The name of the entity. `None` for a number that `Z_PRIMARYKEY` does not have.
    pub name: Option<String>,
    /// Its number in this store, `Z_ENT`. Another version of the model numbers anew.
    pub number: i64,
    /// The number of rows.
    pub rows: u64,
}

impl Source {
    /// Reads which tables the source has, with their columns, entities and numbers of rows.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the copy cannot be read.
    pub fn survey(&self) -> Result<Vec<TableSurvey>, ImportError> {
        let tables = self.tables_only();
        let tables = tables.map_err(|error| self.fault("listing the tables", error))?;
        tables.into_iter().map(|name| self.look_at(name)).collect()
    }

    fn tables_only(&self) -> rusqlite::Result<Vec<String>> {
        let mut tables = self.conn.prepare(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let names = tables.query_map([], |row| row.get(0))?;
        names.collect()
    }

    fn look_at(&self, name: String) -> Result<TableSurvey, ImportError> {
        let failed = |error| self.fault(&format!("reading {name}"), error);
        let columns = columns(&self.conn, &name).map_err(failed)?;
        let has_entities = columns.iter().any(|column| column.name == "Z_ENT");
        // `Z_PRIMARYKEY` has such a column, too, and no entity.
        let entities = match has_entities && name != "Z_PRIMARYKEY" {
            true => self.entities_in(&name).map_err(failed)?,
            false => BTreeMap::new(),
        };
        let entities = entities.into_iter().map(|(number, rows)| EntitySurvey {
            name: self.entity_name(number).map(str::to_owned),
            number,
            rows,
        });
        let sql = format!("SELECT count(*) FROM {}", quoted(&name));
        let rows: rusqlite::Result<i64> = self.conn.query_row(&sql, [], |row| row.get(0));
        Ok(TableSurvey {
            rows: rows.ok().map(i64::unsigned_abs),
            columns: columns
                .into_iter()
                .map(|column| ColumnSurvey {
                    name: column.name,
                    declared: column.declared,
                })
                .collect(),
            entities: entities.collect(),
            name,
        })
    }

    /// The number of rows of each entity, by its number.
    fn entities_in(&self, table: &str) -> rusqlite::Result<BTreeMap<i64, u64>> {
        let mut entities = self.conn.prepare(&format!(
            "SELECT Z_ENT, count(*) FROM {} WHERE typeof(Z_ENT) = 'integer' GROUP BY Z_ENT",
            quoted(table)
        ))?;
        let entities = entities.query_map([], |row| {
            let rows: i64 = row.get(1)?;
            Ok((row.get(0)?, rows.unsigned_abs()))
        })?;
        entities.collect()
    }
}
