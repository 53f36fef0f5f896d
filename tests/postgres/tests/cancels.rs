//! Creates whose deletes come before they are sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres_tests::{connect, open, soon};
use outbox_runtime::store::{ClaimRequest, OutboxQueue, SystemClock};
use outbox_runtime::{
    Clock, Coalesce, Enqueued, EventSink, NewEvent, Operation, Order, OutboxRepository,
};

const LEASE: Duration = Duration::from_secs(60);

fn draft(entity: i64, operation: Operation) -> NewEvent {
    NewEvent::new("draft", entity, "u1", operation).with_coalesce(Coalesce::Latest)
}

/// Enqueues a create and its delete, which leave a note on the lane.
async fn cancel(store: &PostgresStore) {
    for operation in [Operation::Create, Operation::Delete] {
        store.enqueue(Ok(draft(1, operation))).await.unwrap();
    }
}

/// The operations of the events that a claim gets.
async fn claimed(store: &PostgresStore) -> Vec<Operation> {
    let claims = store.claim(&ClaimRequest::new(100, LEASE)).await.unwrap();
    claims.iter().map(|claim| claim.event.operation).collect()
}

#[tokio::test]
async fn a_create_is_cancelled_beside_the_note_of_an_earlier_one_at_every_level() {
    for level in [
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
        IsolationLevel::Serializable,
    ] {
        let store = open(|store| store).await;
        let mut client = connect().await;
        cancel(&store).await;
        (&store)
            .enqueue(Ok(draft(1, Operation::Create)))
            .await
            .unwrap();
        let tx = client.build_transaction().isolation_level(level).start();
        let tx = tx.await.unwrap();
        let delete = store
            .outbox()
            .on(&tx)
            .enqueue(Ok(draft(1, Operation::Delete)));
        assert!(matches!(delete.await.unwrap(), Enqueued::Cancelled { .. }));
        tx.commit().await.unwrap();
        assert_eq!(claimed(&store).await, [], "{level:?}");
        let request = ClaimRequest::new(1, LEASE);
        assert_eq!(store.next_due(&request).await.unwrap(), None, "{level:?}");
    }
}

/// The transaction has the lane's note locked, of which nobody tells the workers.
#[tokio::test]
async fn a_cancel_that_is_not_committed_holds_up_no_other_lane_and_is_asked_for_less_and_less() {
    let store = open(|store| store).await;
    let mut client = connect().await;
    cancel(&store).await;
    (&store)
        .enqueue(Ok(draft(1, Operation::Create)))
        .await
        .unwrap();
    let tx = client.transaction().await.unwrap();
    let delete = store
        .outbox()
        .on(&tx)
        .enqueue(Ok(draft(1, Operation::Delete)));
    assert!(matches!(delete.await.unwrap(), Enqueued::Cancelled { .. }));
    (&store)
        .enqueue(Ok(draft(1, Operation::Update)))
        .await
        .unwrap();
    (&store)
        .enqueue(Ok(draft(2, Operation::Create)))
        .await
        .unwrap();
    assert_eq!(
        claimed(&store).await,
        [Operation::Create],
        "of the other lane"
    );
    let request = ClaimRequest::new(1, LEASE);
    let mut claims = 0;
    soon("the pauses become long", async {
        loop {
            let due = store.next_due(&request).await.unwrap().unwrap();
            let pause = (due - store.clock().now()).to_std().unwrap_or_default();
            if pause > Duration::from_millis(300) {
                break;
            }
            SystemClock.sleep(pause).await;
            assert_eq!(claimed(&store).await, []);
            claims += 1;
        }
    })
    .await;
    assert!(claims < 20, "{claims}");
    tx.commit().await.unwrap();
    soon("the lane continues", async {
        while claimed(&store).await != [Operation::Update] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// To leave a note would mean to wait for the worker, and the worker for the transaction.
#[tokio::test]
async fn a_create_and_its_delete_are_both_sent_in_order_while_their_lane_has_an_event_with_a_handler()
 {
    let of_user = |entity, operation| draft(entity, operation).with_order(Order::User);
    let store = open(|store| store).await;
    (&store)
        .enqueue(Ok(of_user(1, Operation::Update)))
        .await
        .unwrap();
    let claim = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    for operation in [Operation::Create, Operation::Delete] {
        let enqueued = (&store).enqueue(Ok(of_user(2, operation))).await.unwrap();
        assert!(matches!(enqueued, Enqueued::New(_)));
    }
    store.mark_as_completed(&claim[0].lease).await.unwrap();
    for operation in [Operation::Create, Operation::Delete] {
        let claim = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
        assert_eq!(claim[0].event.operation, operation);
        store.mark_as_completed(&claim[0].lease).await.unwrap();
    }
}
