//! Events that wait for the creation of another entity, with several stores and transactions.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{connect, new_schema, open_in};
use outbox_runtime::store::{
    BatchSink, CheckDepth, Claim, ClaimRequest, Disposition, Lease, OutboxQueue as _, Settled,
    Settlement,
};
use outbox_runtime::{
    EnqueueError, NewEvent, Operation, OutboxRepository, StoreErrorKind, WaitsFor,
};
use shared_tests::within;

const LEASE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn journal(id: i64) -> NewEvent {
    NewEvent::new("journal", id, "u1", Operation::Create)
}

fn page(id: i64, journal: i64) -> NewEvent {
    NewEvent::new("page", id, "u1", Operation::Create).with_after("journal", journal)
}

async fn claim(store: &PostgresStore, limit: usize) -> Vec<Claim> {
    let request = ClaimRequest::new(limit, LEASE);
    store.claim(&request).await.unwrap()
}

/// Completes these events, and those again that another worker has locked for a moment.
async fn complete(store: &PostgresStore, claims: &[Claim]) {
    let mut left: Vec<Lease> = claims.iter().map(|claim| claim.lease).collect();
    for _ in 0..1_000 {
        let settlements = left.iter().map(|lease| Settlement {
            lease: *lease,
            disposition: Disposition::Complete,
        });
        let settled = store.settle(settlements.collect()).await.unwrap();
        let answered = left.into_iter().zip(settled);
        let locked = answered.filter(|(_, settled)| *settled == Settled::Locked);
        left = locked.map(|(lease, _)| lease).collect();
        if left.is_empty() {
            return;
        }
    }
    panic!("{} rows stay locked", left.len());
}

