//! Serialized events from outside: Swift's form, ours, or neither.

use outbox_runtime::{Event, OutboxEvent, RawMetadata};
use serde_json::Value;

use crate::Note;

/// An event that was read serializes to the same event again.
pub fn wire(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<OutboxEvent>(bytes) else {
        return;
    };
    let written = serde_json::to_string(&event).expect("every event can be written");
    let again: OutboxEvent =
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(without_spaces(again), without_spaces(event.clone()));
    // A handler gets the metadata or an error, and the error does not show its content.
    if let Err(error) = Event::<Note>::decode(event) {
        assert!(!error.to_string().is_empty());
    }
}

/// White space around a JSON value is not part of it.
fn without_spaces(mut event: OutboxEvent) -> OutboxEvent {
    event.metadata = event.metadata.map(|raw| {
        let text = raw.as_str().expect("JSON is UTF-8").trim();
        RawMetadata::from_bytes(text)
    });
    // `null` means no metadata.
    event.metadata = event
        .metadata
        .filter(|raw| raw.decode::<Value>().is_ok_and(|value| !value.is_null()));
    event
}
