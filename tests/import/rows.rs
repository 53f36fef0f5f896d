//! Mapping of rows, whatever their values.

use outbox_import::{Import, ImportedEvent, Source, SourceRow, SourceTable};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params};
use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{DeadReason, NewEvent, OutboxStatus};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CREATED, CoreData, OldEvent, entity_id, event_id};

use crate::{LEASE, import, numbers, rejects};

#[tokio::test]
async fn rows_of_a_core_data_store_become_events_as_they_were() {
    let failed = OldEvent {
        last_attempt_at: Value::Real(CREATED as f64 + 0.25),
        error_message: Value::Text("HTTP 503".into()),
        ..OldEvent::new(2).with_status("failed", 2)
    };
    let given_up = OldEvent {
        completed_at: Value::Integer(CREATED),
        error_message: Value::Text("HTTP 400".into()),
        ..OldEvent::new(3).with_status("completed", 5)
    };
    let delivered = OldEvent {
        completed_at: Value::Integer(CREATED + 60),
        ..OldEvent::new(4).with_status("completed", 1)
    };
    let busy = OldEvent::new(5).with_status("processing", 1);
    let source = CoreData::with([OldEvent::new(1), failed, given_up, delivered, busy]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let report = import(&source, store).await;
    assert_eq!(numbers(&report), [5, 5, 0, 0, 0]);
    assert_eq!(report.tables[0].migrated["moodEntry"], 5);

    let one = store.fetch_event(event_id(1)).await.unwrap().unwrap();
    assert_eq!(one.status, OutboxStatus::Pending);
    assert_eq!(one.trace_context, None, "whatever span the import runs in");
    assert_eq!(one.headers().get("x-origin"), Some("Core Data"));
    assert_eq!(one.entity_id, entity_id(1).into());
    assert_eq!(one.user_id, "user-1");
    assert_eq!(one.created_at.to_rfc3339(), "2025-01-14T12:30:01+00:00");
    assert_eq!(one.operation, Operation::Create);
    let two = store.fetch_event(event_id(2)).await.unwrap().unwrap();
    assert_eq!((two.status, two.attempt_count), (OutboxStatus::Failed, 2));
    assert_eq!(two.error_message.as_deref(), Some("HTTP 503"));
    let last = two.last_attempt_at.unwrap();
    assert_eq!(last.to_rfc3339(), "2025-01-14T12:30:00.250+00:00");
    let three = store.fetch_event(event_id(3)).await.unwrap().unwrap();
    assert_eq!(three.status, OutboxStatus::Dead);
    assert_eq!(three.dead_reason, Some(DeadReason::AttemptsExhausted));
    assert_eq!(three.error_message.as_deref(), Some("HTTP 400"));
    let four = store.fetch_event(event_id(4)).await.unwrap().unwrap();
    assert_eq!(four.status, OutboxStatus::Completed);
    assert_eq!(
        four.completed_at.unwrap().to_rfc3339(),
        "2025-01-14T12:31:00+00:00"
    );
    // Rows in progress when the app ended are claimable again.
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    assert_eq!(claimed, [event_id(1), event_id(2), event_id(5)]);
    assert_eq!(claims[2].event.attempt_count, 2);
}

#[tokio::test]
async fn dates_of_every_valid_form_are_read_and_invalid_ones_rejected() {
    let at = |n, created_at| OldEvent {
        created_at,
        ..OldEvent::new(n)
    };
    let source = CoreData::with([
        at(1, Value::Integer(-541_232_580)),
        at(2, Value::Real(-0.5)),
        at(3, Value::Real(CREATED as f64 + 0.25)),
        // `Date.distantPast`: the first day of the year 1 in the Julian calendar.
        at(4, Value::Integer(-63_114_076_800)),
        at(5, Value::Null),
        at(6, Value::Text("yesterday".into())),
        at(7, Value::Real(1e300)),
        at(8, Value::Integer(i64::MAX)),
        at(9, Value::Text("2025-01-14T12:30:00.5+01:00".into())),
    ]);
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [9, 5, 0, 0, 4]);
    let rejected = &report.tables[0].rejected;
    assert_eq!(rejected["createdAt is missing"], 1);
    assert_eq!(rejected["createdAt is damaged"], 3);
    for (n, date) in [
        (1, "1983-11-07T17:37:00+00:00"),
        (2, "2000-12-31T23:59:59.500+00:00"),
        (3, "2025-01-14T12:30:00.250+00:00"),
        (4, "0000-12-30T00:00:00+00:00"),
        (9, "2025-01-14T11:30:00.500+00:00"),
    ] {
        let event = temporary.store.fetch_event(event_id(n)).await.unwrap();
        assert_eq!(event.unwrap().created_at.to_rfc3339(), date, "{n}");
    }
    let raw = rejects(&temporary.connect());
    assert_eq!(raw.len(), 4);
    assert_eq!(raw[1].2["ZCREATEDAT"], "yesterday");
    assert_eq!(raw[1].2["Z_PK"], 6);
}

