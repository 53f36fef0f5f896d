//! Stores in the format of Core Data and SwiftData: tables `Z..`, whole seconds as integers, UUIDs
//! as 16 bytes, no constraints.

use std::path::{Path, PathBuf};

use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params};
use tempfile::TempDir;
use uuid::Uuid;

/// A store with the entities SDOutboxEvent and SDMoodEntry, in a folder of its own.
#[derive(Debug)]
pub struct CoreData {
    /// Path of the store.
    pub path: PathBuf,
    folder: TempDir,
}

/// A row of SDOutboxEvent, by its attributes. NULL is allowed everywhere, as in the file.
#[derive(Debug, Clone)]
pub struct OldEvent {
    /// `ZID`
    pub id: Value,
    /// `ZCREATEDAT`
    pub created_at: Value,
    /// `ZEVENTTYPE`
    pub event_type: Value,
    /// `ZPAYLOAD`
    pub payload: Value,
    /// `ZSTATUS`
    pub status: Value,
    /// `ZRETRYCOUNT`
    pub retry_count: Value,
    /// `ZLASTATTEMPTAT`
    pub last_attempt_at: Value,
    /// `ZCOMPLETEDAT`
    pub completed_at: Value,
    /// `ZERRORMESSAGE`
    pub error_message: Value,
}

/// 2025-01-14 12:30:00 UTC, in seconds since 2001.
pub const CREATED: i64 = 758_550_600;

impl OldEvent {
    /// A pending `mood.created` of user-1, with id and entity derived from `n`, created `n` seconds
    /// after [`CREATED`].
    pub fn new(n: u128) -> Self {
        let payload = format!(
            r#"{{"id":"{}","user_id":"user-1","n":{n}}}"#,
            entity_id(n).to_string().to_uppercase()
        );
        Self {
            id: Value::Blob(event_id(n).as_bytes().to_vec()),
            created_at: Value::Integer(CREATED + i64::try_from(n).unwrap()),
            event_type: Value::Text("mood.created".into()),
            payload: Value::Blob(payload.into_bytes()),
            status: Value::Text("pending".into()),
            retry_count: Value::Integer(0),
            last_attempt_at: Value::Null,
            completed_at: Value::Null,
            error_message: Value::Null,
        }
    }

    /// The same with another status and number of attempts.
    #[must_use]
    pub fn with_status(mut self, status: &str, retry_count: i64) -> Self {
        self.status = Value::Text(status.to_owned());
        self.retry_count = Value::Integer(retry_count);
        self
    }
}

/// Id of the `n`-th old event.
pub fn event_id(n: u128) -> Uuid {
    Uuid::from_u128(0xe000_0000_0000_4000_8000_0000_0000_0000 + n)
}

/// Entity of the `n`-th old event.
pub fn entity_id(n: u128) -> Uuid {
    Uuid::from_u128(0xa000_0000_0000_4000_8000_0000_0000_0000 + n)
}

impl CoreData {
    /// A closed store with these events: a single file in WAL mode.
    pub fn with(events: impl IntoIterator<Item = OldEvent>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.store");
        let store = Self { path, folder };
        let mut conn = store.connect();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE ZSDMOODENTRY (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCREATEDAT TIMESTAMP,
                 ZVALENCE FLOAT, ZBACKENDID VARCHAR, ZUSERID VARCHAR, ZID BLOB, ZLABELS BLOB);
             CREATE TABLE ZSDOUTBOXEVENT (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZRETRYCOUNT INTEGER,
                 ZCOMPLETEDAT TIMESTAMP, ZCREATEDAT TIMESTAMP, ZLASTATTEMPTAT TIMESTAMP, ZERRORMESSAGE VARCHAR,
                 ZEVENTTYPE VARCHAR, ZSTATUS VARCHAR, ZID BLOB, ZPAYLOAD BLOB);
             CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
             CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);
             CREATE TABLE Z_MODELCACHE (Z_CONTENT BLOB);
             CREATE TABLE ACHANGE (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCHANGETYPE INTEGER,
                 ZENTITY INTEGER, ZENTITYPK INTEGER, ZTRANSACTIONID INTEGER, ZCOLUMNS BLOB);
             INSERT INTO Z_METADATA VALUES (1, '5F1C1C86-6E1D-4C39-9A6B-0E2B3E6D7F10', x'62706C697374');",
        )
        .unwrap();
        insert(&mut conn, events);
        drop(conn);
        store
    }

    /// A connection like that of the store's app.
    pub fn connect(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Adds events, and leaves the file closed.
    pub fn add(&self, events: impl IntoIterator<Item = OldEvent>) {
        insert(&mut self.connect(), events);
    }

    /// The same store after a crash of its app: these events are only in the `-wal`.
    #[must_use]
    pub fn crashed_with(self, events: impl IntoIterator<Item = OldEvent>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default.store");
        let mut conn = self.connect();
        conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        insert(&mut conn, events);
        for suffix in ["", "-wal"] {
            std::fs::copy(beside(&self.path, suffix), beside(&path, suffix)).unwrap();
        }
        assert!(std::fs::metadata(beside(&path, "-wal")).unwrap().len() > 0);
        Self { path, folder }
    }

    /// Name, content and modification time of every file in the store's folder.
    pub fn files(&self) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
        files(self.folder.path())
    }
}

/// Name, content and modification time of every file in a folder.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            let changed = entry.metadata().unwrap().modified().unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap(), changed)
        })
        .collect();
    files.sort();
    files
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn insert(conn: &mut Connection, events: impl IntoIterator<Item = OldEvent>) {
    let tx = conn.transaction().unwrap();
    {
        let mut insert = tx
            .prepare(
                "INSERT INTO ZSDOUTBOXEVENT (Z_ENT, Z_OPT, ZID, ZCREATEDAT, ZEVENTTYPE, ZPAYLOAD, ZSTATUS, ZRETRYCOUNT,
                     ZLASTATTEMPTAT, ZCOMPLETEDAT, ZERRORMESSAGE)
                 VALUES (9, 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .unwrap();
        for event in events {
            insert
                .execute(params![
                    event.id,
                    event.created_at,
                    event.event_type,
                    event.payload,
                    event.status,
                    event.retry_count,
                    event.last_attempt_at,
                    event.completed_at,
                    event.error_message
                ])
                .unwrap();
        }
    }
    tx.commit().unwrap();
}
