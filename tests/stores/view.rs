//! The view `outbox` shows the events as a person expects, in any SQLite tool.

use std::time::Duration;

use chrono::{TimeDelta, TimeZone as _, Utc};
use outbox_runtime::rusqlite::{Connection, named_params};
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement, SystemClock};
use outbox_runtime::{Clock, DeadReason, NewEvent, OnDead, Order, RawMetadata, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::Temporary;
use outbox_tests::reference::{blocks, documented, file};
use uuid::Uuid;

/// The page that documents the view and the tables.
const GUIDE: &str = "docs/guide/tables.md";

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
async fn the_documented_queries_run() {
    let made = Temporary::open().await;
    let event = NewEvent::new("note", 7, "user-1", Operation::Update);
    made.store.create_event(event).await.unwrap();
    let conn = made.connect();
    let blocks = blocks(GUIDE, "sql");
    let queries: Vec<&str> = blocks
        .iter()
        .filter(|block| block.starts_with("SELECT"))
        .flat_map(|block| block.lines())
        .collect();
    assert!(queries.len() > 1, "{queries:?}");
    for query in queries {
        let mut statement = conn.prepare(query).unwrap();
        statement.query([]).unwrap().next().unwrap();
    }
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
    let documented = documented(GUIDE, "columns: outbox");
    assert_eq!(
        sorted(documented),
        sorted(names.into_iter().map(str::to_owned))
    );
}

#[tokio::test]
async fn the_tables_have_the_documented_columns() {
    let made = Temporary::open().await;
    let conn = made.connect();
    let names = |sql: &str| {
        let mut statement = conn.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        sorted(names.map(Result::<String, _>::unwrap))
    };
    let columns = names("SELECT name FROM pragma_table_info('outbox_events')");
    let mut listed = documented(GUIDE, "columns: outbox_events, to write");
    listed.extend(documented(GUIDE, "columns: outbox_events, the library's"));
    assert_eq!(sorted(listed), columns);
    let tables = names(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'outbox@_%' ESCAPE '@'
         AND name <> 'outbox_events'",
    );
    assert_eq!(sorted(documented(GUIDE, "tables of SQLite")), tables);
}

#[tokio::test]
async fn the_columns_to_write_have_the_documented_types_and_defaults() {
    let made = Temporary::open().await;
    let conn = made.connect();
    let marker = "<!-- columns: outbox_events, to write -->\n";
    let page = file(GUIDE);
    let (_, table) = page.split_once(marker).unwrap();
    for row in table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
    {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, kind, default, ..] = cells[..] else {
            panic!("{row}")
        };
        let found: (String, bool, Option<String>) = conn
            .query_row(
                "SELECT type, \"notnull\", dflt_value FROM pragma_table_info('outbox_events') WHERE name = ?1",
                [name.trim_matches('`')],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        let expected = match found.2 {
            Some(value) => value,
            None if found.1 => "required".to_owned(),
            None => "NULL".to_owned(),
        };
        assert_eq!(
            (kind.split(',').next(), default),
            (Some(&*found.0), &*expected),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_documented_statement_enqueues_as_the_library_does() {
    let made = Temporary::open().await;
    let blocks = blocks(GUIDE, "sql");
    let mut blocks = blocks.iter();
    let sql = blocks.find(|block| block.starts_with("INSERT")).unwrap();
    let conn = made.connect();
    let id = Uuid::now_v7();
    let now = SystemClock.now().timestamp_micros();
    for changed in [1, 0] {
        let values = named_params! {
            ":uuid_as_16_bytes": id.as_bytes(), ":user_id": "ann", ":entity_id": "7", ":now": now,
            ":json": "{}",
        };
        assert_eq!(conn.execute(sql, values).unwrap(), changed);
    }
    let ours = NewEvent::new("moodEntry", 7, "ann", Operation::Create)
        .with_metadata(RawMetadata::from_bytes("{}"));
    made.store.create_event(ours).await.unwrap();
    // The first of a lane, and the second, once a claim has found the place of both.
    let request = ClaimRequest::new(9, LEASE);
    let claims = made.store.claim(&request).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.id, id);
    let row = |seq: i64| {
        let columns = "event_type, entity_id, user_id, operation, priority, max_attempts, destination, \"order\", on_dead,
            metadata, metadata_version, trace_context, dedup_key, expires_at, revision";
        let sql = format!("SELECT json_array({columns}) FROM outbox WHERE seq = ?1");
        conn.query_row(&sql, [seq], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(row(1), row(2));
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    names
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
