//! Events that handlers complete in the application's own transactions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use outbox_postgres::tokio_postgres::{Client, IsolationLevel};
use outbox_postgres::{Outbox, PostgresStore};
use outbox_postgres_tests::{connect, open, soon};
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Settled, Settlement};
use outbox_runtime::{CompleteError, Flushed, NewEvent, RunOutcome, prelude::*};
use outbox_testing::ManualClock;

const LEVELS: [IsolationLevel; 3] = [
    IsolationLevel::ReadCommitted,
    IsolationLevel::RepeatableRead,
    IsolationLevel::Serializable,
];

const LEASE: Duration = Duration::from_secs(60);

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn note(id: i64) -> Note {
    let user_id = "u1".to_owned();
    Note { id, user_id }
}

async fn create(store: &PostgresStore, id: i64) -> OutboxEvent {
    let event = NewEvent::new("note", id, "u1", Operation::Update);
    store.create_event(event).await.unwrap()
}

async fn claim(store: &PostgresStore) -> Claim {
    let mut claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    claims.pop().expect("one event can be claimed")
}

async fn settle(store: &PostgresStore, claim: &Claim) -> Settled {
    let settlement = Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    };
    store.settle(vec![settlement]).await.unwrap()[0]
}

async fn status(store: &PostgresStore, event: &OutboxEvent) -> OutboxStatus {
    let stored = store.fetch_event(event.id).await.unwrap();
    stored.unwrap().status
}

/// A store, its outbox, and the application's table beside it.
async fn app() -> (PostgresStore, Outbox, Client, String) {
    let store = open(|store| store).await;
    let outbox = store.outbox();
    let client = connect().await;
    let table = format!("{}.remote_ids", store.schema());
    let create = format!("CREATE TABLE {table} (note bigint PRIMARY KEY)");
    client.batch_execute(&create).await.unwrap();
    (store, outbox, client, table)
}

#[tokio::test]
async fn an_event_is_completed_if_and_only_if_the_transaction_commits() {
    let (store, outbox, mut client, table) = app().await;
    for (id, level) in (1..).zip(LEVELS) {
        let first = create(&store, id).await;
        let second = create(&store, id).await;
        let claimed = claim(&store).await;
        for commits in [false, true] {
            let tx = client.build_transaction().isolation_level(level).start();
            let tx = tx.await.unwrap();
            let save = format!("INSERT INTO {table} VALUES ($1)");
            tx.execute(&save, &[&id]).await.unwrap();
            for _ in 0..2 {
                let completed = claimed.event.complete_on(outbox.on(&tx));
                completed.await.unwrap();
            }
            assert_eq!(status(&store, &first).await, OutboxStatus::Processing);
            match commits {
                true => tx.commit().await.unwrap(),
                false => tx.rollback().await.unwrap(),
            }
        }
        assert_eq!(status(&store, &first).await, OutboxStatus::Completed);
        let next = claim(&store).await;
        assert_eq!(next.event.id, second.id, "{level:?}: before the answer");
        assert_eq!(settle(&store, &claimed).await, Settled::AlreadyCompleted);
        assert_eq!(settle(&store, &claimed).await, Settled::LeaseLost);
        assert_eq!(settle(&store, &next).await, Settled::Recorded);
    }
    let findings = store.check(outbox_runtime::store::CheckDepth::Full).await;
    let wrong: Vec<_> = findings.unwrap();
    let wrong: Vec<_> = wrong
        .iter()
        .filter(|finding| finding.severity == outbox_runtime::store::Severity::Fault)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test]
async fn no_worker_waits_for_the_transaction_of_a_handler() {
    let (store, outbox, mut client, _) = app().await;
    let other = create(&store, 2).await;
    let event = create(&store, 1).await;
    let request = ClaimRequest::new(2, LEASE);
    let claims = store.claim(&request).await.unwrap();
    let leases: Vec<_> = claims.iter().map(|claim| claim.lease).collect();
    let claimed = claims.iter().find(|claim| claim.event.id == event.id);
    let claimed = claimed.unwrap();
    let tx = client.transaction().await.unwrap();
    claimed.event.complete_on(outbox.on(&tx)).await.unwrap();
    let renewed = soon("a renewal", store.extend(&leases, LEASE)).await;
    assert!(renewed.unwrap().iter().all(Option::is_some));
    let rescued = soon("a rescue", store.rescue()).await.unwrap();
    assert_eq!((rescued.requeued, rescued.buried), (0, 0));
    let beside = claims.iter().find(|claim| claim.event.id == other.id);
    let settled = soon("another outcome", settle(&store, beside.unwrap())).await;
    assert_eq!(settled, Settled::Recorded);
    create(&store, 3).await;
    let next = soon("a claim", claim(&store)).await;
    assert_eq!(next.event.entity_id, EntityId::from(3));
    tx.commit().await.unwrap();
    let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert!(renewed[0].is_some(), "its handler has not answered yet");
    assert_eq!(settle(&store, claimed).await, Settled::AlreadyCompleted);
    let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(renewed, [None]);
}

