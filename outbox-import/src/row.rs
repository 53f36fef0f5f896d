//! One row of the source, and typed getters for its columns.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::external;
use super::hash::{Hash, Hasher};
use super::reject::{Reject, RejectReason};
use super::shape::Shape;
use super::table::SourceDates;
use super::value::{SourceValue, date, decimal, whole};

/// One row of the source.
///
/// Each getter reads a column as one type. A missing or damaged value yields a [`Reject`] with the
/// column's name, so `?` in a [`RowMapper`](crate::RowMapper) puts the row aside and the import
/// continues. A column that the table does not have ends the import. `Debug` shows no content.
///
/// # Examples
///
/// ```
/// use outbox_import::{Reject, RejectReason, SourceRow};
/// # use outbox_import::SourceTable;
///
/// fn describe(row: &SourceRow) -> Result<String, Reject> {
///     let title = row.text("title")?;
///     let kcal = row.opt_integer("kcal")?.unwrap_or(0);
///     Ok(format!("{} {}: {title}, {kcal} kcal", row.table(), row.key()))
/// }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE meal (id INTEGER PRIMARY KEY, title, kcal);
/// #      INSERT INTO meal VALUES (1, 'Soup', NULL), (2, NULL, 250)")?;
/// # let source = outbox_import::Source::open(&path)?;
/// # let row = source.get(&SourceTable::plain("meal"), 1)?.ok_or("no row")?;
/// assert_eq!(describe(&row)?, "meal 1: Soup, 0 kcal");
///
/// # let row = source.get(&SourceTable::plain("meal"), 2)?.ok_or("no row")?;
/// let missing = RejectReason::Missing { column: "title".to_owned() };
/// assert_eq!(describe(&row).unwrap_err().reason(), Some(&missing));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SourceRow {
    pub(super) shape: Arc<Shape>,
    pub(super) key: i64,
    pub(super) values: Vec<SourceValue>,
}

pub(super) fn missing(column: &str) -> Reject {
    let column = column.to_owned();
    Reject::new(
        RejectReason::Missing { column },
        "the column is NULL and must have a value",
    )
}

pub(super) fn damaged(column: &str, detail: &str) -> Reject {
    let column = column.to_owned();
    Reject::new(RejectReason::Damaged { column }, detail)
}

/// Defines two getters for each type: one for required values, one for values that may be NULL.
macro_rules! getters {
    ($($what:literal: $must:ident, $may:ident -> $type:ty, $stored:literal $shown:literal, $read:expr;)+) => {$(
        #[doc = concat!("The column as ", $what, ". It must have a value.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] if the column is NULL or holds another type.
        ///
        /// # Examples
        ///
        /// ```
        /// # let folder = tempfile::tempdir()?;
        /// # let path = folder.path().join("old.db");
        #[doc = concat!("# let stored = r#\"", $stored, "\"#;")]
        /// # let sql = format!("CREATE TABLE old AS SELECT {stored} AS value");
        /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(&sql)?;
        /// # let source = outbox_import::Source::open(&path)?;
        /// # let table = outbox_import::SourceTable::plain("old");
        /// # let row = source.get(&table, 1)?.ok_or("no row")?;
        #[doc = concat!("// The column holds ", $stored, ".")]
        #[doc = concat!("assert_eq!(row.", stringify!($must), "(\"value\")?, ", $shown, ");")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn $must(&self, column: &str) -> Result<$type, Reject> {
            self.$may(column)?.ok_or_else(|| missing(column))
        }

        #[doc = concat!("The column as ", $what, ", or `None` if it is NULL.")]
        ///
        /// # Errors
        ///
        /// [`Reject`] if the column holds another type.
        ///
        /// # Examples
        ///
        /// ```
        /// # let folder = tempfile::tempdir()?;
        /// # let path = folder.path().join("old.db");
        #[doc = concat!("# let stored = r#\"", $stored, "\"#;")]
        /// # let sql = format!("CREATE TABLE old AS SELECT {stored} AS value, NULL AS none");
        /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(&sql)?;
        /// # let source = outbox_import::Source::open(&path)?;
        /// # let table = outbox_import::SourceTable::plain("old");
        /// # let row = source.get(&table, 1)?.ok_or("no row")?;
        #[doc = concat!("// The first column holds ", $stored, ", and the second NULL.")]
        #[doc = concat!("assert_eq!(row.", stringify!($may), "(\"value\")?, Some(", $shown, "));")]
        #[doc = concat!("assert_eq!(row.", stringify!($may), "(\"none\")?, None);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn $may(&self, column: &str) -> Result<Option<$type>, Reject> {
            let at = self.place(column)?;
            let value = &self.values[at];
            if *value == SourceValue::Null {
                return Ok(None);
            }
            let read: fn(&Shape, usize, &SourceValue) -> Option<$type> = $read;
            match read(&self.shape, at, value) {
                Some(read) => Ok(Some(read)),
                None => Err(damaged(column, &format!(concat!("expected ", $what, ", found {}"), value.kind()))),
            }
        }
    )+};
}

