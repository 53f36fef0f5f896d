//! Events wait for each other.

use std::time::Duration;

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{Expiry, NewEvent, Operation, OutboxRepository};

use super::steps::{Sink, Step, TYPE, USER, claim, commit, entities, event};

pub(super) async fn events_of_one_entity_are_claimed_in_order(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let events = [event(1), event(1), event(2)];
    let ids = [events[0].id(), events[2].id()];
    commit(sink, events.map(Step::Enqueue)).await;
    let claimed: Vec<_> = claim(store).await.iter().map(|event| event.id).collect();
    assert_eq!(
        claimed, ids,
        "the second event of an entity waits for the first"
    );
}

pub(super) async fn an_event_waits_for_the_creation_of_its_parent(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let update = |entity| NewEvent::new(TYPE, entity, USER, Operation::Update);
    let parent = event(1);
    let child = update(2)
        .with_after(TYPE, 1)
        .with_header("x-tenant", "7")
        .with_expiry(Expiry::After(Duration::from_secs(3600)));
    let batch = vec![update(3).with_after(TYPE, 1), update(4).with_after(TYPE, 9)];
    let steps = [
        Step::Enqueue(parent),
        Step::Enqueue(child.clone()),
        Step::EnqueueAll(batch),
    ];
    commit(sink, steps)
        .await
        .iter()
        .for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
    let stored = store.fetch_event(child.id()).await.unwrap().unwrap();
    assert_eq!(stored.parents, child.parents());
    assert_eq!(stored.headers(), child.headers());
    assert!(stored.expires_at.is_some());
    // Nobody creates the parent of the last one.
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.clone()).collect();
    assert_eq!(entities(&claimed), [1, 4]);
    for claim in &claims {
        store.mark_as_completed(&claim.lease).await.unwrap();
    }
    assert_eq!(entities(&self::claim(store).await), [2, 3]);
}
