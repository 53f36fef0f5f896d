//! An event with a key takes the place of a waiting one, and changes are taken back, on every door.

use std::time::Duration;

use outbox_runtime::rusqlite::TransactionBehavior;
use outbox_runtime::store::SqliteInsert;
use outbox_runtime::{
    Cancel, EnqueueError, Enqueued, NewEvent, OnSameKey, OutboxStatus, enqueue_all, prelude::*,
};
use outbox_tests::{Temporary, enqueue, note, on_each_store, start, within};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn each_answer_tells_what_became_of_the_event() {
    let store = MemoryStore::new();
    let first = note(1).enqueue_update().key("a").on(&store).await.unwrap();
    let Enqueued::New(first) = first else {
        panic!("{first:?}");
    };
    let second = note(2).enqueue_update().key("a");
    let event_id = second.event_id();
    let answer = second.on(&store).await.unwrap();
    let replaced = first;
    assert_eq!(answer, Enqueued::Replaced { event_id, replaced });
    assert_eq!(
        (answer.event_id(), answer.carried_by()),
        (event_id, event_id)
    );
    let third = note(3).enqueue_update().key("a");
    let third = third.on_same_key(OnSameKey::Keep);
    let refused = third.event_id();
    let answer = third.on(&store).await.unwrap();
    let kept = event_id;
    let event_id = refused;
    assert_eq!(answer, Enqueued::Kept { event_id, kept });
    assert_eq!((answer.event_id(), answer.carried_by()), (event_id, kept));
}

#[tokio::test]
async fn a_key_takes_effect_with_the_callers_transaction_or_not_at_all() {
    let made = Temporary::open().await;
    let mut conn = made.connect();
    note(1).enqueue_update().key("a").on(&conn).unwrap();
    for commits in [false, true] {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = tx.unwrap();
        let answer = note(2).enqueue_update().key("a").on(&tx).unwrap();
        assert!(matches!(answer, Enqueued::Replaced { .. }), "{answer:?}");
        if commits {
            tx.commit().unwrap();
        } else {
            tx.rollback().unwrap();
        }
        let waiting = made.store.fetch_pending_events(None, None).await.unwrap();
        assert_eq!(waiting.len(), 1);
        let expected = if commits { 2 } else { 1 };
        assert_eq!(waiting[0].entity_id, expected.into());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate);
    let tx = tx.unwrap();
    let answer = Cancel::key("u1", "a").on(&tx).unwrap();
    assert_eq!(answer.canceled.len(), 1);
    tx.rollback().unwrap();
    let answer = Cancel::key("u1", "a").on(&conn).unwrap();
    assert_eq!(answer.canceled.len(), 1);
    assert!(
        made.store
            .fetch_pending_events(None, None)
            .await
            .unwrap()
            .is_empty()
    );
    let entries: i64 = conn
        .query_row("SELECT count(*) FROM outbox_keys", [], |row| row.get(0))
        .unwrap();
    assert_eq!(entries, 0, "nothing is left of a key without events");
}

#[test]
fn the_one_statement_of_other_drivers_refuses_a_key() {
    let event = NewEvent::new("note", 1, "u1", Operation::Create).with_key("a");
    let refused = SqliteInsert::new(&event).unwrap_err();
    let EnqueueError::Invalid { field, reason, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(field, "key");
    assert!(
        reason.contains("enqueue the event on the store"),
        "{reason}"
    );
}

#[tokio::test]
async fn the_events_of_a_batch_replace_each_other() {
    let made = Temporary::open().await;
    let keyed = |id| {
        let event = note(id).enqueue_update().key("a").into_event();
        event.unwrap()
    };
    let events = (1..=60).map(|id| Ok(keyed(id)));
    let conn = made.connect();
    use outbox_runtime::store::BatchSink;
    let answers = (&conn).enqueue_all(events).unwrap();
    assert_eq!(answers.len(), 60);
    let waiting = made.store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].entity_id, 60.into());
    let plain: Vec<_> = (1..=60).map(note).collect();
    enqueue_all(&plain).on(&made.store).await.unwrap();
    assert_eq!(made.store.statistics(None).await.unwrap().pending_count, 61);
}

#[test]
fn a_repeated_replaced_event_is_carried_by_the_new_one() {
    on_each_store(|store, _| async move {
        let first = enqueue(&store, note(1).enqueue_sync().key("a")).await;
        let second = enqueue(&store, note(2).enqueue_sync().key("a")).await;
        let again = note(1).enqueue_sync().key("a").with_event_id(first.id);
        assert_eq!(enqueue(&store, again).await.id, second.id);
        let (mut remote, running) = start(&store);
        let call = remote.next().await;
        assert_eq!(call.event.id, second.id);
        call.ok();
        assert!(running.flush(2, MINUTE).await.unwrap().is_delivered());
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
    });
}

#[test]
fn a_change_is_taken_back_before_its_handler_has_it_and_not_after() {
    on_each_store(|store, _| async move {
        let early = enqueue(&store, note(1).enqueue_sync()).await;
        let answer = store.cancel(&Cancel::entity("u1", 1)).await.unwrap();
        assert_eq!(answer.canceled, [early.id]);
        let (mut remote, running) = start(&store);
        let late = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let answer = store.cancel(&Cancel::entity("u1", 1)).await.unwrap();
        assert!(answer.canceled.is_empty());
        assert_eq!(answer.too_late, [(late.id, OutboxStatus::Processing)]);
        call.ok();
        assert!(running.flush(1, MINUTE).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_cancellation_wakes_the_run_for_what_waited_behind() {
    let made = Temporary::open().await;
    let store = &made.store;
    let delayed = note(1).enqueue_sync().delay(MINUTE * 60);
    delayed.key("a").on(store).await.unwrap();
    note(1).enqueue_update().on(store).await.unwrap();
    let (mut remote, running) = start(store);
    Cancel::key("u1", "a").on(store).await.unwrap();
    let call = within(remote.next()).await;
    assert_eq!(call.event.operation, Operation::Update);
    call.ok();
    running.stop().await.unwrap();
}
