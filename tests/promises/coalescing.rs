//! Promises 1 to 3 for coalescing events: many unsent changes of one entity become one request,
//! folding is part of the enqueueing transaction, and it never changes what the remote service may
//! have seen.

use std::borrow::Cow;
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Settled, Settlement};
use outbox_runtime::support::EntityOptions;
use outbox_runtime::{
    Clock, Coalesce, DeadReason, Enqueued, NewEvent, Processor, RawMetadata, WaitsFor,
};
use outbox_tests::{Remote, Temporary, enqueue, foreign_insert, on_each_store};

const SOON: Duration = Duration::from_secs(30);

/// An entity of which only the latest state matters.
#[derive(Debug, Clone)]
struct Draft {
    id: i64,
    text: String,
}

impl OutboxEntity for Draft {
    type Metadata = String;

    const EVENT_TYPE: &'static str = "draft";
    const OPTIONS: EntityOptions = EntityOptions::new("draft").with_coalesce(Coalesce::Latest);

    fn entity_id(&self) -> EntityId {
        self.id.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&self.text)
    }
}

/// A change of draft 1.
fn change(operation: Operation, text: impl ToString) -> Enqueue {
    let text = text.to_string();
    Enqueue::new(&Draft { id: 1, text }, operation)
}

fn update(text: impl ToString) -> Enqueue {
    change(Operation::Update, text)
}

async fn texts(store: &SqliteStore) -> Vec<String> {
    let pending = store.fetch_pending_events(None, None).await.unwrap();
    let text = |event: &OutboxEvent| event.metadata.as_ref().unwrap().decode().unwrap();
    pending.iter().map(text).collect()
}

#[test]
fn two_hundred_offline_edits_of_one_entity_become_one_request() {
    on_each_store(|store, _| async move {
        let first = enqueue(&store, change(Operation::Create, 0)).await;
        for edit in 1..=200 {
            enqueue(&store, update(edit)).await;
        }
        let (mut remote, handlers) = Remote::of::<Draft>();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        // Without a free slot, the run claims nothing during the request. A store may fold nothing
        // into an event that a claim looks at in the same moment.
        let processor = processor.max_concurrency(1);
        let running = processor.build().unwrap().start("u1");
        let call = remote.next().await;
        assert_eq!(
            call.event.id, first.id,
            "the idempotency key is that of the first event"
        );
        assert_eq!(call.event.operation, Operation::Create);
        let text: String = call.event.metadata.as_ref().unwrap().decode().unwrap();
        assert_eq!(text, "200");
        // Changes during the request become one further request.
        for edit in 201..=210 {
            enqueue(&store, update(edit)).await;
        }
        assert!(remote.is_quiet());
        call.ok();
        let call = remote.next().await;
        assert_ne!(call.event.id, first.id);
        assert_eq!(call.event.operation, Operation::Update);
        let text: String = call.event.metadata.as_ref().unwrap().decode().unwrap();
        assert_eq!(text, "210");
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        assert!(remote.is_quiet());
        assert_eq!(store.statistics(None).await.unwrap().total_events, 2);
        running.stop().await.unwrap();
    });
}

#[test]
fn an_entity_created_and_deleted_before_the_first_attempt_is_never_sent() {
    on_each_store(|store, _| async move {
        enqueue(&store, change(Operation::Create, "a")).await;
        enqueue(&store, update("b")).await;
        enqueue(&store, change(Operation::Delete, "b")).await;
        let (mut remote, handlers) = Remote::of::<Draft>();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u1");
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        let explanation = running.explain(1).await.unwrap();
        assert_eq!(explanation.waits_for, WaitsFor::Nothing);
        running.stop().await.unwrap();
        assert!(remote.is_quiet());
    });
}