#[tokio::test]
async fn no_outcome_waits_for_the_transaction_of_another_handler() {
    for commits in [false, true] {
        let (store, outbox, mut client, _) = app().await;
        let event = create(&store, 1).await;
        let behind = create(&store, 1).await;
        create(&store, 2).await;
        create(&store, 3).await;
        let request = ClaimRequest::new(3, LEASE);
        let claims = store.claim(&request).await.unwrap();
        let claimed = claims.iter().find(|claim| claim.event.id == event.id);
        let claimed = claimed.unwrap();
        let tx = client.transaction().await.unwrap();
        claimed.event.complete_on(outbox.on(&tx)).await.unwrap();
        let failed = Disposition::Fail {
            next_attempt_at: store.clock().now(),
            message: "no".to_owned(),
        };
        let settlement = |claim: &Claim, disposition: &Disposition| Settlement {
            lease: claim.lease,
            disposition: disposition.clone(),
        };
        let outcomes = |nth: usize| {
            let of = |claim: &Claim| match claim.event.id == event.id {
                true => settlement(claim, &failed),
                false => settlement(claim, &Disposition::Complete),
            };
            let others = claims.iter().filter(|claim| claim.event.id != event.id);
            vec![of(claimed), of(others.collect::<Vec<_>>()[nth])]
        };
        let settled = soon("the outcomes", store.settle(outcomes(0))).await;
        assert_eq!(settled.unwrap(), [Settled::Locked, Settled::Recorded]);
        create(&store, 4).await;
        let exchange = store.settle_and_claim(outcomes(1), &request);
        let exchange = soon("outcomes and a claim", exchange).await;
        let settled = exchange.settled.unwrap();
        assert_eq!(settled, [Settled::Locked, Settled::Recorded]);
        let next = exchange.claimed.unwrap();
        assert_eq!(next.len(), 1, "the lane of the locked event waits");
        assert_eq!(next[0].event.entity_id, EntityId::from(4));
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        let late = vec![settlement(claimed, &failed)];
        let settled = store.settle(late.clone()).await.unwrap();
        match commits {
            true => assert_eq!(settled, [Settled::AlreadyCompleted]),
            false => assert_eq!(settled, [Settled::Recorded]),
        }
        assert_eq!(store.settle(late).await.unwrap(), [Settled::LeaseLost]);
        let next = claim(&store).await;
        match commits {
            true => assert_eq!(next.event.id, behind.id),
            false => assert_eq!(next.event.id, event.id),
        }
    }
}

#[tokio::test]
async fn outcomes_wait_for_a_table_that_another_session_has_for_a_while() {
    // One connection, which has prepared the statements by then: that waits without an end.
    let store = open(|store| store.pool_size(1)).await;
    let (mut client, other) = (connect().await, connect().await);
    create(&store, 1).await;
    create(&store, 2).await;
    let claimed = claim(&store).await;
    let tx = client.transaction().await.unwrap();
    claimed
        .event
        .complete_on(store.outbox().on(&tx))
        .await
        .unwrap();
    assert_eq!(settle(&store, &claimed).await, Settled::Locked);
    tx.commit().await.unwrap();
    assert_eq!(settle(&store, &claimed).await, Settled::AlreadyCompleted);
    let claimed = claim(&store).await;
    let tx = client.transaction().await.unwrap();
    // As the creation of an index does.
    let lock = format!("LOCK TABLE {}.events IN SHARE MODE", store.schema());
    tx.batch_execute(&lock).await.unwrap();
    let settling = tokio::spawn({
        let store = store.clone();
        async move { settle(&store, &claimed).await }
    });
    // Longer than a worker waits for a row.
    let waits = format!(
        "SELECT count(*) FROM pg_locks WHERE relation = '{}.events'::regclass
            AND NOT granted AND waitstart < clock_timestamp() - interval '100 ms'",
        store.schema()
    );
    soon("the outcome waits", async {
        while other.query_one(&waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(!settling.is_finished(), "it gave up");
        }
    })
    .await;
    tx.commit().await.unwrap();
    let settled = soon("the outcome is recorded", settling).await;
    assert_eq!(settled.unwrap(), Settled::Recorded);
}

