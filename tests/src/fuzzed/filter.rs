//! Filters of dead letters.

use std::sync::Arc;

use outbox_runtime::store::{ClaimRequest, Disposition, EventTypes, Settlement};
use outbox_runtime::{
    DeadLetters, DeadReason, EntityId, MemoryStore, NewEvent, Operation, Order, OutboxEvent,
    OutboxRepository,
};

use super::input::Input;
use super::row;

/// A filter matches exactly the equal events, in every store, and changes nothing.
pub fn filter(bytes: &[u8]) {
    let stores = row::with_stores(|sqlite| {
        let memory: Arc<dyn OutboxRepository> = Arc::new(MemoryStore::new());
        [memory, Arc::new(sqlite)]
    });
    for store in stores {
        row::block_on(on_one(store, &mut Input::new(bytes)));
    }
}

async fn on_one(store: Arc<dyn OutboxRepository>, input: &mut Input<'_>) {
    let mut dead = Vec::new();
    for number in 0..3 {
        let (event_type, entity, user) = (input.text(), input.text(), input.text());
        let event = NewEvent::new(event_type, entity.as_str(), user, Operation::Update)
            .with_order(Order::None);
        // Invalid keys are refused, which other tests cover.
        let Ok(event) = store.create_event(event).await else {
            continue;
        };
        let claim = store.mark_as_processing(event.id, row::LEASE).await;
        let claim = claim.expect("the event is first in its lane");
        let disposition = Disposition::Bury {
            reason: DeadReason::ALL[number],
            message: input.text(),
        };
        let lease = claim.lease;
        let settlement = Settlement { lease, disposition };
        store.settle(vec![settlement]).await.expect("a sound store");
        dead.push(store.fetch_event(event.id).await.unwrap().unwrap());
    }
    let user = input.text();
    let event_type = input.text();
    let entity = EntityId::from(input.text());
    let reason = input.one_of(DeadReason::ALL);
    let asked = input.byte();
    let is_asked = |bit: u8| asked & (1 << bit) != 0;

    let mut letters = DeadLetters::of(store.clone());
    if is_asked(0) {
        letters = letters.of_user(user.clone());
    }
    if is_asked(1) {
        letters = letters.of_type(event_type.clone());
    }
    if is_asked(2) {
        letters = letters.of_entity(entity.clone());
    }
    if is_asked(3) {
        letters = letters.with_reason(reason);
    }
    let expected: Vec<OutboxEvent> = dead
        .iter()
        .filter(|event| !is_asked(0) || event.user_id == user)
        .filter(|event| !is_asked(1) || event.event_type == event_type)
        .filter(|event| !is_asked(2) || event.entity_id == entity)
        .filter(|event| !is_asked(3) || event.dead_reason == Some(reason))
        .cloned()
        .collect();
    assert_eq!(letters.list().await.unwrap(), expected);

    let of_entity = store.fetch_events_for_entity(&entity, Some(&event_type), Some(&user));
    let is_it = |event: &&OutboxEvent| {
        event.entity_id == entity && event.event_type == event_type && event.user_id == user
    };
    let count = dead.iter().filter(is_it).count();
    assert_eq!(of_entity.await.unwrap().len(), count);
    let request = ClaimRequest::new(9, row::LEASE)
        .with_event_types(EventTypes::Only(vec![event_type.clone()]))
        .without_users(vec![user.clone()]);
    let claims = store.claim(&request).await.unwrap();
    assert!(claims.is_empty(), "dead letters are not claimed");
    let discarded = letters.prepare_discard().await.unwrap().confirm().await;
    assert_eq!(discarded.unwrap(), expected.len() as u64);
    let left = store.statistics(None).await.unwrap().total_events;
    assert_eq!(left, (dead.len() - expected.len()) as u64);
}
