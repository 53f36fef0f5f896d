//! The content of an event, which tells a repeated event from a conflict: two events with the same
//! id must have the same content.

use super::NewEvent;
use crate::entity::EntityId;
use crate::event::{Operation, OutboxEvent};
use crate::fnv::Fnv64;
use crate::headers::Headers;
use crate::metadata::{RawMetadata, meaning, means_the_same};

impl NewEvent {
    /// Whether `stored` is this event: the same change of the same entity.
    ///
    /// Fields that a processor writes later (status, attempts), the time of enqueueing and the
    /// trace context do not count. Metadata is compared as JSON: the order of keys, white space and
    /// the notation of numbers do not count either. A row that another event was folded into has
    /// the content of that event, so a store remembers the [`fingerprint`](Self::fingerprint) of
    /// the content first enqueued under an id and compares with that.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository, RawMetadata};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let event = NewEvent::new("reading", 3, "plant-1", Operation::Update);
    /// let stored = MemoryStore::new().create_event(event.clone()).await?;
    /// assert!(event.is_same_event(&stored));
    /// let other = event.with_metadata(RawMetadata::from_bytes(r#"{"celsius":22}"#));
    /// assert!(!other.is_same_event(&stored));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_same_event(&self, stored: &OutboxEvent) -> bool {
        self.id == stored.id && Content::of(self).is_same_as(&Content::of_stored(stored))
    }
}

/// The fields that describe a change: what happened to which entity. Excluded are the fields that a
/// processor writes later, the time of enqueueing, the urgency, and the trace context: a repetition
/// usually comes from another span.
#[derive(Debug)]
pub(super) struct Content<'e> {
    event_type: &'e str,
    entity_id: &'e EntityId,
    user_id: &'e str,
    operation: Operation,
    metadata: Option<&'e RawMetadata>,
    metadata_version: u32,
    destination: Option<&'e str>,
    headers: &'e Headers,
}

impl<'e> Content<'e> {
    pub(super) fn of(event: &'e NewEvent) -> Self {
        Self {
            event_type: &event.event_type,
            entity_id: &event.entity_id,
            user_id: &event.user_id,
            operation: event.operation,
            metadata: event.metadata.as_ref(),
            metadata_version: event.metadata_version,
            destination: event.destination.as_deref(),
            headers: event.headers(),
        }
    }

    pub(super) fn of_stored(event: &'e OutboxEvent) -> Self {
        Self {
            event_type: &event.event_type,
            entity_id: &event.entity_id,
            user_id: &event.user_id,
            operation: event.operation,
            metadata: event.metadata.as_ref(),
            metadata_version: event.metadata_version,
            destination: event.destination.as_deref(),
            headers: &event.headers,
        }
    }

    /// Whether both describe the same change. Metadata is compared by meaning, because the keys of
    /// a `HashMap` are serialized in a different order each time.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let has_same_metadata = match (self.metadata, other.metadata) {
            (Some(one), Some(other)) => means_the_same(one, other),
            (one, other) => one == other,
        };
        self.event_type == other.event_type
            && self.entity_id == other.entity_id
            && self.user_id == other.user_id
            && self.operation == other.operation
            && self.metadata_version == other.metadata_version
            && self.destination == other.destination
            && self.headers == other.headers
            && has_same_metadata
    }

    /// A hash that is equal for contents that [are the same](Self::is_same_as). Stores persist it,
    /// so its encoding never changes. Only contents with the same event id are ever compared, so
    /// accidental collisions are not a concern.
    pub(super) fn fingerprint(&self) -> i64 {
        let integer;
        let (kind, id): (&[u8], &[u8]) = match self.entity_id {
            EntityId::Uuid(id) => (b"uuid", id.as_bytes()),
            EntityId::Integer(id) => {
                integer = id.to_be_bytes();
                (b"integer", &integer)
            }
            EntityId::Text(id) => (b"text", id.as_bytes()),
        };
        let said = self.metadata.and_then(meaning);
        let (has_metadata, metadata): (&[u8], &[u8]) = match (&said, self.metadata) {
            (Some(said), _) => (b"some", said),
            (None, Some(raw)) => (b"bytes", raw.as_bytes()),
            (None, None) => (b"none", b""),
        };
        let parts = [
            self.event_type.as_bytes(),
            kind,
            id,
            self.user_id.as_bytes(),
            self.operation.as_str().as_bytes(),
            has_metadata,
            metadata,
            &self.metadata_version.to_be_bytes(),
        ];
        let destination = self.destination.map(str::as_bytes);
        let headers = self.headers.to_stored();
        let headers = headers
            .as_ref()
            .map(|json| [b"headers".as_slice(), json.as_bytes()]);
        let mut hash = Fnv64::new();
        // Each part is prefixed with its length, so that no two lists of parts yield the same
        // bytes.
        for part in parts
            .into_iter()
            .chain(destination)
            .chain(headers.into_iter().flatten())
        {
            hash.write(&(part.len() as u64).to_be_bytes());
            hash.write(part);
        }
        hash.finish().cast_signed()
    }
}
