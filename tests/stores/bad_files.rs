//! Promise 6, with errors that say what, where and what to do: damaged files, foreign schemas,
//! damaged rows.

use std::path::Path;
use std::time::Duration;

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::{DeadReason, OnDead, SqliteStore, StoreError, StoreErrorKind, prelude::*};
use outbox_tests::{Temporary, enqueue, note, start_all_users};

const SOON: Duration = Duration::from_secs(30);

async fn refused(path: &Path) -> StoreError {
    let error = SqliteStore::open(path).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(path.to_str().unwrap()),
        "the error must name the path: {text}"
    );
    error
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    let letter = "Dear database, you are not one.\n".repeat(100);
    std::fs::write(&path, &letter).unwrap();
    let error = refused(&path).await;
    assert_eq!(error.kind(), StoreErrorKind::NotADatabase);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
}

#[tokio::test]
async fn a_truncated_database_is_refused_and_left_as_it_is() {
    let temporary = Temporary::open().await;
    for id in 0..200 {
        enqueue(&temporary.store, note(id).enqueue_sync()).await;
    }
    temporary.store.close().await;
    let whole = std::fs::read(&temporary.path).unwrap();
    let half = &whole[..whole.len() / 2 - 100];
    let path = temporary.path.with_extension("half");
    std::fs::write(&path, half).unwrap();
    let outcome = match SqliteStore::open(&path).await {
        Ok(store) => store.statistics(None).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), half);
}

#[tokio::test]
async fn a_missing_folder_or_a_folder_as_the_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&folder.path().join("no/such/folder/app.db")).await;
    assert_eq!(error.kind(), StoreErrorKind::CannotOpen);
    let error = refused(folder.path()).await;
    assert_eq!(error.kind(), StoreErrorKind::CannotOpen);
    let error = SqliteStore::open(":memory:").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidArgument);
    assert!(error.to_string().contains("MemoryStore"), "{error}");
}

/// Root may write everywhere, so the test runs itself in a child process as an unprivileged user.
#[cfg(unix)]
#[test]
fn a_folder_or_a_file_without_write_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    const FOLDER: &str = "OUTBOX_TEST_READ_ONLY";
    const NAME: &str = "a_folder_or_a_file_without_write_permission_is_refused";
    const NOBODY: u32 = 65_534;

    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let error = refused(&folder.join("new.db")).await;
            assert_eq!(error.kind(), StoreErrorKind::CannotOpen, "{error}");
            let error = refused(&folder.join("there.db")).await;
            assert!(
                matches!(
                    error.kind(),
                    StoreErrorKind::ReadOnly | StoreErrorKind::CannotOpen
                ),
                "{error}"
            );
            assert!(error.to_string().contains("writ"), "{error}");
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    drop(
        Connection::open(folder.path().join("there.db")).map(|conn| {
            conn.execute_batch("CREATE TABLE note (id INTEGER)")
                .unwrap();
        }),
    );
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&folder.path().join("there.db"), 0o444);
    set_mode(folder.path(), 0o555);
    // The test binary itself may be in a folder that only root can read.
    let binary = tempfile::tempdir().unwrap();
    set_mode(binary.path(), 0o755);
    let copy = binary.path().join("child");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    set_mode(&copy, 0o755);
    let mut child = std::process::Command::new(&copy);
    child
        .args(["--exact", NAME, "--nocapture"])
        .env(FOLDER, folder.path());
    if std::fs::File::create(folder.path().join("root-may")).is_ok() {
        child.uid(NOBODY).gid(NOBODY);
    }
    let output = child.current_dir("/").output().unwrap();
    set_mode(folder.path(), 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused_and_left_as_it_is() {
    let temporary = Temporary::open().await;
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    temporary.store.close().await;
    let conn = temporary.connect();
    conn.execute_batch(
        "INSERT INTO outbox_schema VALUES (99, 'later'); ALTER TABLE outbox_events ADD COLUMN novelty TEXT;",
    )
    .unwrap();
    let error = refused(&temporary.path).await;
    assert_eq!(error.kind(), StoreErrorKind::SchemaTooNew);
    let text = error.to_string();
    assert!(
        text.contains("version 99") && text.contains("up to 1"),
        "the error must name both versions: {text}"
    );
    let columns: i64 = conn
        .query_row(
            "SELECT count(novelty) + count(*) FROM outbox_events",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(columns, 1);
}

#[tokio::test]
async fn opening_adds_our_tables_to_an_app_database_and_reopening_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA user_version = 42; CREATE TABLE mine (x); INSERT INTO mine VALUES (7);",
    )
    .unwrap();
    let (a, b) = tokio::join!(SqliteStore::open(&path), SqliteStore::open(&path));
    let (a, b) = (a.unwrap(), b.unwrap());
    enqueue(&a, note(1).enqueue_sync()).await;
    assert_eq!(b.statistics(None).await.unwrap().total_events, 1);
    a.close().await;
    b.close().await;
    let again = SqliteStore::open(&path).await.unwrap();
    assert_eq!(again.statistics(None).await.unwrap().total_events, 1);
    let mine: (i64, i64, String) = conn
        .query_row(
            "SELECT x, (SELECT user_version FROM pragma_user_version), (SELECT journal_mode FROM pragma_journal_mode) FROM mine",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(mine, (7, 42, "wal".to_owned()));
}

#[tokio::test]
async fn a_lock_of_another_connection_is_waited_for_and_then_reported_as_transient() {
    let temporary =
        Temporary::open_with(|builder| builder.busy_timeout(Duration::from_millis(50))).await;
    let other = temporary.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = note(1)
        .enqueue_sync()
        .on(&temporary.store)
        .await
        .unwrap_err();
    let EnqueueError::Store(error) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        error.is_transient() && !error.outcome_unknown(),
        "{error:?}"
    );
    // Reading continues meanwhile.
    assert_eq!(
        temporary.store.statistics(None).await.unwrap().total_events,
        0
    );
    other.execute_batch("COMMIT").unwrap();
    note(1).enqueue_sync().on(&temporary.store).await.unwrap();
}