impl SourceRow {
    /// The table's name as it was given: the name of the entity or of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.shape.table.name
    }

    /// The key that identifies the row in its table: `Z_PK`, or `rowid`.
    #[must_use]
    pub fn key(&self) -> i64 {
        self.key
    }

    /// The row's entity, as `Z_PRIMARYKEY` names it. `None` if the row belongs to no Core Data
    /// entity.
    ///
    /// Several entities may have rows in one table. Use this method, and never compare `Z_ENT` with
    /// a number: the numbers change with each version of the app's model.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{ImportError, Source, SourceTable};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("default.store");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME, Z_SUPER, Z_MAX);
    /// #      INSERT INTO Z_PRIMARYKEY VALUES
    /// #          (1, 'Change', 0, 2), (2, 'MoodChange', 1, 0), (3, 'GoalChange', 1, 0);
    /// #      CREATE TABLE ZCHANGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER);
    /// #      INSERT INTO ZCHANGE VALUES (1, 2, 1), (2, 3, 1)")?;
    /// # let source = Source::open(&path)?;
    /// let mut entities = Vec::new();
    /// source.for_each(&SourceTable::entity("Change"), |row| {
    ///     entities.extend(row.entity().map(str::to_owned));
    ///     Ok::<(), ImportError>(())
    /// })?;
    /// assert_eq!(entities, ["MoodChange", "GoalChange"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn entity(&self) -> Option<&str> {
        self.entity_number()
            .and_then(|number| self.shape.entities.name(number))
    }

    fn entity_number(&self) -> Option<i64> {
        let at = self
            .shape
            .columns
            .iter()
            .position(|column| column.eq_ignore_ascii_case("Z_ENT"));
        match at.map(|at| &self.values[at]) {
            Some(SourceValue::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    fn place(&self, column: &str) -> Result<usize, Reject> {
        let kind = match &self.shape.numbered {
            Some(_) => self.entity_number(),
            None => None,
        };
        Ok(self.shape.must_have(column, kind)?)
    }

    /// The raw value of the column. See [`SourceValue`] for an example.
    ///
    /// # Errors
    ///
    /// A [`Reject`] that ends the import if the table has no such column, or if several columns
    /// could be meant.
    pub fn value(&self, column: &str) -> Result<&SourceValue, Reject> {
        Ok(&self.values[self.place(column)?])
    }

    /// Whether the table has the column.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::SourceTable;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE note (text); INSERT INTO note VALUES ('milk')")?;
    /// # let source = outbox_import::Source::open(&path)?;
    /// # let row = source.get(&SourceTable::plain("note"), 1)?.ok_or("no row")?;
    /// // Version 2 of the old program added it.
    /// let priority = match row.has("priority") {
    ///     true => row.integer("priority")?,
    ///     false => 0,
    /// };
    /// assert_eq!(priority, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.place(column).is_ok()
    }

    /// The value of a binary attribute with external storage (`.externalStorage`, "Allows External
    /// Storage"). It must have a value. Core Data keeps small values in the row behind a marker and
    /// large ones in files in `.<store>_SUPPORT/_EXTERNAL_DATA/` beside the store; this getter
    /// reads both. For attributes without external storage use [`bytes`](Self::bytes).
    ///
    /// The file is read at its original place, in its current state: it is not copied with the
    /// store.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::SourceTable;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE ZMEAL (Z_PK INTEGER PRIMARY KEY, ZPHOTO BLOB, ZNOTE BLOB);
    /// #      INSERT INTO ZMEAL VALUES (1, x'01ffd8', NULL)")?;
    /// # let source = outbox_import::Source::open(&path)?;
    /// # let row = source.get(&SourceTable::entity("Meal"), 1)?.ok_or("no row")?;
    /// // Core Data has stored the marker 01 and the two bytes of the photo.
    /// assert_eq!(row.external_bytes("photo")?, [0xff, 0xd8]);
    /// assert_eq!(row.opt_external_bytes("note")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column is NULL or holds another type, or, with the path, if the file
    /// cannot be read.
    pub fn external_bytes(&self, column: &str) -> Result<Vec<u8>, Reject> {
        self.opt_external_bytes(column)?
            .ok_or_else(|| missing(column))
    }

    /// Like [`external_bytes`](Self::external_bytes), or `None` if the column is NULL. See
    /// [`external_bytes`](Self::external_bytes) for an example.
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column holds another type, or, with the path, if the file cannot be read.
    pub fn opt_external_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, Reject> {
        match self.value(column)? {
            SourceValue::Null => Ok(None),
            SourceValue::Blob(bytes) => external::read(&self.shape.path, column, bytes).map(Some),
            other => Err(damaged(
                column,
                &format!("expected a blob, found {}", other.kind()),
            )),
        }
    }

    getters! {
        "a UUID (16 bytes, or text in either case)": uuid, opt_uuid -> Uuid,
            "x'7d1c3b8e51f04e5a9c770b9e1c0c2f10'"
            "uuid::Uuid::from_u128(0x7d1c3b8e_51f0_4e5a_9c77_0b9e1c0c2f10)",
            |_, _, value| match value {
            SourceValue::Blob(bytes) => Uuid::from_slice(bytes).ok(),
            SourceValue::Text(text) => Uuid::try_parse_ascii(text).ok(),
            _ => None,
        };
        "text (for a DECIMAL column, its number as text)": text, opt_text -> String,
            "'Soup'" "\"Soup\".to_owned()",
            |shape, at, value| match value {
            SourceValue::Text(text) => String::from_utf8(text.clone()).ok(),
            _ if shape.decimals[at] => decimal(value),
            _ => None,
        };
        "bytes (a blob, or text as its bytes; `external_bytes` reads a reference to a file)": bytes, opt_bytes -> Vec<u8>,
            "x'010203'" "vec![1, 2, 3]",
            |_, _, value| match value {
            // As a plain value, the reference would become an event's payload and die there later.
            SourceValue::Blob(bytes) if external::is_reference(bytes) => None,
            SourceValue::Blob(bytes) | SourceValue::Text(bytes) => Some(bytes.clone()),
            _ => None,
        };
        "an integer": integer, opt_integer -> i64, "3.0" "3", |_, _, value| match value {
            SourceValue::Integer(number) => Some(*number),
            SourceValue::Real(number) => whole(*number),
            _ => None,
        };
        "a number": real, opt_real -> f64, "250" "250.0", |_, _, value| match value {
            SourceValue::Integer(number) => Some(*number as f64),
            SourceValue::Real(number) => Some(*number),
            _ => None,
        };
        "a decimal number (an integer, a real number, or text), as its shortest text": decimal, opt_decimal -> String,
            "12.50" "\"12.5\".to_owned()",
            |_, _, value| decimal(value);
        "a boolean (0 or 1)": boolean, opt_boolean -> bool, "1" "true", |_, _, value| match value {
            SourceValue::Integer(0) => Some(false),
            SourceValue::Integer(1) => Some(true),
            _ => None,
        };
        "a date": date, opt_date -> DateTime<Utc>,
            "60" "chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(1)",
            |shape, _, value| date(value, shape.table.dates);
    }

    /// The column as a date whose numbers mean this, whatever the table says, or `None` if the
    /// column is NULL.
    ///
    /// # Examples
    ///
    /// ```
    /// use chrono::{DateTime, TimeDelta};
    /// use outbox_import::SourceDates;
    /// # use outbox_import::SourceTable;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE note (created_at, synced_at); INSERT INTO note VALUES (60, 61000)")?;
    /// # let source = outbox_import::Source::open(&path)?;
    /// # let row = source.get(&SourceTable::plain("note"), 1)?.ok_or("no row")?;
    /// // The old program kept seconds in one column, and milliseconds in the other.
    /// assert_eq!(row.date("created_at")?, DateTime::UNIX_EPOCH + TimeDelta::seconds(60));
    /// let synced_at = row.opt_date_as("synced_at", SourceDates::UnixMillis)?;
    /// assert_eq!(synced_at, Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(61)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Reject`] if the column holds another type.
    pub fn opt_date_as(
        &self,
        column: &str,
        dates: SourceDates,
    ) -> Result<Option<DateTime<Utc>>, Reject> {
        let value = self.value(column)?;
        if *value == SourceValue::Null {
            return Ok(None);
        }
        let read = date(value, dates);
        let refused = || damaged(column, &format!("expected a date, found {}", value.kind()));
        read.map(Some).ok_or_else(refused)
    }

    /// The whole row as JSON, as in the table of rejected rows. No content is lost: blobs are
    /// `{"hex": ".."}`, text that is not UTF-8 is `{"text_hex": ".."}`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::SourceTable;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE meal (id INTEGER PRIMARY KEY, title, photo);
    /// #      INSERT INTO meal VALUES (1, 'Soup', x'ffd8')")?;
    /// # let source = outbox_import::Source::open(&path)?;
    /// # let row = source.get(&SourceTable::plain("meal"), 1)?.ok_or("no row")?;
    /// let json = serde_json::json!({"id": 1, "title": "Soup", "photo": {"hex": "ffd8"}});
    /// assert_eq!(row.to_json(), json);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns = self.shape.columns.iter().zip(&self.values);
        Value::Object(
            columns
                .map(|(column, value)| (column.clone(), value.to_json()))
                .collect(),
        )
    }

    /// The hash of the row's key and content.
    pub(super) fn hash(&self) -> Hash {
        let mut hasher = Hasher::new();
        hasher.part(b"key", &self.key.to_be_bytes());
        for at in &self.shape.by_name {
            hasher.part(b"column", self.shape.columns[*at].as_bytes());
            self.values[*at].hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The hash of what stays the same when the row changes: the creation time that orders it, and
    /// its id. `None` if it has neither.
    pub(super) fn anchor(&self) -> Option<Hash> {
        let mut hasher = Hasher::new();
        let mut has_any = false;
        let ids = ["id", "uuid", "identifier"];
        for column in self.shape.table.order.as_deref().into_iter().chain(ids) {
            match self.value(column) {
                Ok(SourceValue::Null) | Err(_) => {}
                Ok(value) => {
                    hasher.part(b"column", column.as_bytes());
                    value.hash(&mut hasher);
                    has_any = true;
                }
            }
        }
        has_any.then(|| hasher.finish())
    }
}
