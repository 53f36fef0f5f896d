//! The source: a copy of the store, and access to the rows of its tables.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Rows};

use super::copy::StoreCopy;
use super::entities::Entities;
use super::error::ImportError;
use super::key::Index;
use super::row::SourceRow;
use super::schema::quoted;
use super::shape::Shape;
use super::table::SourceTable;
use super::value::SourceValue;

/// Another program's store, opened for reading: a copy of the file and of its `-wal`.
///
/// The original is never written, not even its `-wal`, and no file is created beside it. The copy
/// is in its own folder, which is removed when this value is dropped.
///
/// The application that owns the store may have it open, in another process. **This process** must
/// not have it open: on Unix, closing any handle to a file releases all locks that SQLite holds on
/// it in the same process.
///
/// # Examples
///
/// ```
/// use outbox_import::{ImportError, Source, SourceTable};
/// use outbox_runtime::rusqlite::Connection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE ZSDGOAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER,
/// #          ZTITLE VARCHAR, ZCREATEDAT TIMESTAMP);
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
    pub(super) original: PathBuf,
    pub(super) conn: Connection,
    pub(super) identity: String,
    /// Whether `identity` is a Core Data UUID rather than a path.
    pub(super) has_uuid: bool,
    pub(super) shapes: RefCell<HashMap<SourceTable, Arc<Shape>>>,
    pub(super) indices: RefCell<HashMap<String, Index>>,
    pub(super) entities: Arc<Entities>,
    // Last: the connection must close before the folder is removed.
    _copy: StoreCopy,
}

