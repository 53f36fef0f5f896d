//! How the store opens its connections: the application's `on_connect` runs first, unbounded
//! settings do no harm, and a path need not be UTF-8.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{Connection, OptionalExtension as _};
use outbox_runtime::store::SqliteStoreBuilder;
use outbox_runtime::{EnqueueError, StoreErrorKind};
use outbox_tests::{Temporary, foreign_insert, note, start, within};

/// An `on_connect` hook that counts connections, and fails if it runs twice on one: a temporary
/// table must be new.
fn mark(conn: &Connection, opened: &AtomicUsize) -> outbox_runtime::rusqlite::Result<()> {
    conn.execute_batch("PRAGMA cache_size = 77; CREATE TEMP TABLE marked (x)")?;
    opened.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn cache_size(store: &SqliteStore) -> i64 {
    store
        .transaction(|tx| Ok(tx.query_row("PRAGMA cache_size", [], |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn on_connect_runs_on_every_connection_of_the_store() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let temporary =
        Temporary::open_with(|builder| builder.on_connect(move |conn| mark(conn, &counted))).await;
    let store = &temporary.store;
    assert_eq!(opened.load(Ordering::Relaxed), 2, "a writer and a reader");
    assert_eq!(cache_size(store).await, 77);
    store.suspend().await.unwrap();
    store.resume().await.unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 4, "after a suspension");
    assert_eq!(cache_size(store).await, 77);
}

#[tokio::test]
async fn on_connect_runs_again_when_a_connection_is_reopened_after_a_failure() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    // Simulates a full disk: each connection of the store limits the size of the file.
    let temporary = Temporary::open_with(|builder| {
        builder.on_connect(move |conn| {
            mark(conn, &counted)?;
            conn.query_row("PRAGMA max_page_count = 60", [], |_| Ok(()))
        })
    })
    .await;
    let store = &temporary.store;
    let mut large = note(1);
    large.text = "x".repeat(500_000);
    let error = large.enqueue_sync().on(store).await.unwrap_err();
    let EnqueueError::Store(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::StorageFull);
    assert!(!error.outcome_unknown(), "{error}");
    note(2).enqueue_sync().on(store).await.unwrap();
    assert_eq!(cache_size(store).await, 77);
    let before = opened.load(Ordering::Relaxed);
    assert_eq!(before, 3, "the writer reconnected");
    // The new connection has the limit again.
    large.enqueue_sync().on(store).await.unwrap_err();
}

#[tokio::test]
async fn an_error_of_on_connect_is_an_error_of_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let refused = SqliteStore::builder(&path)
        .on_connect(|conn| conn.execute_batch("PRAGMA cache_size = 1; SELECT no_such_function()"))
        .open()
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no_such_function"),
        "{refused}"
    );
    assert!(refused.to_string().contains("app.db"), "{refused}");
    // Including the reader's.
    let count = AtomicUsize::new(0);
    let refused = SqliteStore::builder(&path)
        .on_connect(move |conn| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(()),
            _ => conn.execute_batch("SELECT no_such_function()"),
        })
        .open()
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no_such_function"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_content_of_on_connect_is_never_shown() {
    let builder = SqliteStore::builder("app.db")
        .on_connect(|conn| conn.pragma_update(None, "cache_size", 4_711));
    assert!(!format!("{builder:?}").contains("4711"));
    let temporary = Temporary::open_with(|builder: SqliteStoreBuilder| {
        builder
            .count_statements()
            .on_connect(|conn| conn.pragma_update(None, "cache_size", 4_711))
    })
    .await;
    assert!(!format!("{:?}", temporary.store).contains("4711"));
    let texts = temporary.store.statements().texts();
    assert!(texts.iter().all(|text| !text.contains("4711")), "{texts:?}");
}

#[tokio::test]
async fn settings_of_any_size_work() {
    for (bound, timeout) in [
        (usize::MAX, Duration::MAX),
        (usize::MAX - 1, Duration::from_secs(u64::MAX)),
        (usize::MAX / 2, Duration::from_millis(1 << 31)),
        (0, Duration::ZERO),
        (1, Duration::from_nanos(1)),
    ] {
        let temporary =
            Temporary::open_with(|builder| builder.queue_bound(bound).busy_timeout(timeout)).await;
        let store = &temporary.store;
        note(1).enqueue_sync().on(store).await.unwrap();
        store.transaction(|_| Ok(())).await.unwrap();
        assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
        store.suspend().await.unwrap();
        store.resume().await.unwrap();
        note(2).enqueue_sync().on(store).await.unwrap();
    }
}

