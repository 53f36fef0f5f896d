//! Values that Core Data stores in files beside the database.

use std::path::Path;

use outbox_import::{
    Import, ImportedEvent, Mapped, Reject, RejectReason, Source, SourceRow, SourceTable,
};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::{NewEvent, RawMetadata};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, event_id};

use crate::{events, numbers, rejects};

const FILE: &str = "0E8F2A6C-3B1D-4C5E-9F70-8A1B2C3D4E5F";

fn with_payload(n: u128, payload: Vec<u8>) -> OldEvent {
    OldEvent {
        payload: Value::Blob(payload),
        ..OldEvent::new(n)
    }
}

fn inline(value: &[u8]) -> Vec<u8> {
    [&[1], value].concat()
}

/// The form that Core Data writes: the name and a NUL.
fn reference(name: &str) -> Vec<u8> {
    [&[2], name.as_bytes(), &[0]].concat()
}

fn put(store: &Path, name: &str, value: &[u8]) {
    let folder = store
        .with_file_name(".default_SUPPORT")
        .join("_EXTERNAL_DATA");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), value).unwrap();
}

fn map(row: &SourceRow, _: &Source) -> Result<Mapped, Reject> {
    let event = NewEvent::new("mood", row.key(), "user-1", Operation::Create)
        .with_id(row.uuid("id")?)
        .with_metadata(RawMetadata::from_bytes(row.external_bytes("payload")?));
    Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
}

#[tokio::test]
async fn an_externally_stored_value_is_read_from_the_row_or_its_file() {
    let source = CoreData::with([
        with_payload(1, inline(b"{\"small\":1}")),
        with_payload(2, reference(FILE)),
        // The NUL is missing.
        with_payload(3, reference(FILE)[..37].to_vec()),
        with_payload(4, reference("11111111-2222-4333-8444-555555555555")),
        with_payload(5, b"{\"plain\":1}".to_vec()),
        with_payload(6, reference("../../../../../../../../../etc/host")),
        with_payload(7, Vec::new()),
    ]);
    put(&source.path, FILE, b"{\"large\":1}");
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let import = || Import::new(&source.path).table(events());
    let report = import().run(store, map).await.unwrap();
    assert_eq!(numbers(&report), [7, 3, 0, 0, 4]);
    for (n, payload) in [
        (1, "{\"small\":1}"),
        (2, "{\"large\":1}"),
        (3, "{\"large\":1}"),
    ] {
        let event = store.fetch_event(event_id(n)).await.unwrap().unwrap();
        assert_eq!(event.metadata.unwrap().as_str(), Some(payload), "{n}");
    }
    let rejected = &report.tables[0].rejected;
    assert_eq!(rejected["the file of payload cannot be read"], 1);
    assert_eq!(rejected["payload is damaged"], 3);
    let conn = temporary.connect();
    let detail: String = conn
        .query_row(
            "SELECT detail FROM outbox_import_rejects WHERE row_key = 4",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let missing = source
        .path
        .with_file_name(".default_SUPPORT/_EXTERNAL_DATA/11111111-2222-4333-8444-555555555555");
    assert!(detail.contains(missing.to_str().unwrap()), "{detail}");
    assert_eq!(rejects(&conn).len(), 4);

    // Once the file exists, the row is imported.
    put(&source.path, "11111111-2222-4333-8444-555555555555", b"{}");
    assert_eq!(
        numbers(&import().run(store, map).await.unwrap()),
        [7, 1, 3, 0, 3]
    );
}

#[tokio::test]
async fn a_storage_marker_or_reference_is_never_imported_as_the_value() {
    let source = CoreData::with([
        with_payload(1, inline(b"{\"small\":1}")),
        with_payload(2, reference(FILE)),
        with_payload(3, b"{\"plain\":1}".to_vec()),
    ]);
    put(&source.path, FILE, b"{\"large\":1}");
    let naive = |row: &SourceRow, _: &Source| -> Result<Mapped, Reject> {
        let event = NewEvent::new("mood", row.key(), "user-1", Operation::Create)
            .with_id(row.uuid("id")?)
            .with_metadata(RawMetadata::from_bytes(row.bytes("payload")?));
        Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
    };
    let temporary = Temporary::open().await;
    let import = Import::new(&source.path).table(events());
    let report = import.run(&temporary.store, naive).await.unwrap();
    assert_eq!(numbers(&report), [3, 1, 0, 0, 2]);
    let rejected = &report.tables[0].rejected;
    assert_eq!(rejected["invalid metadata"], 1);
    assert_eq!(rejected["payload is damaged"], 1);
}

#[test]
fn an_external_value_may_be_null_and_is_rejected_if_not_a_blob() {
    let null = OldEvent {
        payload: Value::Null,
        ..OldEvent::new(1)
    };
    let text = OldEvent {
        payload: Value::Text("01".into()),
        ..OldEvent::new(2)
    };
    let source = CoreData::with([null, text]);
    let source = Source::open(&source.path).unwrap();
    let events = SourceTable::entity("SDOutboxEvent");
    let row = |key| source.get(&events, key).unwrap().unwrap();
    assert_eq!(row(1).opt_external_bytes("payload").unwrap(), None);
    let reject = row(1).external_bytes("payload").unwrap_err();
    assert!(matches!(
        reject.reason(),
        Some(RejectReason::Missing { .. })
    ));
    let reject = row(2).opt_external_bytes("payload").unwrap_err();
    assert!(matches!(
        reject.reason(),
        Some(RejectReason::Damaged { .. })
    ));
}
