//! Stores copied from one template share a UUID, but are different sources.

use std::path::Path;

use outbox_import::{
    Import, ImportReport, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable,
};
use outbox_runtime::NewEvent;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent};

use crate::{events, import, numbers};

/// An event that the mapper rejects.
fn renamed(n: u128) -> OldEvent {
    OldEvent {
        event_type: Value::Text("mood.renamed".into()),
        ..OldEvent::new(n)
    }
}

fn unresolved(temporary: &Temporary) -> i64 {
    let sql = "SELECT count(*) FROM outbox_import_rejects WHERE resolved_run IS NULL";
    temporary
        .connect()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

fn sources(temporary: &Temporary) -> i64 {
    let sql = "SELECT count(DISTINCT source) FROM outbox_import_tables";
    temporary
        .connect()
        .query_row(sql, [], |row| row.get(0))
        .unwrap()
}

/// A mapper that sets no ids.
fn without_ids(row: &SourceRow, _: &Source) -> Result<Mapped, Reject> {
    let event = NewEvent::new("mood", row.key(), "user-1", Operation::Create);
    Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
}

async fn import_without_ids(path: &Path, store: &SqliteStore) -> ImportReport {
    let import = Import::new(path).table(events());
    import.run(store, without_ids).await.unwrap()
}

#[tokio::test]
async fn importing_a_second_store_resolves_no_rejects_of_the_first() {
    for second in [OldEvent::new(2), OldEvent::new(1)] {
        let one = CoreData::with([renamed(1), OldEvent::new(7)]);
        let two = CoreData::with([second, OldEvent::new(8)]);
        let temporary = Temporary::open().await;
        assert_eq!(
            numbers(&import(&one, &temporary.store).await),
            [2, 1, 0, 0, 1]
        );
        assert_eq!(
            numbers(&import(&two, &temporary.store).await),
            [2, 2, 0, 0, 0]
        );
        assert_eq!((unresolved(&temporary), sources(&temporary)), (1, 2));
        // Both sources are known from now on.
        assert_eq!(
            numbers(&import(&one, &temporary.store).await),
            [2, 0, 1, 0, 1]
        );
        assert_eq!(
            numbers(&import(&two, &temporary.store).await),
            [2, 0, 2, 0, 0]
        );
        assert_eq!((unresolved(&temporary), sources(&temporary)), (1, 2));
    }
}

#[tokio::test]
async fn rows_of_a_template_are_imported_from_each_store() {
    // The first row of each comes from the template.
    let one = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let two = CoreData::with([OldEvent::new(1), OldEvent::new(3)]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let first = import_without_ids(&one.path, store).await;
    assert_eq!(numbers(&first), [2, 2, 0, 0, 0]);
    let second = import_without_ids(&two.path, store).await;
    assert_eq!(numbers(&second), [2, 2, 0, 0, 0]);
    assert_eq!(store.statistics(None).await.unwrap().pending_count, 4);
    for source in [&one, &two] {
        let again = import_without_ids(&source.path, store).await;
        assert_eq!(numbers(&again), [2, 0, 2, 0, 0]);
    }
}

#[tokio::test]
async fn a_moved_store_is_the_same_source_even_after_further_changes() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2), renamed(3)]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import_without_ids(&source.path, store).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("moved.store");
    std::fs::rename(&source.path, &path).unwrap();
    let app = outbox_runtime::rusqlite::Connection::open(&path).unwrap();
    app.execute_batch("UPDATE ZSDOUTBOXEVENT SET ZRETRYCOUNT = 1, Z_OPT = 2 WHERE Z_PK > 1")
        .unwrap();
    drop(app);
    let report = import_without_ids(&path, store).await;
    assert_eq!(numbers(&report), [3, 0, 3, 0, 0]);
    assert_eq!(sources(&temporary), 1);
}

#[tokio::test]
async fn a_copy_of_a_store_is_the_same_source() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let temporary = Temporary::open().await;
    import_without_ids(&source.path, &temporary.store).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("backup.store");
    std::fs::copy(&source.path, &copy).unwrap();
    let report = import_without_ids(&copy, &temporary.store).await;
    assert_eq!(numbers(&report), [2, 0, 2, 0, 0]);
    assert_eq!(sources(&temporary), 1);
}

#[tokio::test]
async fn a_new_store_at_the_path_of_another_is_another_source() {
    let one = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let two = CoreData::with([OldEvent::new(3), OldEvent::new(4)]);
    let temporary = Temporary::open().await;
    import_without_ids(&one.path, &temporary.store).await;
    std::fs::copy(&two.path, &one.path).unwrap();
    let report = import_without_ids(&one.path, &temporary.store).await;
    assert_eq!(numbers(&report), [2, 2, 0, 0, 0]);
    assert_eq!(sources(&temporary), 2);
}

#[tokio::test]
async fn a_rejected_row_that_is_fixed_is_resolved() {
    let damaged = OldEvent {
        id: Value::Blob(vec![7; 15]),
        ..OldEvent::new(1)
    };
    let source = CoreData::with([damaged]);
    let temporary = Temporary::open().await;
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [1, 0, 0, 0, 1]
    );
    let id = outbox_tests::core_data::event_id(1);
    source
        .connect()
        .execute(
            "UPDATE ZSDOUTBOXEVENT SET ZID = ?1",
            [id.as_bytes().to_vec()],
        )
        .unwrap();
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [1, 1, 0, 0, 0]
    );
    assert_eq!((unresolved(&temporary), sources(&temporary)), (0, 1));
}

#[tokio::test]
async fn a_name_distinguishes_stores_with_equal_rows() {
    let one = CoreData::with([OldEvent::new(1)]);
    let two = CoreData::with([OldEvent::new(1)]);
    let temporary = Temporary::open().await;
    let run = async |source: &CoreData, name: &str| {
        let import = Import::new(&source.path).table(SourceTable::entity("SDOutboxEvent"));
        let import = import.source_name(name);
        numbers(&import.run(&temporary.store, without_ids).await.unwrap())
    };
    assert_eq!(run(&one, "anna").await, [1, 1, 0, 0, 0]);
    assert_eq!(run(&two, "ben").await, [1, 1, 0, 0, 0]);
    assert_eq!(run(&one, "anna").await, [1, 0, 1, 0, 0]);
}
