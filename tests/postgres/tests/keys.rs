//! Keys, cancellations and expiry in transactions of the caller.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres::Outbox;
use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres_tests::{connect, new_schema, open_in};
use outbox_runtime::store::{ClaimRequest, OutboxQueue as _};
use outbox_runtime::{
    Cancel, EnqueueError, Enqueued, OutboxRepository, StoreErrorKind, enqueue_all,
};
use shared_tests::{note, within};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn of_two_transactions_with_one_key_the_later_one_replaces_the_event_of_the_first() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let (mut first, mut second) = (connect().await, connect().await);
    let one = first.transaction().await.unwrap();
    let two = second.transaction().await.unwrap();
    let on_one = note(1).enqueue_update().key("a").on(outbox.on(&one));
    let replaced = on_one.await.unwrap().event_id();
    let later = note(2).enqueue_update().key("a");
    let event_id = later.event_id();
    let (answer, ()) = tokio::join!(later.on(outbox.on(&two)), async {
        one.commit().await.unwrap();
    });
    assert_eq!(answer.unwrap(), Enqueued::Replaced { event_id, replaced });
    two.commit().await.unwrap();
    let waiting = store.fetch_pending_events(None, None).await.unwrap();
    let ids: Vec<_> = waiting.iter().map(|event| event.id).collect();
    assert_eq!(ids, [event_id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_cancellations_take_effect_with_the_callers_transaction_or_not_at_all() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    note(1).enqueue_update().key("a").on(&store).await.unwrap();
    for commits in [false, true] {
        let tx = client.transaction().await.unwrap();
        let change = note(2).enqueue_update().key("a");
        let answer = change.on(outbox.on(&tx)).await.unwrap();
        assert!(matches!(answer, Enqueued::Replaced { .. }), "{answer:?}");
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        let waiting = store.fetch_pending_events(None, None).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].entity_id, if commits { 2 } else { 1 }.into());
    }
    for commits in [false, true] {
        let tx = client.transaction().await.unwrap();
        let cancel = Cancel::entity("u1", 2);
        let answer = cancel.on(outbox.on(&tx)).await.unwrap();
        assert_eq!(answer.canceled.len(), 1);
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        let waiting = store.fetch_pending_events(None, None).await.unwrap();
        assert_eq!(waiting.len(), usize::from(!commits));
    }
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!((statistics.pending_count, statistics.total_events), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_transaction_a_key_and_a_cancellation_are_refused() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let client = connect().await;
    let refused = note(1).enqueue_update().key("a").on(outbox.on(&client));
    let Err(EnqueueError::Store(refused)) = refused.await else {
        panic!("an event with a key was enqueued without a transaction");
    };
    assert_eq!(refused.kind(), StoreErrorKind::NotAllowedHere);
    let refused = Cancel::key("u1", "a").on(outbox.on(&client)).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::NotAllowedHere);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_old_snapshot_a_key_and_a_cancellation_are_refused() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let tx = client.build_transaction().isolation_level(level);
        let tx = tx.start().await.unwrap();
        let refused = note(1).enqueue_update().key("a").on(outbox.on(&tx)).await;
        let Err(EnqueueError::Store(refused)) = refused else {
            panic!("an event with a key was enqueued in an old snapshot");
        };
        assert_eq!(refused.kind(), StoreErrorKind::NotAllowedHere);
        let refused = Cancel::key("u1", "a").on(outbox.on(&tx)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::NotAllowedHere);
        // The transaction goes on.
        note(2).enqueue_update().on(outbox.on(&tx)).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(store.statistics(None).await.unwrap().total_events, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_with_a_key_delays_no_outcome() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    note(1).enqueue_update().key("a").on(&store).await.unwrap();
    let claims = store.claim(&ClaimRequest::new(1, MINUTE)).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let beside = note(2).enqueue_update().key("a").on(outbox.on(&tx)).await;
    assert!(matches!(beside, Ok(Enqueued::New(_))), "{beside:?}");
    let canceled = Cancel::key("u1", "a").on(outbox.on(&tx)).await.unwrap();
    assert_eq!((canceled.canceled.len(), canceled.too_late.len()), (1, 1));
    within(store.mark_as_completed(&claims[0].lease))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_written_on_every_door() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    let ends = chrono::DateTime::UNIX_EPOCH + MINUTE * 60 * 24 * 365 * 80;
    let change = |id| note(id).enqueue_update().expires_at(ends);
    change(1).on(&store).await.unwrap();
    change(2).on(outbox.on(&client)).await.unwrap();
    let tx = client.transaction().await.unwrap();
    change(3).delay(MINUTE).on(outbox.on(&tx)).await.unwrap();
    change(4).key("a").on(outbox.on(&tx)).await.unwrap();
    let several: Vec<_> = [5, 6].map(|id| change(id).into_event()).into();
    use outbox_runtime::store::BatchSink;
    let batch = outbox.on(&tx).enqueue_all(several.into_iter());
    assert_eq!(batch.await.unwrap().len(), 2);
    tx.commit().await.unwrap();
    enqueue_all(&[note(7)]).on(&store).await.unwrap();
    let waiting = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(waiting.len(), 7);
    for event in waiting {
        let expected = (event.entity_id != 7.into()).then_some(ends);
        assert_eq!(event.expires_at, expected, "{event:?}");
    }
}
