//! Acknowledged data is in the file at the store's path: after that file is deleted or replaced,
//! nothing is acknowledged and nothing is read, until the store is reopened.
#![cfg(unix)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{ClaimRequest, SqliteStoreBuilder};
use outbox_runtime::{
    EnqueueError, Health, StoreErrorKind, TransactionError, TroubleKind, enqueue_all,
};
use outbox_tests::{Temporary, note, start, within};

const SOON: Duration = Duration::from_secs(30);

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(end);
    path.into()
}

fn pending(path: &Path) -> i64 {
    Connection::open(path)
        .unwrap()
        .query_row("SELECT count(*) FROM outbox_events", [], |row| row.get(0))
        .unwrap()
}

/// Every operation is refused, and is known to have had no effect.
async fn assert_gone(store: &SqliteStore, what: &str) {
    let enqueued = note(90).enqueue_sync().on(store).await;
    let many = enqueue_all(&[note(91), note(92)]).on(store).await;
    for error in [enqueued.map(drop).unwrap_err(), many.map(drop).unwrap_err()] {
        let EnqueueError::Store(error) = error else {
            panic!("{what}: {error:?}");
        };
        assert_eq!(
            error.kind(),
            StoreErrorKind::FileReplaced,
            "{what}: {error}"
        );
        assert!(!error.outcome_unknown() && !error.is_transient(), "{what}");
        assert!(error.to_string().contains("app.db"), "{what}: {error}");
    }
    let done = store
        .transaction(|tx| Ok(note(93).enqueue_sync().on(tx).map(drop)?))
        .await;
    let Err(TransactionError::Store(error)) = done else {
        panic!("{what}: {done:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::FileReplaced, "{what}");
    let claimed = store
        .claim(&ClaimRequest::new(1, Duration::from_secs(60)))
        .await
        .map(drop);
    let told = store.statistics(None).await.map(drop);
    let listed = store.fetch_pending_events(None, None).await.map(drop);
    for refused in [claimed, told, listed] {
        assert_eq!(
            refused.unwrap_err().kind(),
            StoreErrorKind::FileReplaced,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_deleted_file_accepts_no_commit_and_answers_nothing() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    note(1).enqueue_sync().on(store).await.unwrap();
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&temporary.path, end)).unwrap();
    }
    assert_gone(store, "deleted").await;
    assert!(!temporary.path.exists(), "no new file is created");
    store.close().await;
    let again = SqliteStore::open(&temporary.path).await.unwrap();
    note(2).enqueue_sync().on(&again).await.unwrap();
    assert_eq!(again.statistics(None).await.unwrap().total_events, 1);
}

#[tokio::test]
async fn a_replaced_file_accepts_no_commit_and_the_new_one_is_left_alone() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    note(1).enqueue_sync().on(store).await.unwrap();
    let backup = temporary.path.with_file_name("backup.db");
    temporary
        .connect()
        .execute("VACUUM INTO ?1", [backup.to_str().unwrap()])
        .unwrap();
    note(2).enqueue_sync().on(store).await.unwrap();
    std::fs::remove_file(beside(&temporary.path, "-wal")).unwrap();
    std::fs::remove_file(beside(&temporary.path, "-shm")).unwrap();
    std::fs::rename(&backup, &temporary.path).unwrap();
    // Another program has the new file open, and has committed to it.
    let other = SqliteStore::open(&temporary.path).await.unwrap();
    note(3).enqueue_sync().on(&other).await.unwrap();
    assert_gone(store, "replaced").await;
    store.close().await;
    note(4).enqueue_sync().on(&other).await.unwrap();
    assert_eq!(pending(&temporary.path), 3, "1 from the copy, then 3 and 4");
    other.close().await;
    assert_eq!(pending(&temporary.path), 3);
}

#[tokio::test]
async fn a_store_with_a_deleted_wal_accepts_no_commit_and_loses_none() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    note(1).enqueue_sync().on(store).await.unwrap();
    std::fs::remove_file(beside(&temporary.path, "-wal")).unwrap();
    assert_gone(store, "without its log").await;
    store.close().await;
    let again = SqliteStore::open(&temporary.path).await.unwrap();
    assert_eq!(again.statistics(None).await.unwrap().total_events, 1);
    note(2).enqueue_sync().on(&again).await.unwrap();
}

#[tokio::test]
async fn a_moved_folder_accepts_no_commit_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (here, away) = (folder.path().join("here"), folder.path().join("away"));
    std::fs::create_dir(&here).unwrap();
    let store = SqliteStore::open(here.join("app.db")).await.unwrap();
    note(1).enqueue_sync().on(&store).await.unwrap();
    std::fs::rename(&here, &away).unwrap();
    assert_gone(&store, "moved").await;
    std::fs::rename(&away, &here).unwrap();
    note(2).enqueue_sync().on(&store).await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().total_events, 2);
    store.close().await;
    assert_eq!(pending(&here.join("app.db")), 2);
}

