//! Imports by a mapping file: each key of it, each reason to put a row aside, and parts of bounded
//! size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox_import::{
    Import, ImportError, ImportReport, Mapping, MappingProblem, RejectReason, Source,
};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, event_id};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::numbers;

/// Meals as a SwiftData app keeps them: state in the rows themselves, no outbox.
const MEALS: &str = "
    CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
    INSERT INTO Z_PRIMARYKEY VALUES (1, 'SDMeal', 0, 5);
    CREATE TABLE ZSDMEAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZSTATE VARCHAR, ZKCAL FLOAT,
        ZSERVINGS INTEGER, ZISDRAFT INTEGER, ZCREATEDAT TIMESTAMP, ZEATENAT TIMESTAMP, ZTITLE VARCHAR, ZID BLOB,
        ZOUTBOXID BLOB, ZUSER VARCHAR, ZNOTES VARCHAR, ZTAGS BLOB, ZHOST VARCHAR);
    INSERT INTO ZSDMEAL VALUES (1, 1, 1, 'new', 250.5, 2, 0, 758550600, 758550599.25, 'Soup',
        x'A0000000000040008000000000000001', x'E0000000000040008000000000000001', 'ann', NULL, '[\"warm\"]', 'eu');
    INSERT INTO ZSDMEAL VALUES (2, 1, 1, 'changed', 400, 1, 1, 758550601, 758550600, 'Stew',
        x'A0000000000040008000000000000002', x'E0000000000040008000000000000002', 'ben', 'late', '[]', NULL);
    INSERT INTO ZSDMEAL VALUES (3, 1, 1, 'synced', 100, 1, 0, 758550602, 758550602, 'Tea',
        x'A0000000000040008000000000000003', x'E0000000000040008000000000000003', 'ben', NULL, NULL, NULL);";

const MAPPING: &str = r#"
[[events]]
entity = "SDMeal"
where = { state = "synced" }
delivered = true

[[events]]
entity = "SDMeal"
where = { isDraft = { null = false } }
type = "meal"
operation = { column = "state", map = { new = "create", changed = "update" } }
entity_id = { column = "id", as = "uuid" }
user_id = { column = "user" }
id = { column = "outboxID" }
priority = 7
destination = { column = "host", optional = true }
created_at = { column = "createdAt", as = "core-data-date" }
version = 2

[events.payload]
title = { column = "title" }
kcal = { column = "kcal", as = "real" }
servings = { column = "servings", as = "integer" }
isDraft = { column = "isDraft", as = "bool" }
eatenAt = { column = "eatenAt", as = "core-data-date" }
id = { column = "id", as = "uuid" }
notes = { column = "notes", optional = true }
tags = { column = "tags", as = "json" }
source = "import"
"#;

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn with(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self { folder };
        file.execute(sql);
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("default.store")
    }

    fn execute(&self, sql: &str) {
        let conn = Connection::open(self.path()).unwrap();
        conn.execute_batch(sql).unwrap();
    }

    async fn import(&self, store: &SqliteStore, mapping: &str) -> ImportReport {
        let mapping: Mapping = mapping.parse().unwrap();
        let import = Import::new(self.path());
        import.run_mapping(store, mapping).await.unwrap()
    }
}