fn entities(claims: &[Claim]) -> Vec<i64> {
    let entities = claims
        .iter()
        .map(|claim| claim.event.entity_id.as_integer());
    entities.map(Option::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_is_written_on_every_door() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    store.create_event(journal(100)).await.unwrap();
    use outbox_runtime::EventSink as _;
    (&store).enqueue(Ok(page(1, 100))).await.unwrap();
    outbox.on(&client).enqueue(Ok(page(2, 100))).await.unwrap();
    let several = vec![Ok(page(3, 100)), Ok(page(4, 100))];
    let refused = outbox.on(&client).enqueue_all(several.into_iter()).await;
    let EnqueueError::Store(refused) = refused.unwrap_err() else {
        panic!("it needs a transaction");
    };
    assert_eq!(refused.kind(), StoreErrorKind::NotAllowedHere);
    let tx = client.transaction().await.unwrap();
    let several = vec![
        Ok(page(3, 100)),
        Ok(page(4, 100).with_key("a")),
        Ok(page(5, 100).with_expiry(outbox_runtime::Expiry::After(DAY))),
        Ok(NewEvent::new("page", 6, "u1", Operation::Create)),
    ];
    let batch = outbox.on(&tx).enqueue_all(several.into_iter());
    assert_eq!(batch.await.unwrap().len(), 4);
    tx.commit().await.unwrap();
    let waiting = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(waiting.len(), 7);
    for event in waiting {
        let id = event.entity_id.as_integer().unwrap();
        assert_eq!(event.parents.len(), usize::from(id < 6), "{event:?}");
    }
    let first = claim(&store, 99).await;
    assert_eq!(entities(&first), [100, 6]);
    complete(&store, &first).await;
    assert_eq!(entities(&claim(&store, 99).await), [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_children_are_out_of_the_way_of_claims_until_another_store_delivers_their_parent() {
    let schema = new_schema();
    let (store, other) = (open_in(&schema).await, open_in(&schema).await);
    store.create_event(journal(100_000)).await.unwrap();
    let held = claim(&other, 1).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    let tx = client.transaction().await.unwrap();
    let pages = (0..3_000).map(|id| Ok(page(id, 100_000).with_priority(9)));
    outbox.on(&tx).enqueue_all(pages).await.unwrap();
    let note = NewEvent::new("note", 7_000, "u1", Operation::Create);
    outbox
        .on(&tx)
        .enqueue_all([Ok(note)].into_iter())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut claims = claim(&store, 10).await;
    while claims.is_empty() {
        claims = within(claim(&store, 10)).await;
    }
    assert_eq!(entities(&claims), [7_000]);
    assert!(claim(&store, 10).await.is_empty());
    let waiting = format!("SELECT count(*) FROM {schema}.events WHERE slot = 'r'");
    let candidates: i64 = client.query_one(&waiting, &[]).await.unwrap().get(0);
    assert_eq!(candidates, 0);
    assert_eq!(store.check(CheckDepth::Full).await.unwrap().len(), 0);
    complete(&other, &held).await;
    let mut delivered = 0;
    loop {
        let claims = claim(&store, 1_000).await;
        if claims.is_empty() {
            break;
        }
        delivered += claims.len();
        complete(&store, &claims).await;
    }
    assert_eq!(delivered, 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_its_handler_completes_at_any_isolation_level_frees_its_children() {
    for level in [
        IsolationLevel::ReadCommitted,
        IsolationLevel::RepeatableRead,
    ] {
        for order in [outbox_runtime::Order::Entity, outbox_runtime::Order::None] {
            let schema = new_schema();
            let store = open_in(&schema).await;
            let outbox = Outbox::in_schema(&schema).unwrap();
            let mut client = connect().await;
            store
                .create_event(journal(100).with_order(order))
                .await
                .unwrap();
            let held = claim(&store, 9).await.remove(0);
            store.create_event(page(1, 100)).await.unwrap();
            assert!(claim(&store, 9).await.is_empty());
            let begin = client.build_transaction().isolation_level(level);
            let tx = begin.start().await.unwrap();
            let done = "SELECT complete FROM {s}.complete($1, $2, true, NULL)";
            let done = done.replace("{s}", &schema);
            let token = held.lease.token.as_uuid();
            let done = tx.query_one(&done, &[&held.event.id, &token]).await;
            assert!(done.unwrap().get::<_, bool>(0));
            tx.commit().await.unwrap();
            drop(outbox);
            assert_eq!(entities(&claim(&store, 9).await), [1], "{level:?} {order}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_parent_is_not_waited_for_and_an_open_one_is_not_seen() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let outbox = Outbox::in_schema(&schema).unwrap();
    let mut client = connect().await;
    use outbox_runtime::EventSink as _;
    let tx = client.transaction().await.unwrap();
    outbox.on(&tx).enqueue(Ok(journal(100))).await.unwrap();
    outbox.on(&tx).enqueue(Ok(page(1, 100))).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(claim(&store, 9).await.is_empty());
    let tx = client.transaction().await.unwrap();
    outbox.on(&tx).enqueue(Ok(journal(100))).await.unwrap();
    store.create_event(page(2, 100)).await.unwrap();
    assert_eq!(
        entities(&claim(&store, 9).await),
        [2],
        "it was not committed"
    );
    tx.commit().await.unwrap();
    assert_eq!(entities(&claim(&store, 9).await), [100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_another_program_left_waiting_is_found_and_freed() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let client = connect().await;
    let parent = store.create_event(journal(100)).await.unwrap();
    let held = claim(&store, 9).await;
    store.create_event(page(1, 100)).await.unwrap();
    assert!(claim(&store, 9).await.is_empty());
    let why = store.explain(&1.into(), None).await.unwrap();
    assert!(
        matches!(why.waits_for, WaitsFor::Parent { event_id, .. } if event_id == parent.id),
        "{why}"
    );
    let sql = format!("DELETE FROM {schema}.events WHERE event_type = 'journal'");
    client.batch_execute(&sql).await.unwrap();
    let found = store.check(CheckDepth::Full).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    // The upkeep of a run finds it as well.
    store.rescue().await.unwrap();
    assert_eq!(store.check(CheckDepth::Full).await.unwrap().len(), 0);
    assert_eq!(entities(&claim(&store, 9).await), [1]);
    drop(held);
}

/// Producers, and workers of two stores, in a hurry: each child is claimed only after its parent was
/// completed, and none is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_child_is_lost_between_the_claims_and_the_outcomes_of_several_workers() {
    const FAMILIES: i64 = 150;
    let schema = new_schema();
    let (one, two) = (open_in(&schema).await, open_in(&schema).await);
    let producer = one.clone();
    let produce = tokio::spawn(async move {
        for id in 0..FAMILIES {
            producer.create_event(journal(10_000 + id)).await.unwrap();
            for child in 0..3 {
                let child = page(id * 3 + child, 10_000 + id);
                producer.create_event(child).await.unwrap();
            }
        }
    });
    let delivered = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let work = |store: PostgresStore, limit: usize| {
        let delivered = std::sync::Arc::clone(&delivered);
        async move {
            let mut idle = 0;
            while idle < 400 {
                let claims = claim(&store, limit).await;
                if claims.is_empty() {
                    idle += 1;
                    store.rescue().await.unwrap();
                    tokio::task::yield_now().await;
                    continue;
                }
                idle = 0;
                for claim in &claims {
                    let id = claim.event.entity_id.as_integer().unwrap();
                    if id < 10_000 {
                        let is_there = delivered.lock().unwrap().contains(&(10_000 + id / 3));
                        assert!(is_there, "page {id} before its journal");
                    }
                }
                // Noted before the commit, so that no child can be early by this.
                for claim in &claims {
                    let id = claim.event.entity_id.as_integer().unwrap();
                    delivered.lock().unwrap().insert(id);
                }
                complete(&store, &claims).await;
            }
        }
    };
    tokio::join!(
        work(one.clone(), 3),
        work(two.clone(), 7),
        work(two.clone(), 40),
    );
    produce.await.unwrap();
    work(one.clone(), 50).await;
    let left = one.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(left.len(), 0, "{left:?}");
    assert_eq!(delivered.lock().unwrap().len() as i64, FAMILIES * 4);
}
