//! Repeated imports, and events that already exist.

use outbox_import::{Import, ImportedEvent, Source, SourceRow, SourceTable};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::{NewEvent, RawMetadata};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, entity_id, event_id};

use crate::{events, import, map, numbers, rejects, unresolved};

#[tokio::test]
async fn a_second_import_takes_only_new_rows() {
    let source = CoreData::with([
        OldEvent::new(1),
        OldEvent::new(2).with_status("completed", 0),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let first = import(&source, store).await;
    assert_eq!(numbers(&first), [2, 1, 0, 1, 0]);
    let again = import(&source, store).await;
    assert_eq!(numbers(&again), [2, 0, 2, 0, 0]);
    assert_eq!(again.tables[0].checksum, first.tables[0].checksum);

    // The imported event may have been delivered and cleaned up since.
    store.delete_event(event_id(1)).await.unwrap();
    source.add([OldEvent::new(3)]);
    let grown = import(&source, store).await;
    assert_eq!(numbers(&grown), [3, 1, 2, 0, 0]);
    assert_ne!(grown.tables[0].checksum, first.tables[0].checksum);
    assert!(store.fetch_event(event_id(1)).await.unwrap().is_none());
    assert!(store.fetch_event(event_id(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_changed_after_its_import_does_not_bring_its_event_back() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import(&source, store).await;
    store.delete_event(event_id(1)).await.unwrap();
    let app = source.connect();
    app.execute("UPDATE ZSDOUTBOXEVENT SET ZRETRYCOUNT = 1, Z_OPT = 2", [])
        .unwrap();
    app.execute(
        "UPDATE ZSDOUTBOXEVENT SET ZPAYLOAD = CAST(replace(ZPAYLOAD, 'user-1', 'user-2') AS BLOB) WHERE Z_PK = 2",
        [],
    )
    .unwrap();
    drop(app);
    let report = import(&source, store).await;
    assert_eq!(numbers(&report), [2, 0, 1, 0, 1]);
    assert_eq!(report.tables[0].rejected["duplicate id, other content"], 1);
    assert!(store.fetch_event(event_id(1)).await.unwrap().is_none());
    let two = store.fetch_event(event_id(2)).await.unwrap().unwrap();
    assert_eq!(two.user_id, "user-1");
}

#[tokio::test]
async fn of_several_rows_with_one_id_the_first_counts_and_none_vanishes() {
    let other = OldEvent {
        id: OldEvent::new(1).id,
        ..OldEvent::new(2)
    };
    let later = OldEvent::new(1).with_status("failed", 1);
    // The same id as text, in upper case.
    let as_text = OldEvent {
        id: Value::Text(event_id(1).to_string().to_uppercase()),
        ..OldEvent::new(1)
    };
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(1), other, later, as_text]);
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [5, 1, 2, 0, 2]);
    assert_eq!(report.tables[0].rejected["duplicate id, other content"], 2);
    let conn = temporary.connect();
    let keys: Vec<i64> = rejects(&conn).iter().map(|reject| reject.0).collect();
    assert_eq!(keys, [3, 4]);
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [5, 0, 3, 0, 2]
    );
    assert_eq!(rejects(&conn).len(), 2, "one reject per row");
}

#[tokio::test]
async fn an_event_already_in_the_outbox_is_left_as_it_is() {
    let temporary = Temporary::open().await;
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let Value::Blob(payload) = OldEvent::new(1).payload else {
        unreachable!()
    };
    let same = NewEvent::new("moodEntry", entity_id(1), "user-1", Operation::Create)
        .with_id(event_id(1))
        .with_metadata(RawMetadata::from_bytes(payload))
        .with_header("x-origin", "Core Data");
    let stored = temporary.store.create_event(same.clone()).await.unwrap();
    let other = same.with_id(event_id(2));
    temporary.store.create_event(other).await.unwrap();
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [2, 0, 1, 0, 1]);
    let left = temporary.store.fetch_event(event_id(1)).await.unwrap();
    assert_eq!(left, Some(stored));
}

