//! Builds Core Data stores with the outbox of the older version, in the layout of the operating
//! system's library.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::rusqlite::types::Value;
use serde_json::json;
use uuid::Uuid;

/// A row of the older outbox. `None` is NULL.
#[derive(Debug, Clone)]
pub(crate) struct OldEvent {
    pub(crate) id: Option<Uuid>,
    pub(crate) entity_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) user_id: String,
    pub(crate) status: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) attempts: i64,
    pub(crate) priority: i64,
    pub(crate) is_new: bool,
    pub(crate) metadata: Option<String>,
    pub(crate) error: Option<String>,
}

impl OldEvent {
    /// A pending create, the `number`-th of its kind.
    pub(crate) fn new(
        event_type: &str,
        user: &str,
        number: u32,
        metadata: &serde_json::Value,
    ) -> Self {
        let id = |what: &str| {
            let name = format!("{what}/{event_type}/{number}");
            Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
        };
        Self {
            id: Some(id("event")),
            entity_id: id("entity"),
            event_type: event_type.to_owned(),
            // As the older app wrote it.
            user_id: user.to_uppercase(),
            status: "pending".to_owned(),
            created_at: crate::scene::noon(1) + chrono::TimeDelta::minutes(i64::from(number)),
            attempts: 0,
            priority: 0,
            is_new: true,
            metadata: Some(metadata.to_string()),
            error: None,
        }
    }
}

/// The older app's metadata of each kind, in Swift's form.
pub(crate) fn metadata_of(kind: &str) -> serde_json::Value {
    let generic = |entries: serde_json::Value| json!({"generic": {"_0": entries}});
    match kind {
        "progressEntry" => {
            json!({"progressEntry": {"metricType": "steps", "value": 3422.0, "unit": "steps"}})
        }
        "sleepSession" => json!({"sleepSession": {"duration": 27_000.0, "quality": 0.8}}),
        "mealLog" => json!({"mealLog": {"calories": 640.0, "macros": {"protein": 30.0}}}),
        "workout" => json!({"workout": {"type": "running", "duration": 1_800.0}}),
        "physicalAttribute" => generic(json!({"attributeType": "weight", "value": "70.5"})),
        "activitySnapshot" => generic(json!({"steps": "9000", "activeCalories": "410.5"})),
        "profileMetadata" => generic(json!({"name": "Ada", "languageCode": "en"})),
        "profilePhysical" => generic(json!({"biologicalSex": "female", "heightCm": "171"})),
        "workoutTemplate" => generic(json!({"name": "Push"})),
        other => panic!("{other} is no kind"),
    }
}

/// Writes a store with these rows.
pub(crate) fn write(folder: &Path, events: &[OldEvent]) -> PathBuf {
    let path = folder.join("fitiq-v3.store");
    let mut conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
        CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
        CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);
        CREATE TABLE Z_MODELCACHE (Z_CONTENT BLOB);
        INSERT INTO Z_METADATA VALUES (1, '7E9A0B44-7E55-4D61-8C3A-6C3B1F1F2A10', NULL);
        CREATE TABLE ZSDOUTBOXEVENT (
            Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER,
            ZATTEMPTCOUNT INTEGER, ZISNEWRECORD INTEGER, ZMAXATTEMPTS INTEGER, ZPRIORITY INTEGER,
            ZCOMPLETEDAT TIMESTAMP, ZCREATEDAT TIMESTAMP, ZLASTATTEMPTAT TIMESTAMP,
            ZERRORMESSAGE VARCHAR, ZEVENTTYPE VARCHAR, ZMETADATA VARCHAR, ZSTATUS VARCHAR, ZUSERID VARCHAR,
            ZENTITYID BLOB, ZID BLOB
        );
        CREATE TABLE ZSDPROGRESSENTRY (
            Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZBACKENDID VARCHAR, ZID BLOB
        );",
    )
    .unwrap();
    let tx = conn.transaction().unwrap();
    for (at, event) in (1_i64..).zip(events) {
        let blob = |id: Uuid| Value::Blob(id.as_bytes().to_vec());
        let text =
            |text: Option<&String>| text.map_or(Value::Null, |text| Value::Text(text.clone()));
        let created = event.created_at.timestamp() - 978_307_200;
        let attempted = if event.attempts > 0 {
            Value::Real(created as f64 + 0.25)
        } else {
            Value::Null
        };
        let completed = if event.status == "completed" {
            Value::Integer(created + 1)
        } else {
            Value::Null
        };
        let values = [
            Value::Integer(at),
            Value::Integer(event.attempts),
            Value::Integer(i64::from(event.is_new)),
            Value::Integer(event.priority),
            completed,
            Value::Integer(created),
            attempted,
            text(event.error.as_ref()),
            Value::Text(event.event_type.clone()),
            text(event.metadata.as_ref()),
            Value::Text(event.status.clone()),
            Value::Text(event.user_id.clone()),
            blob(event.entity_id),
            event.id.map_or(Value::Null, blob),
        ];
        tx.execute(
            "INSERT INTO ZSDOUTBOXEVENT VALUES (?1, 9, 1, ?2, ?3, 5, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            outbox_runtime::rusqlite::params_from_iter(values),
        )
        .unwrap();
    }
    let max = i64::try_from(events.len()).unwrap();
    tx.execute(
        "INSERT INTO Z_PRIMARYKEY VALUES (9, 'SDOutboxEvent', 0, ?1)",
        [max],
    )
    .unwrap();
    tx.commit().unwrap();
    path
}

/// Records the remote id of an entity in a store.
pub(crate) fn know(store: &Path, entity: Uuid, remote: &str) {
    let conn = Connection::open(store).unwrap();
    let insert =
        "INSERT INTO ZSDPROGRESSENTRY (Z_ENT, Z_OPT, ZBACKENDID, ZID) VALUES (5, 1, ?1, ?2)";
    conn.execute(insert, (remote, entity.as_bytes())).unwrap();
}
