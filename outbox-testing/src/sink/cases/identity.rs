//! Ids keep their meaning, content is kept, and an event that breaks a rule is refused.

use std::time::Duration;

use outbox_runtime::{
    EnqueueError, Enqueued, Expiry, NewEvent, Operation, OutboxRepository, RawMetadata,
};

use super::steps::{Sink, Step, TYPE, USER, commit, entities, event, single, stored, text};

pub(super) async fn the_same_event_twice_is_written_once(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let new = event(1);
    let again = || Step::Enqueue(new.clone());
    let answers = commit(sink, [again(), again()]).await;
    assert_eq!(single(&answers[0]), Enqueued::New(new.id()));
    assert_eq!(single(&answers[1]), Enqueued::AlreadyThere(new.id()));
    let batch = Step::EnqueueAll(vec![new.clone(), event(2)]);
    let answers = commit(sink, [again(), batch]).await;
    assert_eq!(single(&answers[0]), Enqueued::AlreadyThere(new.id()));
    let batch = answers[1].as_ref().unwrap();
    assert_eq!(batch[0], Enqueued::AlreadyThere(new.id()));
    assert!(matches!(batch[1], Enqueued::New(_)), "{batch:?}");
    assert_eq!(entities(&stored(store).await), [1, 2]);
}

pub(super) async fn other_content_under_a_known_id_is_a_conflict_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = event(1);
    let id = first.id();
    commit(sink, [Step::Enqueue(first)]).await;
    let others = [
        event(2).with_id(id),
        event(1)
            .with_id(id)
            .with_metadata(RawMetadata::from_bytes("{}")),
    ];
    for (other, entity) in others.into_iter().zip(3..) {
        let steps = [Step::Enqueue(other), Step::Enqueue(event(entity))];
        let answers = commit(sink, steps).await;
        assert!(
            matches!(&answers[0], Err(EnqueueError::Conflict { event_id }) if *event_id == id),
            "{:?}",
            answers[0]
        );
        single(&answers[1]);
    }
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 3, 4]);
    assert_eq!(text(&stored[0]), r#"{"text":"hello"}"#);
}

pub(super) async fn a_nul_in_json_is_kept(sink: Sink<'_>, store: &impl OutboxRepository) {
    let json = r#"{"text":"a\u0000b ☃"}"#;
    let new = event(1).with_metadata(RawMetadata::from_bytes(json));
    let again = new.clone();
    let answers = commit(sink, [Step::Enqueue(new), Step::Enqueue(again)]).await;
    assert!(matches!(single(&answers[1]), Enqueued::AlreadyThere(_)));
    assert_eq!(text(&stored(store).await[0]), json);
}

pub(super) async fn an_event_that_breaks_a_rule_is_refused_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let nul = event(1).with_metadata(RawMetadata::from_bytes("\"a\0b\""));
    let refused = [
        (nul, "metadata"),
        (
            NewEvent::new(TYPE, "a\0b", USER, Operation::Create),
            "entity_id",
        ),
        (NewEvent::new(TYPE, 1, "", Operation::Create), "user_id"),
        (NewEvent::new("", 1, USER, Operation::Create), "event_type"),
    ];
    for (refused, entity) in refused.into_iter().zip(2..) {
        let (refused, rule) = refused;
        let steps = [Step::Enqueue(refused), Step::Enqueue(event(entity))];
        let answers = commit(sink, steps).await;
        assert!(
            matches!(&answers[0], Err(EnqueueError::Invalid { field, .. }) if *field == rule),
            "{:?}",
            answers[0]
        );
        single(&answers[1]);
    }
    assert_eq!(entities(&stored(store).await), [2, 3, 4, 5]);
}

pub(super) async fn headers_are_stored_and_are_content(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let headed = |entity| {
        event(entity)
            .with_header("x-tenant", "7")
            .with_sensitive_header("authorization", "s\u{e9}cret")
    };
    let (one, expiring) = (
        headed(1),
        headed(2).with_expiry(Expiry::After(Duration::from_secs(3600))),
    );
    let batch = vec![headed(3), event(4)];
    let other = one.clone().with_header("x-tenant", "8");
    let steps = [
        Step::Enqueue(one.clone()),
        Step::Enqueue(expiring),
        Step::EnqueueAll(batch),
        Step::Enqueue(one.clone()),
        Step::Enqueue(other),
    ];
    let answers = commit(sink, steps).await;
    assert_eq!(single(&answers[3]), Enqueued::AlreadyThere(one.id()));
    assert!(
        matches!(&answers[4], Err(EnqueueError::Conflict { event_id }) if *event_id == one.id()),
        "other headers are other content: {:?}",
        answers[4]
    );
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 2, 3, 4]);
    for headed in &stored[..3] {
        assert_eq!(headed.headers(), one.headers());
    }
    assert!(stored[1].expires_at.is_some(), "it expires as well");
    assert!(stored[3].headers().is_empty(), "{:?}", stored[3].headers());
}
