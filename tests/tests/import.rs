//! Issue 6.4, F64 to F66: what another program's outbox held is here afterwards, row by row, or it is said where it is.

use std::sync::{Arc, Mutex};

use outbox_runtime::import::{
    Import, ImportError, ImportReport, ImportedEvent, Mapped, Reject, RowMapper, Source, SourceRow,
    SourceTable,
};
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params};
use outbox_runtime::{
    ClaimRequest, Coalesce, DeadReason, NewEvent, OnDead, Order, OutboxStatus, RawMetadata,
    prelude::*,
};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CREATED, CoreData, OldEvent, entity_id, event_id, files};
use uuid::Uuid;

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

fn events() -> SourceTable {
    SourceTable::entity("SDOutboxEvent")
        .ordered_by("createdAt")
        .requires(["id", "eventType", "payload", "status", "retryCount"])
        .newer_with(["metadata"])
}

/// What an app's mapper looks like.
fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
    #[derive(serde::Deserialize)]
    struct Payload {
        id: Uuid,
        user_id: String,
    }
    let operation = match row.text("eventType")?.as_str() {
        "mood.created" => Operation::Create,
        "mood.updated" => Operation::Update,
        "mood.deleted" => Operation::Delete,
        _ => return Err(Reject::new("unknown event type", "")),
    };
    let payload = row.bytes("payload")?;
    let mood: Payload = serde_json::from_slice(&payload)
        .map_err(|_| Reject::new("payload is no JSON of a mood", ""))?;
    let event = NewEvent::new("moodEntry", mood.id, mood.user_id, operation)
        .with_id(row.uuid("id")?)
        .with_metadata(RawMetadata::from_bytes(payload.clone()));
    let attempts = u32::try_from(row.integer("retryCount")?)
        .map_err(|_| Reject::new("retryCount is damaged", "it is negative"))?;
    let mut event = ImportedEvent::new(event, row.date("createdAt")?)
        .attempts(attempts)
        .last_attempt_at(row.opt_date("lastAttemptAt")?)
        .raw_payload(payload);
    if let Some(message) = row.opt_text("errorMessage")? {
        event = event.error_message(message);
    }
    Ok(match row.text("status")?.as_str() {
        "completed" if attempts >= 5 => event.dead(DeadReason::AttemptsExhausted).into(),
        "completed" => match row.opt_date("completedAt")? {
            Some(at) => event.completed(at).into(),
            None => Mapped::AlreadyDelivered,
        },
        "failed" => event.failed().into(),
        "pending" | "processing" => event.pending().into(),
        _ => return Err(Reject::new("unknown status", "")),
    })
}

async fn import(source: &CoreData, store: &SqliteStore) -> ImportReport {
    let import = Import::new(&source.path).table(events());
    import.run(store, map).await.unwrap()
}

/// Read, migrated, already there, already delivered, rejected.
fn numbers(report: &ImportReport) -> [u64; 5] {
    let numbers = [
        report.read(),
        report.migrated(),
        report.already_there(),
        report.already_delivered(),
        report.rejected(),
    ];
    assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>(), "{report}");
    numbers
}

