//! Arbitrary rows next to a sound one.

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params_from_iter};
use outbox_runtime::store::{ClaimRequest, Disposition, OutboxQueue as _, Settlement};
use outbox_runtime::{
    DeadLetters, DeadReason, Durability, Event, NewEvent, Operation, OutboxEvent, OutboxRepository,
    OutboxStatus, SqliteStore,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::input::Input;
use crate::Note;

/// Lease of every claim.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// The store's own tables without their constraints. One per thread, emptied for each input.
struct Harness {
    runtime: Runtime,
    store: SqliteStore,
    conn: Connection,
    columns: Vec<Column>,
    _folder: TempDir,
}

/// A column of the table, and the values that the schema accepts in it.
struct Column {
    name: String,
    kind: Kind,
    is_nullable: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Integer,
    Text,
    Blob,
    Any,
}

thread_local! {
    static HARNESS: RefCell<Option<Harness>> = const { RefCell::new(None) };
}

/// Runs on this thread's runtime.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    with_harness(|harness| harness.runtime.block_on(future))
}

/// This thread's SQLite store, emptied.
pub(super) fn with_stores<T>(make: impl FnOnce(SqliteStore) -> T) -> T {
    with_harness(|harness| {
        harness.empty();
        make(harness.store.clone())
    })
}

fn with_harness<T>(work: impl FnOnce(&Harness) -> T) -> T {
    HARNESS.with_borrow_mut(|harness| work(harness.get_or_insert_with(Harness::new)))
}

/// Whatever a row contains, nothing panics; and if each column has a type that SQLite accepts
/// there, the row is delivered, or becomes a dead letter alone, and every query is answered.
pub fn row(bytes: &[u8]) {
    with_harness(|harness| {
        harness.empty();
        let mut input = Input::new(bytes);
        let mut is_typed = true;
        for _ in 0..3 {
            if input.is_empty() {
                break;
            }
            is_typed &= harness.insert(&mut input);
        }
        harness.runtime.block_on(exercise(&harness.store, is_typed));
    });
}

impl Harness {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let open = || {
            let builder = SqliteStore::builder(&path).durability(Durability::Normal);
            runtime.block_on(builder.single_process().open()).unwrap()
        };
        runtime.block_on(open().close());
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let columns = loosen(&conn);
        let store = open();
        Self {
            runtime,
            store,
            conn,
            columns,
            _folder: folder,
        }
    }

    fn empty(&self) {
        self.conn
            .execute_batch(
                "DELETE FROM outbox_events; DELETE FROM outbox_folded; DELETE FROM outbox_claims;",
            )
            .unwrap();
    }

    /// Inserts an arbitrary row. Returns whether the real table would accept its types.
    fn insert(&self, input: &mut Input<'_>) -> bool {
        let values: Vec<Value> = self
            .columns
            .iter()
            .map(|column| value(&column.name, input))
            .collect();
        let mut columns = self.columns.iter().zip(&values);
        let is_typed = columns.all(|(column, value)| column.takes(value));
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        // Bytes become text without validation, as in a damaged file.
        let places: Vec<String> = (1..=names.len())
            .map(|at| format!("CASE WHEN typeof(?{at}) = 'blob' AND substr(?{at}, 1, 1) = x'00' THEN CAST(substr(?{at}, 2) AS TEXT) ELSE ?{at} END"))
            .collect();
        let (names, places) = (names.join(", "), places.join(", "));
        let sql = format!("INSERT OR IGNORE INTO outbox_events ({names}) VALUES ({places})");
        let inserted = self
            .conn
            .prepare_cached(&sql)
            .unwrap()
            .execute(params_from_iter(values));
        inserted.unwrap();
        is_typed
    }
}

impl Column {
    fn takes(&self, value: &Value) -> bool {
        match (self.kind, value) {
            (_, Value::Null) => self.is_nullable,
            (Kind::Any, _) | (Kind::Integer, Value::Integer(_)) | (Kind::Text, Value::Text(_)) => {
                true
            }
            // See `value`.
            (Kind::Text, Value::Blob(bytes)) => bytes.first() == Some(&0),
            (Kind::Blob, Value::Blob(bytes)) => bytes.first() != Some(&0),
            _ => false,
        }
    }
}

