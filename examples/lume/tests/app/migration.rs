//! From V6 to V7.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lume::entities::{Goal, JournalEntry, LumeEvent, MoodEntry};
use lume::migrate::migrate;
use lume::{Made, V6Options, make_v6};
use outbox_import::ImportReport;
use outbox_runtime::rusqlite::{Connection, params};
use outbox_runtime::{Operation, OutboxRepository, OutboxStatus, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::scene::Scene;

/// A V6 store in a folder of its own.
pub(crate) struct Old {
    folder: TempDir,
    pub(crate) path: PathBuf,
    made: Made,
}

impl Old {
    pub(crate) fn with(options: &V6Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.store");
        let made = make_v6(&path, options).unwrap();
        Self { folder, path, made }
    }

    /// Without an event.
    pub(crate) fn empty() -> Self {
        Self::with(&V6Options::new(0, 1))
    }

    /// An event row.
    fn event(&self, key: i64, event_type: &str, status: (&str, i64), payload: &str) {
        let conn = Connection::open(&self.path).unwrap();
        conn.execute(
            "INSERT INTO ZSDOUTBOXEVENT (Z_PK, Z_ENT, Z_OPT, ZID, ZCREATEDAT, ZEVENTTYPE, ZSTATUS, ZRETRYCOUNT, ZPAYLOAD)
             VALUES (?1, 9, 1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                key,
                Uuid::from_u128(key.unsigned_abs().into()).as_bytes(),
                758_550_600 + key,
                event_type,
                status.0,
                status.1,
                payload.as_bytes()
            ],
        )
        .unwrap();
    }

    /// All bytes of its files.
    pub(crate) fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let mut bytes = BTreeMap::new();
        for file in files {
            let path = file.unwrap().path();
            if path.to_string_lossy().contains("default.store") {
                bytes.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
        bytes
    }

    async fn new_store(&self) -> SqliteStore {
        let store = SqliteStore::open(self.folder.path().join("lume.db"))
            .await
            .unwrap();
        store
            .transaction(|tx| Ok(lume::db::create_tables(tx)?))
            .await
            .unwrap();
        store
    }
}

fn made_of(report: &ImportReport) -> Made {
    let events = report.table("SDOutboxEvent").unwrap();
    Made {
        migrated: events.migrated_total(),
        already_there: events.already_there,
        delivered: events.already_delivered,
        rejected: events.rejected_total(),
    }
}

#[tokio::test]
async fn a_migration_finds_the_generated_content_of_every_row() {
    for seed in [1, 2] {
        let old = Old::with(&V6Options {
            adversarial_percent: 20,
            ..V6Options::new(3_000, seed)
        });
        let before = old.bytes();
        let store = old.new_store().await;
        let report = migrate(&store, &old.path, false).await.unwrap();
        assert_eq!(made_of(&report), old.made, "{report}");
        assert_eq!(old.made.rows(), 3_000);
        assert!(old.made.rejected > 100 && old.made.already_there > 10);
        assert_eq!(old.bytes(), before, "the old store is as it was");
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(statistics.undelivered(), old.made.migrated);
        store.close().await;
    }
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let old = Old::with(&V6Options::new(300, 3));
    let store = old.new_store().await;
    let dry = migrate(&store, &old.path, true).await.unwrap();
    assert!(dry.is_dry_run);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    let wet = migrate(&store, &old.path, false).await.unwrap();
    assert_eq!(made_of(&dry), made_of(&wet));
}

/// Failure 51.
#[tokio::test]
async fn a_repeated_migration_imports_nothing_twice() {
    let old = Old::with(&V6Options::new(500, 4));
    let store = old.new_store().await;
    migrate(&store, &old.path, false).await.unwrap();
    let first = (
        store.statistics(None).await.unwrap(),
        contents(store.path()),
    );
    let again = made_of(&migrate(&store, &old.path, false).await.unwrap());
    assert_eq!((again.migrated, again.rejected), (0, old.made.rejected));
    assert_eq!(
        (
            store.statistics(None).await.unwrap(),
            contents(store.path())
        ),
        first
    );
    assert_eq!(again.rows(), old.made.rows());
}

/// All relevant data as text.
pub(crate) fn contents(db: &Path) -> Vec<String> {
    let conn = Connection::open(db).unwrap();
    let mut all = Vec::new();
    for query in [
        "SELECT hex(id), event_type, entity_id, user_id, operation, priority, attempt_count, metadata, metadata_version \
         FROM outbox_events ORDER BY id",
        "SELECT hex(id), user_id, valence, labels, logged_at FROM mood_entries ORDER BY id",
        "SELECT hex(id), user_id, content, logged_at FROM journal_entries ORDER BY id",
        "SELECT hex(id), user_id, title, current_value FROM goals ORDER BY id",
        "SELECT hex(id), user_id, persona FROM conversations ORDER BY id",
        "SELECT hex(id), hex(conversation_id), content FROM chat_messages ORDER BY id",
        "SELECT hex(local_id), kind, user_id, remote_id, told, deleted FROM remote_links ORDER BY local_id",
    ] {
        let mut statement = conn.prepare(query).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap()));
            all.push(values.collect::<Vec<_>>().join(" "));
        }
    }
    all
}

