//! A newer event folds into one that waits.

use outbox_runtime::{EnqueueError, Enqueued, Operation, OutboxRepository};

use super::steps::{
    Sink, Step, change, claim, commit, entities, event, roll_back, single, stored, text,
};

pub(super) async fn a_newer_event_folds_into_a_waiting_one(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = change(1, Operation::Update, "one");
    let newer = change(1, Operation::Update, "two");
    let ids = (first.id(), newer.id());
    commit(sink, [Step::Enqueue(first.clone())]).await;
    let answers = commit(sink, [Step::Enqueue(newer.clone())]).await;
    let (event_id, into) = (ids.1, ids.0);
    assert_eq!(single(&answers[0]), Enqueued::Folded { event_id, into });
    // A folded event is known.
    let answers = commit(sink, [Step::Enqueue(newer), Step::Enqueue(first)]).await;
    assert_eq!(single(&answers[0]), Enqueued::Folded { event_id, into });
    assert_eq!(single(&answers[1]), Enqueued::AlreadyThere(into));
    let other = change(1, Operation::Update, "three").with_id(ids.1);
    let answers = commit(sink, [Step::Enqueue(other)]).await;
    assert!(
        matches!(answers[0], Err(EnqueueError::Conflict { .. })),
        "{:?}",
        answers[0]
    );
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1]);
    assert_eq!(text(&stored[0]), r#"{"text":"two"}"#);
}

pub(super) async fn a_fold_of_a_rolled_back_transaction_is_undone(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = change(1, Operation::Update, "one");
    let newer = change(1, Operation::Update, "two");
    commit(sink, [Step::Enqueue(first)]).await;
    let answers = roll_back(sink, [Step::Enqueue(newer.clone())]).await;
    assert!(matches!(single(&answers[0]), Enqueued::Folded { .. }));
    assert_eq!(text(&stored(store).await[0]), r#"{"text":"one"}"#);
    // It is not known either, so that it can be enqueued again.
    commit(sink, [Step::Enqueue(newer)]).await;
    assert_eq!(text(&stored(store).await[0]), r#"{"text":"two"}"#);
}

pub(super) async fn events_of_a_batch_fold(sink: Sink<'_>, store: &impl OutboxRepository) {
    let batch = vec![
        change(1, Operation::Update, "one"),
        event(2),
        change(1, Operation::Update, "two"),
        change(3, Operation::Update, "three"),
    ];
    let answers = commit(sink, [Step::EnqueueAll(batch)]).await;
    let answers = answers[0].as_ref().unwrap();
    assert!(matches!(answers[2], Enqueued::Folded { .. }), "{answers:?}");
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 2, 3]);
    assert_eq!(text(&stored[0]), r#"{"text":"two"}"#);
}

pub(super) async fn a_create_and_its_delete_cancel_out(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let create = change(1, Operation::Create, "one");
    let delete = change(1, Operation::Delete, "one");
    let expected = Enqueued::Cancelled {
        event_id: delete.id(),
        create: create.id(),
    };
    commit(sink, [Step::Enqueue(create)]).await;
    let answers = commit(sink, [Step::Enqueue(delete)]).await;
    assert_eq!(single(&answers[0]), expected);
    let claimed = claim(store).await;
    assert!(claimed.is_empty(), "neither is sent: {claimed:?}");
}

pub(super) async fn headers_of_a_newer_event_replace_those_it_folds_into(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = change(1, Operation::Update, "one").with_header("x-tenant", "7");
    let newer = change(1, Operation::Update, "two").with_header("x-region", "eu");
    commit(sink, [Step::Enqueue(first.clone())]).await;
    let answers = commit(sink, [Step::Enqueue(newer.clone())]).await;
    assert!(matches!(single(&answers[0]), Enqueued::Folded { .. }));
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1]);
    assert_eq!(stored[0].headers(), newer.headers());
    // Both are known with their own headers.
    let other = first.clone().with_header("x-tenant", "8");
    let steps = [first.clone(), newer, other].map(Step::Enqueue);
    let answers = commit(sink, steps).await;
    assert_eq!(single(&answers[0]), Enqueued::AlreadyThere(first.id()));
    assert!(matches!(single(&answers[1]), Enqueued::Folded { .. }));
    assert!(
        matches!(answers[2], Err(EnqueueError::Conflict { .. })),
        "{:?}",
        answers[2]
    );
}
