//! A caller's transaction that read before it wrote, and can no longer write, gets an error with
//! the remedy: repeat it from the start with BEGIN IMMEDIATE.

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{Connection, TransactionBehavior};
use outbox_runtime::{EnqueueError, StoreErrorKind, enqueue_all};
use outbox_tests::{Temporary, note};

/// Coalesces, so that enqueueing reads before it writes.
#[derive(Debug, Clone, OutboxEntity, serde::Serialize, serde::Deserialize)]
#[outbox(event_type = "draft", snapshot, coalesce = "latest")]
struct Draft {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn draft(id: i64) -> Draft {
    Draft {
        id,
        user_id: "u1".to_owned(),
    }
}

/// Every way to enqueue on a caller's connection.
type Way = fn(&Connection) -> Result<(), EnqueueError>;
const WAYS: &[(&str, Way)] = &[
    ("one", |conn| note(1).enqueue_sync().on(conn).map(drop)),
    ("a folding one", |conn| {
        draft(1).enqueue_update().on(conn).map(drop)
    }),
    ("many", |conn| {
        enqueue_all(&[note(1), note(2)]).on(conn).map(drop)
    }),
    ("many folding ones", |conn| {
        enqueue_all(&[draft(1), draft(2)]).on(conn).map(drop)
    }),
];

fn count(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM outbox_events", [], |row| row.get(0))
        .unwrap()
}

fn assert_stale(error: &EnqueueError, what: &str) {
    assert!(error.needs_new_transaction(), "{what}: {error:?}");
    assert!(error.is_transient(), "{what}");
    assert!(!error.outcome_unknown(), "{what}");
    let EnqueueError::Store(error) = error else {
        panic!("{what}: {error:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::StaleTransaction, "{what}");
    let text = error.to_string();
    assert!(text.contains("BEGIN IMMEDIATE"), "{what}: {text}");
    assert!(!text.contains("busy timeout"), "{what}: {text}");
}

#[tokio::test]
async fn a_stale_transaction_must_be_repeated_with_begin_immediate() {
    for (what, enqueue) in WAYS {
        let temporary = Temporary::open().await;
        let mut conn = temporary.connect();
        let tx = conn.transaction().unwrap();
        let before = count(&tx);
        note(100).enqueue_sync().on(&temporary.store).await.unwrap();
        for _ in 0..2 {
            assert_stale(&enqueue(&tx).unwrap_err(), what);
        }
        tx.rollback().unwrap();
        let mut tx = conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        assert_eq!(count(&tx), before + 1);
        let savepoint = tx.savepoint().unwrap();
        enqueue(&savepoint).unwrap();
        savepoint.commit().unwrap();
        tx.commit().unwrap();
        assert!(count(&conn) > before + 1, "{what}");
    }
}

#[tokio::test]
async fn a_transaction_that_read_during_another_write_must_be_repeated_too() {
    for (what, enqueue) in WAYS {
        let temporary = Temporary::open().await;
        let other = temporary.connect();
        let mut conn = temporary.connect();
        conn.busy_timeout(Duration::from_millis(1)).unwrap();
        let mut tx = conn.transaction().unwrap();
        count(&tx);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_stale(&enqueue(&tx).unwrap_err(), what);
        let savepoint = tx.savepoint().unwrap();
        assert_stale(&enqueue(&savepoint).unwrap_err(), what);
        drop(savepoint);
        tx.rollback().unwrap();
        other.execute_batch("ROLLBACK").unwrap();
    }
}

/// The control: without a transaction of the caller, waiting longer helps.
#[tokio::test]
async fn without_a_callers_transaction_waiting_for_the_lock_helps() {
    for (what, enqueue) in WAYS {
        let temporary = Temporary::open().await;
        let other = temporary.connect();
        let conn = temporary.connect();
        conn.busy_timeout(Duration::from_millis(1)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = enqueue(&conn).unwrap_err();
        assert!(error.is_transient(), "{what}: {error:?}");
        assert!(!error.needs_new_transaction(), "{what}: {error:?}");
        assert!(
            error.to_string().contains("busy timeout"),
            "{what}: {error}"
        );
        assert!(
            error.to_string().contains("enqueue on that transaction"),
            "{what}: {error}"
        );
        other.execute_batch("ROLLBACK").unwrap();
        enqueue(&conn).unwrap();
    }
}