#[tokio::test]
async fn an_invalid_row_is_kept_whole_among_the_rejects_with_its_reason() {
    let bad = |n: u128, change: fn(&mut OldEvent)| {
        let mut event = OldEvent::new(n);
        change(&mut event);
        event
    };
    let source = CoreData::with([
        bad(1, |event| event.id = Value::Null),
        bad(2, |event| event.id = Value::Blob(vec![7; 15])),
        bad(3, |event| {
            event.event_type = Value::Text("mood.renamed".into());
        }),
        bad(4, |event| event.payload = Value::Blob(b"{\"id\":".to_vec())),
        bad(5, |event| event.payload = Value::Blob(vec![0xff, 0xfe])),
        bad(6, |event| event.status = Value::Null),
        bad(7, |event| event.retry_count = Value::Text("two".into())),
        bad(8, |event| event.payload = Value::Blob(Vec::new())),
        // Violates a rule of the outbox.
        bad(9, |event| {
            let payload = format!(r#"{{"id":"{}","user_id":""}}"#, entity_id(9));
            event.payload = Value::Blob(payload.into_bytes());
        }),
        bad(10, |event| *event = event.clone().with_status("failed", 5)),
        bad(11, |event| {
            event.event_type = Value::Blob(b"mood.created".to_vec());
        }),
    ]);
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [11, 0, 0, 0, 11]);
    let reasons: Vec<_> = report.tables[0].rejected.iter().collect();
    assert_eq!(
        reasons,
        [
            (&"eventType is damaged".to_owned(), &1),
            (&"id is damaged".to_owned(), &1),
            (&"id is missing".to_owned(), &1),
            (&"invalid attempts".to_owned(), &1),
            (&"invalid user_id".to_owned(), &1),
            (&"payload is not a mood".to_owned(), &3),
            (&"retryCount is damaged".to_owned(), &1),
            (&"status is missing".to_owned(), &1),
            (&"unknown event type".to_owned(), &1),
        ]
    );
    let raw = rejects(&temporary.connect());
    assert_eq!(raw.len(), 11);
    assert_eq!(raw[1].2["ZID"]["hex"], "07".repeat(15));
    assert_eq!(raw[4].2["ZPAYLOAD"]["hex"], "fffe");
    assert_eq!(raw[6].2["ZRETRYCOUNT"], "two");
    assert_eq!(raw[7].2["ZPAYLOAD"]["hex"], "");
}

#[tokio::test]
async fn the_raw_payload_is_kept_byte_for_byte() {
    let payload = format!(
        "{{ \"id\" : \"{}\",\n\"user_id\":\"a\\/b\" }}",
        entity_id(1)
    );
    let source = CoreData::with([OldEvent {
        payload: Value::Blob(payload.clone().into_bytes()),
        ..OldEvent::new(1)
    }]);
    let temporary = Temporary::open().await;
    import(&source, &temporary.store).await;
    let kept: Vec<u8> = temporary
        .connect()
        .query_row(
            "SELECT raw_payload FROM outbox_import_rows WHERE event_id = ?1",
            params![event_id(1)],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(kept, payload.as_bytes());
}

#[tokio::test]
async fn a_plain_table_is_read_by_its_own_names_and_dates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v6.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE \"out \"\"box\" (id TEXT, created TEXT, retried INTEGER, \"of user\" TEXT);
             INSERT INTO \"out \"\"box\" VALUES
                 ('E0000000-0000-4000-8000-000000000002', '2025-01-14T12:30:00Z', 1700000000500, 'user-1'),
                 ('e0000000-0000-4000-8000-000000000001', '2025-01-14T12:30:00.5Z', NULL, 'user-1');",
        )
        .unwrap();
    let mapper = |row: &SourceRow, _: &Source| {
        let event = NewEvent::new("mood", 1, row.text("Of User")?, Operation::Update)
            .with_id(row.uuid("ID")?);
        let event = ImportedEvent::new(event, row.date("created")?);
        Ok(event.last_attempt_at(row.opt_date("retried")?).into())
    };
    let table = SourceTable::plain("out \"BOX")
        .ordered_by("created")
        .dates(outbox_import::SourceDates::UnixMillis);
    let temporary = Temporary::open().await;
    let report = Import::new(&path)
        .table(table)
        .run(&temporary.store, mapper)
        .await
        .unwrap();
    assert_eq!(numbers(&report), [2, 2, 0, 0, 0]);
    let events = temporary
        .store
        .fetch_events(OutboxStatus::Pending, None, None)
        .await
        .unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(
        ids,
        [event_id(2), event_id(1)],
        "text dates keep fractions of a second"
    );
    let retried = events[0].last_attempt_at.unwrap();
    assert_eq!(retried.to_rfc3339(), "2023-11-14T22:13:20.500+00:00");
}