#[tokio::test]
async fn a_lease_that_ends_while_its_event_is_locked_is_that_of_its_holder_until_it_is_unlocked() {
    for (commits, is_late) in [(true, false), (false, false), (false, true)] {
        let clock = ManualClock::new();
        let store = open(|store| store.clock(clock.clone())).await;
        let outbox = store.outbox();
        let mut client = connect().await;
        create(&store, 1).await;
        let claimed = claim(&store).await;
        let tx = client.transaction().await.unwrap();
        claimed.event.complete_on(outbox.on(&tx)).await.unwrap();
        clock.advance(LEASE);
        assert_eq!(store.rescue().await.unwrap().requeued, 0);
        for _ in 0..2 {
            let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
            assert_eq!(renewed, [Some(claimed.lease)], "unchanged");
            let settled = soon("the outcome", settle(&store, &claimed)).await;
            assert_eq!(settled, Settled::Locked);
        }
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        if is_late {
            assert_eq!(store.rescue().await.unwrap().requeued, 1);
            let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
            assert_eq!(renewed, [None]);
            assert_eq!(settle(&store, &claimed).await, Settled::LeaseLost);
        } else if commits {
            assert_eq!(settle(&store, &claimed).await, Settled::AlreadyCompleted);
        } else {
            assert_eq!(settle(&store, &claimed).await, Settled::LeaseLost);
            let renewed = store.extend(&[claimed.lease], LEASE).await.unwrap();
            assert!(renewed[0].is_some());
            assert_eq!(settle(&store, &claimed).await, Settled::Recorded);
        }
    }
}

/// The transactions of the handlers of the entities 1 and 2 stay open after their answers.
#[tokio::test]
async fn a_run_delivers_others_while_a_transaction_of_a_handler_is_open_and_tells_its_end() {
    let (store, outbox, _, _) = app().await;
    let schema = store.schema().to_owned();
    let open = std::sync::Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let opened = std::sync::Arc::clone(&open);
    let handle = move |event: Event<Note>| {
        let (opened, outbox) = (std::sync::Arc::clone(&opened), outbox.clone());
        async move {
            let is_first = event.attempt_count == 1;
            if is_first && [1.into(), 2.into()].contains(&event.entity_id) {
                let client = connect().await;
                client.batch_execute("BEGIN").await.or_retry()?;
                event.complete_on(outbox.on(&client)).await?;
                opened.lock().await.push((event.entity_id.clone(), client));
            }
            Ok(())
        }
    };
    let processor = Processor::builder(store.clone())
        .handle(handle)
        .timeout(Duration::from_secs(2))
        .lease(Duration::from_secs(3))
        .retry(outbox_runtime::RetryPolicy::new([Duration::from_millis(1)]))
        .build()
        .unwrap();
    let running = processor.start_all_users();
    let mut outcomes = running.outcomes();
    for entity in 1..=40 {
        note(entity).enqueue_update().on(&store).await.unwrap();
    }
    for _ in 3..=40 {
        let delivered = soon("a delivery", outcomes.next()).await;
        let Some(RunOutcome::Delivered { event }) = delivered else {
            panic!("{delivered:?}");
        };
        assert!(
            ![1.into(), 2.into()].contains(&event.entity_id),
            "{event:?}"
        );
    }
    let open = std::mem::take(&mut *open.lock().await);
    assert_eq!(open.len(), 2);
    for (entity_id, client) in open {
        let commits = entity_id == EntityId::from(1);
        let end = if commits { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(end).await.unwrap();
        let told = soon("the outcome", outcomes.next()).await;
        match (&told, commits) {
            (Some(RunOutcome::Delivered { event }), true) => {
                assert_eq!(event.entity_id, entity_id);
            }
            (Some(RunOutcome::Failed { event, message }), false) => {
                assert_eq!(event.entity_id, entity_id);
                assert!(message.contains("not committed"), "{message}");
                let again = soon("the next attempt", outcomes.next()).await;
                assert!(
                    matches!(again, Some(RunOutcome::Delivered { .. })),
                    "{again:?}"
                );
            }
            _ => panic!("{told:?} of {entity_id} in {schema}"),
        }
    }
    running.stop().await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().completed_count, 40);
}