/// Removes types and constraints from the schema, and returns them.
fn loosen(conn: &Connection) -> Vec<Column> {
    let mut statement = conn
        .prepare("SELECT name, type, \"notnull\" FROM pragma_table_info('outbox_events')")
        .unwrap();
    let columns: Vec<Column> = statement
        .query_map([], |row| {
            let kind: String = row.get(1)?;
            let kind = match kind.as_str() {
                "INTEGER" => Kind::Integer,
                "TEXT" => Kind::Text,
                "BLOB" => Kind::Blob,
                _ => Kind::Any,
            };
            Ok(Column {
                name: row.get(0)?,
                kind,
                is_nullable: !row.get::<_, bool>(2)?,
            })
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let declared: Vec<String> = columns
        .iter()
        .map(|column| match column.name.as_str() {
            "seq" => "seq INTEGER PRIMARY KEY".to_owned(),
            "id" => "id UNIQUE".to_owned(),
            "attempt_count" => "attempt_count DEFAULT 0".to_owned(),
            "metadata_version" => "metadata_version DEFAULT 1".to_owned(),
            count @ ("deferrals" | "crashes" | "snoozes" | "revision" | "status" | "lane_order"
            | "on_dead" | "slot" | "lane" | "priority") => {
                format!("{count} DEFAULT 0")
            }
            name => name.to_owned(),
        })
        .collect();
    let sql = format!("CREATE TABLE outbox_events ({})", declared.join(", "));
    conn.execute_batch("PRAGMA writable_schema = ON").unwrap();
    let changed = conn.execute(
        "UPDATE sqlite_schema SET sql = ?1 WHERE type = 'table' AND name = 'outbox_events'",
        [sql],
    );
    assert_eq!(changed.unwrap(), 1);
    conn.execute_batch("PRAGMA writable_schema = RESET")
        .unwrap();
    columns
        .into_iter()
        .filter(|column| column.name != "seq")
        .collect()
}

/// The input's value for a column: a valid one, a nearly valid one, or any value.
fn value(column: &str, input: &mut Input<'_>) -> Value {
    match input.byte() % 8 {
        0..=2 => sound(column, input),
        3 => Value::Null,
        4 => Value::Integer(input.integer()),
        5 => Value::Real(f64::from_le_bytes(input.eight_bytes())),
        6 => Value::Blob([&[1], input.bytes()].concat()),
        // The first byte marks it as text, see `insert`.
        _ => Value::Blob([&[0], input.bytes()].concat()),
    }
}

fn sound(column: &str, input: &mut Input<'_>) -> Value {
    let word = |words: &[&str], input: &mut Input<'_>| Value::Text(input.one_of(words).to_owned());
    let times = [
        0,
        1_700_000_000_000_000,
        -1,
        i64::MIN,
        i64::MAX,
        253_402_300_800_000_000,
    ];
    match column {
        "id" => Value::Blob([&[7; 8][..], &input.eight_bytes()].concat()),
        "event_type" => word(&["note", "task"], input),
        "entity_id" => word(
            &[
                "1",
                "2",
                "-7",
                "007",
                "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            ],
            input,
        ),
        "user_id" => word(&["u1", "u2"], input),
        "operation" | "lane_order" => Value::Integer(input.one_of(&[0, 1, 2])),
        "status" => Value::Integer(input.one_of(&[0, 1, 2, 3])),
        "slot" => Value::Integer(input.one_of(&[0, 1, 2, 3, 4, 5])),
        "lane" | "entity_lane" => Value::Integer(input.one_of(&[0, 1, 2, -7])),
        "metadata" => word(&[r#"{"text":"x"}"#, "{}", "null", "{"], input),
        "dead_reason" => Value::Integer(input.one_of(&[1, 2, 3])),
        "on_dead" => Value::Integer(input.one_of(&[0, 1])),
        "error_message" => word(&["no"], input),
        "destination" => word(&["a", "b"], input),
        "trace_context" => word(
            &[
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 a=b",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 =",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            ],
            input,
        ),
        "last_refusal" => word(&["timeout: 30 s", "no class"], input),
        "dedup_key" => word(&["avatar", ""], input),
        "parents" => word(
            &[
                r#"[{"eventType":"note","entityID":"1"}]"#,
                r#"[{"eventType":7}]"#,
                "[",
            ],
            input,
        ),
        "headers" => word(
            &[
                r#"{"x-tenant":"7"}"#,
                r#"{"x-tenant":{"sensitive":"7"}}"#,
                r#"{"X TENANT":"7"}"#,
                r#"{"x-tenant":7}"#,
                "{}",
                "{",
            ],
            input,
        ),
        "attempt_count" | "max_attempts" | "metadata_version" | "deferrals" | "crashes"
        | "snoozes" | "revision" => {
            Value::Integer(input.one_of(&[1, 0, 5, -1, i64::MAX, 4_294_967_296]))
        }
        "priority" => Value::Integer(input.one_of(&[0, 5, i64::MIN, i64::MAX])),
        _ => Value::Integer(input.one_of(&times)),
    }
}

/// Every query of a store.
async fn exercise(store: &SqliteStore, is_typed: bool) {
    let check = |what: &str, worked: bool| assert!(worked || !is_typed, "{what} failed");
    let beside = NewEvent::new("note", "beside", "bystander", Operation::Create)
        .with_metadata(outbox_runtime::RawMetadata::from_bytes(r#"{"text":"y"}"#));
    let Ok(beside) = store.create_event(beside).await else {
        return check("create_event", false);
    };
    let mut seen: Vec<OutboxEvent> = Vec::new();
    for status in OutboxStatus::ALL {
        let listed = store.fetch_events(*status, None, None).await;
        check("fetch_events", listed.is_ok());
        seen.extend(listed.unwrap_or_default());
    }
    for event in &seen {
        check("fetch_event", store.fetch_event(event.id).await.is_ok());
        let explained = store.explain(&event.entity_id, None).await;
        check("explain", explained.is_ok());
        if let Ok(explained) = explained {
            assert!(!format!("{explained} {explained:?}").is_empty());
        }
        let written = serde_json::to_string(event).expect("every row can be exported");
        drop(serde_json::from_str::<OutboxEvent>(&written));
        drop(Event::<Note>::decode(event.clone()));
        assert!(!event.is_stale(event.created_at));
    }
    check(
        "fetch_pending",
        store.fetch_pending_events(None, None).await.is_ok(),
    );
    check("statistics", store.statistics(None).await.is_ok());
    check("stale_events", store.stale_events(None).await.is_ok());
    check("pending_deletes", store.pending_deletes(None).await.is_ok());
    check("oldest_completed", store.oldest_completed().await.is_ok());
    check("rescue", store.rescue().await.is_ok());
    let request = ClaimRequest::new(100, LEASE);
    check("next_due", store.next_due(&request).await.is_ok());
    let claims = store.claim(&request).await;
    check("claim", claims.is_ok());
    let claims = claims.unwrap_or_default();
    let got_it = claims.iter().any(|claim| claim.event.id == beside.id);
    check("the sound row is claimed", got_it);
    let settlements = claims.into_iter().enumerate().map(|(number, claim)| {
        let damaged = Event::<Note>::decode(claim.event).is_err();
        let disposition = match (damaged, number % 3) {
            (true, _) => Disposition::Bury {
                reason: DeadReason::Undecodable,
                message: "not a note".to_owned(),
            },
            (false, 0) => Disposition::GiveBack {
                next_attempt_at: None,
                refusal: None,
            },
            (false, _) => Disposition::Complete,
        };
        let lease = claim.lease;
        Settlement { lease, disposition }
    });
    check("settle", store.settle(settlements.collect()).await.is_ok());
    let letters = DeadLetters::of(store.clone());
    check("export", letters.export(&mut std::io::sink()).await.is_ok());
    check("retry", letters.retry().await.is_ok());
    for event in &seen {
        let mut edited = event.clone();
        edited.priority = 1;
        // It may be refused, because the event may have changed meanwhile.
        drop(store.update_event(&edited).await);
        drop(store.mark_as_processing(event.id, LEASE).await);
        drop(store.reassign_user(&event.user_id, "taker").await);
    }
    let all_time = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    check(
        "clean up",
        store.delete_completed_events(all_time).await.is_ok(),
    );
    for event in &seen {
        check("delete", store.delete_event(event.id).await.is_ok());
    }
}
