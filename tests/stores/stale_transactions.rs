//! A transaction of the caller's that read before it wrote, and cannot write any more, says what
//! helps: to repeat all of it, begun with BEGIN IMMEDIATE.

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

/// Every way to enqueue on a connection of the caller's.
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
async fn a_transaction_that_read_what_has_changed_since_must_be_repeated_as_an_immediate_one() {
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
async fn a_transaction_that_read_while_another_writes_must_be_repeated_too() {
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

/// The control: where no transaction of the caller's is open, waiting longer does help.
#[tokio::test]
async fn without_a_transaction_of_the_callers_a_lock_is_a_matter_of_waiting() {
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
        other.execute_batch("ROLLBACK").unwrap();
        enqueue(&conn).unwrap();
    }
}
