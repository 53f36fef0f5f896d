//! Promises of `#[derive(OutboxEvents)]`.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use outbox_runtime::prelude::*;
use outbox_runtime::{DecodeError, Delivery};
use serde_json::json;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", priority = 7)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    title: String,
}

#[derive(Debug, OutboxEvents)]
enum LumeEvent {
    MoodEntry(Event<MoodEntry>),
    Goal(Event<Goal>),
}

/// A row as a store returns it.
fn row(event_type: &str, metadata: &serde_json::Value) -> OutboxEvent {
    serde_json::from_value(json!({
        "id": "0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11",
        "eventType": event_type,
        "entityID": "entity-1",
        "userID": "user-1",
        "status": "pending",
        "createdAt": "2025-01-14T12:10:00Z",
        "attemptCount": 0,
        "maxAttempts": 5,
        "priority": 0,
        "isNewRecord": true,
        "metadata": metadata,
    }))
    .unwrap()
}

fn mood_row() -> OutboxEvent {
    row("moodEntry", &json!({ "moodEntry": { "valence": 0.5 } }))
}

/// Polls a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future must not wait"),
    }
}

#[test]
fn the_event_types_are_in_the_order_of_the_variants() {
    assert_eq!(LumeEvent::EVENT_TYPES, ["moodEntry", "goal"]);
}

#[test]
fn a_row_is_decoded_as_the_variant_of_its_type() {
    let LumeEvent::MoodEntry(event) = LumeEvent::decode(mood_row()).unwrap() else {
        panic!("not a mood")
    };
    assert!((event.metadata().valence - 0.5).abs() < f64::EPSILON);
}

#[test]
fn an_event_type_outside_of_the_set_is_refused_by_name() {
    let error = LumeEvent::decode(row("weight", &json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"event type "weight" is not one of ["moodEntry", "goal"]"#
    );
}

#[test]
fn damaged_metadata_is_refused_without_showing_it() {
    let damaged = row(
        "moodEntry",
        &json!({ "moodEntry": { "valence": "secret" } }),
    );
    let error = LumeEvent::decode(damaged).unwrap_err();
    assert!(matches!(error, DecodeError::Metadata { .. }));
    assert!(error.to_string().contains("field `valence`"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// Records the events that it receives.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl LumeEventHandler for Recorder {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        let seen = format!("{} {}", event.event_type, event.metadata().valence);
        self.0.lock().unwrap().push(seen);
        Ok(())
    }

    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(event.metadata().title.clone());
        Err(HandlerError::obsolete())
    }
}

#[test]
fn each_event_goes_to_the_method_of_its_variant() {
    let recorder = Recorder::default();
    let handlers = LumeEvent::handled_by(recorder.clone());
    ready(handlers.handle(&mood_row())).unwrap();
    let goal = row("goal", &json!({ "goal": { "title": "Run" } }));
    let error = ready(handlers.handle(&goal)).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Obsolete);
    assert_eq!(*recorder.0.lock().unwrap(), ["moodEntry 0.5", "Run"]);
}

#[test]
fn the_handlers_tell_which_entities_they_handle() {
    let handlers = LumeEvent::handled_by(Recorder::default());
    assert!(handlers.can_handle("goal"));
    assert!(!handlers.can_handle("weight"));
    assert_eq!(handlers.entities(), [MoodEntry::OPTIONS, Goal::OPTIONS]);
}

#[test]
fn the_metadata_of_a_set_is_tagged_with_the_event_type() {
    let metadata = LumeEventMetadata::decode(&mood_row()).unwrap();
    let json = serde_json::to_string(&metadata).unwrap();
    assert_eq!(json, r#"{"moodEntry":{"valence":0.5}}"#);
    let read: LumeEventMetadata = serde_json::from_str(&json).unwrap();
    assert!(matches!(read, LumeEventMetadata::MoodEntry(mood) if mood.valence > 0.4));
}

#[test]
fn metadata_outside_of_the_set_is_generic() {
    let record = row("weight", &json!({ "generic": { "_0": { "unit": "kg" } } }));
    let metadata = LumeEventMetadata::decode(&record).unwrap();
    let json = serde_json::to_string(&metadata).unwrap();
    assert_eq!(json, r#"{"generic":{"_0":{"unit":"kg"}}}"#);
    let LumeEventMetadata::Generic(read) = serde_json::from_str(&json).unwrap() else {
        panic!("not generic metadata")
    };
    assert_eq!(read, BTreeMap::from([("unit".to_owned(), "kg".to_owned())]));
}

#[test]
fn metadata_with_a_tag_outside_of_the_set_is_refused() {
    let error = serde_json::from_str::<LumeEventMetadata>(r#"{"weight":{}}"#).unwrap_err();
    assert!(error.to_string().contains("weight"), "{error}");
}

#[test]
fn the_debug_form_of_metadata_shows_no_payload() {
    let goal = row("goal", &json!({ "goal": { "title": "a secret" } }));
    let metadata = LumeEventMetadata::decode(&goal).unwrap();
    assert_eq!(format!("{metadata:?}"), "Goal");
    assert!(!format!("{:?}", LumeEvent::decode(goal).unwrap()).contains("a secret"));
}

#[test]
fn enqueued_and_decoded_an_event_has_the_entity_s_metadata() {
    let goal = Goal {
        id: 1,
        user_id: "user-1".to_owned(),
        title: "Run".to_owned(),
    };
    let mood = MoodEntry {
        id: 2,
        user_id: "user-1".to_owned(),
        valence: 0.25,
    };
    for (sent, expected) in [
        (goal.enqueue_sync(), r#"{"goal":{"title":"Run"}}"#),
        (mood.enqueue_sync(), r#"{"moodEntry":{"valence":0.25}}"#),
    ] {
        let sent = sent.into_event().unwrap();
        let written: serde_json::Value = sent.metadata().unwrap().decode().unwrap();
        let tagged = json!({ sent.event_type(): written });
        let metadata = LumeEventMetadata::decode(&row(sent.event_type(), &tagged)).unwrap();
        assert_eq!(serde_json::to_string(&metadata).unwrap(), expected);
    }
}
