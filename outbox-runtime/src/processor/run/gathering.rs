//! Gathering: a batch that waits for more events, and what it asks the store for.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::lanes::Lanes;
use crate::claim::{Claim, EventTypes, FollowRequest, Lease, Selector};
use crate::entity::Order;
use crate::event::OutboxEvent;
use crate::handler::Batching;
use crate::metadata::RawMetadata;

/// A batch that waits for more events.
pub(super) struct Gathering {
    pub(super) claims: Vec<Arc<Claim>>,
    pub(super) bytes: usize,
    pub(super) batching: Batching,
    pub(super) until: DateTime<Utc>,
    /// The store may have more events for it right now. Until it was asked, the batch stays open.
    pub(super) may_have_more: bool,
}

/// A request for more events of a batch.
pub(super) struct Filling {
    /// An event of the batch.
    pub(super) like: Arc<Claim>,
    pub(super) selector: Selector,
    /// How many more events to claim.
    pub(super) limit: usize,
}

impl Gathering {
    /// Whether an event belongs to the batch: its type, user and destination.
    pub(super) fn takes(&self, event: &OutboxEvent) -> bool {
        self.claims.first().is_some_and(|first| {
            let first = &first.event;
            first.event_type == event.event_type
                && first.user_id == event.user_id
                && first.destination == event.destination
        })
    }

    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.claims.is_empty() || self.bytes.saturating_add(bytes) <= self.batching.max_bytes()
    }

    pub(super) fn push(&mut self, claim: Claim) {
        self.bytes = self.bytes.saturating_add(bytes_of(&claim.event));
        self.claims.push(Arc::new(claim));
    }

    pub(super) fn is_full(&self) -> bool {
        self.claims.len() >= self.batching.max_events() || self.bytes >= self.batching.max_bytes()
    }

    /// How many more events of the same size fit in.
    pub(super) fn room(&self) -> usize {
        let by_count = self.batching.max_events() - self.claims.len();
        let typical = (self.bytes / self.claims.len().max(1)).max(1);
        let by_bytes = self.batching.max_bytes().saturating_sub(self.bytes) / typical;
        by_count.min(by_bytes)
    }

    pub(super) fn following(&self) -> Option<FollowRequest> {
        let room = self.batching.max_events().saturating_sub(self.claims.len());
        if room == 0 || !self.batching.keeps_order() {
            return None;
        }
        let mut lanes = Lanes::default();
        let last = self.claims.iter().rev();
        let mut after: Vec<Lease> = last
            .filter(|claim| claim.event.order != Order::None && lanes.insert(&claim.event))
            .map(|claim| claim.lease)
            .collect();
        after.reverse();
        let bytes = self.batching.max_bytes().saturating_sub(self.bytes);
        (!after.is_empty()).then(|| FollowRequest::new(after, room).up_to_bytes(bytes))
    }

    pub(super) fn filling(&self) -> Option<Filling> {
        let like = Arc::clone(self.claims.first()?);
        let event = &like.event;
        let selector = Selector::new()
            .event_types(EventTypes::Only(vec![event.event_type.clone()]))
            .destination(event.destination.as_deref())
            .user(&event.user_id);
        Some(Filling {
            selector,
            limit: self.room(),
            like,
        })
    }
}

/// The size of an event's metadata.
pub(super) fn bytes_of(event: &OutboxEvent) -> usize {
    event.metadata.as_ref().map_or(0, RawMetadata::len)
}
