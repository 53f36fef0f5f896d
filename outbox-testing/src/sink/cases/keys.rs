//! Events with a key replace each other or are kept, and waiting events are canceled.

use outbox_runtime::{Cancel, Canceled, Enqueued, NewEvent, OnSameKey, OutboxRepository};

use super::steps::{Sink, Step, USER, claim, commit, entities, event, roll_back, single, stored};

pub(super) async fn an_event_replaces_the_waiting_one_with_its_key(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let (old, new) = (event(1).with_key("k"), event(2).with_key("k"));
    let behind = event(1);
    let expected = Enqueued::Replaced {
        event_id: new.id(),
        replaced: old.id(),
    };
    let answers = commit(
        sink,
        [Step::Enqueue(old.clone()), Step::Enqueue(behind.clone())],
    )
    .await;
    assert_eq!(single(&answers[0]), Enqueued::New(old.id()));
    let answers = commit(sink, [Step::Enqueue(new.clone()), Step::Enqueue(old)]).await;
    assert_eq!(single(&answers[0]), expected);
    // The replaced one is known, and what waited behind it goes on.
    assert!(
        matches!(single(&answers[1]), Enqueued::Folded { into, .. } if into == new.id()),
        "{:?}",
        answers[1]
    );
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 2]);
    assert_eq!(stored[1].dedup_key.as_deref(), Some("k"));
    let mut claimed: Vec<_> = claim(store).await.iter().map(|event| event.id).collect();
    claimed.sort_unstable();
    let mut expected = [behind.id(), new.id()];
    expected.sort_unstable();
    assert_eq!(claimed, expected);
}

pub(super) async fn an_event_with_a_key_that_waits_is_kept_if_the_newer_one_says_so(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let keeping = |entity| -> NewEvent {
        let event = event(entity).with_key("k");
        event.with_on_same_key(OnSameKey::Keep)
    };
    let (first, second) = (keeping(1), keeping(2));
    let expected = Enqueued::Kept {
        event_id: second.id(),
        kept: first.id(),
    };
    commit(sink, [Step::Enqueue(first)]).await;
    let answers = commit(sink, [Step::EnqueueAll(vec![second.clone(), event(3)])]).await;
    let answers = answers[0].as_ref().unwrap();
    assert_eq!(answers[0], expected);
    assert!(matches!(answers[1], Enqueued::New(_)), "{answers:?}");
    // Also when it is enqueued again.
    let answers = commit(sink, [Step::Enqueue(second)]).await;
    assert_eq!(single(&answers[0]), expected);
    assert_eq!(entities(&stored(store).await), [1, 3]);
}

pub(super) async fn a_replacement_of_a_rolled_back_transaction_is_undone(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let (old, new) = (event(1).with_key("k"), event(2).with_key("k"));
    commit(sink, [Step::Enqueue(old)]).await;
    let answers = roll_back(sink, [Step::Enqueue(new)]).await;
    assert!(matches!(single(&answers[0]), Enqueued::Replaced { .. }));
    assert_eq!(entities(&stored(store).await), [1]);
}

async fn cancel(sink: Sink<'_>, cancel: Cancel, commits: bool) -> Canceled {
    let mut tx = sink.begin(true).await.unwrap();
    let canceled = tx.cancel(cancel).await.unwrap();
    tx.end(commits).await.unwrap();
    canceled
}

pub(super) async fn events_are_canceled_if_and_only_if_the_transaction_commits(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let events = [event(1).with_key("k"), event(2), event(2), event(3)];
    let ids = events.each_ref().map(NewEvent::id);
    commit(sink, events.map(Step::Enqueue)).await;
    let of_key = || Cancel::key(USER, "k");
    let canceled = cancel(sink, of_key(), false).await;
    assert_eq!(canceled.canceled, [ids[0]]);
    assert_eq!(entities(&stored(store).await), [1, 2, 2, 3]);
    let canceled = cancel(sink, of_key(), true).await;
    assert_eq!(
        (canceled.canceled, canceled.too_late),
        (vec![ids[0]], vec![])
    );
    assert_eq!(entities(&stored(store).await), [2, 2, 3]);
    // Of an entity, what was claimed stays.
    let claimed: Vec<_> = claim(store).await.iter().map(|event| event.id).collect();
    assert_eq!(claimed, [ids[1], ids[3]]);
    let canceled = cancel(sink, Cancel::entity(USER, 2), true).await;
    assert_eq!(canceled.canceled, [ids[2]]);
    let too_late: Vec<_> = canceled.too_late.iter().map(|(id, _)| *id).collect();
    assert_eq!(too_late, [ids[1]]);
    assert!(store.fetch_event(ids[2]).await.unwrap().is_none());
    assert!(store.fetch_event(ids[1]).await.unwrap().is_some());
}
