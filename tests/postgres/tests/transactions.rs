//! Events in the caller's own transactions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{config, connect, open};
use outbox_runtime::store::{BatchSink, ClaimRequest, OutboxQueue};
use outbox_runtime::{
    Coalesce, EnqueueError, Enqueued, EventSink, NewEvent, Operation, OutboxRepository, RawMetadata,
};
use std::time::Duration;
use uuid::Uuid;

const LEVELS: [IsolationLevel; 3] = [
    IsolationLevel::ReadCommitted,
    IsolationLevel::RepeatableRead,
    IsolationLevel::Serializable,
];

fn note(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

fn draft(content: &str) -> NewEvent {
    let content = RawMetadata::from_bytes(content);
    note(1)
        .with_metadata(content)
        .with_coalesce(Coalesce::Latest)
}

async fn store() -> (PostgresStore, Outbox) {
    let store = open(|store| store).await;
    let outbox = store.outbox();
    (store, outbox)
}

async fn claimed(store: &PostgresStore) -> Vec<i64> {
    let request = ClaimRequest::new(100, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let entities = claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer());
    entities.map(Option::unwrap).collect()
}

#[tokio::test]
async fn an_event_exists_if_and_only_if_its_transaction_commits() {
    let (store, outbox) = store().await;
    let mut client = connect().await;
    for level in LEVELS {
        let tx = client.build_transaction().isolation_level(level).start();
        let tx = tx.await.unwrap();
        outbox.on(&tx).enqueue(Ok(note(1))).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(claimed(&store).await, [0; 0]);
        let tx = client.build_transaction().isolation_level(level).start();
        let tx = tx.await.unwrap();
        // The transaction has a snapshot already, as one that reads first has.
        tx.query_one("SELECT 1", &[]).await.unwrap();
        outbox.on(&tx).enqueue(Ok(note(2))).await.unwrap();
        assert_eq!(claimed(&store).await, [0; 0], "not before the commit");
        tx.commit().await.unwrap();
        assert_eq!(claimed(&store).await, [2], "{level:?}");
        store.delete_all_events_for_user("u1").await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_written_as_a_whole_or_not_at_all() {
    let (store, outbox) = store().await;
    let mut client = connect().await;
    let known = outbox.on(&client).enqueue(Ok(note(7))).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let taken = note(8).with_id(known.event_id());
    let batch = [note(1), note(2), taken].map(Ok);
    let refused = outbox
        .on(&tx)
        .enqueue_all(batch.into_iter())
        .await
        .unwrap_err();
    let EnqueueError::InBatch { index: 2, source } = refused else {
        panic!("{refused:?}")
    };
    assert!(
        matches!(*source, EnqueueError::Conflict { .. }),
        "{source:?}"
    );
    // The transaction goes on.
    let same = note(7).with_id(known.event_id());
    let batch = [note(3), same, note(4), note(3)].map(Ok);
    let enqueued = outbox.on(&tx).enqueue_all(batch.into_iter()).await.unwrap();
    assert!(matches!(
        enqueued[..],
        [
            Enqueued::New(_),
            Enqueued::AlreadyThere(_),
            Enqueued::New(_),
            Enqueued::New(_)
        ]
    ));
    tx.commit().await.unwrap();
    assert_eq!(
        claimed(&store).await,
        [7, 3, 4],
        "the second of entity 3 waits"
    );
}

#[tokio::test]
async fn an_event_folds_in_the_transaction_that_enqueues_it() {
    for level in LEVELS {
        let (store, outbox) = store().await;
        let mut client = connect().await;
        let first = outbox.on(&client).enqueue(Ok(draft("1"))).await.unwrap();
        let tx = client.build_transaction().isolation_level(level).start();
        let tx = tx.await.unwrap();
        let folded = outbox.on(&tx).enqueue(Ok(draft("2"))).await.unwrap();
        assert_eq!(folded.carried_by(), first.event_id(), "{level:?}");
        let own = outbox.on(&tx).enqueue(Ok(note(2))).await.unwrap();
        tx.rollback().await.unwrap();
        let event = store.fetch_event(first.event_id()).await.unwrap().unwrap();
        assert_eq!(event.metadata, Some(RawMetadata::from_bytes("1")));
        assert_eq!(store.fetch_event(own.event_id()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_event_that_cannot_fold_anymore_gets_a_row_of_its_own_and_the_transaction_goes_on() {
    for level in LEVELS {
        let (store, outbox) = store().await;
        let mut client = connect().await;
        let first = outbox.on(&client).enqueue(Ok(draft("1"))).await.unwrap();
        let tx = client.build_transaction().isolation_level(level).start();
        let tx = tx.await.unwrap();
        tx.query_one("SELECT 1", &[]).await.unwrap();
        // The snapshot of the transaction shows the event as it was before.
        let other = connect().await;
        outbox.on(&other).enqueue(Ok(draft("2"))).await.unwrap();
        assert_eq!(claimed(&store).await, [1]);
        let own = outbox.on(&tx).enqueue(Ok(draft("3"))).await.unwrap();
        assert!(matches!(own, Enqueued::New(_)), "{level:?}: {own:?}");
        tx.commit().await.unwrap();
        let event = store.fetch_event(first.event_id()).await.unwrap().unwrap();
        assert_eq!(event.metadata, Some(RawMetadata::from_bytes("2")));
    }
}

#[tokio::test]
async fn a_worker_never_waits_for_the_transaction_of_an_application() {
    let (store, outbox) = store().await;
    let mut client = connect().await;
    for entity in 1..=3 {
        outbox.on(&client).enqueue(Ok(note(entity))).await.unwrap();
    }
    let request = ClaimRequest::new(100, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let tx = client.transaction().await.unwrap();
    for entity in 1..=3 {
        outbox.on(&tx).enqueue(Ok(note(entity))).await.unwrap();
    }
    let done = claims
        .iter()
        .map(|claim| outbox_runtime::store::Settlement {
            lease: claim.lease,
            disposition: outbox_runtime::store::Disposition::Complete,
        });
    let settled = store.settle(done.collect()).await.unwrap();
    assert_eq!(settled, [outbox_runtime::store::Settled::Recorded; 3]);
    tx.commit().await.unwrap();
    assert_eq!(claimed(&store).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_lane_continues_although_an_application_held_its_next_event_locked() {
    let (store, outbox) = store().await;
    let mut client = connect().await;
    let first = outbox.on(&client).enqueue(Ok(note(1))).await.unwrap();
    let lease = Duration::from_secs(60);
    let claim = store
        .mark_as_processing(first.event_id(), lease)
        .await
        .unwrap();
    outbox.on(&client).enqueue(Ok(draft("1"))).await.unwrap();
    // Blocks the second event behind the first.
    let schema = store.schema();
    let block = format!("UPDATE {schema}.events SET slot = 'b' WHERE slot = 'r'");
    assert_eq!(client.execute(&block, &[]).await.unwrap(), 1);
    let tx = client.transaction().await.unwrap();
    let folded = outbox.on(&tx).enqueue(Ok(draft("2"))).await.unwrap();
    assert!(matches!(folded, Enqueued::Folded { .. }));
    store.mark_as_completed(&claim.lease).await.unwrap();
    assert_eq!(claimed(&store).await, [0; 0], "its row is locked");
    assert!(
        store
            .next_due(&ClaimRequest::new(1, lease))
            .await
            .unwrap()
            .is_some()
    );
    tx.commit().await.unwrap();
    outbox_postgres_tests::soon("the lane continues", async {
        while claimed(&store).await != [1] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn lanes_whose_next_events_are_held_locked_do_not_delay_others() {
    let (store, outbox) = store().await;
    let mut clients = [connect().await, connect().await];
    for entity in 1..=30 {
        outbox
            .on(&clients[0])
            .enqueue(Ok(note(entity)))
            .await
            .unwrap();
    }
    let request = ClaimRequest::new(100, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    for entity in 1..=30 {
        outbox
            .on(&clients[0])
            .enqueue(Ok(note(entity)))
            .await
            .unwrap();
    }
    let schema = store.schema();
    let block = format!("UPDATE {schema}.events SET slot = 'b' WHERE slot = 'r'");
    clients[0].execute(&block, &[]).await.unwrap();
    let lock = |which: &str| {
        format!("SELECT FROM {schema}.events WHERE slot = 'b' AND {which} FOR NO KEY UPDATE")
    };
    let [first, second] = &mut clients;
    let long = first.transaction().await.unwrap();
    long.batch_execute(&lock("entity_id <> '30'"))
        .await
        .unwrap();
    let short = second.transaction().await.unwrap();
    short
        .batch_execute(&lock("entity_id = '30'"))
        .await
        .unwrap();
    let done = claims
        .iter()
        .map(|claim| outbox_runtime::store::Settlement {
            lease: claim.lease,
            disposition: outbox_runtime::store::Disposition::Complete,
        });
    store.settle(done.collect()).await.unwrap();
    assert_eq!(claimed(&store).await, [0; 0], "all are locked");
    short.commit().await.unwrap();
    outbox_postgres_tests::soon("the thirtieth lane continues", async {
        while claimed(&store).await != [30] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    long.commit().await.unwrap();
    let mut left = std::collections::BTreeSet::new();
    outbox_postgres_tests::soon("the others continue", async {
        while left.len() < 29 {
            left.extend(claimed(&store).await);
        }
    })
    .await;
}

#[tokio::test]
async fn transactions_of_a_pool_take_events() {
    let (store, outbox) = store().await;
    let mut client = store.pool().get().await.unwrap();
    outbox.on(&client).enqueue(Ok(note(1))).await.unwrap();
    let tx = client.transaction().await.unwrap();
    outbox.on(&tx).enqueue(Ok(note(2))).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claimed(&store).await, [1, 2]);
}

/// The only test with the schema `outbox`, which a transaction by itself means.
#[tokio::test]
async fn a_transaction_by_itself_means_the_schema_outbox() {
    let store = PostgresStore::builder()
        .connect_with(config())
        .await
        .unwrap();
    let mut client = connect().await;
    (&client).enqueue(Ok(note(1))).await.unwrap();
    let tx = client.transaction().await.unwrap();
    (&tx).enqueue(Ok(note(2))).await.unwrap();
    (&tx).enqueue_all([Ok(note(3))].into_iter()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(claimed(&store).await, [1, 2, 3]);
}

#[tokio::test]
async fn no_statement_of_a_sink_stays_prepared() {
    let (_store, outbox) = store().await;
    let mut client = connect().await;
    let tx = client.transaction().await.unwrap();
    outbox.on(&tx).enqueue(Ok(note(1))).await.unwrap();
    outbox.on(&tx).enqueue(Ok(draft("1"))).await.unwrap();
    outbox
        .on(&tx)
        .enqueue(Ok(note(1).with_id(Uuid::nil())))
        .await
        .unwrap();
    outbox
        .on(&tx)
        .enqueue(Ok(note(1).with_id(Uuid::nil())))
        .await
        .unwrap();
    outbox
        .on(&tx)
        .enqueue_all([note(2), note(3)].map(Ok).into_iter())
        .await
        .unwrap();
    let sql = "SELECT count(*)::bigint FROM pg_prepared_statements";
    let prepared = tx.query_typed(sql, &[]).await.unwrap();
    assert_eq!(prepared[0].get::<_, i64>(0), 0, "PgBouncer would lose them");
}

/// A cancelled front leaves a note for the next look. A look that finds no note begins no pause, in
/// which a later note would have to wait.
#[tokio::test]
async fn an_event_after_a_cancelled_one_can_be_marked_at_once_whatever_was_refused_before() {
    const LEASE: Duration = Duration::from_secs(60);
    let (store, outbox) = store().await;
    let client = connect().await;
    let enqueue = async |event| outbox.on(&client).enqueue(Ok(event)).await.unwrap();
    enqueue(note(2)).await;
    let behind = enqueue(note(2)).await.event_id();
    let change = |entity, operation| {
        NewEvent::new("draft", entity, "u1", operation).with_coalesce(Coalesce::Latest)
    };
    for entity in 10..20 {
        store.mark_as_processing(behind, LEASE).await.unwrap_err();
        enqueue(change(entity, Operation::Create)).await;
        let deleted = enqueue(change(entity, Operation::Delete)).await;
        assert!(matches!(deleted, Enqueued::Cancelled { .. }), "{deleted:?}");
        let next = enqueue(note(entity)).await.event_id();
        let claim = store.mark_as_processing(next, LEASE).await.unwrap();
        assert_eq!(claim.event.id, next);
    }
}

#[tokio::test]
async fn producers_of_a_store_get_their_own_answers() {
    let (store, _) = store().await;
    let known = (&store).enqueue(Ok(note(0))).await.unwrap().event_id();
    let tasks: Vec<_> = (1..=200)
        .map(|nth| {
            let store = store.clone();
            tokio::spawn(async move {
                let event = match nth % 10 {
                    0 => note(nth).with_id(known),
                    1 => note(0).with_id(known),
                    _ => note(nth),
                };
                ((nth % 10), (&store).enqueue(Ok(event)).await)
            })
        })
        .collect();
    for task in tasks {
        let (kind, answer) = task.await.unwrap();
        match kind {
            0 => assert!(
                matches!(answer, Err(EnqueueError::Conflict { .. })),
                "{answer:?}"
            ),
            1 => assert!(
                matches!(answer, Ok(Enqueued::AlreadyThere(_))),
                "{answer:?}"
            ),
            _ => assert!(matches!(answer, Ok(Enqueued::New(_))), "{answer:?}"),
        }
    }
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 161);
}
