//! Files that are no outbox, and what else cannot be: exit code 2, a reason, and nothing changed.

use std::fs;

use outbox_runtime::rusqlite::Connection;

use crate::scene::{Scene, id, run};

/// Commands that look, and commands that would change something.
const ALL: &[&[&str]] = &[
    &["status"],
    &["list"],
    &["show", "0190b5e2-7b1c-7cc3-8f4e-000000000001"],
    &["explain", "3"],
    &["retry", "--all"],
    &["retry", "--all", "--yes"],
    &["discard", "--all", "--yes"],
    &[
        "edit",
        "0190b5e2-7b1c-7cc3-8f4e-000000000001",
        "--priority",
        "1",
    ],
    &["doctor"],
    &["doctor", "--repair"],
    &["cleanup", "--yes"],
    &["export"],
    &["watch", "--count", "1"],
];

fn refuse_all(scene: &Scene, words: &str) {
    let before = fs::read(scene.path()).ok();
    for args in ALL {
        let answer = scene.expect(2, args);
        assert!(answer.stderr.contains(words), "{args:?}: {answer:?}");
        assert_eq!(answer.stdout, "", "{args:?}");
        assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
        assert_eq!(fs::read(scene.path()).ok(), before, "{args:?}");
    }
}

#[test]
fn a_missing_file_is_not_created() {
    let scene = Scene::empty();
    refuse_all(&scene, "there is no such file");
    assert_eq!(scene.files(), [""; 0]);
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let scene = Scene::empty();
    fs::write(scene.path(), "Dear diary, ".repeat(500)).unwrap();
    refuse_all(&scene, "not a database");
    let migrate = scene.expect(2, &["migrate", "up", "--yes"]);
    assert!(migrate.stderr.contains("not a database"), "{migrate:?}");
    assert_eq!(scene.files(), ["app.db"]);
}

#[test]
fn a_database_without_an_outbox_gets_none() {
    let scene = Scene::empty();
    let conn = Connection::open(scene.path()).unwrap();
    conn.execute_batch("CREATE TABLE mood (valence REAL)")
        .unwrap();
    conn.close().unwrap();
    refuse_all(&scene, "has no outbox (see `outbox migrate status`)");
    assert_eq!(
        scene.json(1, &["migrate", "status"])["state"],
        "needsMigration"
    );
    assert_eq!(scene.files(), ["app.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_by_its_version() {
    let scene = Scene::with_each_state().await;
    let conn = Connection::open(scene.path()).unwrap();
    conn.execute_batch("INSERT INTO outbox_schema VALUES (99, '2030-01-01')")
        .unwrap();
    conn.close().unwrap();
    refuse_all(
        &scene,
        "version 99, but this program supports versions up to",
    );
    assert_eq!(scene.json(1, &["migrate", "status"])["state"], "newer");
    let up = scene.expect(2, &["migrate", "up", "--yes"]);
    assert!(up.stderr.contains("update the program"), "{up:?}");
}

#[test]
fn migrate_creates_the_tables_that_the_library_would() {
    let scene = Scene::empty();
    let sql = scene.expect(0, &["migrate", "sql"]).stdout;
    let conn = Connection::open(scene.path()).unwrap();
    conn.execute_batch(&sql).unwrap();
    conn.close().unwrap();
    assert_eq!(scene.json(0, &["migrate", "status"])["state"], "current");
    assert_eq!(
        scene.json(1, &["doctor"])["findings"],
        serde_json::json!([{
            "subject": "settings", "severity": "warning",
            "message": "the journal mode is \"delete\": writers and readers block each other",
            "command": format!("sqlite3 '{}' 'PRAGMA journal_mode = WAL;'", scene.path().display()),
            "advice": null,
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_on_a_read_only_file_system_is_read() {
    // Permissions do not bind everybody who runs tests; a file that cannot be written does.
    let scene = Scene::with_each_state().await;
    let mut permissions = fs::metadata(scene.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(scene.path(), permissions).unwrap();
    assert_eq!(scene.json(1, &["status"])["statistics"]["totalEvents"], 6);
    scene.expect(0, &["list"]);
    assert_eq!(scene.files(), ["app.db"]);
    let is_bound = fs::File::options().write(true).open(scene.path()).is_err();
    let refused = scene.run(&["retry", &id(3).to_string(), "--yes"]);
    if is_bound {
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("writable"), "{refused:?}");
    }
}

#[test]
fn a_command_line_that_cannot_be_is_a_failure() {
    let scene = Scene::empty();
    for args in [
        &["list", "--state", "lost"][..],
        &["list", "--limit", "x"],
        &["edit"],
        &["show", "17"],
        &["nonsense"],
        &["man", "nonsense"],
        &["list", "--older-than", "soon"],
    ] {
        let answer = scene.expect(2, args);
        assert!(!answer.stderr.is_empty(), "{args:?}");
    }
    let mut unnamed = crate::scene::command("", &["status"]);
    let unnamed = unnamed.env_remove("OUTBOX_DB").output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2));
    let folder = run(scene.folder().to_str().unwrap(), &["status"]);
    assert!(
        folder.code == 2 && folder.stderr.contains("folder"),
        "{folder:?}"
    );
}

#[test]
fn a_failure_is_one_line_without_escape_sequences() {
    let answer = run("no\u{1b}[2Jsuch\n.db", &["status"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(
        answer.stderr.contains(r"no\u{1b}[2Jsuch\n.db"),
        "{answer:?}"
    );
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
}

#[test]
fn the_password_of_an_address_is_in_no_message() {
    for address in [
        "postgres://app:hunter2@127.0.0.1:1/app",
        "host=127.0.0.1 port=1 user=app password=hunter2 dbname=app",
        "postgres://app:hunter2@[bad/app",
        "postgresql+ssl://app:hunter2@127.0.0.1:1/app",
        "POSTGRES://app:hunter2@127.0.0.1:1/app",
    ] {
        for args in [&["status"][..], &["doctor"], &["migrate", "up", "--yes"]] {
            let answer = run(address, args);
            assert_eq!(answer.code, 2, "{answer:?}");
            assert!(!answer.stderr.contains("hunter2"), "{answer:?}");
            assert!(!answer.stderr.is_empty(), "{address}");
        }
    }
}
