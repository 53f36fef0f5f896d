//! An invalid source is refused with the reason, and left unchanged.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outbox_import::{Import, ImportError, Mapped, Reject, Source, SourceRow, SourceTable};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, event_id, files};

fn events() -> SourceTable {
    SourceTable::entity("SDOutboxEvent").ordered_by("createdAt")
}

fn nothing(_: &SourceRow, _: &Source) -> Result<Mapped, Reject> {
    Ok(Mapped::AlreadyDelivered)
}

async fn refused(path: &Path, table: SourceTable) -> ImportError {
    let temporary = Temporary::open().await;
    let import = Import::new(path).table(table);
    let error = import.run(&temporary.store, nothing).await.unwrap_err();
    let tables: i64 = temporary
        .connect()
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%import%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(tables, 0, "the failed import wrote tables: {error}");
    let text = error.to_string();
    assert!(
        text.contains(path.to_str().unwrap()),
        "the error must name the path: {text}"
    );
    error
}

#[tokio::test]
async fn a_missing_empty_or_foreign_source_is_refused_and_nothing_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(
        path("letter"),
        "Dear database, you are not one.\n".repeat(100),
    )
    .unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let before = |name: &str| std::fs::read(path(name)).ok();
    let letter = before("letter");

    let error = refused(&path("missing"), events()).await;
    assert!(
        matches!(error, ImportError::SourceMissing { .. }),
        "{error}"
    );
    assert!(!path("missing").exists());
    let error = refused(&path("empty"), events()).await;
    assert!(matches!(error, ImportError::SourceEmpty { .. }), "{error}");
    let error = refused(&path("letter"), events()).await;
    assert!(matches!(error, ImportError::NotADatabase { .. }), "{error}");
    let error = refused(&path("folder"), events()).await;
    assert!(matches!(error, ImportError::CannotCopy { .. }), "{error}");
    assert_eq!(before("letter"), letter);
}

#[tokio::test]
async fn a_damaged_source_is_refused_even_if_partly_readable() {
    let source = CoreData::with((1..=500).map(OldEvent::new));
    let mut bytes = std::fs::read(&source.path).unwrap();
    let pages = bytes.len() / 4096;
    for page in pages / 2..pages / 2 + 2 {
        bytes[page * 4096..page * 4096 + 200].fill(0xff);
    }
    std::fs::write(&source.path, &bytes).unwrap();
    let error = refused(&source.path, events()).await;
    assert!(
        matches!(error, ImportError::SourceDamaged { .. }),
        "{error}"
    );
    assert_eq!(std::fs::read(&source.path).unwrap(), bytes);
}

