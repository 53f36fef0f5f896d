//! The serde form: reads events of the Swift `Codable` struct, and writes the same keys.

use chrono::{DateTime, Utc};
use outbox_runtime::store::OutboxQueue as _;
use outbox_runtime::{
    EntityId, MemoryStore, NewEvent, OnDead, Operation, Order, OutboxEvent, OutboxRepository,
    OutboxStatus, RawMetadata,
};
use outbox_testing::ManualClock;
use serde_json::{Value, json};
use uuid::Uuid;

fn read(json: &str) -> OutboxEvent {
    serde_json::from_str(json).unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// As `JSONEncoder()` with default strategies writes the Swift struct: dates are numbers, UUIDs are
/// uppercase, absent optionals are omitted, and the metadata enum is tagged with its case.
const SWIFT: &str = r#"{
    "id": "7B1CE7C3-0190-4C3F-8F4E-3D1A0A6C9E11",
    "eventType": "moodEntry",
    "entityID": "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10",
    "userID": "15d3af32-a0f7-424c-952a-18c372476bfe",
    "status": "failed",
    "createdAt": 758550600.25,
    "lastAttemptAt": 758550601,
    "attemptCount": 2,
    "maxAttempts": 5,
    "errorMessage": "The request timed out.",
    "metadata": {"moodEntry": {"valence": -0.25, "labels": ["anxious", "scared"]}},
    "priority": 5,
    "isNewRecord": false
}"#;

