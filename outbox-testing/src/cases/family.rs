//! Journals and their pages: the parents and children of the cases about parents.

use super::helpers::Store;
use outbox_runtime::{EntityId, NewEvent, Operation, WaitsFor};

pub(super) const JOURNAL: i64 = 100;
pub(super) const LONG: std::time::Duration = std::time::Duration::from_secs(3_600);

/// A journal, which pages wait for.
pub(super) fn journal(id: i64) -> NewEvent {
    NewEvent::new("journal", id, "u1", Operation::Create)
}

/// A page of that journal.
pub(super) fn page(id: i64) -> NewEvent {
    NewEvent::new("page", id, "u1", Operation::Create).with_after("journal", JOURNAL)
}

pub(super) async fn explain(store: Store<'_>, entity: i64) -> WaitsFor {
    let explanation = store.explain(&EntityId::from(entity), None).await.unwrap();
    explanation.waits_for
}

/// The event that creates the parent that the first event of the entity waits for.
pub(super) async fn awaited(store: Store<'_>, entity: i64) -> Option<uuid::Uuid> {
    match explain(store, entity).await {
        WaitsFor::Parent { event_id, .. } => Some(event_id),
        _ => None,
    }
}