fn rejects(conn: &Connection) -> Vec<(i64, String, serde_json::Value)> {
    let mut rejects = conn
        .prepare("SELECT row_key, reason, raw FROM outbox_import_rejects ORDER BY row_key")
        .unwrap();
    let rows = rejects.query_map([], |row| {
        let raw: String = row.get(2)?;
        Ok((
            row.get(0)?,
            row.get(1)?,
            serde_json::from_str(&raw).unwrap(),
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn tables(conn: &Connection) -> Vec<String> {
    let mut tables = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap();
    let names = tables.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

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
    // What somebody had when the app ended is claimable again.
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    assert_eq!(claimed, [event_id(1), event_id(2), event_id(5)]);
    assert_eq!(claims[2].event.attempt_count, 2);
}

#[tokio::test]
async fn dates_are_read_whole_or_not_before_2001_or_never_and_wrong_ones_put_aside() {
    let at = |n, created_at| OldEvent {
        created_at,
        ..OldEvent::new(n)
    };
    let source = CoreData::with([
        at(1, Value::Integer(-541_232_580)),
        at(2, Value::Real(-0.5)),
        at(3, Value::Real(CREATED as f64 + 0.25)),
        // `Date.distantPast`: the first day of the year 1, as the Julian calendar has it.
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
async fn what_is_only_in_the_wal_is_read_and_the_original_stays_as_it_is() {
    let source =
        CoreData::with([OldEvent::new(1)]).crashed_with([OldEvent::new(2), OldEvent::new(3)]);
    let before = source.files();
    let names: Vec<_> = before.iter().map(|file| file.0.as_str()).collect();
    assert_eq!(
        names,
        ["default.store", "default.store-wal"],
        "as an app leaves it that died"
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
        "content, times and no file beside it"
    );
    assert_eq!(files(copies.path()), [], "the copy is gone");
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
    // What the app had not committed is not there, and it can commit.
    let event = temporary.store.fetch_event(event_id(1)).await.unwrap();
    assert_eq!(event.unwrap().status, OutboxStatus::Pending);
    tx.commit().unwrap();
}

#[tokio::test]
async fn a_second_import_takes_nothing_and_a_grown_source_only_what_is_new() {
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

    // What was imported may have been delivered and cleaned up since.
    store.delete_event(event_id(1)).await.unwrap();
    source.add([OldEvent::new(3)]);
    let grown = import(&source, store).await;
    assert_eq!(numbers(&grown), [3, 1, 2, 0, 0]);
    assert_ne!(grown.tables[0].checksum, first.tables[0].checksum);
    assert!(store.fetch_event(event_id(1)).await.unwrap().is_none());
    assert!(store.fetch_event(event_id(3)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_row_that_changed_since_does_not_bring_its_event_back() {
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
async fn of_two_rows_with_one_id_the_first_counts_and_nothing_vanishes() {
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
    assert_eq!(rejects(&conn).len(), 2, "once each");
}

#[tokio::test]
async fn an_event_that_the_outbox_has_already_is_left_as_it_is() {
    let temporary = Temporary::open().await;
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let Value::Blob(payload) = OldEvent::new(1).payload else {
        unreachable!()
    };
    let same = NewEvent::new("moodEntry", entity_id(1), "user-1", Operation::Create)
        .with_id(event_id(1))
        .with_metadata(RawMetadata::from_bytes(payload));
    let stored = temporary.store.create_event(same.clone()).await.unwrap();
    let other = same.with_id(event_id(2));
    temporary.store.create_event(other).await.unwrap();
    let report = import(&source, &temporary.store).await;
    assert_eq!(numbers(&report), [2, 0, 1, 0, 1]);
    let left = temporary.store.fetch_event(event_id(1)).await.unwrap();
    assert_eq!(left, Some(stored));
}

#[tokio::test]
async fn whatever_is_wrong_with_a_row_it_is_put_aside_whole_with_the_reason() {
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
        // Breaks a rule of the outbox.
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
            (&"payload is no JSON of a mood".to_owned(), &3),
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
async fn what_was_rejected_is_taken_once_the_mapper_can_read_it() {
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
    assert!(resolved, "it is kept, and marked");
}

#[tokio::test]
async fn events_of_an_entity_are_delivered_in_the_order_of_creation() {
    let of_one = |n: u128, seconds: f64, kind: &str, user: &str| OldEvent {
        created_at: Value::Real(CREATED as f64 + seconds),
        event_type: Value::Text(kind.into()),
        payload: Value::Blob(
            format!(r#"{{"id":"{}","user_id":"{user}"}}"#, entity_id(0)).into_bytes(),
        ),
        ..OldEvent::new(n)
    };
    // Neither in the order of their keys nor of their ids.
    let source = CoreData::with([
        of_one(3, 30.5, "mood.deleted", "user-1"),
        of_one(1, 10.0, "mood.created", "user-1"),
        of_one(2, 30.25, "mood.updated", "user-1"),
        of_one(4, 20.0, "mood.created", "user-2"),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import(&source, store).await;
    let mut delivered = Vec::new();
    loop {
        let request = ClaimRequest::new(10, LEASE).with_user("user-1");
        let claims = store.claim(&request).await.unwrap();
        let Some(claim) = claims.first() else { break };
        assert_eq!(claims.len(), 1, "one of an entity at a time");
        delivered.push(claim.event.id);
        store.mark_as_completed(&claim.lease).await.unwrap();
    }
    assert_eq!(delivered, [event_id(1), event_id(2), event_id(3)]);
    let other = ClaimRequest::new(10, LEASE).with_user("user-2");
    assert_eq!(store.claim(&other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dead_event_holds_back_the_later_ones_of_its_entity() {
    let of_one = |n: u128, status: &str, retries| OldEvent {
        payload: OldEvent::new(1).payload,
        ..OldEvent::new(n).with_status(status, retries)
    };
    let source = CoreData::with([
        of_one(1, "completed", 5),
        of_one(2, "pending", 0),
        of_one(3, "completed", 5),
        of_one(4, "failed", 1),
    ]);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    import(&source, store).await;
    let request = ClaimRequest::new(10, LEASE);
    let mut order = Vec::new();
    assert!(store.claim(&request).await.unwrap().is_empty());
    store.reset_for_retry(&[event_id(1)]).await.unwrap();
    for _ in 0..2 {
        for claim in store.claim(&request).await.unwrap() {
            order.push(claim.event.id);
            store.mark_as_completed(&claim.lease).await.unwrap();
        }
    }
    assert_eq!(order, [event_id(1), event_id(2)]);
    assert!(
        store.claim(&request).await.unwrap().is_empty(),
        "behind the third"
    );
    store.discard(&[event_id(3)]).await.unwrap();
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims[0].event.id, event_id(4));
}

#[tokio::test]
async fn other_orders_and_dead_events_that_are_skipped_stand_as_if_they_had_been_enqueued() {
    let source = CoreData::with((1..=8).map(OldEvent::new));
    let mapper = |row: &SourceRow, _: &Source| {
        // Two events of each kind, the first of them dead or not due.
        let (order, on_dead) = match row.key() {
            1 | 2 => (Order::User, OnDead::Skip),
            3 | 4 => (Order::User, OnDead::Hold),
            5 | 6 => (Order::None, OnDead::Hold),
            _ => (Order::Entity, OnDead::Hold),
        };
        let user = format!("user-{}", (row.key() + 1) / 2);
        let event = NewEvent::new("task", 1, user, Operation::Update)
            .with_id(row.uuid("id")?)
            .with_order(order)
            .with_on_dead(on_dead)
            .with_coalesce(Coalesce::Latest);
        let event = ImportedEvent::new(event, row.date("createdAt")?);
        Ok(match row.key() {
            1 | 3 | 5 => event.dead(DeadReason::Rejected).into(),
            7 => event
                .due_at(row.date("createdAt")? + chrono::TimeDelta::days(36_500))
                .into(),
            _ => event.into(),
        })
    };
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let import = Import::new(&source.path).table(events());
    let report = import.run(store, mapper).await.unwrap();
    assert_eq!(
        numbers(&report),
        [8, 8, 0, 0, 0],
        "none was folded into another"
    );
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let mut claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    claimed.sort();
    assert_eq!(claimed, [event_id(2), event_id(6)]);
    // What is behind a dead one goes when that is discarded, and what is behind one that is not due does not.
    store.discard(&[event_id(3)]).await.unwrap();
    let claims = store.claim(&ClaimRequest::new(10, LEASE)).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
    assert_eq!(claimed, [event_id(4)]);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_numbers_and_writes_nothing() {
    let source = CoreData::with([
        OldEvent::new(1),
        OldEvent::new(2).with_status("?", 0),
        OldEvent::new(3).with_status("completed", 0),
    ]);
    let temporary = Temporary::open().await;
    let before = tables(&temporary.connect());
    let dry = Import::new(&source.path)
        .table(events())
        .dry_run()
        .run(&temporary.store, map)
        .await
        .unwrap();
    assert!(dry.is_dry_run);
    assert_eq!(numbers(&dry), [3, 1, 0, 1, 1]);
    assert_eq!(tables(&temporary.connect()), before);
    assert_eq!(
        temporary.store.statistics(None).await.unwrap().total_events,
        0
    );
    let real = import(&source, &temporary.store).await;
    assert_eq!(real.tables, dry.tables);
    assert!(!real.is_dry_run);
}

#[tokio::test]
async fn the_report_prints_as_a_table() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2).with_status("?", 0)]);
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await.to_string();
    let lines: Vec<_> = report.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(lines[2], "  SDOutboxEvent: read     2", "{report}");
    assert_eq!(lines[3], "    migrated              1");
    assert_eq!(lines[4], "      moodEntry           1");
    assert_eq!(lines[8], "      unknown status      1");
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("  checksum of SDOutboxEvent: ")
    );
}

#[tokio::test]
async fn progress_is_told_up_to_the_last_row() {
    let source = CoreData::with((1..=250).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    Import::new(&source.path)
        .table(events())
        .on_progress(move |progress| teller.lock().unwrap().push((progress.read, progress.total)))
        .run(&temporary.store, map)
        .await
        .unwrap();
    assert_eq!(*told.lock().unwrap(), [(100, 250), (200, 250), (250, 250)]);
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

/// Looks owners up, and keeps the moods themselves.
#[derive(Default)]
struct WithMoods;

impl RowMapper for WithMoods {
    fn begin(
        &mut self,
        source: &Source,
        conn: &Connection,
    ) -> Result<(), outbox_runtime::BoxError> {
        source.check(&SourceTable::entity("SDMoodEntry"))?;
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS mood (id BLOB PRIMARY KEY, valence REAL NOT NULL)",
        )?;
        Ok(())
    }

    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        if row.table() == "SDMoodEntry" {
            return Ok(Mapped::Entity);
        }
        let payload = row.bytes("payload")?;
        let payload: serde_json::Value =
            serde_json::from_slice(&payload).map_err(|_| Reject::new("payload is no JSON", ""))?;
        let id = payload["local_id"].as_str().unwrap_or_default();
        let moods = SourceTable::entity("SDMoodEntry");
        let mood = source.find(&moods, "id", id)?.ok_or_else(|| {
            Reject::new("no owner", "neither the payload nor the entity names one")
        })?;
        let event = NewEvent::new(
            "moodEntry",
            mood.uuid("id")?,
            mood.text("userId")?,
            Operation::Delete,
        )
        .with_id(row.uuid("id")?);
        Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
    }

    fn write(&mut self, row: &SourceRow, mapped: &Mapped, conn: &Connection) -> Result<(), Reject> {
        if *mapped == Mapped::Entity {
            conn.execute(
                "INSERT INTO mood VALUES (?1, ?2)",
                params![
                    row.uuid("id")?,
                    row.opt_real("valence")?.unwrap_or_default()
                ],
            )?;
            if row.opt_real("valence")?.is_none() {
                return Err(Reject::new(
                    "valence is missing",
                    "found out after it was written",
                ));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn other_entities_are_looked_up_and_imported_in_the_same_transaction() {
    let delete = |n: u128| OldEvent {
        payload: Value::Blob(format!(r#"{{"local_id":"{}"}}"#, entity_id(n)).into_bytes()),
        event_type: Value::Text("mood.deleted".into()),
        ..OldEvent::new(n)
    };
    let source = CoreData::with([delete(1), delete(2)]);
    let app = source.connect();
    let mut insert = app
        .prepare("INSERT INTO ZSDMOODENTRY (ZID, ZUSERID, ZVALENCE) VALUES (?1, ?2, ?3)")
        .unwrap();
    insert
        .execute(params![entity_id(1), "user-7", 0.5])
        .unwrap();
    insert
        .execute(params![entity_id(9), "user-7", Value::Null])
        .unwrap();
    drop(insert);
    drop(app);
    let temporary = Temporary::open().await;
    let import = || {
        Import::new(&source.path)
            .table(SourceTable::entity("SDMoodEntry"))
            .table(events())
    };
    let report = import().run(&temporary.store, WithMoods).await.unwrap();
    assert_eq!(numbers(&report), [4, 2, 0, 0, 2]);
    assert_eq!(
        report.table("SDMoodEntry").unwrap().migrated["SDMoodEntry"],
        1
    );
    assert_eq!(
        report.table("SDOutboxEvent").unwrap().rejected["no owner"],
        1
    );
    let event = temporary
        .store
        .fetch_event(event_id(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.user_id, "user-7");
    let moods = || -> i64 {
        let conn = temporary.connect();
        conn.query_row("SELECT count(*) FROM mood", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        moods(),
        1,
        "what was written for a rejected row is taken back"
    );
    let again = import().run(&temporary.store, WithMoods).await.unwrap();
    assert_eq!(numbers(&again), [4, 0, 2, 0, 2]);
    assert_eq!(moods(), 1);
}

/// Does harm in `finish`, or ends the import there.
struct Harmful(&'static str);

impl RowMapper for Harmful {
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        map(row, source)
    }

    fn finish(&mut self, _: &Source, conn: &Connection) -> Result<(), outbox_runtime::BoxError> {
        match self.0 {
            "" => return Err("the app says no".into()),
            "panic" => panic!("the app has a fault"),
            sql => conn.execute(sql, [])?,
        };
        Ok(())
    }
}

#[tokio::test]
async fn what_is_lost_or_changed_before_the_commit_is_found_out_and_rolled_back() {
    let source = CoreData::with([
        OldEvent::new(1),
        OldEvent::new(2),
        OldEvent::new(3).with_status("?", 0),
    ]);
    for (harm, found) in [
        ("DELETE FROM outbox_events WHERE seq = 1", "count of events"),
        (
            "UPDATE outbox_events SET user_id = 'user-2' WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "UPDATE outbox_events SET attempt_count = 1 WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "UPDATE outbox_import_rows SET raw_payload = x'00' WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "DELETE FROM outbox_import_rows WHERE seq = 1",
            "count of rows in the ledger",
        ),
        (
            "UPDATE outbox_import_rows SET row_hash = zeroblob(16) WHERE seq = 1",
            "checksum of the rows in",
        ),
        (
            "DELETE FROM outbox_import_rejects",
            "count of rows put aside",
        ),
        (
            "UPDATE outbox_import_rejects SET raw = '{}'",
            "checksum of the rows put aside",
        ),
    ] {
        let temporary = Temporary::open().await;
        let import = Import::new(&source.path).table(events());
        let error = import
            .run(&temporary.store, Harmful(harm))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ImportError::NotVerified { .. }),
            "{harm}: {error}"
        );
        assert!(error.to_string().contains(found), "{harm}: {error}");
        assert!(
            !tables(&temporary.connect())
                .iter()
                .any(|name| name.contains("import"))
        );
        assert_eq!(
            temporary.store.statistics(None).await.unwrap().total_events,
            0
        );
    }
}

#[tokio::test]
async fn an_import_that_the_app_ends_or_panics_in_leaves_nothing_and_can_be_run_again() {
    let source = CoreData::with((1..=50).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let before = source.files();
    let import_with = |harm| {
        Import::new(&source.path)
            .table(events())
            .run(&temporary.store, Harmful(harm))
    };
    let error = import_with("").await.unwrap_err();
    assert!(matches!(error, ImportError::Mapper { .. }), "{error}");
    let store = temporary.store.clone();
    let path = source.path.clone();
    let panicked = tokio::spawn(async move {
        Import::new(path)
            .table(events())
            .run(&store, Harmful("panic"))
            .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(
        !tables(&temporary.connect())
            .iter()
            .any(|name| name.contains("import"))
    );
    assert_eq!(
        temporary.store.statistics(None).await.unwrap().total_events,
        0
    );
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [50, 50, 0, 0, 0]
    );
    assert_eq!(source.files(), before);
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
        .dates(outbox_runtime::import::SourceDates::UnixMillis);
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
        "half a second later is later, also as text"
    );
    let retried = events[0].last_attempt_at.unwrap();
    assert_eq!(retried.to_rfc3339(), "2023-11-14T22:13:20.500+00:00");
}