#[test]
fn events_written_by_swift_are_read() {
    let event = read(SWIFT);
    assert_eq!(
        event.id,
        Uuid::parse_str("7b1ce7c3-0190-4c3f-8f4e-3d1a0a6c9e11").unwrap()
    );
    assert_eq!(event.event_type, "moodEntry");
    let entity = Uuid::parse_str("7d1c3b8e-51f0-4e5a-9c77-0b9e1c0c2f10").unwrap();
    assert_eq!(event.entity_id.as_uuid(), Some(entity));
    assert_eq!(event.user_id, "15d3af32-a0f7-424c-952a-18c372476bfe");
    assert_eq!(event.status, OutboxStatus::Failed);
    assert_eq!(event.created_at, time("2025-01-14T12:30:00.25Z"));
    assert_eq!(event.last_attempt_at, Some(time("2025-01-14T12:30:01Z")));
    assert_eq!(event.next_attempt_at, event.created_at);
    assert_eq!((event.attempt_count, event.max_attempts), (2, 5));
    assert_eq!(
        event.error_message.as_deref(),
        Some("The request timed out.")
    );
    assert_eq!(event.completed_at, None);
    assert_eq!(event.priority, 5);
    assert_eq!(event.operation, Operation::Update);
    assert!(!event.is_new_record() && event.can_retry());
    assert_eq!(
        event.metadata.unwrap().as_str(),
        Some(r#"{"valence": -0.25, "labels": ["anxious", "scared"]}"#),
        "byte for byte, without the tag"
    );
}

#[test]
fn generic_metadata_of_swift_is_read_without_its_two_tags() {
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["metadata"] = json!({"generic": {"_0": {"a": "1"}}});
    let event = read(&json.to_string());
    assert_eq!(event.metadata.unwrap().as_str(), Some(r#"{"a":"1"}"#));
}

#[test]
fn metadata_of_ours_keeps_a_single_key_that_looks_like_a_tag() {
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["metadata"] = json!({"moodEntry": {"valence": 1}});
    json["metadataVersion"] = json!(1);
    let event = read(&json.to_string());
    assert_eq!(
        event.metadata.unwrap().as_str(),
        Some(r#"{"moodEntry":{"valence":1}}"#)
    );
}

#[test]
fn a_minimal_event_is_read_and_its_absent_keys_have_their_defaults() {
    let event = read(
        r#"{"id":"7B1CE7C3-0190-4C3F-8F4E-3D1A0A6C9E11","eventType":"goal","entityID":7,"userID":"u1",
            "status":"pending","createdAt":"2025-11-17T19:26:02.996263011Z","isNewRecord":true}"#,
    );
    assert_eq!(event.entity_id, EntityId::from(7));
    assert_eq!(event.created_at, time("2025-11-17T19:26:02.996263Z"));
    assert_eq!(event.operation, Operation::Create);
    assert_eq!(
        (event.attempt_count, event.max_attempts, event.priority),
        (0, 5, 0)
    );
    assert_eq!((event.metadata, event.metadata_version), (None, 1));
}

#[tokio::test]
async fn written_events_have_the_swift_keys_and_our_own() {
    let store = MemoryStore::with_clock(ManualClock::new());
    let id = Uuid::parse_str("0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11").unwrap();
    let entity = Uuid::parse_str("7d1c3b8e-51f0-4e5a-9c77-0b9e1c0c2f10").unwrap();
    let event = NewEvent::new("moodEntry", entity, "u1", Operation::Create)
        .with_id(id)
        .with_priority(5)
        .with_metadata(RawMetadata::from_bytes(r#"{"valence":0.5}"#));
    let event = store.create_event(event).await.unwrap();
    assert_eq!(
        serde_json::to_value(&event).unwrap(),
        json!({
            "id": "0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11",
            "seq": 1,
            "eventType": "moodEntry",
            "entityID": "7d1c3b8e-51f0-4e5a-9c77-0b9e1c0c2f10",
            "entityIDType": "uuid",
            "userID": "u1",
            "operation": "create",
            "isNewRecord": true,
            "status": "pending",
            "priority": 5,
            "createdAt": "2026-01-01T00:00:00Z",
            "nextAttemptAt": "2026-01-01T00:00:00Z",
            "attemptCount": 0,
            "maxAttempts": 5,
            "metadata": {"valence": 0.5},
            "metadataVersion": 1,
            "order": "entity",
            "onDead": "hold"
        })
    );
}

#[tokio::test]
async fn every_event_survives_a_round_trip() {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let looks_like_a_uuid = "7d1c3b8e-51f0-4e5a-9c77-0b9e1c0c2f10";
    for entity in [
        EntityId::from(-3),
        EntityId::from(looks_like_a_uuid),
        Uuid::nil().into(),
    ] {
        let event = NewEvent::new("note", entity, "ü\"\\", Operation::Delete)
            .with_metadata(RawMetadata::from_bytes(r#" {"a" : [1.0e2, null]} "#))
            .with_order(Order::None)
            .with_on_dead(OnDead::Skip);
        store.create_event(event).await.unwrap();
    }
    clock.advance(std::time::Duration::from_micros(1_234_567));
    let request = outbox_runtime::store::ClaimRequest::new(9, std::time::Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    for claim in claims {
        let text = serde_json::to_string(&claim.event).unwrap();
        let mut expected = claim.event;
        // White space around a JSON value is not part of it.
        expected.metadata = Some(RawMetadata::from_bytes(r#"{"a" : [1.0e2, null]}"#));
        assert_eq!(read(&text), expected, "{text}");
    }
}

#[test]
fn notes_of_an_event_survive_a_round_trip() {
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    let noted = json!({
        "destination": "eu.example.org",
        "deferrals": 3,
        "deferredSince": "2026-01-01T00:00:00.000001Z",
        "lastRefusal": {"class": "rate_limited", "message": "429: slow down"},
        "crashes": 2,
        "snoozes": 11,
        "revision": 7,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=t61rcWkgMzE",
        "expiresAt": "2026-02-01T00:00:00.000001Z",
        "dedupKey": "avatar",
        "headers": {"x-session": {"sensitive": "5f0c"}, "x-tenant": "7"},
    });
    json.as_object_mut()
        .unwrap()
        .extend(noted.as_object().unwrap().clone());
    let event = read(&json.to_string());
    assert_eq!(event.destination.as_deref(), Some("eu.example.org"));
    assert_eq!((event.deferrals, event.crashes, event.snoozes), (3, 2, 11));
    assert_eq!(event.revision, 7);
    assert_eq!(event.dedup_key.as_deref(), Some("avatar"));
    assert!(event.expires_at.is_some());
    assert_eq!(event.headers().get("x-tenant"), Some("7"));
    assert!(event.headers().is_sensitive("x-session"));
    let state = event
        .trace_context()
        .and_then(|context| context.tracestate());
    assert_eq!(state, Some("vendor=t61rcWkgMzE"));
    let written = serde_json::to_value(&event).unwrap();
    for (key, value) in noted.as_object().unwrap() {
        assert_eq!(&written[key], value, "{key}");
    }
    assert_eq!(read(&written.to_string()), event);
    let nothing = serde_json::to_value(read(SWIFT)).unwrap();
    for key in noted.as_object().unwrap().keys() {
        assert!(nothing.get(key).is_none(), "{key} is left out");
    }
}

#[test]
fn a_malformed_trace_context_keeps_no_event_from_being_read() {
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    json["tracestate"] = json!("no member");
    let read_well = read(&json.to_string());
    let context = read_well.trace_context().unwrap();
    assert_eq!((context.is_sampled(), context.tracestate()), (false, None));
    json["traceparent"] = json!("00-00000000000000000000000000000000-b7ad6b7169203331-01");
    assert_eq!(read(&json.to_string()).trace_context(), None);
    assert_eq!(read(&json.to_string()).id, read_well.id);
}

#[test]
fn headers_in_any_spelling_are_read_and_broken_ones_are_refused() {
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["headers"] = json!(null);
    assert!(read(&json.to_string()).headers().is_empty());
    json["headers"] = json!({"X-Tenant": "7", "a": {"sensitive": "s", "later": true}});
    let event = read(&json.to_string());
    let written = serde_json::to_value(&event).unwrap();
    assert_eq!(
        written["headers"],
        json!({"a": {"sensitive": "s"}, "x-tenant": "7"})
    );
    for broken in [
        json!("x-tenant: 7"),
        json!(["x-tenant"]),
        json!({"x-tenant": 7}),
        json!({"x-tenant": {"secret": "7"}}),
        json!({"x tenant": "7"}),
        json!({"x-tenant": "7\n"}),
    ] {
        json["headers"] = broken;
        let refused = serde_json::from_str::<OutboxEvent>(&json.to_string());
        refused.unwrap_err();
    }
}

#[test]
fn damaged_metadata_is_written_as_a_string_instead_of_breaking_the_export() {
    let mut event = read(SWIFT);
    event.metadata = Some(RawMetadata::from_bytes(*b"{\"a\": \xff"));
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(json["metadata"], json!("{\"a\": \u{fffd}"));
}

#[test]
fn invalid_events_are_refused_with_the_reason() {
    let refused = |json: &str| {
        serde_json::from_str::<OutboxEvent>(json)
            .unwrap_err()
            .to_string()
    };
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["status"] = json!("done");
    assert!(refused(&json.to_string()).contains("unknown status \"done\""));
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json["createdAt"] = json!("yesterday");
    assert!(refused(&json.to_string()).contains("\"yesterday\" is not an RFC 3339 time"));
    json["createdAt"] = json!(1e300);
    assert!(refused(&json.to_string()).contains("s since 2001 is not a date"));
    let mut json: Value = serde_json::from_str(SWIFT).unwrap();
    json.as_object_mut().unwrap().remove("isNewRecord");
    assert!(refused(&json.to_string()).contains("missing field `isNewRecord`"));
}

#[test]
fn statuses_and_operations_keep_their_names_and_symbols() {
    let all: Vec<_> = OutboxStatus::ALL
        .iter()
        .map(|status| (status.as_str(), status.display_name(), status.emoji()))
        .collect();
    assert_eq!(
        all,
        [
            ("pending", "Pending", "⏳"),
            ("processing", "Processing", "🔄"),
            ("completed", "Completed", "✅"),
            ("failed", "Failed", "❌"),
            ("dead", "Dead", "💀"),
        ]
    );
    for status in OutboxStatus::ALL {
        assert_eq!(status.as_str().parse(), Ok(*status));
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            json!(status.as_str())
        );
    }
    assert!("PENDING".parse::<OutboxStatus>().is_err());
}

/// An unbounded delay has a six-digit year, which RFC 3339 cannot express.
#[test]
fn a_time_after_the_year_9999_survives_a_round_trip() {
    for year in [
        "+12000-01-01T00:00:00Z",
        "+262142-12-31T23:59:59.999999Z",
        "-0044-03-15T12:00:00Z",
    ] {
        let mut json: Value = serde_json::from_str(SWIFT).unwrap();
        json["createdAt"] = json!(year);
        let event = read(&json.to_string());
        let written = serde_json::to_value(&event).unwrap();
        assert_eq!(written["createdAt"], json!(year));
        assert_eq!(read(&written.to_string()), event);
    }
}
