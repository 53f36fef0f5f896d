//! Looks up rows of the source by the value of a column.

use super::error::ImportError;
use super::key::{Index, SourceKey};
use super::row::SourceRow;
use super::schema::quoted;
use super::source::Source;
use super::table::SourceTable;

impl Source {
    /// The first row, by key, with this value in this column, if any.
    ///
    /// The first search in a column reads it once and builds an index (about 100 bytes a row), so
    /// later searches are fast. To find a row by `Z_PK`, use [`get`](Self::get), which needs no
    /// index.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the table or the column does not exist.
    pub fn find(
        &self,
        table: &SourceTable,
        column: &str,
        value: impl Into<SourceKey>,
    ) -> Result<Option<SourceRow>, ImportError> {
        let keys = self.keys(table, column, &value.into())?;
        keys.first().map_or(Ok(None), |key| self.get(table, *key))
    }

    /// All rows with this value in this column, ordered by key. See [`find`](Self::find).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_import::{Source, SourceTable};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("old.db");
    /// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE item (id INTEGER PRIMARY KEY, list INTEGER, text);
    /// #      INSERT INTO item VALUES (1, 7, 'milk'), (2, 8, 'nails'), (3, 7, 'bread')")?;
    /// # let source = Source::open(&path)?;
    /// let items = source.find_all(&SourceTable::plain("item"), "list", 7)?;
    /// let keys: Vec<i64> = items.iter().map(|item| item.key()).collect();
    /// assert_eq!(keys, [1, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the table or the column does not exist.
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
