//! Imports of another program's outbox by a mapping file.

use std::path::PathBuf;

use outbox_runtime::rusqlite::Connection;
use serde_json::{Value, json};

use crate::scene::{Answer, Scene, command, run};

/// A store as Core Data writes it, with rows in each state.
pub(crate) const MEALS: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
    INSERT INTO Z_PRIMARYKEY VALUES (1, 'SDMeal', 0, 4);
    CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);
    INSERT INTO Z_METADATA VALUES (1, '5F1C1C86-6E1D-4C39-9A6B-0E2B3E6D7F10', x'62706C697374');
    CREATE TABLE ZSDMEAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZSYNCED INTEGER,
        ZCREATEDAT TIMESTAMP, ZKCAL FLOAT, ZTITLE VARCHAR, ZUSER VARCHAR, ZID BLOB);
    INSERT INTO ZSDMEAL VALUES
        (1, 1, 1, 0, 758550600.5, 250, 'Soup', 'ann', x'A0000000000040008000000000000001'),
        (2, 1, 1, 1, 758550601, 400, 'Stew', 'ann', x'A0000000000040008000000000000002'),
        (3, 1, 1, 0, 758550602, 'a lot', 'Cake', 'ben', x'A0000000000040008000000000000003'),
        (4, 1, 1, 0, 758550603, 90, 'Tea', 'ben', x'A0000000000040008000000000000004');";

pub(crate) const MAPPING: &str = r#"[[events]]
entity = "SDMeal"
where = { synced = 0 }
type = "meal"
operation = "create"
entity_id = { column = "id", as = "uuid" }
user_id = { column = "user" }
id = { column = "id" }
created_at = { column = "createdAt", as = "core-data-date" }

[events.payload]
title = { column = "title" }
kcal = { column = "kcal", as = "real" }

[[events]]
entity = "SDMeal"
where = { synced = 1 }
delivered = true
"#;

/// An empty outbox, a store to import from, and a mapping.
struct Import {
    scene: Scene,
    source: PathBuf,
    mapping: PathBuf,
}

impl Import {
    fn new() -> Self {
        let scene = Scene::empty();
        scene.expect(0, &["migrate", "up", "--yes"]);
        let source = scene.folder().join("default.store");
        Connection::open(&source)
            .unwrap()
            .execute_batch(MEALS)
            .unwrap();
        let mapping = scene.folder().join("meals.toml");
        std::fs::write(&mapping, MAPPING).unwrap();
        Self {
            scene,
            source,
            mapping,
        }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mapping = self.mapping.to_str().unwrap();
        let source = self.source.to_str().unwrap();
        [&["import", "--mapping", mapping, source], more].concat()
    }

    fn run(&self, code: i32, more: &[&str]) -> Answer {
        self.scene.expect(code, &self.args(more))
    }

    fn json(&self, code: i32, more: &[&str]) -> Value {
        self.scene.json(code, &self.args(more))
    }

    fn events(&self) -> Value {
        // Its exit code tells that old events are pending.
        let status = self.scene.run(&["status", "--json"]);
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        status["statistics"]["totalEvents"].clone()
    }
}

