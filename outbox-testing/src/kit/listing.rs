//! The events of a store, as values and as lines for people.

use std::fmt::Write as _;

use outbox_runtime::{EventFilter, OutboxEntity, OutboxEvent, OutboxRepository, StoreError};

use super::shown;

/// The number of events in a page of a listing.
const PAGE: usize = 500;

/// The number of events that a message lists.
const MOST_LISTED: usize = 20;

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
    if !event.headers().is_empty() {
        let _ = write!(line, ", with {}", event.headers());
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
