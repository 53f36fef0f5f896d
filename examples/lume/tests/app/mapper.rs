//! Arbitrary rows: none is lost, and none is duplicated.

use lume::migrate::migrate;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params_from_iter};
use outbox_runtime::{OutboxRepository, SqliteStore};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::migration::Old;

const COLUMNS: [&str; 9] = [
    "ZID",
    "ZCREATEDAT",
    "ZEVENTTYPE",
    "ZSTATUS",
    "ZRETRYCOUNT",
    "ZPAYLOAD",
    "ZERRORMESSAGE",
    "ZLASTATTEMPTAT",
    "ZCOMPLETEDAT",
];

/// Any SQLite value.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        ".{0,12}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..24).prop_map(Value::Blob),
    ]
}

/// Mostly valid values.
fn column(good: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![6 => good, 1 => anything()].boxed()
}

fn text(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::sample::select(words).prop_map(|word| Value::Text(word.to_owned()))
}

fn payload() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(vec![
        "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10",
        "x",
        "00000000-0000-4000-8000-000000000001",
    ]);
    let keys = prop::collection::vec(
        prop_oneof![
            Just(r#""valence":0.5"#),
            Just(r#""labels":["a"]"#),
            Just(r#""mood":"happy""#),
            Just(r#""date":7.5"#),
            Just(r#""date":"2025-01-14T12:30:00Z""#),
            Just(r#""date":1e300"#),
            Just(r#""timestamp":1"#),
            Just(r#""user_id":"u""#),
            Just(r#""user_id":"""#),
            Just(r#""content":"c""#),
            Just(r#""title":"t""#),
            Just(r#""created_at":0"#),
            Just(r#""backend_id":"none""#),
            Just(r#""backend_id":"b""#),
        ],
        0..8,
    );
    let name = prop::sample::select(vec!["id", "local_id", "conversation_id", "entryId"]);
    (id, keys, name).prop_map(|(id, mut keys, name)| {
        let id = format!("\"{name}\":\"{id}\"");
        keys.push(&id);
        Value::Blob(format!("{{{}}}", keys.join(",")).into_bytes())
    })
}

fn row() -> impl Strategy<Value = Vec<Value>> {
    let id = prop_oneof![
        any::<[u8; 16]>().prop_map(|id| Value::Blob(id.to_vec())),
        Just(Value::Blob(vec![7; 16])),
    ];
    let columns = vec![
        column(id),
        column(prop_oneof![
            (0..800_000_000_i64).prop_map(Value::Integer),
            (-1e11..1e9).prop_map(Value::Real),
        ]),
        column(text(&[
            "mood.created",
            "mood.updated",
            "mood.deleted",
            "journal.created",
            "journal.delete",
            "goal.updated",
            "goal.deleted",
            "conversation.delete",
            "mood_created",
            "profile.updated",
        ])),
        column(text(&["pending", "failed", "completed", "processing"])),
        column((-1..8_i64).prop_map(Value::Integer)),
        column(payload()),
        anything().boxed(),
        anything().boxed(),
        anything().boxed(),
    ];
    columns
}

#[test]
fn no_row_is_lost_and_none_is_duplicated() {
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let rows = prop::collection::vec(row(), 1..25);
    runner
        .run(&rows, |rows| {
            runtime.block_on(hold(&rows));
            Ok(())
        })
        .unwrap();
}

async fn hold(rows: &[Vec<Value>]) {
    let old = Old::empty();
    let mut conn = Connection::open(&old.path).unwrap();
    let tx = conn.transaction().unwrap();
    let insert = format!(
        "INSERT INTO ZSDOUTBOXEVENT ({}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        COLUMNS.join(", ")
    );
    for row in rows {
        tx.execute(&insert, params_from_iter(row)).unwrap();
    }
    tx.commit().unwrap();
    drop(conn);
    let store = SqliteStore::open(old.path.with_file_name("lume.db"))
        .await
        .unwrap();
    let report = migrate(&store, &old.path, false).await.unwrap();
    let events = report.table("SDOutboxEvent").unwrap();
    let sum = events.migrated_total()
        + events.already_there
        + events.already_delivered
        + events.rejected_total();
    assert_eq!(
        (events.read, sum),
        (rows.len() as u64, rows.len() as u64),
        "{report}"
    );
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(statistics.total_events, events.migrated_total(), "{report}");
    store.close().await;
}
