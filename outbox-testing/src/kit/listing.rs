//! The events of a store.

use std::fmt::Write as _;

use outbox_runtime::{Event, EventFilter, OutboxEntity, OutboxEvent, OutboxRepository, StoreError};

use super::KitError;
use super::shown;

/// The number of events in a page of a listing.
const PAGE: usize = 500;

/// The number of events that a message lists.
const MOST_LISTED: usize = 20;

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
    let events = all(store, &filter).await?;
    let decoded = events.into_iter().map(|event| {
        let event_id = event.id;
        Event::decode(event).map_err(|source| KitError::Decode { event_id, source })
    });
    decoded.collect()
}

/// The events that the filter selects, in the order in which they were enqueued.
pub(super) async fn all(
    store: &(impl OutboxRepository + ?Sized),
    filter: &EventFilter,
) -> Result<Vec<OutboxEvent>, StoreError> {
    let (mut events, mut from) = (Vec::new(), None);
    loop {
        let mut page = store.page(filter, from, PAGE).await?;
        events.append(&mut page.events);
        from = page.next;
        if from.is_none() {
            return Ok(events);
        }
    }
}

/// The event as one line, without its metadata.
pub(super) fn line(event: &OutboxEvent) -> String {
    let OutboxEvent {
        event_type,
        entity_id,
        user_id,
        operation,
        priority,
        status,
        ..
    } = event;
    let mut line = format!(
        "{event_type} {entity_id} of {user_id:?}: {operation}, priority {priority}, {status}"
    );
    if let Some(destination) = &event.destination {
        // Writing to a string cannot fail.
        let _ = write!(line, ", to {destination:?}");
    }
    line
}

/// The events as lines, with the metadata of those of type `E` alone: only that type says which of
/// its values are sensitive.
pub(super) fn lines<E: OutboxEntity>(events: &[OutboxEvent]) -> String {
    let mut text = String::new();
    for event in events.iter().take(MOST_LISTED) {
        text.push_str("\n    ");
        text.push_str(&line(event));
        if event.event_type == E::EVENT_TYPE {
            text.push_str(", ");
            text.push_str(&shown::metadata::<E>(event));
        }
    }
    if let Some(more) = events
        .len()
        .checked_sub(MOST_LISTED)
        .filter(|more| *more > 0)
    {
        let _ = write!(text, "\n    and {more} more");
    }
    text
}
