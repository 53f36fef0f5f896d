//! Shared helpers of the cases.

use std::time::Duration;

use chrono::{DateTime, Utc};

use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Settled, Settlement};
use outbox_runtime::{
    Coalesce, DeadReason, NewEvent, Operation, Order, OutboxEvent, OutboxRepository, RawMetadata,
};

pub(super) type Store<'a> = &'a dyn OutboxRepository;

pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An event of user u1 about this entity.
pub(super) fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

/// An event that folds, with this order.
pub(super) fn change_of(entity: i64, order: Order, text: &str) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
        .with_order(order)
        .with_coalesce(Coalesce::Latest)
        .with_metadata(RawMetadata::from_bytes(format!("\"{text}\"")))
}

pub(super) async fn create(store: Store<'_>, event: NewEvent) -> OutboxEvent {
    store.create_event(event).await.unwrap()
}

pub(super) async fn claim(store: Store<'_>, limit: usize) -> Vec<Claim> {
    store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap()
}

/// Claims exactly one event.
pub(super) async fn claim_one(store: Store<'_>) -> Claim {
    let mut claims = claim(store, 1).await;
    assert_eq!(claims.len(), 1, "one event should be claimable");
    claims.remove(0)
}

pub(super) async fn settle(store: Store<'_>, claim: &Claim, disposition: Disposition) -> Settled {
    let lease = claim.lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap()[0]
}

pub(super) async fn complete(store: Store<'_>, claim: &Claim) {
    let settled = settle(store, claim, Disposition::Complete).await;
    assert_eq!(settled, Settled::Recorded);
}

/// Gives the attempt back without a refusal.
pub(super) fn given_back(next_attempt_at: Option<DateTime<Utc>>) -> Disposition {
    Disposition::GiveBack {
        next_attempt_at,
        refusal: None,
    }
}

pub(super) fn buried() -> Disposition {
    Disposition::Bury {
        reason: DeadReason::Rejected,
        message: "no".to_owned(),
    }
}

pub(super) async fn fetch(store: Store<'_>, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

pub(super) fn entities(claims: &[Claim]) -> Vec<i64> {
    claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer().unwrap())
        .collect()
}

/// Creates one event for each combination of two types, three destinations (one of them none) and
/// two users. The entity identifies the combination.
pub(super) async fn one_of_each(store: Store<'_>) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    for event_type in ["note", "task"] {
        for destination in [None, Some("a"), Some("b")] {
            for user in ["u1", "u2"] {
                let entity = i64::try_from(events.len()).unwrap();
                let mut event = NewEvent::new(event_type, entity, user, Operation::Create);
                if let Some(destination) = destination {
                    event = event.with_destination(destination);
                }
                events.push(create(store, event).await);
            }
        }
    }
    events
}
