//! The migration from V6 to V7.
//!
//! Imports entities and events in one transaction from a copy; the old store is never changed. An
//! unreadable store is refused. Running it again imports only what is new.
//!
//! Beyond reading:
//!
//! - **`completed` does not mean delivered.** V6 marked an event so when it gave up: after five
//!   failures, and on a 400. Such an event has a `retryCount` of 5 or an `errorMessage`. It becomes
//!   deliverable again with all its attempts, because the app itself often caused the failures,
//!   unless V6 delivered something newer about the same entity, which it would undo.
//! - **The owner of an event** is in its payload, or stored with its entity, or in another event of
//!   the entity. It is never guessed: a row without an owner is rejected.
//! - **The payload** becomes the event's metadata byte for byte, under the version of its
//!   generation ([`v6`](crate::v6)).

use std::path::Path;

use fitiq_core::cli::import_bar;
use outbox_import::{Import, ImportError, ImportReport, SourceTable};
use outbox_runtime::SqliteStore;

mod entities; // entity rows
mod mapper; // the mapping of rows
mod payload; // the content of V6 events
mod survey; // facts about entities from the whole store

use self::mapper::Mapper;

/// The relevant tables of a V6 store, entities first, so that events find their entities.
mod tables {
    use outbox_import::SourceTable;

    use crate::entities::Kind;

    pub(super) const MESSAGES: &str = "SDChatMessage";
    pub(super) const EVENTS: &str = "SDOutboxEvent";

    pub(super) const fn name(kind: Kind) -> &'static str {
        match kind {
            Kind::Mood => "SDMoodEntry",
            Kind::Journal => "SDJournalEntry",
            Kind::Goal => "SDGoal",
            Kind::Conversation => "SDChatConversation",
        }
    }

    pub(super) fn of(kind: Kind) -> SourceTable {
        SourceTable::entity(name(kind)).requires(["id", "userId"])
    }

    pub(super) fn events() -> SourceTable {
        SourceTable::entity(EVENTS)
            .ordered_by("createdAt")
            .requires([
                "id",
                "createdAt",
                "eventType",
                "payload",
                "status",
                "retryCount",
                "errorMessage",
            ])
            .newer_with(["entityID", "userID"])
    }
}

/// Imports the V6 store at `from`. `dry_run` does everything, reports it, and rolls it back.
///
/// # Errors
///
/// [`ImportError`], with a way out. Then nothing was written, and nothing was removed.
pub async fn migrate(
    store: &SqliteStore,
    from: &Path,
    dry_run: bool,
) -> Result<ImportReport, ImportError> {
    let mut import = Import::new(from);
    for kind in crate::entities::Kind::ALL {
        import = import.table(tables::of(kind));
    }
    let messages = SourceTable::entity(tables::MESSAGES).requires(["id", "conversation"]);
    import = import.table(messages).table(tables::events());
    if dry_run {
        import = import.dry_run();
    }
    let import = import.on_progress(import_bar());
    import.run(store, Mapper::default()).await
}