fn payload(event: &OutboxEvent) -> Value {
    serde_json::from_slice(event.metadata.as_ref().unwrap().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_mapping_file_makes_events_of_rows() {
    let file = File::with(MEALS);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let report = file.import(store, MAPPING).await;
    assert_eq!(numbers(&report), [3, 2, 0, 1, 0], "{report}");
    assert_eq!(report.tables[0].migrated["meal"], 2);

    let id = |n: u128| Uuid::from_u128(0xe000_0000_0000_4000_8000_0000_0000_0000 + n);
    let soup = store.fetch_event(id(1)).await.unwrap().unwrap();
    assert_eq!(
        (soup.event_type.as_str(), soup.user_id.as_str()),
        ("meal", "ann")
    );
    assert_eq!((soup.operation, soup.priority), (Operation::Create, 7));
    assert_eq!(soup.destination.as_deref(), Some("eu"));
    assert_eq!(soup.metadata_version, 2);
    assert_eq!(soup.created_at.to_rfc3339(), "2025-01-14T12:30:00+00:00");
    assert_eq!(
        soup.entity_id.to_string(),
        "a0000000-0000-4000-8000-000000000001"
    );
    assert_eq!(
        payload(&soup),
        json!({
            "title": "Soup", "kcal": 250.5, "servings": 2, "isDraft": false,
            "eatenAt": "2025-01-14T12:29:59.250Z", "id": "a0000000-0000-4000-8000-000000000001",
            "notes": null, "tags": ["warm"], "source": "import",
        })
    );
    let stew = store.fetch_event(id(2)).await.unwrap().unwrap();
    assert_eq!(
        (stew.operation, stew.destination.as_deref()),
        (Operation::Update, None)
    );
    assert_eq!(payload(&stew)["notes"], "late");

    // Again: nothing new, and a row that was added since.
    file.execute(
        "INSERT INTO ZSDMEAL SELECT 4, 1, 1, 'new', ZKCAL, 1, 0, ZCREATEDAT, ZEATENAT, 'Pie', ZID,
             x'E0000000000040008000000000000004', ZUSER, NULL, '[]', NULL FROM ZSDMEAL WHERE Z_PK = 1",
    );
    let again = file.import(store, MAPPING).await;
    assert_eq!(numbers(&again), [4, 1, 3, 0, 0], "{again}");
}

#[tokio::test]
async fn the_mapping_file_of_the_guide_imports_what_it_says() {
    let blocks = outbox_tests::reference::blocks("docs/guide/mapping-files.md", "toml");
    let mapping = blocks[0].as_str();
    let file = File::with(
        "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
         INSERT INTO Z_PRIMARYKEY VALUES (1, 'SDMeal', 0, 5);
         CREATE TABLE ZSDMEAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZSYNCED INTEGER,
             ZDELETEDAT TIMESTAMP, ZSTATE VARCHAR, ZID BLOB, ZUSERID VARCHAR, ZOUTBOXID BLOB, ZCREATEDAT TIMESTAMP,
             ZTITLE VARCHAR, ZKCAL FLOAT, ZEATENAT TIMESTAMP, ZNOTES VARCHAR);
         INSERT INTO ZSDMEAL VALUES (1, 1, 1, 0, NULL, 'new', x'A0000000000040008000000000000001', 'ann',
             x'E0000000000040008000000000000001', 758550600, 'Soup', 250.5, 758550599.25, NULL);
         INSERT INTO ZSDMEAL VALUES (2, 1, 1, 1, NULL, 'new', x'A0000000000040008000000000000002', 'ann',
             x'E0000000000040008000000000000002', 758550601, 'Tea', 1, 758550600, NULL);",
    );
    let temporary = Temporary::open().await;
    let report = file.import(&temporary.store, mapping).await;
    assert_eq!(numbers(&report), [2, 1, 0, 1, 0], "{report}");
    let pending = temporary.store.fetch_pending_events(None, None).await;
    assert_eq!(
        payload(&pending.unwrap()[0]),
        json!({
            "title": "Soup", "kcal": 250.5, "eatenAt": "2025-01-14T12:29:59.250Z", "notes": null,
            "source": "the old app",
        })
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_mapped_is_put_aside_with_table_row_column_and_reason() {
    let file = File::with(MEALS);
    file.execute(
        "UPDATE ZSDMEAL SET ZTITLE = NULL WHERE Z_PK = 1;
         UPDATE ZSDMEAL SET ZSTATE = 'odd' WHERE Z_PK = 2;
         UPDATE ZSDMEAL SET ZISDRAFT = NULL, ZSTATE = 'new' WHERE Z_PK = 3;
         INSERT INTO ZSDMEAL SELECT 4, 1, 1, 'new', 'many', 1, 0, 1, 1, 'a', ZID, NULL, 'u', NULL, '[]', NULL
             FROM ZSDMEAL WHERE Z_PK = 1;
         INSERT INTO ZSDMEAL SELECT 5, 1, 1, 'new', 1, 1, 0, 1, 1, 'a', ZID, randomblob(16), 'u', NULL, '[', NULL
             FROM ZSDMEAL WHERE Z_PK = 1;
         INSERT INTO ZSDMEAL SELECT 6, 1, 1, 'new', 1, 1, 2, 1, 1, 'a', ZID, randomblob(16), 'u', NULL, '[]', NULL
             FROM ZSDMEAL WHERE Z_PK = 1;",
    );
    let temporary = Temporary::open().await;
    let report = file.import(&temporary.store, MAPPING).await;
    assert_eq!(numbers(&report), [6, 0, 0, 0, 6], "{report}");
    let mut rejected: Vec<_> = report.tables[0]
        .first_rejected
        .iter()
        .map(|row| {
            (
                row.key,
                row.reason.clone(),
                row.reason.column().map(str::to_owned),
            )
        })
        .collect();
    rejected.sort();
    let column = |column: &str| column.to_owned();
    let missing = |name| RejectReason::Missing {
        column: column(name),
    };
    let damaged = |name| RejectReason::Damaged {
        column: column(name),
    };
    let unmapped = RejectReason::Unmapped {
        column: column("state"),
    };
    assert_eq!(
        rejected,
        [
            (1, missing("title"), Some(column("title"))),
            (2, unmapped, Some(column("state"))),
            (3, RejectReason::NoSection, None),
            (4, missing("outboxID"), Some(column("outboxID"))),
            (5, damaged("tags"), Some(column("tags"))),
            (6, damaged("isDraft"), Some(column("isDraft"))),
        ]
    );
    let first = report.tables[0]
        .first_rejected
        .iter()
        .find(|row| row.key == 6);
    let line = first.unwrap().to_string();
    assert!(
        line.starts_with("SDMeal, row 6: isDraft is damaged"),
        "{line}"
    );
    // Each is kept whole, and taken once it is mended.
    file.execute("UPDATE ZSDMEAL SET ZTITLE = 'Soup' WHERE Z_PK = 1");
    let mended = file.import(&temporary.store, MAPPING).await;
    assert_eq!(numbers(&mended), [6, 1, 0, 0, 5], "{mended}");
}

#[tokio::test]
async fn a_plain_table_with_its_own_dates_is_mapped() {
    let file = File::with(
        "CREATE TABLE queue (id TEXT, kind TEXT, what INTEGER, owner INTEGER, body TEXT, at INTEGER, seen TEXT, gone INTEGER);
         INSERT INTO queue VALUES ('0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11', 'note', 7, 42, '{\"a\":[1]}',
             1736857800, '2025-01-14T13:30:00+01:00', 0);
         INSERT INTO queue VALUES (NULL, 'tag', 8, 42, '{}', 1736857801, '2025-01-14 12:30:01', 1);
         INSERT INTO queue VALUES ('x', 'tag', 8, 42, 'no json', 1736857802, 'yesterday', 1);",
    );
    let mapping = r#"
        [[events]]
        table = "queue"
        where = { gone = false }
        type = { column = "kind" }
        operation = "update"
        entity_id = { column = "what", as = "integer" }
        user_id = { column = "owner", as = "integer" }
        id = { column = "id" }
        created_at = { column = "at", as = "unix-date" }
        payload_column = "body"

        [[events]]
        table = "queue"
        where = { gone = 1 }
        type = "tag"
        operation = "delete"
        entity_id = { column = "what", as = "integer" }
        user_id = "everyone"
        created_at = { column = "at", as = "unix-date" }
        payload = { seen = { column = "seen", as = "iso-date" } }
    "#;
    let temporary = Temporary::open().await;
    let report = file.import(&temporary.store, mapping).await;
    assert_eq!(numbers(&report), [3, 2, 0, 0, 1], "{report}");
    assert_eq!(
        report.tables[0].first_rejected[0].reason.column(),
        Some("seen")
    );
    let events = temporary
        .store
        .fetch_pending_events(None, None)
        .await
        .unwrap();
    let of = |user: &str| events.iter().find(|event| event.user_id == user).unwrap();
    let note = of("42");
    assert_eq!(note.metadata.as_ref().unwrap().as_bytes(), br#"{"a":[1]}"#);
    assert_eq!(note.created_at.to_rfc3339(), "2025-01-14T12:30:00+00:00");
    assert_eq!(
        payload(of("everyone")),
        json!({ "seen": "2025-01-14T12:30:01Z" })
    );
}

/// The line and the problem of a file.
fn refused(text: &str) -> (usize, MappingProblem) {
    let error = text.parse::<Mapping>().unwrap_err();
    (error.line, error.problem)
}

#[test]
fn a_mapping_file_with_a_mistake_is_refused_with_its_line() {
    let changed = |from: &str, to: &str| {
        assert!(MAPPING.contains(from), "{from}");
        refused(&MAPPING.replacen(from, to, 1))
    };
    let line_of = |text: &str| {
        let before = MAPPING.split(text).next().unwrap();
        before.matches('\n').count() + 1
    };
    let (line, problem) = changed("kcal = {", "kcal = { colum = \"x\",");
    assert_eq!(line, line_of("kcal = {"));
    assert!(
        matches!(&problem, MappingProblem::UnknownKey { key, known } if key == "colum" && known.contains(&"column")),
        "{problem}"
    );
    let (line, problem) = changed("priority = 7", "prioritty = 7");
    assert_eq!(line, line_of("priority = 7"));
    assert!(matches!(problem, MappingProblem::UnknownKey { key, .. } if key == "prioritty"));
    let (line, problem) = changed("user_id = { column = \"user\" }\n", "\n");
    assert_eq!(
        line,
        line_of("[[events]]\nentity = \"SDMeal\"\nwhere = { isDraft")
    );
    assert!(matches!(
        problem,
        MappingProblem::MissingKey { key: "user_id" }
    ));
    for (from, to, key) in [
        ("priority = 7", "priority = \"high\"", "priority"),
        ("priority = 7", "priority = [7]", "priority"),
        ("new = \"create\"", "new = \"creation\"", "operation"),
        ("as = \"real\"", "as = \"float\"", "as"),
        (
            "as = \"core-data-date\" }\nversion",
            "as = \"text\" }\nversion",
            "created_at",
        ),
        ("version = 2", "version = 0", "version"),
        ("delivered = true", "delivered = \"yes\"", "delivered"),
        (
            "entity_id = { column = \"id\", as = \"uuid\" }",
            "entity_id = 7",
            "entity_id",
        ),
        ("id = { column = \"outboxID\" }", "id = \"x\"", "id"),
        ("version = 2", "payload_column = \"tags\"", "payload"),
        (
            "entity = \"SDMeal\"",
            "entity = \"SDMeal\"\ntable = \"meals\"",
            "entity",
        ),
        ("entity = \"SDMeal\"", "table = \"SDMeal\"", "entity"),
    ] {
        let (line, problem) = changed(from, to);
        assert!(line > 1, "{to}: {line}");
        assert!(
            matches!(&problem, MappingProblem::Invalid { key: found, .. } if found == key),
            "{to}: {problem:?}"
        );
    }
    let (line, problem) = changed("title = {", "title = = {");
    assert_eq!(line, line_of("title = {"));
    assert!(matches!(problem, MappingProblem::Syntax(_)));
    assert!(matches!(
        refused("").1,
        MappingProblem::MissingKey { key: "events" }
    ));
    assert!(matches!(
        refused("events = []").1,
        MappingProblem::Invalid { .. }
    ));
    let (line, problem) = refused("\n[[event]]\n");
    assert_eq!(line, 2);
    assert!(matches!(problem, MappingProblem::UnknownKey { key, .. } if key == "event"));
    let delivered = "[[events]]\ntable = \"a\"\ndelivered = true\ntype = \"b\"\n";
    assert_eq!(refused(delivered).0, 4);
}

#[tokio::test]
async fn a_column_that_does_not_exist_stops_an_import_by_a_mapping() {
    let file = File::with(MEALS);
    let temporary = Temporary::open().await;
    let mapping: Mapping = MAPPING
        .replace("column = \"title\"", "column = \"name\"")
        .parse()
        .unwrap();
    let import = Import::new(file.path());
    let error = import
        .run_mapping(&temporary.store, mapping)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ImportError::ColumnMissing { column, .. } if column == "name"),
        "{error}"
    );
    assert_eq!(
        temporary.store.statistics(None).await.unwrap().total_events,
        0
    );
}

#[tokio::test]
async fn an_import_in_parts_takes_every_row_once_and_lets_others_write_in_between() {
    let rows = 25_u64;
    let source = CoreData::with((1..=u128::from(rows)).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let seen = Arc::new(AtomicU64::new(0));
    let import = Import::new(&source.path)
        .table(crate::events())
        .rows_per_transaction(10)
        .on_progress({
            let seen = Arc::clone(&seen);
            move |progress| seen.store(progress.read, Ordering::SeqCst)
        });
    let report = import.run(store, crate::map).await.unwrap();
    assert_eq!(numbers(&report), [rows, rows, 0, 0, 0], "{report}");
    assert_eq!(seen.load(Ordering::SeqCst), rows);
    assert_eq!(report.tables.len(), 1);
    let whole = Temporary::open().await;
    let at_once = Import::new(&source.path).table(crate::events());
    let at_once = at_once.run(&whole.store, crate::map).await.unwrap();
    assert_eq!(report.tables[0].checksum, at_once.tables[0].checksum);
    // The order is that of an import in one transaction, and each part is in the ledger.
    let order = async |store: &SqliteStore| {
        let events = store.fetch_pending_events(None, None).await.unwrap();
        events.iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(order(store).await, order(&whole.store).await);
    let parts: Vec<i64> = {
        let conn = temporary.connect();
        let mut runs = conn
            .prepare("SELECT read FROM outbox_import_runs ORDER BY run")
            .unwrap();
        let read = runs.query_map([], |row| row.get(0)).unwrap();
        read.map(Result::unwrap).collect()
    };
    assert_eq!(parts, [10, 10, 5]);
}

#[tokio::test]
async fn an_import_in_parts_goes_on_after_the_parts_that_were_committed() {
    let source = CoreData::with((1..=25).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let parts = |source: &CoreData| {
        let import = Import::new(&source.path).table(crate::events());
        import.rows_per_transaction(10)
    };
    let mut left = 15;
    let error = parts(&source)
        .run(
            store,
            move |row: &outbox_import::SourceRow, from: &Source| {
                left -= 1;
                match left {
                    0 => Err(outbox_import::Reject::fatal("no more")),
                    _ => crate::map(row, from),
                }
            },
        )
        .await
        .unwrap_err();
    assert!(matches!(error, ImportError::Mapper { .. }), "{error}");
    let there = store.statistics(None).await.unwrap().total_events;
    assert_eq!(there, 10, "the first part, and nothing of the second");
    let report = parts(&source).run(store, crate::map).await.unwrap();
    assert_eq!(numbers(&report), [25, 15, 10, 0, 0], "{report}");
    assert!(store.fetch_event(event_id(25)).await.unwrap().is_some());
    // A dry run rolls all parts back.
    let other = Temporary::open().await;
    let report = parts(&source)
        .dry_run()
        .run(&other.store, crate::map)
        .await
        .unwrap();
    assert_eq!(numbers(&report), [25, 25, 0, 0, 0]);
    assert_eq!(other.store.statistics(None).await.unwrap().total_events, 0);
}

#[test]
fn a_survey_lists_tables_columns_entities_and_rows() {
    let file = File::with(MEALS);
    let tables = Source::open(file.path()).unwrap().survey().unwrap();
    let meals = tables.iter().find(|table| table.name == "ZSDMEAL").unwrap();
    assert_eq!(meals.rows, Some(3));
    let kcal = meals.columns.iter().find(|column| column.name == "ZKCAL");
    assert_eq!(kcal.unwrap().declared, "FLOAT");
    let entities: Vec<_> = meals
        .entities
        .iter()
        .map(|entity| (entity.name.as_deref(), entity.rows))
        .collect();
    assert_eq!(entities, [(Some("SDMeal"), 3)]);
}
