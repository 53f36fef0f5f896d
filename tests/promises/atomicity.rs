//! Promise 1: an event exists if and only if the transaction that enqueued it committed.

use std::process::Command;

use outbox_runtime::prelude::*;
use outbox_runtime::{
    Clock, Enqueue, EnqueueError, Enqueued, SqliteStore, StoreErrorKind, TransactionError,
};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, foreign_insert, note};

async fn count(store: &SqliteStore) -> u64 {
    store.statistics(None).await.unwrap().total_events
}

fn notes(conn: &outbox_runtime::rusqlite::Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM note", [], |row| row.get(0))
        .unwrap()
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";

#[tokio::test]
async fn a_committed_transaction_of_the_caller_leaves_exactly_one_event() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    conn.execute_batch(TABLE).unwrap();
    let tx = conn.transaction().unwrap();
    tx.execute("INSERT INTO note VALUES (1, 'x')", []).unwrap();
    let change = note(1).enqueue_sync();
    let id = change.event_id();
    assert_eq!(change.on(&tx).unwrap(), Enqueued::New(id));
    assert_eq!(
        count(&temporary.store).await,
        0,
        "the event is invisible before the commit"
    );
    tx.commit().unwrap();
    assert_eq!(count(&temporary.store).await, 1);
    let event = temporary.store.fetch_event(id).await.unwrap().unwrap();
    assert_eq!(
        event.metadata.unwrap().as_str(),
        Some(r#"{"text":"note 1"}"#)
    );
}

#[tokio::test]
async fn a_rolled_back_transaction_of_the_caller_leaves_no_event() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let tx = conn.transaction().unwrap();
    note(1).enqueue_sync().on(&tx).unwrap();
    tx.rollback().unwrap();
    let tx = conn.transaction().unwrap();
    note(1).enqueue_sync().on(&tx).unwrap();
    drop(tx);
    assert_eq!(count(&temporary.store).await, 0);
}

#[tokio::test]
async fn a_rolled_back_savepoint_removes_only_its_own_event() {
    let temporary = Temporary::open().await;
    let mut conn = temporary.connect();
    let mut tx = conn.transaction().unwrap();
    note(1).enqueue_sync().on(&tx).unwrap();
    {
        let savepoint = tx.savepoint().unwrap();
        note(1).enqueue_update().on(&savepoint).unwrap();
    }
    let savepoint = tx.savepoint().unwrap();
    note(2).enqueue_sync().on(&savepoint).unwrap();
    savepoint.commit().unwrap();
    tx.commit().unwrap();
    let pending = temporary
        .store
        .fetch_pending_events(None, None)
        .await
        .unwrap();
    let ids: Vec<_> = pending
        .iter()
        .filter_map(|event| event.entity_id.as_integer())
        .collect();
    assert_eq!(ids, [1, 2]);
    assert!(pending.iter().all(OutboxEvent::is_new_record));
}

#[tokio::test]
async fn a_connection_without_a_transaction_commits_at_once() {
    let temporary = Temporary::open().await;
    note(1).enqueue_sync().on(&temporary.connect()).unwrap();
    assert_eq!(count(&temporary.store).await, 1);
}

#[tokio::test]
async fn a_store_transaction_commits_entity_and_event_together_or_neither() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    store
        .transaction(|tx| {
            tx.execute_batch(TABLE)?;
            tx.execute("INSERT INTO note VALUES (1, 'x')", [])?;
            note(1).enqueue_sync().on(tx)?;
            Ok(())
        })
        .await
        .unwrap();
    let aborted = store
        .transaction::<(), _>(|tx| {
            tx.execute("INSERT INTO note VALUES (2, 'x')", [])?;
            note(2).enqueue_sync().on(tx)?;
            Err("the app changed its mind".into())
        })
        .await;
    assert!(
        matches!(&aborted, Err(TransactionError::Aborted(why)) if why.to_string().contains("changed its mind"))
    );
    let broken = store
        .transaction(|tx| {
            note(3).enqueue_sync().on(tx)?;
            tx.execute("INSERT INTO note VALUES (1, 'twice')", [])?;
            Ok(())
        })
        .await;
    assert!(matches!(broken, Err(TransactionError::Aborted(_))));
    assert_eq!((count(store).await, notes(&temporary.connect())), (1, 1));
}

#[tokio::test]
async fn transactions_that_wait_together_fail_alone() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    store
        .transaction(|tx| Ok(tx.execute_batch(TABLE)?))
        .await
        .unwrap();
    // Keeps the writer busy until all others wait.
    let gate = temporary.connect();
    gate.execute_batch("BEGIN IMMEDIATE").unwrap();
    let requests: Vec<_> = (0..20)
        .map(|id| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .transaction(move |tx| {
                        tx.execute("INSERT INTO note VALUES (?1, 'x')", [id])?;
                        note(id).enqueue_sync().on(tx)?;
                        if id % 2 == 1 {
                            Err("odd".into())
                        } else {
                            Ok(id)
                        }
                    })
                    .await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    gate.execute_batch("COMMIT").unwrap();
    for (id, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap().is_ok(), id % 2 == 0);
    }
    assert_eq!((count(store).await, notes(&temporary.connect())), (10, 10));
}

