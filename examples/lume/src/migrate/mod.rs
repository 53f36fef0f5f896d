//! From V6 to V7: the old app's store becomes this app's database.
//!
//! Entities and events are taken over in one transaction, from a copy: the old store is not written to, and stays. Where it cannot be
//! read nothing is begun. Done again, it takes what is new and leaves what was taken.
//!
//! What is not a matter of reading:
//!
//! - **`completed` does not mean delivered.** V6 marked an event so when it gave up: after five failures, and on a 400. Such an
//!   event has a `retryCount` of 5 or an `errorMessage`. It is deliverable again, with all its attempts, as what it failed of were often
//!   the app's own mistakes; unless V6 delivered something newer about the same entity, which it would undo.
//! - **Whose an event is** stands in its payload, or else with the entity that it is about, or else in another event about that.
//!   It is never guessed: what nobody says whose it is is put aside.
//! - **The payload** becomes the event's metadata byte for byte, under the version of its generation ([`v6`](crate::v6)).

use std::path::Path;

use fitiq_core::cli::import_bar;
use outbox_import::{Import, ImportError, ImportReport, SourceTable};
use outbox_runtime::SqliteStore;

mod entities; // rows that are entities
mod mapper; // what becomes of each row
mod payload; // what a V6 event says
mod survey; // what the whole store says about an entity

use self::mapper::Mapper;

/// The tables of a V6 store that matter, entities first, so that events find what they are about.
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

/// Takes over the V6 store at `from`. With `dry_run` it does all of it, tells what would be, and takes it back.
///
/// # Errors
///
/// [`ImportError`], with what to do about it. Nothing was written then, and nothing was removed anywhere.
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
