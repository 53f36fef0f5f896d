//! The view `outbox` shows the events as a person expects, in any SQLite tool.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone as _, Utc};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{Clock, DeadReason, NewEvent, OnDead, Order, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::Temporary;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

/// The documented columns, in their order.
const COLUMNS: [&str; 26] = [
    "seq",
    "id",
    "event_type",
    "entity_id",
    "user_id",
    "operation",
    "status",
    "place",
    "priority",
    "attempt_count",
    "max_attempts",
    "created_at",
    "next_attempt_at",
    "last_attempt_at",
    "completed_at",
    "dead_reason",
    "error_message",
    "last_refusal",
    "destination",
    "order",
    "on_dead",
    "deferrals",
    "snoozes",
    "crashes",
    "revision",
    "metadata",
];

fn text(conn: &Connection, column: &str, seq: i64) -> Option<String> {
    let sql = format!("SELECT CAST({column} AS TEXT) FROM outbox WHERE seq = ?1");
    conn.query_row(&sql, [seq], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_view_has_the_documented_columns() {
    let made = Temporary::open().await;
    let conn = made.connect();
    let view = conn.prepare("SELECT * FROM outbox").unwrap();
    #[allow(
        clippy::useless_conversion,
        reason = "the return type depends on the driver"
    )]
    let names: Vec<&str> = view.column_names().into_iter().collect();
    assert_eq!(names[..COLUMNS.len()], COLUMNS);
    assert_eq!(
        names[COLUMNS.len()..],
        [
            "metadata_version",
            "lease_expires_at",
            "trace_context",
            "dedup_key",
            "parents",
            "expires_at",
            "headers"
        ]
    );
    let guide = include_str!("../../docs/guide/other-programs.md");
    for name in names {
        assert!(guide.contains(&format!("`{name}`")), "{name} is documented");
    }
}

#[tokio::test]
async fn the_view_says_in_words_what_the_store_says() {
    let clock = ManualClock::new();
    let made = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let store = &made.store;
    let uuid = Uuid::now_v7();
    let first = NewEvent::new("note", uuid, "u1", Operation::Create);
    store.create_event(first).await.unwrap();
    store
        .create_event(NewEvent::new("note", uuid, "u1", Operation::Delete))
        .await
        .unwrap();
    let task = NewEvent::new("task", -7, "u2", Operation::Update)
        .with_order(Order::User)
        .with_on_dead(OnDead::Skip)
        .with_delay(LEASE);
    store.create_event(task).await.unwrap();
    let conn = made.connect();
    let shown = |column: &str, seq: i64| text(&conn, column, seq).unwrap();
    let compare = async || {
        for status in OutboxStatus::ALL {
            for event in store.fetch_events(*status, None, None).await.unwrap() {
                let seq = event.seq;
                assert_eq!(shown("status", seq), event.status.as_str());
                assert_eq!(shown("operation", seq), event.operation.as_str());
                assert_eq!(shown("id", seq), event.id.to_string());
                assert_eq!(shown("entity_id", seq), event.entity_id.to_string());
                assert_eq!(shown("\"order\"", seq), event.order.as_str());
                assert_eq!(shown("on_dead", seq), event.on_dead.as_str());
                assert_eq!(shown("attempt_count", seq), event.attempt_count.to_string());
                for (column, time) in [
                    ("created_at", Some(event.created_at)),
                    ("next_attempt_at", Some(event.next_attempt_at)),
                    ("last_attempt_at", event.last_attempt_at),
                    ("completed_at", event.completed_at),
                    ("lease_expires_at", event.lease_expires_at),
                ] {
                    let iso = |time: chrono::DateTime<Utc>| {
                        time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
                    };
                    assert_eq!(text(&conn, column, seq), time.map(iso), "{column}");
                }
                let reason = event.dead_reason.map(|reason| reason.as_str().to_owned());
                assert_eq!(text(&conn, "dead_reason", seq), reason);
            }
        }
    };
    compare().await;
    assert_eq!(shown("place", 1), "ready");
    assert_eq!(shown("place", 2), "behind another event");
    assert_eq!(shown("place", 3), "waiting for its time");
    clock.advance(Duration::from_micros(1_234_567));
    let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
    compare().await;
    assert_eq!(shown("place", 1), "with a handler");
    let settlement = Settlement {
        lease: claims[0].lease,
        disposition: Disposition::Bury {
            reason: DeadReason::Rejected,
            message: "no".to_owned(),
        },
    };
    store.settle(vec![settlement]).await.unwrap();
    compare().await;
    assert_eq!(shown("place", 1), "holding back others");
    clock.advance(LEASE);
    let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
    store.mark_as_completed(&claims[0].lease).await.unwrap();
    compare().await;
    assert_eq!(text(&conn, "place", 3), None);
    // Before 1970, and a part of a second.
    let early = Utc.timestamp_opt(-1, 0).unwrap() + TimeDelta::microseconds(1);
    let sql = "UPDATE outbox_events SET created_at = ?1 WHERE seq = 1";
    conn.execute(sql, [early.timestamp_micros()]).unwrap();
    assert_eq!(shown("created_at", 1), "1969-12-31T23:59:59.000001Z");
    assert!(clock.now() > early);
}

#[tokio::test]
async fn a_table_of_the_application_that_is_called_outbox_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE outbox (mine); INSERT INTO outbox VALUES (7)")
        .unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let event = NewEvent::new("note", 1, "u1", Operation::Create);
    store.create_event(event).await.unwrap();
    let mine: i64 = conn
        .query_row("SELECT mine FROM outbox", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mine, 7);
}