#[tokio::test]
async fn damaged_rows_become_dead_letters_and_all_others_are_delivered() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for id in 1..=6 {
        enqueue(store, note(id).enqueue_sync()).await;
    }
    let conn = temporary.connect();
    let damage = |id: i64, set: &str| {
        let sql = format!("UPDATE outbox_events SET {set} WHERE entity_id = {id}");
        assert_eq!(conn.execute(&sql, []).unwrap(), 1);
    };
    damage(1, "metadata = '{\"text\": '");
    damage(2, "metadata = CAST(x'ff80fe' AS TEXT)");
    damage(3, "user_id = CAST(x'ff80fe' AS TEXT)");
    damage(4, "created_at = 9223372036854775807");
    damage(
        5,
        "next_attempt_at = -9223372036854775808, last_attempt_at = -1",
    );
    let (mut remote, running) = start_all_users(store, |builder| builder);
    let call = remote.next().await;
    assert_eq!(call.id(), 6, "the sound row is delivered");
    call.ok();
    assert!(running.flush(6, SOON).await.unwrap().is_delivered());
    for id in 1..=5 {
        assert!(!running.flush(id, SOON).await.unwrap().is_delivered());
    }
    running.stop().await.unwrap();
    let dead = store
        .fetch_events(OutboxStatus::Dead, None, None)
        .await
        .unwrap();
    let mut found: Vec<_> = dead
        .iter()
        .map(|event| event.entity_id.as_integer().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4, 5]);
    assert!(
        dead.iter()
            .all(|event| event.dead_reason == Some(DeadReason::Undecodable))
    );
    assert!(dead.iter().all(|event| event.error_message.is_some()));
    let raw = |id: i64| {
        let event = dead
            .iter()
            .find(|event| event.entity_id == id.into())
            .unwrap();
        event.metadata.clone().unwrap()
    };
    assert_eq!(raw(1).as_bytes(), br#"{"text": "#);
    assert_eq!(raw(2).as_bytes(), [0xff, 0x80, 0xfe]);
    assert_eq!(store.statistics(None).await.unwrap().dead_count, 5);
    // All of it can be exported.
    assert!(
        dead.iter()
            .all(|event| serde_json::to_string(event).is_ok())
    );
}