#[tokio::test]
async fn a_link_redirected_to_another_file_accepts_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("app.db");
    std::os::unix::fs::symlink(folder.path().join("one.db"), &link).unwrap();
    let store = SqliteStore::open(&link).await.unwrap();
    note(1).enqueue_sync().on(&store).await.unwrap();
    assert_eq!(pending(&link), 1, "a link works like a file");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(folder.path().join("two.db"), &link).unwrap();
    assert_gone(&store, "led elsewhere").await;
    assert!(!folder.path().join("two.db").exists());
}

#[tokio::test]
async fn files_may_be_replaced_while_the_store_is_suspended() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for id in [1, 2] {
        note(id).enqueue_sync().on(store).await.unwrap();
    }
    let backup = temporary.path.with_file_name("backup.db");
    temporary
        .connect()
        .execute("VACUUM INTO ?1", [backup.to_str().unwrap()])
        .unwrap();
    note(3).enqueue_sync().on(store).await.unwrap();
    store.suspend().await.unwrap();
    std::fs::rename(&backup, &temporary.path).unwrap();
    store.resume().await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().total_events, 2);
    note(4).enqueue_sync().on(store).await.unwrap();
    assert_eq!(pending(&temporary.path), 3);
    // A suspension also clears a loss that was noticed before.
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(beside(&temporary.path, end)).unwrap();
    }
    assert_gone(store, "deleted").await;
    store.suspend().await.unwrap();
    store.resume().await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    note(5).enqueue_sync().on(store).await.unwrap();
    assert_eq!(pending(&temporary.path), 1);
}

/// Ways to remove the file of an open store without notice.
fn remove_file_of(path: &Path, how: &str) {
    match how {
        "deleted" => {
            for end in ["", "-wal", "-shm"] {
                std::fs::remove_file(beside(path, end)).unwrap();
            }
        }
        "without its log" => std::fs::remove_file(beside(path, "-wal")).unwrap(),
        // The log stays as it is.
        _ => {
            let other = path.with_file_name("other.db");
            std::fs::write(&other, "another program's").unwrap();
            std::fs::rename(&other, path).unwrap();
        }
    }
}

async fn assert_ended(running: &Running, what: &str) {
    let error = within(running.ended()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        StoreErrorKind::FileReplaced,
        "{what}: {error}"
    );
    let Health::Ended { error: Some(why) } = running.health() else {
        panic!("{what}: {:?}", running.health());
    };
    assert!(why.contains("app.db"), "{what}: {why}");
}

#[tokio::test]
async fn a_run_whose_file_is_gone_ends_and_says_so() {
    for what in ["deleted", "without its log", "replaced"] {
        let temporary = Temporary::open().await;
        note(1).enqueue_sync().on(&temporary.store).await.unwrap();
        let (mut remote, running) = start(&temporary.store);
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        // The run is idle, and nobody queries the store.
        remove_file_of(&temporary.path, what);
        assert_ended(&running, what).await;
        let stopped = running.stop().await.unwrap();
        assert_eq!(stopped.given_back, 0, "no event was in flight");
    }
}

#[tokio::test]
async fn a_single_process_run_without_its_file_ends_at_its_next_request() {
    for what in ["deleted", "without its log", "replaced"] {
        let temporary = Temporary::open_with(SqliteStoreBuilder::single_process).await;
        let (_remote, running) = start(&temporary.store);
        remove_file_of(&temporary.path, what);
        note(1)
            .enqueue_sync()
            .on(&temporary.store)
            .await
            .unwrap_err();
        running.trigger();
        assert_ended(&running, what).await;
    }
}

#[tokio::test]
async fn a_run_reports_a_missing_file_while_its_handlers_run() {
    let temporary = Temporary::open().await;
    note(1).enqueue_sync().on(&temporary.store).await.unwrap();
    let (mut remote, running) = start(&temporary.store);
    let call = remote.next().await;
    remove_file_of(&temporary.path, "deleted");
    let health = within(running.health_changed(Health::Healthy)).await;
    let [trouble] = health.troubles() else {
        panic!("{health:?}");
    };
    let kind = TroubleKind::Store(StoreErrorKind::FileReplaced);
    assert_eq!((&trouble.kind, trouble.retry_at), (&kind, None));
    call.ok();
    assert_ended(&running, "deleted").await;
}

/// The control: none of this counts as a replaced file.
#[tokio::test]
async fn maintenance_by_others_is_not_a_replacement_of_the_file() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for (id, sql) in (1..).zip([
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_size_limit = 0",
        "VACUUM",
        "CREATE TABLE mine (x); DROP TABLE mine",
        "PRAGMA wal_checkpoint(RESTART)",
        "REINDEX",
    ]) {
        let other = temporary.connect();
        other.execute_batch(sql).unwrap();
        drop(other);
        let sibling = SqliteStore::open(&temporary.path).await.unwrap();
        note(100 + id).enqueue_sync().on(&sibling).await.unwrap();
        sibling.close().await;
        note(id).enqueue_sync().on(store).await.unwrap();
        let seen = store.statistics(None).await.unwrap().total_events;
        assert_eq!(seen, 2 * id.unsigned_abs(), "{sql}");
    }
    store.suspend().await.unwrap();
    store.resume().await.unwrap();
    note(50).enqueue_sync().on(store).await.unwrap();
}
