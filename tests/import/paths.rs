//! Directories whose names are not UTF-8: on Unix a path is bytes, and two different paths may look
//! alike as text.
#![cfg(unix)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
use outbox_runtime::NewEvent;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent};

use crate::{events, numbers};

/// Both are `caf\u{fffd}` as text.
const NAMES: [&[u8]; 2] = [b"caf\xe8", b"caf\xe9"];

fn folder_in(folder: &Path, name: &[u8]) -> PathBuf {
    let folder = folder.join(OsStr::from_bytes(name));
    std::fs::create_dir(&folder).unwrap();
    folder
}

async fn import_all(path: &Path, table: SourceTable, store: &SqliteStore) -> [u64; 5] {
    let map = |row: &SourceRow, _: &Source| -> Result<Mapped, Reject> {
        let event = NewEvent::new("mood", row.key(), "user-1", Operation::Create);
        Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
    };
    let import = Import::new(path).table(table);
    numbers(&import.run(store, map).await.unwrap())
}

fn sources(temporary: &Temporary) -> i64 {
    let sql = "SELECT count(DISTINCT source) FROM outbox_import_tables";
    let conn = temporary.connect();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn paths_that_differ_only_in_non_utf8_bytes_are_two_sources() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = Temporary::open().await;
    let paths = NAMES.map(|name| folder_in(folder.path(), name).join("default.store"));
    for path in &paths {
        Connection::open(path)
            .unwrap()
            .execute_batch(
                "CREATE TABLE ZSDOUTBOXEVENT (Z_PK INTEGER PRIMARY KEY, ZCREATEDAT TIMESTAMP);
                 INSERT INTO ZSDOUTBOXEVENT VALUES (1, 758550600), (2, 758550601);",
            )
            .unwrap();
    }
    let table = || SourceTable::entity("SDOutboxEvent");
    for path in &paths {
        let first = import_all(path, table(), &temporary.store).await;
        assert_eq!(first, [2, 2, 0, 0, 0], "{path:?}");
    }
    assert_eq!(sources(&temporary), 2);
    for path in &paths {
        let again = import_all(path, table(), &temporary.store).await;
        assert_eq!(again, [2, 0, 2, 0, 0], "{path:?}");
    }
    assert_eq!(sources(&temporary), 2);
}

#[tokio::test]
async fn a_source_is_recognized_by_its_path_whatever_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for name in [NAMES[0], b"cafe", "café".as_bytes()] {
        let temporary = Temporary::open().await;
        let made = CoreData::with([OldEvent::new(1), OldEvent::new(2)]);
        let path = folder_in(folder.path(), name).join("default.store");
        std::fs::copy(&made.path, &path).unwrap();
        drop(made);
        let first = import_all(&path, events(), &temporary.store).await;
        assert_eq!(first, [2, 2, 0, 0, 0], "{path:?}");
        // The app has put another row under a key; at another path this would be a different
        // source.
        let other = CoreData::with([OldEvent::new(1), OldEvent::new(7)]);
        std::fs::copy(&other.path, &path).unwrap();
        import_all(&path, events(), &temporary.store).await;
        assert_eq!(sources(&temporary), 1, "{path:?}");
    }
}
