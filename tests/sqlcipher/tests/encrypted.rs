//! A store on an encrypted file: each connection sets the key first, and nothing is readable
//! without it.

use std::path::Path;

use outbox_runtime::prelude::*;
use outbox_runtime::{SqliteStore, StoreError, StoreErrorKind};
use rusqlite::Connection;

#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

fn note(id: i64) -> Note {
    Note {
        id,
        user_id: "u1".into(),
        text: "a text that must not be found".into(),
    }
}

async fn open(path: &Path, key: &str) -> Result<SqliteStore, StoreError> {
    let key = key.to_owned();
    SqliteStore::builder(path)
        .on_connect(move |conn| conn.pragma_update(None, "key", &key))
        .open()
        .await
}

#[tokio::test]
async fn an_encrypted_file_is_written_and_read_with_its_key_and_not_without() {
    let version: String = Connection::open_in_memory()
        .unwrap()
        .query_row("PRAGMA cipher_version", [], |row| row.get(0))
        .expect("the library is SQLCipher");
    println!("SQLCipher {version}, SQLite {}", rusqlite::version());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let store = open(&path, "secret").await.unwrap();
    note(1).enqueue_sync().on(&store).await.unwrap();
    store
        .transaction(|tx| Ok(note(2).enqueue_sync().on(tx).map(drop)?))
        .await
        .unwrap();
    // Both connections are reopened.
    store.suspend().await.unwrap();
    store.resume().await.unwrap();
    note(3).enqueue_sync().on(&store).await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().total_events, 3);

    // The application's own connection needs the key too.
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "key", "secret").unwrap();
    note(4).enqueue_sync().on(&conn).unwrap();
    drop(conn);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 4);
    store.close().await;

    let bytes = std::fs::read(&path).unwrap();
    let is_there = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!is_there(b"must not be found") && !is_there(b"outbox_events"));
    for wrong in [open(&path, "wrong").await, SqliteStore::open(&path).await] {
        let error = wrong.map(drop).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotADatabase, "{error}");
        assert!(!error.to_string().contains("wrong\""), "{error}");
        assert!(error.to_string().contains("on_connect"), "{error}");
    }
    let store = open(&path, "secret").await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().total_events, 4);
}
