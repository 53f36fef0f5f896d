//! The source: a copy of the store, and reading rows of its tables.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Rows};
use uuid::Uuid;

use super::copy::StoreCopy;
use super::error::ImportError;
use super::row::{SourceRow, SourceValue};
use super::table::{Shape, SourceTable};

/// A foreign store, opened to be read: a copy of the file and of what is in its `-wal`.
///
/// The original is never written, not even its `-wal`, and no file is made beside it. The copy is in a folder of its own and
/// goes with the value.
///
/// # Examples
///
/// ```
/// use outbox_runtime::import::{ImportError, Source, SourceTable};
/// use outbox_runtime::rusqlite::Connection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE ZSDGOAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZTITLE VARCHAR, ZCREATEDAT TIMESTAMP);
/// #      INSERT INTO ZSDGOAL VALUES (1, 6, 1, 'Swim', -86400.5)")?;
/// let source = Source::open(&path)?;
/// let goals = SourceTable::entity("SDGoal");
/// assert_eq!(source.count(&goals)?, 1);
/// let goal = source.find(&goals, "title", "Swim")?.expect("it is there");
/// assert_eq!(goal.key(), 1);
/// assert_eq!(goal.date("createdAt")?.to_rfc3339(), "2000-12-30T23:59:59.500+00:00");
///
/// let error = source.count(&SourceTable::entity("SDMoodEntry")).unwrap_err();
/// assert!(matches!(error, ImportError::TableMissing { there, .. } if there == ["ZSDGOAL"]));
/// # Ok(())
/// # }
/// ```
pub struct Source {
    original: PathBuf,
    conn: Connection,
    identity: String,
    shapes: RefCell<HashMap<SourceTable, Arc<Shape>>>,
    indices: RefCell<HashMap<(String, usize), Index>>,
    // Last, as the connection must be closed before the folder goes.
    _copy: StoreCopy,
}