/// A running app has its latest changes in the `-wal`.
#[tokio::test]
async fn changes_in_the_wal_are_imported_and_left_there() {
    let old = Old::with(&V6Options {
        leave_wal: true,
        ..V6Options::new(400, 5)
    });
    let before = old.bytes();
    assert!(
        before
            .iter()
            .any(|(path, bytes)| path.to_string_lossy().ends_with("-wal") && !bytes.is_empty())
    );
    let store = old.new_store().await;
    let report = migrate(&store, &old.path, false).await.unwrap();
    assert_eq!(made_of(&report), old.made);
    assert_eq!(old.bytes(), before);
}

/// Failure 2: an unreadable store is refused unchanged, instead of starting empty.
#[test]
fn a_store_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("garbage"), "no database").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    Connection::open(at("other"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    make_v6(&at("newer"), &V6Options::new(10, 1)).unwrap();
    let newer = Connection::open(at("newer")).unwrap();
    newer
        .execute_batch("ALTER TABLE ZSDOUTBOXEVENT ADD COLUMN ZENTITYID BLOB")
        .unwrap();
    drop(newer);
    for source in ["missing", "garbage", "empty", "other", "newer"] {
        let before = std::fs::read(at(source)).ok();
        let output = Command::new(env!("CARGO_BIN_EXE_lume"))
            .args([Path::new("--db"), &at("lume.db")])
            .args([Path::new("migrate"), Path::new("--from"), &at(source)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{source}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(source), "{said}");
        assert_eq!(std::fs::read(at(source)).ok(), before, "{source}");
    }
}

/// Failure 36: events of every generation are delivered.
#[tokio::test]
async fn everything_that_was_imported_is_delivered() {
    let scene = Scene::new().await;
    let old = Old::with(&V6Options::new(400, 6));
    let report = migrate(scene.store(), &old.path, false).await.unwrap();
    scene.app.repository.sweep().await.unwrap();
    // Both users of the old store become one account here, because there is one session.
    for user in users(&scene).await {
        scene
            .app
            .repository
            .reassign(&user, scene.user().as_str())
            .await
            .unwrap();
    }
    scene.deliver().await;
    let dead = scene.events(OutboxStatus::Dead).await;
    assert_eq!(dead, [], "{report}");
    let statistics = scene.statistics().await;
    assert!(statistics.completed_count >= old.made.migrated);
    assert_eq!(statistics.success_rate(), 100.0);
    let ids = scene.audit();
    let moods: Vec<_> = ids
        .held("mood-entries")
        .map(|held| held.entity["source_id"].clone())
        .collect();
    let different: std::collections::HashSet<_> = moods.iter().map(ToString::to_string).collect();
    assert_eq!(moods.len(), different.len(), "no mood is there twice");
}

async fn users(scene: &Scene) -> Vec<String> {
    let users = scene.store().transaction(|tx| {
        let mut users = tx.prepare(
            "SELECT DISTINCT user_id FROM outbox_events UNION SELECT user_id FROM mood_entries
             UNION SELECT user_id FROM journal_entries UNION SELECT user_id FROM goals UNION SELECT user_id FROM conversations",
        )?;
        let users = users.query_map((), |row| row.get(0))?;
        Ok(users.collect::<Result<Vec<String>, _>>()?)
    });
    users.await.unwrap()
}

const ENTITY: &str = "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10";

fn mood(user: &str, valence: f64) -> String {
    format!(
        r#"{{"id":"{ENTITY}","user_id":"{user}","valence":{valence},"labels":[],"date":"2025-01-14T12:30:00Z"}}"#
    )
}

/// Completed meant given up after five failures, or with an error.
#[tokio::test]
async fn events_that_v6_gave_up_are_delivered_unless_something_newer_was() {
    let old = Old::empty();
    old.event(1, "mood.created", ("completed", 0), &mood("u", 0.1));
    old.event(2, "mood.updated", ("completed", 5), &mood("u", 0.2));
    old.event(3, "mood.updated", ("completed", 0), &mood("u", 0.3));
    old.event(4, "mood.updated", ("completed", 5), &mood("u", 0.4));
    let store = old.new_store().await;
    let report = made_of(&migrate(&store, &old.path, false).await.unwrap());
    assert_eq!((report.migrated, report.delivered), (1, 3));
    let events = store.fetch_pending_events(Some("u"), None).await.unwrap();
    let LumeEvent::MoodEntry(event) = LumeEvent::decode(events[0].clone()).unwrap() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (
            event.metadata().valence,
            event.attempt_count,
            event.max_attempts
        ),
        (0.4, 0, 5)
    );
}

/// Failures 20 and 48: the owner is never simply the signed-in user.
#[tokio::test]
async fn the_store_decides_the_owner_of_an_event() {
    let old = Old::empty();
    old.event(1, "mood.created", ("completed", 0), &mood("U-1", 0.1));
    old.event(
        2,
        "mood.deleted",
        ("pending", 0),
        &format!(r#"{{"local_id":"{ENTITY}","backend_id":"M-1"}}"#),
    );
    let stranger = Uuid::from_u128(99);
    old.event(
        3,
        "mood.deleted",
        ("pending", 0),
        &format!(r#"{{"id":"{stranger}"}}"#),
    );
    let store = old.new_store().await;
    let report = migrate(&store, &old.path, false).await.unwrap();
    let events = report.table("SDOutboxEvent").unwrap();
    assert_eq!(
        events.rejected,
        BTreeMap::from([("owner unknown".to_owned(), 1)])
    );
    let deletes = store.pending_deletes(None).await.unwrap();
    assert_eq!((deletes.len(), deletes[0].user_id.as_str()), (1, "U-1"));
}

#[tokio::test]
async fn a_payload_is_kept_byte_for_byte() {
    let old = Old::empty();
    let odd = format!(
        "{{ \"date\" : 758550600.0,\t\"timestamp\":758550600.25, \"mood\":\"hap\\u0070y\\/\",\"id\":\"{ENTITY}\" }}"
    );
    let conn = Connection::open(&old.path).unwrap();
    conn.execute(
        "INSERT INTO ZSDMOODENTRY (Z_PK, ZID, ZUSERID, ZCREATEDAT, ZDATE, ZVALENCE) VALUES (1, ?1, 'U-1', 1, 2, 0.5)",
        [Uuid::parse_str(ENTITY).unwrap().as_bytes()],
    )
    .unwrap();
    drop(conn);
    old.event(1, "mood_created", ("failed", 3), &odd);
    let store = old.new_store().await;
    migrate(&store, &old.path, false).await.unwrap();
    let event = store
        .fetch_pending_events(Some("U-1"), None)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(event.metadata.as_ref().unwrap().as_bytes(), odd.as_bytes());
    assert_eq!((event.metadata_version, event.attempt_count), (1, 3));
    assert_eq!(
        (event.status, event.operation),
        (OutboxStatus::Failed, Operation::Create)
    );
    let LumeEvent::MoodEntry(event) = LumeEvent::decode(event).unwrap() else {
        panic!("no mood");
    };
    assert_eq!(event.metadata().labels, ["happy/"]);
    assert_eq!(
        event.metadata().logged_at.to_rfc3339(),
        "2025-01-14T12:30:00+00:00"
    );
}

/// Entities are imported, and those without events are delivered.
#[tokio::test]
async fn entities_are_imported() {
    let scene = Scene::new().await;
    let old = Old::empty();
    let user = scene.user();
    let conn = Connection::open(&old.path).unwrap();
    conn.execute_batch(&format!(
        "INSERT INTO ZSDMOODENTRY (Z_PK, ZID, ZUSERID, ZCREATEDAT, ZDATE, ZVALENCE, ZBACKENDID, ZLABELS)
             VALUES (1, x'00000000000000000000000000000001', '{user}', 1, 2, 0.5, 'none', CAST('[\"happy\"]' AS BLOB));
         INSERT INTO ZSDJOURNALENTRY (Z_PK, ZID, ZUSERID, ZCREATEDAT, ZCONTENT, ZLINKEDMOODID)
             VALUES (1, x'00000000000000000000000000000002', '{user}', 1.5, 'A page', x'00000000000000000000000000000001');
         INSERT INTO ZSDGOAL (Z_PK, ZID, ZUSERID, ZCREATEDAT, ZTITLE, ZSTATUS, ZCURRENTVALUE, ZTARGETVALUE)
             VALUES (1, x'00000000000000000000000000000003', '{user}', 1, 'Swim', 'completed', 10, 10);
         INSERT INTO ZSDCHATCONVERSATION (Z_PK, ZID, ZUSERID, ZPERSONA, ZISARCHIVED)
             VALUES (7, x'00000000000000000000000000000004', '{user}', 'nutritionist', 1);
         INSERT INTO ZSDCHATMESSAGE (Z_PK, ZCONVERSATION, ZID, ZCONTENT, ZROLE, ZTIMESTAMP)
             VALUES (1, 7, x'00000000000000000000000000000005', 'Hello', 'user', 3);
         INSERT INTO ZSDCHATMESSAGE (Z_PK, ZCONVERSATION, ZID, ZCONTENT, ZROLE, ZTIMESTAMP)
             VALUES (2, 8, x'00000000000000000000000000000006', 'Lost', 'user', 3);"
    ))
    .unwrap();
    drop(conn);
    let report = migrate(scene.store(), &old.path, false).await.unwrap();
    assert_eq!((report.migrated(), report.rejected()), (5, 1), "{report}");
    assert_eq!(scene.app.repository.sweep().await.unwrap(), 3);
    assert_eq!(scene.app.repository.sweep().await.unwrap(), 0);
    scene.deliver().await;
    let counts = ["mood-entries", "journal", "goals"].map(|collection| scene.held(collection));
    assert_eq!(counts, [1, 1, 1]);
    let audit = scene.audit();
    assert_eq!(
        audit.held("goals").next().unwrap().entity["status"],
        "completed"
    );
    assert_eq!(scene.list::<MoodEntry>().await[0].labels, ["happy"]);
    assert_eq!(
        (
            scene.list::<JournalEntry>().await.len(),
            scene.list::<Goal>().await.len()
        ),
        (1, 1)
    );
}
