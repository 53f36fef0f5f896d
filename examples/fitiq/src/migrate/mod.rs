//! From the app's older version: the rows of its outbox in a Core Data store, one to one.
//!
//! Ids, times, attempts and states are kept. What was being processed is claimable again. The older outbox had little of an
//! entity in its rows; what the service needs and the row does not say is taken from when the row was made.

use std::path::Path;

use fitiq_core::cli::import_bar;
use outbox_import::{Import, ImportError, ImportReport, SourceTable};
use outbox_runtime::SqliteStore;

mod content; // from old metadata to an entity
mod mapper; // what becomes of a row
mod metadata; // the two forms of old metadata

use self::mapper::Mapper;

/// The entity of the older app's outbox.
const EVENTS: &str = "SDOutboxEvent";

/// Takes over what is in the store at `from`. `dry_run` does everything and rolls it back.
///
/// # Errors
///
/// [`ImportError`]. Nothing was written then.
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