impl Source {
    /// Copies the store at `path`, with its `-wal`, into a new folder in the system's temporary
    /// folder, and opens the copy.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the file does not exist, is empty, is not a database, is damaged, or
    /// keeps being written to.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        Self::open_in(path, None)
    }

    /// Like [`open`](Self::open), with the copy in a new folder inside `folder`, which needs room
    /// for the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::{Source, SourceTable};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE note (text); INSERT INTO note VALUES ('milk')")?;
    /// // A phone may remove files of its temporary folder at any time.
    /// let source = Source::open_in(&path, folder.path())?;
    /// assert_eq!(source.count(&SourceTable::plain("note"))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`open`](Self::open).
    pub fn open_in<'p>(
        path: impl AsRef<Path>,
        folder: impl Into<Option<&'p Path>>,
    ) -> Result<Self, ImportError> {
        let original = path.as_ref().to_owned();
        let copy = StoreCopy::of(&original, folder.into())?;
        // Writable, because SQLite checkpoints the copied `-wal`; no statement here writes.
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
            has_uuid: false,
            original,
            conn,
            shapes: RefCell::default(),
            indices: RefCell::default(),
            entities: Arc::default(),
            _copy: copy,
        };
        let entities = Entities::read(&source.conn);
        source.entities =
            Arc::new(entities.map_err(|error| source.fault("reading Z_PRIMARYKEY", error))?);
        let uuid = source.find_uuid()?;
        source.has_uuid = uuid.is_some();
        source.identity = uuid.unwrap_or_else(|| source.canonical_path());
        Ok(source)
    }

    /// The path of the original.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.original
    }

    /// The identity by which a repeated import recognizes the source: the UUID in the metadata of a
    /// Core Data store, or otherwise the path.
    ///
    /// Stores that were copied from one template share a UUID. An import tells them apart by their
    /// rows: see [`Import::source_name`](crate::Import::source_name).
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The names of all tables and views, as the database spells them. [`survey`](Self::survey)
    /// tells more about each.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::Source;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE note (text); CREATE TABLE tag (name)")?;
    /// let source = Source::open(&path)?;
    /// assert_eq!(source.tables()?, ["note", "tag"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the copy cannot be read.
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

    /// The number of rows in the table.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the table does not exist or fails its [check](Self::check).
    pub fn count(&self, table: &SourceTable) -> Result<u64, ImportError> {
        let shape = self.shape(table)?;
        let name = &shape.name;
        let condition = shape.condition("WHERE");
        let sql = format!("SELECT count(*) FROM {}{condition}", quoted(name));
        self.conn
            .query_row(&sql, [], |row| row.get(0))
            .map(i64::unsigned_abs)
            .map_err(|error| self.fault(&format!("counting the rows of {name}"), error))
    }

    /// Calls `each` with every row, in the table's [order](SourceTable::ordered_by), until it
    /// returns an error. Only one row is in memory at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{Reject, Source, SourceTable};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE meal (title, kcal, eaten_at);
    /// #      INSERT INTO meal VALUES ('Stew', 400, 2), ('Soup', 250, 1)")?;
    /// # let source = Source::open(&path)?;
    /// let meals = SourceTable::plain("meal").ordered_by("eaten_at");
    /// let (mut titles, mut kcal) = (Vec::new(), 0);
    /// source.for_each(&meals, |row| {
    ///     titles.push(row.text("title")?);
    ///     kcal += row.integer("kcal")?;
    ///     Ok::<(), Reject>(())
    /// })?;
    /// assert_eq!((titles, kcal), (vec!["Soup".to_owned(), "Stew".to_owned()], 650));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `each`, or an [`ImportError`].
    pub fn for_each<E: From<ImportError>>(
        &self,
        table: &SourceTable,
        mut each: impl FnMut(SourceRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let shape = self.shape(table)?;
        let failed = |error| self.fault(&format!("reading the rows of {}", shape.name), error);
        let condition = shape.condition("WHERE");
        let sql = format!("{}{condition} {}", shape.select(), shape.order()?);
        let mut statement = self.conn.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = Self::next(&shape, &mut rows).map_err(failed)? {
            each(row)?;
        }
        Ok(())
    }

    /// The keys of all rows, in the table's order.
    pub(super) fn all_keys(&self, table: &SourceTable) -> Result<Vec<i64>, ImportError> {
        let shape = self.shape(table)?;
        let condition = shape.condition("WHERE");
        let (key, name) = (&shape.key, quoted(&shape.name));
        let sql = format!("SELECT {key} FROM {name}{condition} {}", shape.order()?);
        let read = || {
            let mut statement = self.conn.prepare(&sql)?;
            let keys = statement.query_map([], |row| row.get(0))?;
            keys.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| self.fault(&format!("reading the keys of {name}"), error))
    }

    /// Calls `each` with the rows that have these keys. The copy does not change, so every key that
    /// it had is there.
    pub(super) fn for_keys(
        &self,
        table: &SourceTable,
        keys: &[i64],
        mut each: impl FnMut(SourceRow) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        for key in keys {
            if let Some(row) = self.get(table, *key)? {
                each(row)?;
            }
        }
        Ok(())
    }

    /// The row with this key (`Z_PK`, `rowid`), if any.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::{Reject, Source, SourceRow, SourceTable};
    ///
    /// /// The title of the book that a loan belongs to.
    /// fn book(loan: &SourceRow, source: &Source) -> Result<Option<String>, Reject> {
    ///     let books = SourceTable::entity("Book");
    ///     match source.get(&books, loan.integer("book")?)? {
    ///         Some(book) => book.text("title").map(Some),
    ///         None => Ok(None),
    ///     }
    /// }
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE ZBOOK (Z_PK INTEGER PRIMARY KEY, ZTITLE);
    /// #      INSERT INTO ZBOOK VALUES (7, 'Emma');
    /// #      CREATE TABLE ZLOAN (Z_PK INTEGER PRIMARY KEY, ZBOOK);
    /// #      INSERT INTO ZLOAN VALUES (1, 7)")?;
    /// # let source = Source::open(&path)?;
    /// # let loan = source.get(&SourceTable::entity("Loan"), 1)?.ok_or("no loan")?;
    /// assert_eq!(book(&loan, &source)?.as_deref(), Some("Emma"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the table does not exist or fails its [check](Self::check).
    pub fn get(&self, table: &SourceTable, key: i64) -> Result<Option<SourceRow>, ImportError> {
        let shape = self.shape(table)?;
        let condition = shape.condition("AND");
        let sql = format!("{} WHERE {} = ?1{condition}", shape.select(), shape.key);
        let read = || {
            let mut statement = self.conn.prepare_cached(&sql)?;
            let mut rows = statement.query([key])?;
            Self::next(&shape, &mut rows)
        };
        read().map_err(|error| self.fault(&format!("looking up a row of {}", shape.name), error))
    }

    /// Checks that the table exists, has every required column, and has no column of a newer
    /// layout. An import does so before its first row.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{ImportError, Source, SourceTable};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE outbox (id, payload, encrypted)")?;
    /// # let source = Source::open(&path)?;
    /// let events = SourceTable::plain("outbox").requires(["id", "payload"]);
    /// source.check(&events)?;
    ///
    /// let error = source.check(&events.newer_with(["encrypted"])).unwrap_err();
    /// assert!(matches!(error, ImportError::NewerLayout { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TableMissing`](ImportError::TableMissing), [`ColumnMissing`](ImportError::ColumnMissing),
    /// [`AmbiguousColumn`](ImportError::AmbiguousColumn), [`EmptyOrder`](ImportError::EmptyOrder),
    /// [`NewerLayout`](ImportError::NewerLayout), [`NoRowid`](ImportError::NoRowid).
    pub fn check(&self, table: &SourceTable) -> Result<(), ImportError> {
        self.shape(table).map(drop)
    }

    /// The store's number for an entity: the value of `Z_ENT`, and the number in the names of
    /// relationship columns (`Z3_BOOK`) and join tables (`Z_3ITEMS`). `None` if the store has no
    /// such entity.
    ///
    /// The number can change with any version of the app's model: never hard-code it.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::{Source, SourceTable};
    /// use outbox_runtime::rusqlite::Connection;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("default.store");
    /// # Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE Z_PRIMARYKEY
    /// #          (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
    /// #      INSERT INTO Z_PRIMARYKEY VALUES (1, 'Item', 0, 1), (2, 'Order', 0, 1);
    /// #      CREATE TABLE Z_2ITEMS
    /// #          (Z_2ORDERS INTEGER, Z_1ITEMS INTEGER, PRIMARY KEY (Z_2ORDERS, Z_1ITEMS));
    /// #      INSERT INTO Z_2ITEMS VALUES (7, 4), (7, 5)")?;
    /// let source = Source::open(&path)?;
    /// let order = source.entity_number("Order").ok_or("no orders")?;
    /// let item = source.entity_number("Item").ok_or("no items")?;
    /// // The join table of `Order.items`, whose inverse is `Item.orders`.
    /// let links = SourceTable::plain(format!("Z_{order}ITEMS"));
    /// let items = source.find_all(&links, &format!("Z_{order}ORDERS"), 7)?;
    /// let items = items.iter().map(|link| link.integer(&format!("Z_{item}ITEMS")));
    /// assert_eq!(items.collect::<Result<Vec<i64>, _>>()?, [4, 5]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn entity_number(&self, name: &str) -> Option<i64> {
        self.entities.number(name)
    }

    /// The name of the entity with this number, if any: for a relationship column that holds a
    /// number (`Z3_BOOK`).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{Source, SourceTable};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME, Z_SUPER, Z_MAX);
    /// #      INSERT INTO Z_PRIMARYKEY VALUES (3, 'Book', 0, 1)")?;
    /// # let source = Source::open(&path)?;
    /// assert_eq!(source.entity_name(3), Some("Book"));
    /// assert_eq!(source.entity_name(4), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn entity_name(&self, number: i64) -> Option<&str> {
        self.entities.name(number)
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

    pub(super) fn fault(&self, doing: &str, error: rusqlite::Error) -> ImportError {
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

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.original)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
