//! Reading a source without affecting it.

use outbox_import::Import;
use outbox_runtime::OutboxStatus;
use outbox_runtime::prelude::*;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, event_id, files};

use crate::{events, import, map, numbers};

#[tokio::test]
async fn rows_only_in_the_wal_are_read_and_the_source_is_unchanged() {
    let source =
        CoreData::with([OldEvent::new(1)]).crashed_with([OldEvent::new(2), OldEvent::new(3)]);
    let before = source.files();
    let names: Vec<_> = before.iter().map(|file| file.0.as_str()).collect();
    assert_eq!(
        names,
        ["default.store", "default.store-wal"],
        "the files of an app that crashed"
    );
    let temporary = Temporary::open().await;
    let copies = tempfile::tempdir().unwrap();
    let import = Import::new(&source.path)
        .table(events())
        .copy_into(copies.path());
    let report = import.run(&temporary.store, map).await.unwrap();
    assert_eq!(numbers(&report), [3, 3, 0, 0, 0]);
    assert_eq!(
        source.files(),
        before,
        "content and times are unchanged, and no file is added"
    );
    assert_eq!(files(copies.path()), [], "the copy is deleted");
}

#[tokio::test]
async fn an_app_that_has_the_store_open_does_not_notice_the_import() {
    let source = CoreData::with([OldEvent::new(1)]);
    let mut app = source.connect();
    let tx = app.transaction().unwrap();
    tx.execute("UPDATE ZSDOUTBOXEVENT SET ZSTATUS = 'completed'", [])
        .unwrap();
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [1, 1, 0, 0, 0]);
    // Uncommitted changes of the app are not visible, and the app can still commit them.
    let event = temporary.store.fetch_event(event_id(1)).await.unwrap();
    assert_eq!(event.unwrap().status, OutboxStatus::Pending);
    tx.commit().unwrap();
}