#[tokio::test]
async fn a_panic_in_a_transaction_is_rolled_back_and_passed_on() {
    let temporary = Temporary::open().await;
    let store = temporary.store.clone();
    let panicked = tokio::spawn(async move {
        store
            .transaction::<(), _>(|tx| {
                note(1).enqueue_sync().on(tx)?;
                panic!("a bug in the closure");
            })
            .await
    });
    let payload = panicked.await.unwrap_err().into_panic();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"a bug in the closure")
    );
    assert_eq!(count(&temporary.store).await, 0);
    note(2).enqueue_sync().on(&temporary.store).await.unwrap();
    assert_eq!(count(&temporary.store).await, 1, "the store still works");
}

/// The test runs itself in a child process, which dies at the point that this variable names.
const DIE_AT: &str = "OUTBOX_TEST_DIE_AT";

#[test]
fn a_crash_between_the_two_writes_or_before_the_commit_leaves_neither() {
    if let Ok(point) = std::env::var(DIE_AT) {
        die_at(&point);
    }
    for (point, expected) in [("between", 0), ("before commit", 0), ("after commit", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_crash_between_the_two_writes_or_before_the_commit_leaves_neither",
            ])
            .env(DIE_AT, point)
            .env("OUTBOX_TEST_DB", &path)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{point}: the child did not die");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = SqliteStore::open(&path).await.unwrap();
            let conn = outbox_runtime::rusqlite::Connection::open(&path).unwrap();
            assert_eq!(count(&store).await, expected, "events after dying {point}");
            assert_eq!(notes(&conn) as u64, expected, "notes after dying {point}");
        });
    }
}

fn die_at(point: &str) -> ! {
    let path = std::env::var("OUTBOX_TEST_DB").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let _store = SqliteStore::open(&path).await.unwrap();
        let mut conn = outbox_runtime::rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(TABLE).unwrap();
        let tx = conn.transaction().unwrap();
        tx.execute("INSERT INTO note VALUES (1, 'x')", []).unwrap();
        if point == "between" {
            std::process::abort();
        }
        note(1).enqueue_sync().on(&tx).unwrap();
        if point == "before commit" {
            std::process::abort();
        }
        tx.commit().unwrap();
        std::process::abort();
    })
}

#[tokio::test]
async fn enqueueing_again_after_an_unknown_outcome_is_harmless() {
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    let first = note(1).enqueue_sync();
    let id = first.event_id();
    first.on(&temporary.store).await.unwrap();
    let again = note(1).enqueue_sync().with_event_id(id).on(&conn).unwrap();
    assert_eq!(again, Enqueued::AlreadyThere(id));
    let mut changed = note(1);
    changed.text = "something else".to_owned();
    let refused = changed.enqueue_sync().with_event_id(id).on(&conn);
    assert!(matches!(refused, Err(EnqueueError::Conflict { event_id }) if event_id == id));
    assert_eq!(count(&temporary.store).await, 1);
}

#[tokio::test]
async fn an_event_has_the_time_of_the_store_clock_on_every_way_to_enqueue() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let in_transaction = note(1).enqueue_sync();
    let on_store = note(2).enqueue_sync();
    let on_connection = note(3).enqueue_sync();
    let ids = [&in_transaction, &on_store, &on_connection].map(Enqueue::event_id);
    on_store.on(&temporary.store).await.unwrap();
    on_connection.on(&temporary.connect()).unwrap();
    temporary
        .store
        .transaction(|tx| Ok(in_transaction.on(tx)?))
        .await
        .unwrap();
    for id in ids {
        let event = temporary.store.fetch_event(id).await.unwrap().unwrap();
        assert_eq!(
            (event.created_at, event.next_attempt_at),
            (clock.now(), clock.now())
        );
    }
}

#[tokio::test]
async fn a_connection_to_a_file_without_outbox_tables_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let conn = outbox_runtime::rusqlite::Connection::open(folder.path().join("other.db")).unwrap();
    match note(1).enqueue_sync().on(&conn) {
        Err(EnqueueError::Store(error)) => {
            assert_eq!(error.kind(), StoreErrorKind::NotInstalled);
            assert!(
                error.to_string().contains("open a `SqliteStore`"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_insert_for_unknown_drivers_writes_the_same_row() {
    let temporary = Temporary::open().await;
    let event = note(1).enqueue_sync().into_event().unwrap();
    let (sql, values) = foreign_insert(&event);
    let conn = temporary.connect();
    assert_eq!(conn.execute(sql, values.clone()).unwrap(), 1);
    assert_eq!(conn.execute(sql, values).unwrap(), 0);
    let stored = temporary
        .store
        .fetch_event(event.id())
        .await
        .unwrap()
        .unwrap();
    assert!(event.is_same_event(&stored));
    assert_eq!((stored.priority, stored.max_attempts), (5, 5));
}
