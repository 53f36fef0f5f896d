//! The application's mapping of rows: the event that each row becomes, or the reason to reject it.

use rusqlite::Connection;

use super::imported::ImportedEvent;
use super::reject::Reject;
use super::row::SourceRow;
use super::source::Source;
use outbox_runtime::store::BoxError;

/// Turns an application's old rows into events of the outbox and rows of its own.
///
/// A closure `FnMut(&SourceRow, &Source) -> Result<Mapped, Reject>` is a mapper that writes no rows
/// of its own.
///
/// Everything runs in one transaction, on the store's writer thread. If anything ends the import,
/// everything that was written is rolled back.
///
/// # Examples
///
/// A mapper that keeps all notes of the old program, and delivers those that it had not synced:
///
/// ```
/// use outbox_import::{Import, ImportedEvent, Mapped, Reject, RowMapper};
/// use outbox_import::{Source, SourceRow, SourceTable};
/// use outbox_runtime::rusqlite::Connection;
/// use outbox_runtime::store::BoxError;
/// use outbox_runtime::{NewEvent, Operation, OutboxRepository, SqliteStore};
///
/// #[derive(Default)]
/// struct Notes {
///     kept: usize,
/// }
///
/// impl RowMapper for Notes {
///     fn begin(&mut self, _source: &Source, conn: &Connection) -> Result<(), BoxError> {
///         conn.execute_batch("CREATE TABLE IF NOT EXISTS note (id INTEGER, text TEXT)")?;
///         Ok(())
///     }
///
///     fn map(&mut self, row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
///         if row.boolean("synced")? {
///             return Ok(Mapped::Entity);
///         }
///         let event = NewEvent::new("note", row.key(), row.text("user")?, Operation::Create);
///         Ok(ImportedEvent::new(event, row.date("created_at")?).into())
///     }
///
///     fn write(&mut self, row: &SourceRow, _: &Mapped, conn: &Connection) -> Result<(), Reject> {
///         conn.execute("INSERT INTO note VALUES (?, ?)", (row.key(), row.text("text")?))?;
///         self.kept += 1;
///         Ok(())
///     }
///
///     fn finish(&mut self, source: &Source, _conn: &Connection) -> Result<(), BoxError> {
///         println!("kept {} notes of {}", self.kept, source.path().display());
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE notes (id INTEGER PRIMARY KEY, user, text, created_at, synced);
/// #      INSERT INTO notes VALUES (1, 'ann', 'milk', 1, 1), (2, 'ann', 'bread', 2, 0)")?;
/// let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// let import = Import::new(&path).table(SourceTable::plain("notes"));
/// let report = import.run(&store, Notes::default()).await?;
/// assert_eq!(report.migrated(), 2);
/// assert_eq!(store.fetch_pending_events(Some("ann"), None).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
pub trait RowMapper: Send + 'static {
    /// Maps one row. It may look up other rows in `source`, from the same table or another.
    ///
    /// Not called for a row that an earlier import has taken, unless the row was rejected or has
    /// changed since.
    ///
    /// # Errors
    ///
    /// A [`Reject`] puts the row aside, whole and with the reason, and the import continues. An
    /// [`ImportError`](crate::ImportError) that comes through `?`, or a [`Reject::fatal`], ends the
    /// import.
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject>;

    /// Writes the application's own rows for this row, in the transaction of the import. Called
    /// after the row's event was written; not called when the event was already there, nor for
    /// [`Mapped::AlreadyDelivered`].
    ///
    /// # Errors
    ///
    /// A [`Reject`] undoes what was written for this row, including its event, and puts the row
    /// aside. A `rusqlite::Error` that comes through `?` ends the import.
    fn write(
        &mut self,
        _row: &SourceRow,
        _mapped: &Mapped,
        _conn: &Connection,
    ) -> Result<(), Reject> {
        Ok(())
    }

    /// Called once before the first row: the place to create the application's own tables.
    ///
    /// # Errors
    ///
    /// Any error ends the import.
    fn begin(&mut self, _source: &Source, _conn: &Connection) -> Result<(), BoxError> {
        Ok(())
    }

    /// Called once after the last row, before verification and commit.
    ///
    /// # Errors
    ///
    /// Any error ends the import.
    fn finish(&mut self, _source: &Source, _conn: &Connection) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<F> RowMapper for F
where
    F: FnMut(&SourceRow, &Source) -> Result<Mapped, Reject> + Send + 'static,
{
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        self(row, source)
    }
}

/// The result of mapping a row.
///
/// # Examples
///
/// ```
/// use chrono::DateTime;
/// use outbox_import::{ImportedEvent, Mapped};
/// use outbox_runtime::{NewEvent, Operation};
///
/// fn result(status: &str, event: ImportedEvent) -> Mapped {
///     match status {
///         "sent" => Mapped::AlreadyDelivered,
///         // Never meant for the service, and kept by `RowMapper::write`.
///         "draft" => Mapped::Entity,
///         _ => event.into(),
///     }
/// }
///
/// let event = NewEvent::new("note", 7, "user-1", Operation::Create);
/// let event = ImportedEvent::new(event, DateTime::UNIX_EPOCH);
/// assert_eq!(result("sent", event.clone()), Mapped::AlreadyDelivered);
/// assert_eq!(result("new", event.clone()), Mapped::Event(Box::new(event)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// The row becomes an event of the outbox.
    Event(Box<ImportedEvent>),
    /// The row has nothing to deliver: [`RowMapper::write`] keeps whatever the application needs.
    Entity,
    /// The remote service already has it. The ledger records the row; nothing else is written.
    AlreadyDelivered,
}

impl From<ImportedEvent> for Mapped {
    fn from(event: ImportedEvent) -> Self {
        Self::Event(Box::new(event))
    }
}