#[test]
fn a_core_data_store_is_imported_by_a_mapping_once() {
    let import = Import::new();
    let before = std::fs::read(&import.source).unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let counted = import.json(1, more);
        assert_eq!(counted["isDryRun"], true);
        assert_eq!(
            (&counted["read"], &counted["imported"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(import.events(), 0);
    }
    let words = import.run(1, &["--dry-run"]);
    for line in [
        "2 would be imported: add --yes to do it",
        "1 delivered, left out",
        "1 cannot be imported",
        "SDMeal, row 3: kcal is damaged (expected a number, found text of 5 bytes)",
    ] {
        assert!(words.stdout.contains(line), "{line}: {words:?}");
    }

    let done = import.json(1, &["--yes"]);
    assert_eq!(
        done["tables"],
        json!([{
            "table": "SDMeal", "read": 4, "imported": { "meal": 2 }, "alreadyThere": 0,
            "alreadyDelivered": 1, "rejected": { "kcal is damaged": 1 },
            "firstRejected": [{
                "row": 3, "column": "kcal", "reason": "kcal is damaged",
                "detail": "expected a number, found text of 5 bytes",
            }],
        }])
    );
    assert_eq!(import.events(), 2);
    let soup = "a0000000-0000-4000-8000-000000000001";
    let soup = import
        .scene
        .json(0, &["show", soup, "--payload", "--sensitive", ""]);
    assert_eq!(soup["payload"], json!({ "kcal": 250.0, "title": "Soup" }));
    assert_eq!(
        (&soup["userID"], &soup["operation"]),
        (&json!("ann"), &json!("create"))
    );
    assert_eq!(soup["createdAt"], "2025-01-14T12:30:00.500Z");

    // A row that was mended is taken by the next import, and the others are there.
    let conn = Connection::open(&import.source).unwrap();
    conn.execute("UPDATE ZSDMEAL SET ZKCAL = 300 WHERE Z_PK = 3", [])
        .unwrap();
    drop(conn);
    let again = import.json(0, &["--yes"]);
    assert_eq!(
        (&again["imported"], &again["alreadyThere"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(import.json(0, &["--dry-run"])["imported"], 0);
    assert!(!before.is_empty());
}

#[test]
fn the_tables_of_a_file_are_listed_without_an_outbox() {
    let import = Import::new();
    let file = import.source.to_str().unwrap();
    let before = import.scene.files();
    let mut without = command("", &["import", "inspect", file, "--json"]);
    let listed = without.env_remove("OUTBOX_DB").output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let tables = listed["tables"].as_array().unwrap();
    let meals = tables
        .iter()
        .find(|table| table["name"] == "ZSDMEAL")
        .unwrap();
    assert_eq!(meals["rows"], 4);
    assert_eq!(
        meals["entities"],
        json!([{ "name": "SDMeal", "number": 1, "rows": 4 }])
    );
    assert_eq!(
        meals["columns"][4],
        json!({ "name": "ZCREATEDAT", "type": "TIMESTAMP" })
    );
    let words = import.scene.expect(0, &["import", "inspect", file]);
    for line in ["ZSDMEAL  4 rows", "  entity SDMeal: 4 rows", "  ZKCAL"] {
        assert!(words.stdout.contains(line), "{words:?}");
    }
    assert_eq!(import.scene.files(), before, "no file is left beside it");
}

#[test]
fn a_store_that_another_process_writes_is_imported_as_it_was_committed() {
    let import = Import::new();
    // The app, which has not written its -wal back.
    let mut app = Connection::open(&import.source).unwrap();
    app.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    app.execute("UPDATE ZSDMEAL SET ZKCAL = 1 WHERE Z_PK = 3", [])
        .unwrap();
    let tx = app.transaction().unwrap();
    tx.execute("DELETE FROM ZSDMEAL", []).unwrap();
    let done = import.json(0, &["--yes"]);
    assert_eq!(
        (&done["imported"], &done["alreadyDelivered"]),
        (&json!(3), &json!(1))
    );
    tx.commit().unwrap();
}

#[test]
fn what_cannot_be_imported_is_told_in_one_line() {
    let import = Import::new();
    let source = import.source.to_str().unwrap();
    let refuse = |args: &[&str], parts: &[&str]| {
        let refused = import.scene.expect(2, args);
        for part in parts {
            assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        }
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert_eq!(import.events(), 0);
    };
    let mapping = import.mapping.to_str().unwrap();
    let text = import.scene.folder().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but longer than the header of one, which has 100 bytes. ".repeat(3),
    )
    .unwrap();
    let text = text.to_str().unwrap();
    refuse(
        &["import", "--mapping", mapping, text, "--yes"],
        &["notes.txt", "not a SQLite database"],
    );
    refuse(&["import", "inspect", text], &["not a SQLite database"]);
    refuse(
        &["import", "inspect", "/nowhere/at.all"],
        &["there is no such file"],
    );
    // A database is no export, and lines need no mapping.
    refuse(
        &["import", source, "--yes"],
        &["default.store", "--mapping", "inspect"],
    );
    let db = import.scene.path();
    refuse(
        &["import", "--mapping", mapping, db.to_str().unwrap()],
        &["the outbox itself"],
    );
    refuse(
        &["import", "--mapping", "/nowhere.toml", source],
        &["/nowhere.toml"],
    );

    let change = |from: &str, to: &str| {
        std::fs::write(&import.mapping, MAPPING.replacen(from, to, 1)).unwrap();
    };
    change("kcal = {", "kcal = { named = \"x\",");
    refuse(
        &import.args(&["--yes"]),
        &["meals.toml, line 13: unknown key `named`", "column"],
    );
    change("column = \"kcal\"", "column = \"energy\"");
    refuse(&import.args(&["--yes"]), &["ZSDMEAL has no column energy"]);
    change("SDMeal", "SDSupper");
    refuse(&import.args(&["--yes"]), &["no table ZSDSUPPER", "ZSDMEAL"]);
    let both = import.args(&["--yes", "--dry-run"]);
    assert_eq!(import.scene.run(&both).code, 2);
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let scene = Scene::empty();
    scene.expect(0, &["migrate", "up", "--yes"]);
    let long = scene.folder().join("long.jsonl");
    let file = std::fs::File::create(&long).unwrap();
    // A sparse file: NULs, and no end of a line.
    file.set_len(200 << 20).unwrap();
    let refused = run(
        scene.path().to_str().unwrap(),
        &["import", long.to_str().unwrap(), "--yes"],
    );
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .contains("line 1: the line is longer than 128 MiB"),
        "{refused:?}"
    );
}