#[tokio::test]
async fn editing_a_damaged_row_keeps_its_bytes() {
    let temporary = Temporary::open().await;
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let sql = "UPDATE outbox_events SET metadata = CAST(x'ff80fe' AS TEXT)";
    assert_eq!(temporary.connect().execute(sql, []).unwrap(), 1);
    let mut edited = temporary
        .store
        .fetch_event(event.id)
        .await
        .unwrap()
        .unwrap();
    edited.priority = 9;
    temporary.store.update_event(&edited).await.unwrap();
    let stored = temporary
        .store
        .fetch_event(event.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored.priority, 9);
    assert_eq!(stored.metadata.unwrap().as_bytes(), [0xff, 0x80, 0xfe]);
}

#[tokio::test]
async fn a_damaged_row_claimed_by_id_is_a_dead_letter_too() {
    let temporary = Temporary::open().await;
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let sql = "UPDATE outbox_events SET user_id = CAST(x'ff80fe' AS TEXT)";
    assert_eq!(temporary.connect().execute(sql, []).unwrap(), 1);
    let refused = temporary.store.mark_as_processing(event.id, SOON).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Conflict);
    let dead = temporary
        .store
        .fetch_event(event.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(dead.dead_reason, Some(DeadReason::Undecodable));
}

#[tokio::test]
async fn a_skipped_damaged_row_unblocks_its_lane() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let skippable = note(1).enqueue_sync().into_event().unwrap();
    let skippable = skippable.with_on_dead(OnDead::Skip);
    let damaged = store.create_event(skippable).await.unwrap();
    let behind = enqueue(store, note(1).enqueue_update()).await;
    let sql = "UPDATE outbox_events SET created_at = 9223372036854775807 WHERE seq = 1";
    assert_eq!(temporary.connect().execute(sql, []).unwrap(), 1);
    let (mut remote, running) = start_all_users(store, |builder| builder);
    let call = remote.next().await;
    assert_eq!(call.event.id, behind.id);
    call.ok();
    // Only the damaged row is undelivered.
    assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
    let why = running.explain(1).await.unwrap();
    assert_eq!((why.undelivered, why.first.unwrap().id), (1, damaged.id));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_a_new_file_at_once() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let openings: Vec<_> = (0..8)
            .map(|_| tokio::spawn(SqliteStore::open(path.clone())))
            .collect();
        for opening in openings {
            opening.await.unwrap().unwrap();
        }
    }
}

/// An app was updated while an older copy of it still runs, with outdated knowledge of the tables.
#[tokio::test]
async fn a_running_program_stops_writing_after_a_newer_one_changed_the_schema() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    enqueue(store, note(1).enqueue_sync()).await;
    let conn = temporary.connect();
    conn.execute_batch("INSERT INTO outbox_schema VALUES (99, 'later')")
        .unwrap();
    let request = outbox_runtime::store::ClaimRequest::new(1, SOON);
    let refused = store.claim(&request).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::SchemaTooNew);
    assert!(!refused.is_transient() && !refused.outcome_unknown());
    let text = refused.to_string();
    assert!(
        text.contains("version 99") && text.contains("up to 1"),
        "the error must name both versions: {text}"
    );
    let refused = note(2).enqueue_sync().on(store).await.unwrap_err();
    let EnqueueError::Store(refused) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.kind(), StoreErrorKind::SchemaTooNew);
    // A run waits instead of spinning, and can be stopped.
    let (mut remote, running) = start_all_users(store, |builder| builder);
    assert!(
        running
            .flush(1, Duration::from_millis(50))
            .await
            .is_ok_and(|flushed| !flushed.is_delivered())
    );
    assert!(remote.is_quiet());
    running.stop().await.unwrap();
    let (claimed, events): (i64, i64) = conn
        .query_row(
            "SELECT sum(status <> 'pending'), count(*) FROM outbox",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((claimed, events), (0, 1), "nothing has changed");
}