/// A folder for a database, with a name that is not UTF-8; `None` if the file system refuses the
/// name.
#[cfg(unix)]
fn strange_folder(inside: &tempfile::TempDir) -> Option<PathBuf> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = inside.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).is_ok().then_some(folder)
}

#[cfg(not(unix))]
fn strange_folder(_: &tempfile::TempDir) -> Option<PathBuf> {
    None
}

#[tokio::test]
async fn commits_of_others_are_noticed_in_a_non_utf8_folder() {
    let outside = tempfile::tempdir().unwrap();
    let Some(folder) = strange_folder(&outside) else {
        return;
    };
    let path = folder.join("app.db");
    // `single_process` turns the file watch off, except for events enqueued on other connections of
    // this process.
    let store = SqliteStore::builder(&path)
        .single_process()
        .open()
        .await
        .unwrap();
    let (mut remote, running) = start(&store);
    let conn = Connection::open(&path).unwrap();
    for id in [1, 2] {
        note(id).enqueue_sync().on(&conn).unwrap();
        let call = remote.next().await;
        assert_eq!(call.id(), id);
        call.ok();
    }
    running.stop().await.unwrap();
    store.close().await;

    // Writes of other programs are noticed by the log file.
    let store = SqliteStore::open(&path).await.unwrap();
    let (mut remote, running) = start(&store);
    assert!(remote.is_quiet());
    let event = note(3).enqueue_sync().into_event().unwrap();
    let (sql, params) = foreign_insert(&event);
    conn.execute(sql, params).unwrap();
    let call = remote.next().await;
    assert_eq!(call.id(), 3);
    call.ok();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn stores_in_non_utf8_folders_are_distinguished() {
    let outside = tempfile::tempdir().unwrap();
    let Some(folder) = strange_folder(&outside) else {
        return;
    };
    let one = SqliteStore::open(folder.join("one.db")).await.unwrap();
    let two = SqliteStore::open(folder.join("two.db")).await.unwrap();
    let handle = tokio::runtime::Handle::current();
    // Waiting for another store inside a transaction is allowed.
    let inner = two.clone();
    let outer = one.transaction(move |tx| {
        handle.block_on(note(1).enqueue_sync().on(&inner))?;
        Ok(note(1).enqueue_sync().on(tx).map(drop)?)
    });
    within(outer).await.unwrap();
    let error = Connection::open(folder.join("three.db"))
        .map(|conn| note(1).enqueue_sync().on(&conn).unwrap_err())
        .unwrap();
    assert!(error.to_string().contains("three.db"), "{error}");
    let count = Connection::open(folder.join("two.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM outbox_events", [], |row| {
            row.get::<_, i64>(0)
        })
        .optional()
        .unwrap();
    assert_eq!(count, Some(1));
}

/// Writes delivered events by SQL, which nobody has counted.
fn fill(conn: &Connection, count: u32) {
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO outbox_events (status, slot, lane, operation, max_attempts, created_at, next_attempt_at,
             completed_at, id, user_id, entity_id, event_type, metadata)
         SELECT 2, NULL, NULL, 1, 5, 1700000000000000 + i, 1700000000000000, 1700000001000000, randomblob(16),
             'ann', i, 'meal', '{}' FROM n",
        [count],
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_count_holds_up_no_other_question() {
    const MANY: u32 = 70_000;
    let opened = Arc::new(AtomicUsize::new(0));
    // The third connection, of the long count, waits for the end of this channel.
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let (counted, gate) = (Arc::clone(&opened), std::sync::Mutex::new(gate));
    let temporary = Temporary::open_with(|builder| {
        builder.on_connect(move |_| {
            if counted.fetch_add(1, Ordering::SeqCst) == 2 {
                let _ = gate.lock().unwrap().recv();
            }
            Ok(())
        })
    })
    .await;
    fill(&temporary.connect(), MANY);
    let store = temporary.store.clone();
    let counting = tokio::spawn(async move { store.statistics(None).await });
    within(async {
        while opened.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        let paused = temporary.store.paused().await.unwrap();
        assert!(paused.is_empty(), "another question is answered");
    })
    .await;
    assert!(!counting.is_finished());
    drop(release);
    let statistics = within(counting).await.unwrap().unwrap();
    assert_eq!(statistics.completed_count, u64::from(MANY));
    // The end of the store waits for the connection of long counts, and a suspension closes it.
    within(temporary.store.suspend()).await.unwrap();
    within(temporary.store.resume()).await.unwrap();
    let again = within(temporary.store.statistics(None)).await.unwrap();
    assert_eq!(again, statistics);
    within(temporary.store.close()).await;
}
