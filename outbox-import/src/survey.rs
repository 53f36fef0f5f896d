//! A look at a source: its tables, columns, entities and numbers of rows.

use std::collections::BTreeMap;

use super::error::ImportError;
use super::schema::{columns, quoted};
use super::source::Source;

/// A table of a source.
///
/// # Examples
///
/// ```
/// use outbox_import::{Source, TableSurvey};
///
/// fn describe(table: &TableSurvey) -> String {
///     match table.rows {
///         Some(rows) => format!("{}: {rows} rows", table.name),
///         None => format!("{}: cannot be read here", table.name),
///     }
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME, Z_SUPER INTEGER, Z_MAX);
/// #      INSERT INTO Z_PRIMARYKEY VALUES (1, 'Change', 0, 3), (2, 'MoodChange', 1, 0);
/// #      CREATE TABLE ZCHANGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZCREATEDAT TIMESTAMP);
/// #      INSERT INTO ZCHANGE VALUES (1, 2, 0), (2, 2, 1), (3, 1, 2)")?;
/// # let source = Source::open(&path)?;
/// # let tables = source.survey()?;
/// # let changes = tables.iter().find(|table| table.name == "ZCHANGE").ok_or("no table")?;
/// assert_eq!(describe(changes), "ZCHANGE: 3 rows");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// # Examples
///
/// The columns that may tell when a row was created:
///
/// ```
/// use outbox_import::{ColumnSurvey, Source};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME, Z_SUPER INTEGER, Z_MAX);
/// #      INSERT INTO Z_PRIMARYKEY VALUES (1, 'Change', 0, 3), (2, 'MoodChange', 1, 0);
/// #      CREATE TABLE ZCHANGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZCREATEDAT TIMESTAMP);
/// #      INSERT INTO ZCHANGE VALUES (1, 2, 0), (2, 2, 1), (3, 1, 2)")?;
/// # let source = Source::open(&path)?;
/// # let tables = source.survey()?;
/// # let changes = tables.iter().find(|table| table.name == "ZCHANGE").ok_or("no table")?;
/// let is_date = |column: &&ColumnSurvey| column.declared == "TIMESTAMP";
/// let dates: Vec<_> = changes.columns.iter().filter(is_date).map(|it| &it.name).collect();
/// assert_eq!(dates, ["ZCREATEDAT"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ColumnSurvey {
    /// The name in the database.
    pub name: String,
    /// The declared type; empty if there is none.
    pub declared: String,
}

/// A Core Data entity with rows in a table.
///
/// # Examples
///
/// ```
/// use outbox_import::{EntitySurvey, Source};
///
/// fn describe(entity: &EntitySurvey) -> String {
///     format!("{}: {} rows", entity.name.as_deref().unwrap_or("unknown"), entity.rows)
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME, Z_SUPER INTEGER, Z_MAX);
/// #      INSERT INTO Z_PRIMARYKEY VALUES (1, 'Change', 0, 3), (2, 'MoodChange', 1, 0);
/// #      CREATE TABLE ZCHANGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, ZCREATEDAT TIMESTAMP);
/// #      INSERT INTO ZCHANGE VALUES (1, 2, 0), (2, 2, 1), (3, 1, 2)")?;
/// # let source = Source::open(&path)?;
/// # let tables = source.survey()?;
/// # let changes = tables.iter().find(|table| table.name == "ZCHANGE").ok_or("no table")?;
/// let entities: Vec<_> = changes.entities.iter().map(describe).collect();
/// assert_eq!(entities, ["Change: 1 rows", "MoodChange: 2 rows"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Reads which tables the source has, with their columns, entities and numbers of rows. Views
    /// are left out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::Source;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE note (text); INSERT INTO note VALUES ('milk'); CREATE TABLE tag (name)")?;
    /// let source = Source::open(&path)?;
    /// for table in source.survey()? {
    ///     println!("{}: {:?} rows, {} columns", table.name, table.rows, table.columns.len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