#[test]
fn an_event_given_back_keeps_its_content_under_its_key() {
    on_each_store(|store, clock| async move {
        enqueue(&store, update("sent")).await;
        let (mut remote, handlers) = Remote::of::<Draft>();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u1");
        let call = remote.next().await;
        let key = call.event.id;
        let again = outbox_runtime::Clock::now(&clock) + Duration::from_secs(7);
        call.fail(HandlerError::snooze(Duration::from_secs(7)));
        outbox_tests::within(clock.until_asleep(again)).await;
        enqueue(&store, update("newer")).await;
        clock.set(again);
        for (is_first, expected) in [(true, "sent"), (false, "newer")] {
            let call = remote.next().await;
            assert_eq!(call.event.id == key, is_first);
            let text: String = call.event.metadata.as_ref().unwrap().decode().unwrap();
            assert_eq!(text, expected);
            call.ok();
        }
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn two_hundred_edits_in_the_callers_transactions_are_one_event() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let first = update(0);
    let into = first.event_id();
    assert_eq!(first.on(&conn).unwrap(), Enqueued::New(into));
    for edit in 1..=100 {
        let tx = conn.transaction().unwrap();
        for text in [edit * 2 - 1, edit * 2] {
            let change = update(text);
            let event_id = change.event_id();
            let enqueued = change.on(&tx).unwrap();
            assert_eq!(enqueued, Enqueued::Folded { event_id, into });
            assert_eq!(
                (enqueued.event_id(), enqueued.carried_by()),
                (event_id, into)
            );
        }
        tx.commit().unwrap();
    }
    let store = &temporary.store;
    assert_eq!(texts(store).await, ["200"]);
    // The same in store transactions, on the store, and on a connection without a transaction.
    store
        .transaction(|tx| Ok(update("transaction").on(tx)?))
        .await
        .unwrap();
    assert_eq!(texts(store).await, ["transaction"]);
    update("store").on(store).await.unwrap();
    assert_eq!(texts(store).await, ["store"]);
    update("connection").on(&conn).unwrap();
    assert_eq!(texts(store).await, ["connection"]);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_folds_nothing() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let store = &temporary.store;
    enqueue(store, update("kept")).await;
    let lost = update("lost");
    let event_id = lost.event_id();
    let tx = conn.transaction().unwrap();
    assert!(matches!(lost.on(&tx).unwrap(), Enqueued::Folded { .. }));
    change(Operation::Delete, "lost").on(&tx).unwrap();
    tx.rollback().unwrap();
    assert_eq!(texts(store).await, ["kept"]);
    let mut tx = conn.transaction().unwrap();
    let savepoint = tx.savepoint().unwrap();
    update("lost").on(&savepoint).unwrap();
    drop(savepoint);
    tx.commit().unwrap();
    assert_eq!(texts(store).await, ["kept"]);
    // The rolled-back event leaves no trace: its id may be used for other content.
    let again = update("again").with_event_id(event_id).on(&conn).unwrap();
    assert!(matches!(again, Enqueued::Folded { .. }), "{again:?}");
    assert_eq!(texts(store).await, ["again"]);
}

#[tokio::test]
async fn a_fold_that_fails_half_way_leaves_the_waiting_event_as_it_was() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let store = &temporary.store;
    enqueue(store, update("kept")).await;
    conn.execute_batch(
        "CREATE TRIGGER no_edits BEFORE UPDATE OF metadata ON outbox_events
         BEGIN SELECT RAISE(FAIL, 'injected by the test'); END",
    )
    .unwrap();
    let newer = update("newer");
    let event_id = newer.event_id();
    let tx = conn.transaction().unwrap();
    let refused = newer.on(&tx).unwrap_err();
    assert!(
        refused.to_string().contains("injected by the test"),
        "{refused}"
    );
    // A caller that ignores the error commits none of it.
    tx.commit().unwrap();
    update("newer")
        .with_event_id(event_id)
        .on(&conn)
        .unwrap_err();
    assert!(conn.is_autocommit(), "no transaction is left open");
    conn.execute_batch("DROP TRIGGER no_edits").unwrap();
    assert_eq!(texts(store).await, ["kept"]);
    update("newer").with_event_id(event_id).on(&conn).unwrap();
    assert_eq!(texts(store).await, ["newer"]);
}

/// Signaled by a connection that waits for the lock.
static WAITS: OnceLock<Mutex<mpsc::Sender<()>>> = OnceLock::new();

fn signal_wait(_: i32) -> bool {
    if let Some(sender) = WAITS.get() {
        let _ = sender.lock().unwrap().send(());
    }
    true
}

#[tokio::test]
async fn a_fold_sees_what_another_connection_committed_during_the_wait() {
    let temporary = Temporary::open().await;
    let (sender, waits) = mpsc::channel();
    WAITS.set(Mutex::new(sender)).unwrap();
    let first = temporary.connect();
    first.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut second = temporary.connect();
    second.busy_handler(Some(signal_wait)).unwrap();
    let second = std::thread::spawn(move || update("second").on(&second).unwrap());
    waits.recv_timeout(SOON).unwrap();
    update("first").on(&first).unwrap();
    first.execute_batch("COMMIT").unwrap();
    let enqueued = second.join().unwrap();
    assert!(matches!(enqueued, Enqueued::Folded { .. }), "{enqueued:?}");
    assert_eq!(texts(&temporary.store).await, ["second"]);
}

/// Operations left to send after draft 1 is created, changed and deleted.
async fn recreated_and_deleted(store: &dyn OutboxRepository) -> Vec<Operation> {
    enqueue(store, change(Operation::Create, "again")).await;
    enqueue(store, change(Operation::Update, "and changed")).await;
    enqueue(store, change(Operation::Delete, "gone")).await;
    let left = store.fetch_pending_events(None, None).await.unwrap();
    left.iter().map(|event| event.operation).collect()
}

const BOTH: [Operation; 2] = [Operation::Create, Operation::Delete];

async fn claim_one(store: &dyn OutboxRepository) -> Claim {
    let claims = store.claim(&ClaimRequest::new(1, SOON)).await.unwrap();
    claims.into_iter().next().unwrap()
}

async fn settle(store: &dyn OutboxRepository, claim: &Claim, disposition: Disposition) {
    let lease = claim.lease;
    let settled = store.settle(vec![Settlement { lease, disposition }]).await;
    assert_eq!(settled.unwrap(), [Settled::Recorded]);
}

#[test]
fn a_deletion_is_sent_after_a_delivered_creation() {
    on_each_store(|store, _| async move {
        enqueue(&*store, change(Operation::Create, "first")).await;
        let claim = claim_one(&*store).await;
        settle(&*store, &claim, Disposition::Complete).await;
        assert_eq!(recreated_and_deleted(&*store).await, BOTH);
    });
}

#[test]
fn a_deletion_is_sent_after_the_delivered_creation_was_cleaned_up_or_deleted() {
    for cleaned_up in [true, false] {
        on_each_store(|store, clock| async move {
            let first = enqueue(&*store, change(Operation::Create, "first")).await;
            let claim = claim_one(&*store).await;
            settle(&*store, &claim, Disposition::Complete).await;
            clock.advance(SOON);
            let gone = match cleaned_up {
                true => store.delete_completed_events(clock.now()).await.unwrap() == 1,
                false => store.delete_event(first.id).await.unwrap(),
            };
            assert!(gone);
            assert_eq!(recreated_and_deleted(&*store).await, BOTH);
        });
    }
}

#[test]
fn a_deletion_is_sent_after_the_events_were_deleted_or_reassigned() {
    for reassigned in [true, false] {
        on_each_store(|store, _| async move {
            enqueue(&*store, change(Operation::Create, "first")).await;
            let claim = claim_one(&*store).await;
            settle(&*store, &claim, Disposition::Complete).await;
            if reassigned {
                store.reassign_user("u1", "u2").await.unwrap();
            } else {
                store.delete_all_events_for_user("u1").await.unwrap();
            }
            assert_eq!(recreated_and_deleted(&*store).await, BOTH);
        });
    }
}

#[test]
fn a_deletion_is_sent_for_the_new_owner_of_delivered_events() {
    on_each_store(|store, _| async move {
        let of_other =
            |operation| NewEvent::new("draft", 1, "u0", operation).with_coalesce(Coalesce::Latest);
        let first = store
            .create_event(of_other(Operation::Create))
            .await
            .unwrap();
        let claim = claim_one(&*store).await;
        settle(&*store, &claim, Disposition::Complete).await;
        assert!(store.delete_event(first.id).await.unwrap());
        store.reassign_user("u0", "u1").await.unwrap();
        assert_eq!(recreated_and_deleted(&*store).await, BOTH);
    });
}

#[test]
fn a_deletion_is_sent_while_an_earlier_creation_is_leased_dead_or_waiting() {
    let dead = |reason| Disposition::Bury {
        reason,
        message: "no".to_owned(),
    };
    for disposition in [None, Some(dead(DeadReason::AttemptsExhausted))] {
        on_each_store(|store, _| {
            let disposition = disposition.clone();
            async move {
                enqueue(&*store, change(Operation::Create, "first")).await;
                let claim = claim_one(&*store).await;
                if let Some(disposition) = disposition {
                    settle(&*store, &claim, disposition).await;
                }
                let left = recreated_and_deleted(&*store).await;
                assert_eq!(left, BOTH);
            }
        });
    }
    on_each_store(|store, _| async move {
        enqueue(&*store, change(Operation::Create, "first")).await;
        let left = recreated_and_deleted(&*store).await;
        let create = Operation::Create;
        assert_eq!(left, [create, create, Operation::Delete]);
    });
}

#[test]
fn a_creation_and_its_deletion_cancel_out_repeatedly() {
    on_each_store(|store, _| async move {
        for _ in 0..3 {
            assert_eq!(recreated_and_deleted(&*store).await, []);
        }
        // Events of other users, delivered and cleaned up, have no effect.
        let other = NewEvent::new("draft", 1, "somebody", Operation::Create);
        let other = store.create_event(other).await.unwrap();
        let claim = claim_one(&*store).await;
        settle(&*store, &claim, Disposition::Complete).await;
        assert!(store.delete_event(other.id).await.unwrap());
        assert_eq!(recreated_and_deleted(&*store).await, []);
    });
}

#[tokio::test]
async fn a_deletion_is_sent_after_sql_deleted_the_delivered_creation() {
    let made = Temporary::open().await;
    enqueue(&made.store, change(Operation::Create, "first")).await;
    let claim = claim_one(&made.store).await;
    settle(&made.store, &claim, Disposition::Complete).await;
    made.connect()
        .execute("DELETE FROM outbox_events", [])
        .unwrap();
    assert_eq!(recreated_and_deleted(&made.store).await, BOTH);
}

#[tokio::test]
async fn repeating_a_cancelled_creation_or_its_deletion_reports_the_same_result() {
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    let create = change(Operation::Create, "a").on(&conn).unwrap().event_id();
    let delete = change(Operation::Delete, "a");
    let event_id = delete.event_id();
    let cancelled = Enqueued::Cancelled { event_id, create };
    assert_eq!(delete.on(&conn).unwrap(), cancelled);
    let again = change(Operation::Delete, "a").with_event_id(event_id);
    assert_eq!(again.on(&conn).unwrap(), cancelled);
    let again = change(Operation::Create, "a").with_event_id(create);
    assert_eq!(again.on(&conn).unwrap(), Enqueued::AlreadyThere(create));
}

fn run_by_an_unknown_driver(conn: &Connection, change: Enqueue) -> usize {
    let event = change.into_event().unwrap();
    let (sql, values) = foreign_insert(&event);
    conn.execute(sql, values).unwrap()
}

#[tokio::test]
async fn the_insert_for_unknown_drivers_folds_nothing_and_loses_nothing() {
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    update("a").on(&conn).unwrap();
    let folded = update("b");
    let event_id = folded.event_id();
    folded.on(&conn).unwrap();
    assert_eq!(run_by_an_unknown_driver(&conn, update("c")), 1);
    assert_eq!(texts(&temporary.store).await, ["b", "c"]);
    // An event folded earlier does not come back.
    let again = update("b").with_event_id(event_id);
    assert_eq!(run_by_an_unknown_driver(&conn, again), 0);
    assert_eq!(texts(&temporary.store).await, ["b", "c"]);
}
