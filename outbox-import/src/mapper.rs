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
