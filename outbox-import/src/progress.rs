//! Progress reports of an import.

/// The progress of an import.
///
/// # Examples
///
/// ```
/// use outbox_import::{Import, ImportProgress, Mapped, Source, SourceRow, SourceTable};
/// # use outbox_runtime::SqliteStore;
///
/// fn percent(progress: &ImportProgress) -> u64 {
///     100 * progress.read / progress.total.max(1)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("old.db");
/// # outbox_runtime::rusqlite::Connection::open(&path)?
/// #     .execute_batch("CREATE TABLE note (text); INSERT INTO note VALUES ('milk'), ('nails')")?;
/// # let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// # let map = |_: &SourceRow, _: &Source| Ok(Mapped::AlreadyDelivered);
/// let (send, shown) = std::sync::mpsc::channel();
/// let import = Import::new(&path)
///     .table(SourceTable::plain("note"))
///     // Runs on the store's thread: it hands the figure on, and does not wait.
///     .on_progress(move |progress| drop(send.send(percent(progress))));
/// import.run(&store, map).await?;
/// assert_eq!(shown.iter().last(), Some(100));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// The table being read, by the name that it was given.
    pub table: String,
    /// The number of rows read so far, in all tables.
    pub read: u64,
    /// The number of rows in all tables.
    pub total: u64,
}

pub(super) type OnProgress = Box<dyn FnMut(&ImportProgress) + Send>;
