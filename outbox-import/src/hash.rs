//! Checksums of 128 bits that are the same on every machine and in every version.

use outbox_runtime::store::kit::Fnv128;
use outbox_runtime::{EntityId, OutboxEvent};

/// 128-bit FNV-1a over parts, each with its length, so that different lists of parts never hash the
/// same bytes.
///
/// It detects accidental loss and change. It does not protect against deliberate collisions.
#[derive(Debug, Clone)]
pub(super) struct Hasher(Fnv128);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Fnv128::new())
    }

    pub(super) fn part(&mut self, kind: &[u8], bytes: &[u8]) {
        self.0.write(kind);
        self.0.write(&(bytes.len() as u64).to_be_bytes());
        self.0.write(bytes);
    }

    pub(super) fn finish(&self) -> Hash {
        Hash(self.0.finish())
    }
}

/// The checksum of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hash(pub(super) u128);

impl Hash {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The checksum of both together.
    pub(super) fn with(self, other: Self) -> Self {
        let mut hasher = Hasher(Fnv128::after(self.0));
        hasher.part(b"with", &other.to_bytes());
        hasher.finish()
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.part(b"b", bytes);
        hasher.finish()
    }
}

/// The checksum of many things in any order. It is their sum, so equal ones do not cancel out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) total: u128,
}

impl Sum {
    pub(super) fn add(&mut self, hash: Hash) {
        self.count += 1;
        self.total = self.total.wrapping_add(hash.0);
    }
}

/// The content that makes two events the same change: see
/// [`NewEvent::is_same_event`](outbox_runtime::NewEvent::is_same_event).
pub(super) fn content(event: &OutboxEvent) -> Hash {
    content_hasher(event).finish()
}

/// The content and the state.
pub(super) fn written(event: &OutboxEvent) -> Hash {
    let mut hasher = content_hasher(event);
    let micros = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or(Vec::new(), |at| {
            at.timestamp_micros().to_be_bytes().to_vec()
        })
    };
    hasher.part(b"status", event.status.as_str().as_bytes());
    hasher.part(b"priority", &event.priority.to_be_bytes());
    hasher.part(b"created", &micros(Some(event.created_at)));
    hasher.part(b"due", &micros(Some(event.next_attempt_at)));
    hasher.part(b"last", &micros(event.last_attempt_at));
    hasher.part(b"completed", &micros(event.completed_at));
    hasher.part(b"attempts", &event.attempt_count.to_be_bytes());
    hasher.part(b"most", &event.max_attempts.to_be_bytes());
    let error = event.error_message.as_deref();
    hasher.part(
        error.map_or(b"-", |_| b"+"),
        error.unwrap_or_default().as_bytes(),
    );
    let reason = event.dead_reason.map_or("", |reason| reason.as_str());
    hasher.part(b"reason", reason.as_bytes());
    hasher.part(b"order", event.order.as_str().as_bytes());
    hasher.part(b"on_dead", event.on_dead.as_str().as_bytes());
    hasher.finish()
}

fn content_hasher(event: &OutboxEvent) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.part(b"id", event.id.as_bytes());
    hasher.part(b"type", event.event_type.as_bytes());
    match &event.entity_id {
        EntityId::Uuid(id) => hasher.part(b"uuid", id.as_bytes()),
        EntityId::Integer(id) => hasher.part(b"integer", &id.to_be_bytes()),
        EntityId::Text(id) => hasher.part(b"text", id.as_bytes()),
        other => hasher.part(b"other", other.to_string().as_bytes()),
    }
    hasher.part(b"user", event.user_id.as_bytes());
    hasher.part(b"operation", event.operation.as_str().as_bytes());
    match &event.metadata {
        Some(raw) => hasher.part(b"some", raw.as_bytes()),
        None => hasher.part(b"none", b""),
    }
    hasher.part(b"version", &event.metadata_version.to_be_bytes());
    if let Some(headers) = event.headers().to_stored() {
        hasher.part(b"headers", headers.as_bytes());
    }
    hasher
}
