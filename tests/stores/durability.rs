//! Promise 2: what was acknowledged is on the medium.

use outbox_runtime::{Durability, enqueue_all, prelude::*};
use outbox_tests::{Temporary, note};

/// The settings of the store's own connection, queried on that connection.
async fn pragmas(store: &SqliteStore) -> (String, i64) {
    store
        .transaction(|tx| {
            let mode = tx.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
            let synchronous = tx.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
            Ok((mode, synchronous))
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_store_uses_wal_and_full_synchronization_by_default() {
    const FULL: i64 = 2;
    const NORMAL: i64 = 1;
    let temporary = Temporary::open().await;
    assert_eq!(pragmas(&temporary.store).await, ("wal".to_owned(), FULL));
    let normal = Temporary::open_with(|builder| builder.durability(Durability::Normal)).await;
    assert_eq!(pragmas(&normal.store).await, ("wal".to_owned(), NORMAL));
}

#[tokio::test]
async fn a_closed_store_is_one_complete_file() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    store
        .transaction(|tx| {
            for id in 0..3_000 {
                note(id).enqueue_sync().on(tx)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let wal = temporary.path.with_extension("db-wal");
    assert!(
        wal.exists(),
        "the control: the log exists while the store is open"
    );
    // The reader is busy long enough to close last.
    let (listed, ()) = tokio::join!(store.fetch_pending_events(None, None), store.close());
    assert_eq!(listed.unwrap().len(), 3_000);
    assert!(!wal.exists(), "the file is complete without its log");
}

#[tokio::test]
async fn the_pragmas_of_the_callers_own_connection_are_left_alone() {
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    conn.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA busy_timeout = 123; PRAGMA user_version = 7;",
    )
    .unwrap();
    note(1).enqueue_sync().on(&conn).unwrap();
    let ask = |pragma: &str| -> i64 {
        conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        (ask("synchronous"), ask("busy_timeout"), ask("user_version")),
        (0, 123, 7)
    );
}

#[tokio::test]
async fn the_wal_shrinks_again_after_a_long_reader() {
    // Twice the number of pages after which the log is checkpointed.
    const LIMIT: u64 = 2 * 4_000 * 4_096;
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let log = temporary.path.with_extension("db-wal");
    let length = || std::fs::metadata(&log).unwrap().len();

    let conn = temporary.connect();
    conn.execute_batch("BEGIN; SELECT count(*) FROM outbox_events;")
        .unwrap();
    let notes: Vec<_> = (0..2_000).map(note).collect();
    while length() <= LIMIT {
        enqueue_all(&notes).on(store).await.unwrap();
    }
    let held_up = length();
    conn.execute_batch("COMMIT").unwrap();

    // One commit to checkpoint everything, one that restarts the log.
    for id in 0..2 {
        note(id).enqueue_update().on(store).await.unwrap();
    }
    assert!(held_up > LIMIT);
    assert!(
        length() <= LIMIT,
        "{} bytes of {held_up} are left",
        length()
    );
}