/// Which rows have a value in a column.
type Index = HashMap<SourceKey, Vec<i64>>;

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
    /// Copies the store at `path`, with its `-wal`, into a folder below the system's temporary one, and opens the copy.
    ///
    /// # Errors
    ///
    /// [`ImportError`] where there is no such file, it is empty, no database, damaged, or being written to all the while.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        Self::open_in(path, None)
    }

    /// The same, with the copy in a new folder below `folder`: one with room for the file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_in<'p>(
        path: impl AsRef<Path>,
        folder: impl Into<Option<&'p Path>>,
    ) -> Result<Self, ImportError> {
        let original = path.as_ref().to_owned();
        let copy = StoreCopy::of(&original, folder.into())?;
        // Able to write, as SQLite moves what is in the copied `-wal`; nothing that runs here does.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&copy.path, flags).and_then(|conn| {
            conn.pragma_update(None, "query_only", true)?;
            conn.pragma_update(None, "trusted_schema", false)?;
            let finding =
                conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
            Ok((conn, finding))
        });
        let (conn, finding) =
            opened.map_err(|error| fault(&original, "opening the copy", error))?;
        if finding != "ok" {
            return Err(ImportError::SourceDamaged {
                path: original,
                finding,
            });
        }
        let mut source = Self {
            identity: String::new(),
            original,
            conn,
            shapes: RefCell::default(),
            indices: RefCell::default(),
            _copy: copy,
        };
        source.identity = source.find_identity()?;
        Ok(source)
    }

    /// Where the original is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.original
    }

    /// What an import that is run again knows the source by: the UUID in the metadata of a Core Data store, otherwise the path.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The names of all tables, as the database spells them.
    ///
    /// # Errors
    ///
    /// [`ImportError`] where the copy cannot be read.
    pub fn tables(&self) -> Result<Vec<String>, ImportError> {
        let read = || {
            let mut tables = self.conn.prepare(
                "SELECT name FROM sqlite_schema
                 WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
            )?;
            let names = tables.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.fault("listing the tables", error))
    }

    /// How many rows the table has.
    ///
    /// # Errors
    ///
    /// [`ImportError`] where the table is not there or not as it should be.
    pub fn count(&self, table: &SourceTable) -> Result<u64, ImportError> {
        let name = &self.shape(table)?.name;
        let sql = format!("SELECT count(*) FROM {}", quoted(name));
        self.conn
            .query_row(&sql, [], |row| row.get(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.fault(&format!("counting the rows of {name}"), error))
    }

    /// Calls `each` with every row, in the table's [order](SourceTable::ordered_by), until it returns an error. One row is in memory
    /// at a time.
    ///
    /// # Errors
    ///
    /// That of `each`, or an [`ImportError`].
    pub fn for_each<E: From<ImportError>>(
        &self,
        table: &SourceTable,
        mut each: impl FnMut(SourceRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let shape = self.shape(table)?;
        let failed = |error| self.fault(&format!("reading the rows of {}", shape.name), error);
        let sql = format!("{} {}", shape.select(), shape.order());
        let mut statement = self.conn.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = Self::next(&shape, &mut rows).map_err(failed)? {
            each(row)?;
        }
        Ok(())
    }

    /// The first row, by its key, with this value in this column, if any.
    ///
    /// The first search in a column reads it once and remembers which rows have which value (some 50 bytes a row), so that each
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

    /// The row with this key (`Z_PK`, `rowid`), if any.
    ///
    /// # Errors
    ///
    /// [`ImportError`] where the table is not there.
    pub fn get(&self, table: &SourceTable, key: i64) -> Result<Option<SourceRow>, ImportError> {
        let shape = self.shape(table)?;
        let sql = format!("{} WHERE {} = ?1", shape.select(), shape.key);
        let read = || {
            let mut statement = self.conn.prepare_cached(&sql)?;
            let mut rows = statement.query([key])?;
            Self::next(&shape, &mut rows)
        };
        read().map_err(|error| self.fault(&format!("looking up a row of {}", shape.name), error))
    }

    /// Whether the table is there with the columns that it should have, and none that it should not.
    ///
    /// # Errors
    ///
    /// [`TableMissing`](ImportError::TableMissing), [`ColumnMissing`](ImportError::ColumnMissing),
    /// [`NewerLayout`](ImportError::NewerLayout), [`NoRowid`](ImportError::NoRowid).
    pub fn check(&self, table: &SourceTable) -> Result<(), ImportError> {
        self.shape(table).map(drop)
    }

    fn keys(
        &self,
        table: &SourceTable,
        column: &str,
        value: &SourceKey,
    ) -> Result<Vec<i64>, ImportError> {
        let shape = self.shape(table)?;
        let at = self.column(&shape, column)?;
        let indices = &mut *self.indices.borrow_mut();
        let name = (shape.name.clone(), at);
        if !indices.contains_key(&name) {
            let index = self.index(&shape, at).map_err(|error| {
                self.fault(
                    &format!("reading column {} of {}", shape.columns[at], shape.name),
                    error,
                )
            })?;
            indices.insert(name.clone(), index);
        }
        let keys = indices.get(&name).and_then(|index| index.get(value));
        Ok(keys.cloned().unwrap_or_default())
    }

    fn index(&self, shape: &Shape, at: usize) -> rusqlite::Result<Index> {
        let (key, column, table) = (&shape.key, quoted(&shape.columns[at]), quoted(&shape.name));
        let sql = format!("SELECT {key}, {column} FROM {table} ORDER BY {key}");
        let mut statement = self.conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut index = Index::new();
        while let Some(row) = rows.next()? {
            if let Some(value) = SourceKey::of(row.get_ref(1)?) {
                index.entry(value).or_default().push(row.get(0)?);
            }
        }
        Ok(index)
    }

    fn next(shape: &Arc<Shape>, rows: &mut Rows<'_>) -> rusqlite::Result<Option<SourceRow>> {
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let values = (1..=shape.columns.len()).map(|at| value(row, at));
        Ok(Some(SourceRow {
            shape: Arc::clone(shape),
            key: row.get(0)?,
            values: values.collect::<rusqlite::Result<_>>()?,
        }))
    }

    fn column(&self, shape: &Shape, column: &str) -> Result<usize, ImportError> {
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

    fn find_identity(&self) -> Result<String, ImportError> {
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

    fn fault(&self, doing: &str, error: rusqlite::Error) -> ImportError {
        fault(&self.original, doing, error)
    }
}

fn fault(path: &Path, doing: &str, error: rusqlite::Error) -> ImportError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => ImportError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => ImportError::SourceDamaged {
            path,
            finding: error.to_string(),
        },
        _ => ImportError::Source {
            path,
            doing: doing.to_owned(),
            source: error,
        },
    }
}

fn value(row: &Row<'_>, at: usize) -> rusqlite::Result<SourceValue> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => SourceValue::Null,
        ValueRef::Integer(number) => SourceValue::Integer(number),
        ValueRef::Real(number) => SourceValue::Real(number),
        ValueRef::Text(text) => SourceValue::Text(text.to_owned()),
        ValueRef::Blob(bytes) => SourceValue::Blob(bytes.to_owned()),
    })
}

/// A name as SQL takes it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.original)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
