//! Enqueuing: events that are accepted, and events that are refused.

use super::helpers::{SECOND, Store, create, event, fetch};
use crate::ManualClock;
use outbox_runtime::{
    Clock, EnqueueError, EntityId, NewEvent, Operation, OutboxStatus, RawMetadata,
};

pub(super) async fn an_enqueued_event_can_be_fetched(store: Store<'_>, clock: &ManualClock) {
    for id in [
        EntityId::from(7),
        EntityId::from("seven"),
        EntityId::from(uuid::Uuid::now_v7()),
    ] {
        let new = NewEvent::new("note", id.clone(), "u1", Operation::Update)
            .with_priority(-3)
            .with_max_attempts(9)
            .with_destination("eu.example.org")
            .with_metadata(RawMetadata::from_bytes(r#"{"a":1}"#));
        let created = create(store, new.clone()).await;
        let fetched = fetch(store, &created).await;
        assert_eq!(created, fetched);
        assert_eq!(fetched.id, new.id());
        assert_eq!(fetched.entity_id, id);
        assert_eq!((fetched.priority, fetched.max_attempts), (-3, 9));
        assert_eq!(fetched.destination.as_deref(), Some("eu.example.org"));
        assert_eq!((fetched.deferrals, fetched.deferred_since), (0, None));
        assert_eq!((fetched.crashes, fetched.snoozes), (0, 0));
        assert_eq!((fetched.last_refusal, fetched.revision), (None, 0));
        assert_eq!(fetched.operation, Operation::Update);
        assert_eq!(fetched.status, OutboxStatus::Pending);
        assert_eq!(fetched.created_at, clock.now());
        assert_eq!(fetched.next_attempt_at, clock.now());
        assert_eq!(fetched.metadata.unwrap().as_str(), Some(r#"{"a":1}"#));
    }
}

pub(super) async fn the_same_event_twice_is_written_once(store: Store<'_>, clock: &ManualClock) {
    let first = create(store, event(1)).await;
    clock.advance(SECOND);
    let again = create(store, event(1).with_id(first.id)).await;
    assert_eq!(first, again);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
}

pub(super) async fn different_content_under_a_known_id_is_refused_and_the_first_is_kept(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = create(store, event(1)).await;
    let other = event(1)
        .with_id(first.id)
        .with_metadata(RawMetadata::from_bytes("{}"));
    let refused = store.create_event(other).await;
    assert!(
        matches!(refused, Err(EnqueueError::Conflict { event_id }) if event_id == first.id),
        "{refused:?}"
    );
    assert_eq!(fetch(store, &first).await, first);
}

pub(super) async fn an_event_that_breaks_a_rule_is_refused(store: Store<'_>, _: &ManualClock) {
    let long = "x".repeat(NewEvent::MAX_KEY_BYTES + 1);
    let large = vec![b'1'; NewEvent::MAX_METADATA_BYTES + 1];
    let make = |event_type: &'static str, user: &str| {
        NewEvent::new(event_type, 1, user, Operation::Create)
    };
    for (field, broken) in [
        ("event_type", make("", "u1")),
        ("event_type", make("a\nb", "u1")),
        ("user_id", make("note", "")),
        ("user_id", make("note", &long)),
        ("user_id", make("note", "u\u{0}")),
        (
            "entity_id",
            NewEvent::new("note", "", "u1", Operation::Create),
        ),
        ("destination", event(1).with_destination("")),
        ("destination", event(1).with_destination(long.as_str())),
        ("destination", event(1).with_destination("a\u{7f}")),
        ("max_attempts", event(1).with_max_attempts(0)),
        (
            "metadata",
            event(1).with_metadata(RawMetadata::from_bytes(large)),
        ),
        (
            "metadata",
            event(1).with_metadata(RawMetadata::from_bytes([0xff, 0xfe])),
        ),
    ] {
        let refused = store.create_event(broken).await;
        assert!(
            matches!(&refused, Err(EnqueueError::Invalid { field: found, .. }) if *found == field),
            "{field}: {refused:?}"
        );
    }
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
}