#[tokio::test]
async fn a_missing_table_or_column_is_reported_with_the_existing_ones() {
    let source = CoreData::with([]);
    let error = refused(&source.path, SourceTable::entity("SDOutbox")).await;
    let text = error.to_string();
    assert!(matches!(error, ImportError::TableMissing { .. }), "{error}");
    assert!(
        text.contains("ZSDOUTBOX ") && text.contains("ZSDOUTBOXEVENT"),
        "{text}"
    );

    let error = refused(&source.path, events().requires(["entityID"])).await;
    assert!(
        matches!(error, ImportError::ColumnMissing { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("ZRETRYCOUNT"), "{error}");
    let error = refused(&source.path, events().ordered_by("created")).await;
    assert!(
        matches!(error, ImportError::ColumnMissing { .. }),
        "{error}"
    );

    // A column that only the mapper reads also ends the import, instead of rejecting every row.
    source.add([OldEvent::new(1)]);
    let temporary = Temporary::open().await;
    let asks = |row: &SourceRow, _: &Source| row.text("metadata").map(|_| Mapped::Entity);
    let import = Import::new(&source.path).table(events());
    let error = import.run(&temporary.store, asks).await.unwrap_err();
    assert!(
        matches!(error, ImportError::ColumnMissing { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_table_imports_nothing_and_a_newer_layout_is_refused() {
    let source = CoreData::with([]);
    let temporary = Temporary::open().await;
    let import = Import::new(&source.path).table(events().newer_with(["metadata"]));
    let report = import.run(&temporary.store, nothing).await.unwrap();
    assert_eq!(report.read(), 0);

    let app = source.connect();
    app.execute_batch("ALTER TABLE ZSDOUTBOXEVENT ADD COLUMN ZMETADATA VARCHAR")
        .unwrap();
    drop(app);
    let error = refused(&source.path, events().newer_with(["metadata"])).await;
    assert!(matches!(error, ImportError::NewerLayout { .. }), "{error}");
}

#[tokio::test]
async fn an_import_from_the_outbox_file_itself_or_without_tables_is_refused() {
    let temporary = Temporary::open().await;
    let link = temporary.path.with_extension("link");
    std::fs::hard_link(&temporary.path, &link).unwrap();
    for path in [&temporary.path, &link] {
        let import = Import::new(path).table(SourceTable::plain("outbox_events"));
        let error = import.run(&temporary.store, nothing).await.unwrap_err();
        assert!(
            matches!(error, ImportError::SourceIsDestination { .. }),
            "{error}"
        );
    }
    let source = CoreData::with([]);
    let error = Import::new(&source.path)
        .run(&temporary.store, nothing)
        .await
        .unwrap_err();
    assert!(matches!(error, ImportError::NoTable { .. }), "{error}");
}

#[tokio::test]
async fn a_table_without_row_keys_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v6.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "CREATE TABLE a (id TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE t (id TEXT); CREATE VIEW b AS SELECT * FROM t;
         CREATE TABLE c (rowid TEXT); INSERT INTO c VALUES ('x')",
    )
    .unwrap();
    drop(conn);
    for table in ["a", "b"] {
        let error = refused(&path, SourceTable::plain(table)).await;
        assert!(
            matches!(error, ImportError::NoRowid { .. }),
            "{table}: {error}"
        );
    }
    // A column named `rowid` hides only that name.
    let source = Source::open(&path).unwrap();
    let row = source.find(&SourceTable::plain("c"), "rowid", "x").unwrap();
    assert_eq!(row.unwrap().key(), 1);
}

#[tokio::test]
async fn an_import_ledger_of_a_newer_version_is_left_alone() {
    let source = CoreData::with([OldEvent::new(1)]);
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    conn.execute_batch(
        "CREATE TABLE outbox_import_schema (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL);
         INSERT INTO outbox_import_schema VALUES (99, '')",
    )
    .unwrap();
    let import = Import::new(&source.path).table(events());
    let error = import.run(&temporary.store, nothing).await.unwrap_err();
    assert!(
        matches!(
            error,
            ImportError::LedgerTooNew {
                found: 99,
                known: 2
            }
        ),
        "{error}"
    );
}

#[test]
fn a_copy_is_a_consistent_snapshot_or_an_error() {
    let source = CoreData::with([OldEvent::new(1)]);
    let app = source.connect();
    // Large enough that copying takes a while.
    app.execute_batch(
        "PRAGMA journal_mode = DELETE; CREATE TABLE big (n INTEGER, content BLOB); INSERT INTO big VALUES (0, zeroblob(8000000))",
    )
    .unwrap();
    drop(app);
    let writes = Arc::new(AtomicBool::new(true));
    let writer = {
        let (writes, path) = (Arc::clone(&writes), source.path.clone());
        std::thread::spawn(move || {
            let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            let mut count = 0_u64;
            while writes.load(Ordering::Relaxed) {
                count += 1;
                // Inside the blob, so that the copy is a valid database at any time.
                file.seek(SeekFrom::End(-64)).unwrap();
                file.write_all(&count.to_be_bytes()).unwrap();
            }
        })
    };
    let changing = (0..100).any(|_| match Source::open(&source.path) {
        Ok(source) => {
            assert_eq!(source.count(&events()).unwrap(), 1);
            false
        }
        Err(error) => {
            assert!(
                matches!(error, ImportError::SourceChanging { .. }),
                "{error}"
            );
            true
        }
    });
    writes.store(false, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(changing, "the source never counted as changing");
    assert_eq!(
        Source::open(&source.path)
            .unwrap()
            .count(&events())
            .unwrap(),
        1
    );
}

#[test]
fn rows_are_found_by_any_column_and_by_ids_in_any_form() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
    let app = source.connect();
    app.execute(
        "INSERT INTO ZSDMOODENTRY (ZID, ZBACKENDID, ZLABELS) VALUES (?1, ?2, ?3)",
        (
            event_id(7),
            event_id(8).to_string().to_uppercase(),
            b"[\"calm\"]",
        ),
    )
    .unwrap();
    drop(app);
    let source = Source::open(&source.path).unwrap();
    let moods = SourceTable::entity("SDMoodEntry");
    let mood = source
        .find(&moods, "backendId", event_id(8))
        .unwrap()
        .unwrap();
    assert_eq!(mood.uuid("id").unwrap(), event_id(7));
    assert_eq!(mood.uuid("backendId").unwrap(), event_id(8));
    assert_eq!(mood.bytes("labels").unwrap(), b"[\"calm\"]");
    assert_eq!(mood.opt_real("valence").unwrap(), None);
    assert!(mood.has("Z_PK") && !mood.has("mood"));
    let by_text = source
        .find(&moods, "ID", event_id(7).to_string().as_str())
        .unwrap();
    assert_eq!(by_text.unwrap().key(), mood.key());
    assert_eq!(
        source
            .find_all(&events(), "status", "pending")
            .unwrap()
            .len(),
        2
    );
    assert!(
        source
            .find(&events(), "status", "failed")
            .unwrap()
            .is_none()
    );
    assert_eq!(
        source
            .get(&events(), 2)
            .unwrap()
            .unwrap()
            .uuid("id")
            .unwrap(),
        event_id(2)
    );
    assert_eq!(source.identity(), "5F1C1C86-6E1D-4C39-9A6B-0E2B3E6D7F10");
    let shown = format!("{mood:?}");
    assert!(
        !shown.contains("calm") && shown.contains("a blob of 8 bytes"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_source_in_another_journal_mode_is_read_as_well() {
    let source = CoreData::with([OldEvent::new(1)]);
    let mut app = source.connect();
    app.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    // The app has an open transaction, whose changes are in the file but not committed.
    app.execute_batch("PRAGMA cache_size = 1").unwrap();
    let tx = app.transaction().unwrap();
    tx.execute_batch(
        "CREATE TABLE big (content BLOB); INSERT INTO big VALUES (zeroblob(1000000)); DELETE FROM ZSDOUTBOXEVENT",
    )
    .unwrap();
    let before = files(source.path.parent().unwrap());
    assert!(
        before.iter().any(|file| file.0.ends_with("-journal")),
        "{before:?}"
    );
    let temporary = Temporary::open().await;
    let import = Import::new(&source.path).table(events());
    let report = import.run(&temporary.store, nothing).await.unwrap();
    assert_eq!(
        report.already_delivered(),
        1,
        "uncommitted changes are not imported"
    );
    assert_eq!(files(source.path.parent().unwrap()), before);
    drop(tx);
    let store: &dyn OutboxRepository = &temporary.store;
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
}