#[tokio::test]
async fn a_rejected_row_is_imported_once_the_mapper_can_read_it() {
    let renamed = OldEvent {
        event_type: Value::Text("mood.renamed".into()),
        ..OldEvent::new(1)
    };
    let source = CoreData::with([renamed]);
    let temporary = Temporary::open().await;
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [1, 0, 0, 0, 1]
    );
    let left = unresolved(&temporary.connect());
    assert!(matches!(&left[..], [(_, 1)]), "{left:?}");
    let learned = |row: &SourceRow, source: &Source| match row.text("eventType")?.as_str() {
        "mood.renamed" => {
            let event = NewEvent::new("moodEntry", 1, "user-1", Operation::Update);
            Ok(ImportedEvent::new(event.with_id(row.uuid("id")?), row.date("createdAt")?).into())
        }
        _ => map(row, source),
    };
    let report = Import::new(&source.path)
        .table(events())
        .run(&temporary.store, learned)
        .await
        .unwrap();
    assert_eq!(numbers(&report), [1, 1, 0, 0, 0]);
    let resolved: bool = temporary
        .connect()
        .query_row(
            "SELECT resolved_run IS NOT NULL FROM outbox_import_rejects",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(resolved, "the reject is kept and marked as resolved");
    assert_eq!(unresolved(&temporary.connect()), []);
}

/// A plain table of another outbox; its mapper sets no ids.
fn queue(folder: &std::path::Path) -> (std::path::PathBuf, Connection) {
    let path = folder.join("old.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "CREATE TABLE queue (id INTEGER PRIMARY KEY, entity INTEGER, body TEXT, created_at INTEGER, tries INTEGER);
         INSERT INTO queue VALUES (1, 7, '{\"n\":1}', 100, 0), (2, 7, '{\"n\":2}', 200, 0)",
    )
    .unwrap();
    (path, old)
}

async fn import_queue(path: &std::path::Path, store: &SqliteStore) -> [u64; 5] {
    let mapper = |row: &SourceRow, _: &Source| {
        let event = NewEvent::new("note", row.integer("entity")?, "user-1", Operation::Update)
            .with_metadata(RawMetadata::from_bytes(row.bytes("body")?));
        Ok(ImportedEvent::new(event, row.date("created_at")?).into())
    };
    let import = Import::new(path).table(SourceTable::plain("queue"));
    numbers(&import.run(store, mapper).await.unwrap())
}

#[tokio::test]
async fn a_changed_row_is_not_imported_twice_even_without_ids_from_the_mapper() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = queue(folder.path());
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    assert_eq!(import_queue(&path, store).await, [2, 2, 0, 0, 0]);
    old.execute_batch("UPDATE queue SET tries = tries + 1")
        .unwrap();
    assert_eq!(import_queue(&path, store).await, [2, 0, 2, 0, 0]);
    // The same holds after its event was delivered and cleaned up.
    let events = store.fetch_pending_events(None, None).await.unwrap();
    store.delete_event(events[0].id).await.unwrap();
    old.execute_batch("UPDATE queue SET tries = tries + 1")
        .unwrap();
    assert_eq!(import_queue(&path, store).await, [2, 0, 2, 0, 0]);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
    // Other content under the same key is rejected and reported.
    old.execute_batch("UPDATE queue SET body = '{}' WHERE id = 1")
        .unwrap();
    assert_eq!(import_queue(&path, store).await, [2, 0, 1, 0, 1]);
}

#[tokio::test]
async fn a_reused_key_is_a_new_event() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = queue(folder.path());
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import_queue(&path, store).await;
    // Like a queue: a delivered row is deleted, and the next row reuses its key.
    old.execute_batch(
        "DELETE FROM queue WHERE id = 2;
         INSERT INTO queue (entity, body, created_at, tries) VALUES (7, '{\"n\":2}', 300, 0)",
    )
    .unwrap();
    assert_eq!(import_queue(&path, store).await, [2, 1, 1, 0, 0]);
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 3);
}
