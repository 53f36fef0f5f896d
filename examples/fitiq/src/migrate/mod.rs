//! The import from the older version: the rows of its outbox in a Core Data store, one to one.
//!
//! Ids, times, attempts and states are kept. Events that were being processed are claimable again.
//! The older rows had little of an entity; values that the service needs and the row lacks come
//! from the row's creation time.

use std::path::Path;

use fitiq_core::cli::import_bar;
use outbox_import::{Import, ImportError, ImportReport, SourceTable};
use outbox_runtime::SqliteStore;

mod content; // old metadata as an entity
mod mapper; // the mapping of rows
mod metadata; // the two forms of old metadata

use self::mapper::Mapper;

/// The entity of the older app's outbox.
const EVENTS: &str = "SDOutboxEvent";

/// Imports the store at `from`. `dry_run` does everything and rolls it back.
///
/// # Errors
///
/// [`ImportError`]. Then nothing was written.
pub async fn run(
    store: &SqliteStore,
    from: &Path,
    dry_run: bool,
) -> Result<ImportReport, ImportError> {
    let events = SourceTable::entity(EVENTS)
        .ordered_by("createdAt")
        .requires([
            "id",
            "createdAt",
            "eventType",
            "entityID",
            "userID",
            "status",
            "attemptCount",
            "metadata",
            "isNewRecord",
        ]);
    let mut import = Import::new(from).table(events).on_progress(import_bar());
    if dry_run {
        import = import.dry_run();
    }
    import.run(store, Mapper::default()).await
}
