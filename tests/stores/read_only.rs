//! Stores that change nothing: those that read only, and those that may not migrate.

use std::fs;
use std::path::Path;

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{CheckDepth, ClaimRequest, Repaired, Rescued};
use outbox_runtime::{EventFilter, NewEvent, StoreErrorKind, prelude::*};
use outbox_tests::Temporary;

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

fn note(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Create)
}

fn files(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

async fn with_two_events(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    for entity in [1, 2] {
        store.create_event(note(entity)).await.unwrap();
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_reads_only_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    with_two_events(&path).await;
    let app = SqliteStore::open(&path).await.unwrap();
    let before = fs::read(&path).unwrap();
    let store = SqliteStore::builder(&path)
        .read_only()
        .open()
        .await
        .unwrap();
    let events = store
        .page(&EventFilter::default(), None, 9)
        .await
        .unwrap()
        .events;
    assert_eq!(events.len(), 2);
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 2);
    assert_eq!(store.check(CheckDepth::Full).await.unwrap(), []);
    let id = events[0].id;
    let enqueued = store.create_event(note(3)).await.unwrap_err();
    let EnqueueError::Store(enqueued) = enqueued else {
        panic!("{enqueued}");
    };
    let edited = store.update_event(&events[0]).await.unwrap_err();
    let deleted = store.delete_event(id).await.unwrap_err();
    let claimed = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap_err();
    for error in [enqueued, edited, deleted, claimed] {
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    }
    // What finds nothing to change changes nothing.
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());
    assert_eq!(store.repair().await.unwrap(), Repaired::default());
    // A commit of the application is seen, and the store goes on after refused writes.
    app.create_event(note(4)).await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
    store.close().await;
    assert_eq!(fs::read(&path).unwrap(), before);
    app.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_file_is_read_without_leaving_files_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    // Characters that mean something in an address.
    let path = folder.path().join("my app?#%20ü.db");
    with_two_events(&path).await;
    let name = [path.file_name().unwrap().to_str().unwrap().to_owned()];
    assert_eq!(files(folder.path()), name);
    let store = SqliteStore::builder(&path)
        .read_only()
        .open()
        .await
        .unwrap();
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 2);
    assert_eq!(files(folder.path()), name);
    store.close().await;
    assert_eq!(files(folder.path()), name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_program_opens_meanwhile_is_not_read_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    with_two_events(&path).await;
    let store = SqliteStore::builder(&path)
        .read_only()
        .open()
        .await
        .unwrap();
    store.statistics(None).await.unwrap();
    let app = SqliteStore::open(&path).await.unwrap();
    let refused = store.statistics(None).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(refused.to_string().contains("open it again"), "{refused}");
    // Also once that program has ended, having changed the file.
    app.create_event(note(3)).await.unwrap();
    app.close().await;
    store.statistics(None).await.unwrap_err();
    store.close().await;
    let again = SqliteStore::builder(&path)
        .read_only()
        .open()
        .await
        .unwrap();
    assert_eq!(again.statistics(None).await.unwrap().pending_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_not_migrate_leaves_other_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    for reads_only in [false, true] {
        let open = async || {
            let builder = SqliteStore::builder(&path);
            let builder = match reads_only {
                true => builder.read_only(),
                false => builder.migrate(false),
            };
            builder.open().await.unwrap_err().kind()
        };
        assert_eq!(open().await, StoreErrorKind::CannotOpen);
        assert_eq!(files(folder.path()), [""; 0]);
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE mood (valence REAL)")
            .unwrap();
        conn.close().unwrap();
        let before = fs::read(&path).unwrap();
        assert_eq!(open().await, StoreErrorKind::NotInstalled);
        assert_eq!(fs::read(&path).unwrap(), before, "its journal mode, too");
        fs::remove_file(&path).unwrap();
    }
    with_two_events(&path).await;
    let store = SqliteStore::builder(&path)
        .migrate(false)
        .open()
        .await
        .unwrap();
    store.create_event(note(3)).await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_migration_is_the_one_that_runs() {
    let temporary = Temporary::open().await;
    let printed = Connection::open_in_memory().unwrap();
    printed
        .execute_batch(&SqliteStore::migration_sql())
        .unwrap();
    let objects = |conn: &Connection| {
        let mut objects = conn
            .prepare("SELECT name, sql FROM sqlite_schema WHERE name LIKE 'outbox%' ORDER BY name")
            .unwrap();
        let objects = objects.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let objects: Result<Vec<(String, String)>, _> = objects.unwrap().collect();
        objects.unwrap()
    };
    assert_eq!(objects(&printed), objects(&temporary.connect()));
    let version: i64 = printed
        .query_row("SELECT max(version) FROM outbox_schema", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(version, SqliteStore::SCHEMA_VERSION);
}
