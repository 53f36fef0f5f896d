//! The events of a type, decoded.

use outbox_runtime::{Event, EventFilter, OutboxEntity, OutboxRepository};

use super::error::KitError;
use super::listing;

/// The events of an entity type in `store`, in the order in which they were enqueued, whatever
/// their status: those that were delivered are listed as long as the store keeps them, which is a
/// day unless told otherwise.
///
/// # Errors
///
/// [`KitError::Store`] if the store cannot be read; [`KitError::Decode`] for an event whose
/// metadata is not that of `E`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::enqueued;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     title: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
/// goal.enqueue_create().on(&store).await?;
///
/// let goals = enqueued::<Goal>(&store).await?;
/// assert_eq!(goals.len(), 1);
/// assert_eq!(goals[0].metadata().title, "Swim");
/// # Ok(())
/// # }
/// ```
pub async fn enqueued<E: OutboxEntity>(
    store: &(impl OutboxRepository + ?Sized),
) -> Result<Vec<Event<E>>, KitError> {
    let mut filter = EventFilter::default();
    filter.event_type = Some(E::EVENT_TYPE.to_owned());
    let events = listing::all(store, &filter).await?;
    let decoded = events.into_iter().map(|event| {
        let event_id = event.id;
        Event::decode(event).map_err(|source| KitError::Decode { event_id, source })
    });
    decoded.collect()
}
