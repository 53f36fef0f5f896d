//! An event exists if and only if the transaction, and the savepoint in it, commits.

use outbox_runtime::{EnqueueError, Enqueued, NewEvent, Operation, OutboxRepository, OutboxStatus};

use super::steps::{
    Sink, Step, TYPE, change, commit, entities, event, roll_back, run, single, stored, text,
};

pub(super) async fn a_committed_event_is_stored(sink: Sink<'_>, store: &impl OutboxRepository) {
    let new = event(1).with_priority(-3).with_destination("eu");
    let answers = commit(sink, [Step::Enqueue(new.clone())]).await;
    assert_eq!(single(&answers[0]), Enqueued::New(new.id()));
    let stored = store.fetch_event(new.id()).await.unwrap().unwrap();
    assert!(new.is_same_event(&stored));
    assert_eq!(
        (stored.priority, stored.status),
        (-3, OutboxStatus::Pending)
    );
}

pub(super) async fn a_rolled_back_event_is_not(sink: Sink<'_>, store: &impl OutboxRepository) {
    let answers = roll_back(sink, [Step::Enqueue(event(1))]).await;
    single(&answers[0]);
    assert_eq!(stored(store).await.len(), 0);
}

pub(super) async fn a_committed_batch_is_stored_in_order(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let events: Vec<NewEvent> = (1..=60).map(event).collect();
    let ids: Vec<_> = events
        .iter()
        .map(|event| Enqueued::New(event.id()))
        .collect();
    let answers = commit(sink, [Step::EnqueueAll(events), Step::EnqueueAll(vec![])]).await;
    assert_eq!(answers[0].as_ref().unwrap(), &ids);
    assert!(answers[1].as_ref().unwrap().is_empty(), "{:?}", answers[1]);
    assert_eq!(entities(&stored(store).await), (1..=60).collect::<Vec<_>>());
}

pub(super) async fn a_rolled_back_batch_is_not_stored(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let answers = roll_back(sink, [Step::EnqueueAll(vec![event(1), event(2)])]).await;
    assert_eq!(answers[0].as_ref().unwrap().len(), 2);
    assert_eq!(stored(store).await.len(), 0);
}

pub(super) async fn a_batch_with_a_refused_event_adds_none_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let known = event(1);
    let other = event(9).with_id(known.id());
    let no_user = NewEvent::new(TYPE, 3, "", Operation::Create);
    let steps = [
        Step::Enqueue(known),
        Step::EnqueueAll(vec![event(2), event(3), other]),
        Step::EnqueueAll(vec![event(4), no_user]),
        Step::Enqueue(event(5)),
    ];
    let answers = commit(sink, steps).await;
    for (answer, at) in [(&answers[1], 2), (&answers[2], 1)] {
        assert!(
            matches!(answer, Err(EnqueueError::InBatch { index, .. }) if *index == at),
            "{answer:?}"
        );
    }
    single(&answers[3]);
    assert_eq!(entities(&stored(store).await), [1, 5]);
}

pub(super) async fn an_event_of_a_kept_savepoint_is_stored(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let inner = Step::Savepoint {
        steps: vec![Step::Enqueue(event(2))],
        is_kept: true,
    };
    let steps = [Step::Enqueue(event(1)), inner, Step::Enqueue(event(3))];
    let answers = commit(sink, steps).await;
    assert_eq!(answers.len(), 3);
    assert_eq!(entities(&stored(store).await), [1, 2, 3]);
}

pub(super) async fn an_event_of_a_rolled_back_savepoint_is_not(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let fold = Step::Savepoint {
        steps: vec![Step::Enqueue(change(1, Operation::Update, "gone"))],
        is_kept: false,
    };
    let inner = Step::Savepoint {
        steps: vec![
            Step::Enqueue(event(2)),
            Step::EnqueueAll(vec![event(3), event(4)]),
        ],
        is_kept: false,
    };
    let first = Step::Enqueue(change(1, Operation::Update, "kept"));
    let answers = commit(sink, [first, fold, inner, Step::Enqueue(event(5))]).await;
    assert_eq!(answers.len(), 5);
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 5]);
    assert_eq!(text(&stored[0]), r#"{"text":"kept"}"#);
}

pub(super) async fn a_transaction_that_read_before_another_commit_writes_or_must_be_repeated(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let ways: [fn() -> Step; 3] = [
        || Step::Enqueue(event(1)),
        || Step::Enqueue(change(2, Operation::Update, "x")),
        || Step::EnqueueAll(vec![event(3), event(4)]),
    ];
    let can_become_stale = sink.can_become_stale();
    for way in ways {
        let mut answers = Vec::new();
        let mut tx = sink.begin(false).await.unwrap();
        tx.read().await.unwrap();
        // Another connection commits.
        store.create_event(event(9)).await.unwrap();
        run(tx.as_mut(), vec![way()], &mut answers).await;
        tx.end(false).await.unwrap();
        match &answers[0] {
            Ok(_) => assert!(!can_become_stale, "{:?}", answers[0]),
            Err(error) => {
                assert!(error.needs_new_transaction(), "{error:?}");
                assert!(
                    error.is_transient() && !error.outcome_unknown(),
                    "{error:?}"
                );
            }
        }
        commit(sink, [way()]).await[0].as_ref().unwrap();
    }
    assert_eq!(entities(&stored(store).await), [9, 1, 9, 2, 9, 3, 4]);
}