#[tokio::test]
async fn an_event_is_superseded_in_the_same_transaction_or_neither_happens() {
    let (store, outbox, mut client, _) = app().await;
    let event = create(&store, 1).await;
    let known = create(&store, 2).await;
    let claimed = claim(&store).await;
    let tx = client.transaction().await.unwrap();
    let taken = note(9).enqueue_update().with_event_id(known.id);
    let refused = claimed.event.supersede_on(outbox.on(&tx), taken).await;
    assert!(
        matches!(refused, Err(CompleteError::Next { event_id, .. }) if event_id == event.id),
        "{refused:?}"
    );
    // The transaction can go on, and holds nothing of it.
    tx.commit().await.unwrap();
    assert_eq!(status(&store, &event).await, OutboxStatus::Processing);

    let tx = client.transaction().await.unwrap();
    let next = note(1).enqueue_update();
    let id = next.event_id();
    let superseded = claimed.event.supersede_on(outbox.on(&tx), next).await;
    assert_eq!(superseded.unwrap().event_id(), id);
    tx.commit().await.unwrap();
    assert_eq!(status(&store, &event).await, OutboxStatus::Completed);
    let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
    let ids: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    assert_eq!(ids, [known.id, id]);
}

#[tokio::test]
async fn a_lost_lease_is_refused_and_the_transaction_goes_on() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    let (outbox, mut client) = (store.outbox(), connect().await);
    let event = create(&store, 1).await;
    let late = claim(&store).await;
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap().requeued, 1);
    let claimed = claim(&store).await;
    let tx = client.transaction().await.unwrap();
    let refused = late.event.complete_on(outbox.on(&tx)).await;
    assert!(
        matches!(refused, Err(CompleteError::LeaseLost { event_id }) if event_id == event.id),
        "{refused:?}"
    );
    tx.commit().await.unwrap();
    assert_eq!(status(&store, &event).await, OutboxStatus::Processing);
    // Without a transaction, it is completed at once.
    claimed.event.complete_on(outbox.on(&client)).await.unwrap();
    assert_eq!(status(&store, &event).await, OutboxStatus::Completed);
}

#[tokio::test]
async fn a_run_tells_of_the_delivery_once_and_goes_on_with_the_lane() {
    let (store, outbox, client, _) = app().await;
    let client = std::sync::Arc::new(tokio::sync::Mutex::new(client));
    let handle = move |event: Event<Note>| {
        let (client, outbox) = (std::sync::Arc::clone(&client), outbox.clone());
        async move {
            let mut client = client.lock().await;
            let tx = client.transaction().await.or_retry()?;
            event.complete_on(outbox.on(&tx)).await?;
            // The first attempt at each event forgets its commit.
            if event.attempt_count > 1 {
                tx.commit().await.or_retry()?;
            }
            Ok(())
        }
    };
    let processor = Processor::builder(store.clone())
        .handle(handle)
        .retry(outbox_runtime::RetryPolicy::new([Duration::from_millis(1)]))
        .build()
        .unwrap();
    let running = processor.start_all_users();
    let mut outcomes = running.outcomes();
    for _ in 0..3 {
        note(1).enqueue_update().on(&store).await.unwrap();
    }
    for _ in 0..3 {
        let failed = soon("a failure", outcomes.next()).await;
        assert!(
            matches!(&failed, Some(RunOutcome::Failed { message, .. }) if message.contains("not committed")),
            "{failed:?}"
        );
        let delivered = soon("a delivery", outcomes.next()).await;
        assert!(
            matches!(delivered, Some(RunOutcome::Delivered { .. })),
            "{delivered:?}"
        );
    }
    let flushed = running.flush(1, LEASE).await.unwrap();
    assert_eq!(flushed, Flushed::Delivered);
    running.stop().await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().completed_count, 3);
}
