//! Promise 9: rows of older programs are delivered by newer ones, and rows of a newer program are
//! not lost.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::support::EntityOptions;
use outbox_runtime::{DeadReason, DecodeError, NewEvent, RawMetadata};
use outbox_tests::{enqueue, on_each_store, within};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

/// The first release of the program.
mod first {
    use super::*;

    #[derive(OutboxEntity)]
    #[outbox(event_type = "mood")]
    pub(super) struct Mood {
        #[outbox(entity_id)]
        pub(super) id: i64,
        #[outbox(user_id)]
        pub(super) user_id: String,
        #[outbox(metadata)]
        pub(super) score: i32,
    }
}

/// Its first update: a number between -1 and 1 instead of one up to 100.
mod second {
    use super::*;

    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[serde(rename_all = "camelCase")]
    #[outbox(event_type = "mood", version = 2, upcast(1 = super::first::MoodMetadata))]
    pub(super) struct Mood {
        #[outbox(entity_id)]
        pub(super) id: i64,
        #[outbox(user_id)]
        pub(super) user_id: String,
        #[outbox(metadata)]
        pub(super) raw_valence: f64,
    }

    impl From<super::first::MoodMetadata> for MoodMetadata {
        fn from(old: super::first::MoodMetadata) -> Self {
            Self {
                raw_valence: f64::from(old.score) / 100.0,
            }
        }
    }
}

/// The newest version: with labels.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "mood", version = 3)]
#[outbox(upcast(1 = first::MoodMetadata, 2 = second::MoodMetadata))]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
    #[outbox(metadata)]
    labels: Vec<String>,
}

impl From<first::MoodMetadata> for MoodMetadata {
    fn from(old: first::MoodMetadata) -> Self {
        second::MoodMetadata::from(old).into()
    }
}

impl From<second::MoodMetadata> for MoodMetadata {
    fn from(old: second::MoodMetadata) -> Self {
        Self {
            valence: old.raw_valence,
            labels: Vec::new(),
        }
    }
}

#[derive(Debug, OutboxEvents)]
enum Events {
    Mood(Event<Mood>),
}

const SOON: Duration = Duration::from_secs(30);

fn user() -> String {
    "u1".to_owned()
}

fn written_by_the_first(id: i64, score: i32) -> first::Mood {
    first::Mood {
        id,
        user_id: user(),
        score,
    }
}

fn written_by_the_second(id: i64, raw_valence: f64) -> second::Mood {
    second::Mood {
        id,
        user_id: user(),
        raw_valence,
    }
}

fn mood(id: i64, valence: f64) -> Mood {
    Mood {
        id,
        user_id: user(),
        valence,
        labels: vec!["calm".to_owned()],
    }
}

/// A processor of the newest program, and the entity, stored version and metadata that its handler
/// receives.
type Delivered = mpsc::UnboundedReceiver<(i64, u32, f64, usize)>;

fn newest(store: &Arc<dyn OutboxRepository>) -> (Running, Delivered) {
    let (sender, delivered) = mpsc::unbounded_channel();
    let processor = Processor::builder(store.clone()).handle::<Mood>(move |event| {
        let MoodMetadata { valence, labels } = event.metadata();
        let id = event.entity_id.as_integer().unwrap();
        let _ = sender.send((id, event.metadata_version, *valence, labels.len()));
        async { Ok(()) }
    });
    (processor.build().unwrap().start("u1"), delivered)
}

/// A row in the form of the Swift app, or in ours if it has a version.
fn row(version: Option<u32>, metadata: &serde_json::Value) -> OutboxEvent {
    let mut row = json!({
        "id": "0190b5e2-7b1c-7cc3-8f4e-3d1a0a6c9e11", "eventType": "mood", "entityID": 1, "userID": "u1",
        "status": "pending", "createdAt": 758_550_600.25, "attemptCount": 0, "maxAttempts": 5, "priority": 0,
        "isNewRecord": true, "metadata": metadata,
    });
    if let Some(version) = version {
        row["metadataVersion"] = version.into();
    }
    serde_json::from_value(row).unwrap()
}

#[test]
fn rows_of_every_older_program_are_delivered_by_the_newest() {
    on_each_store(|store, _| async move {
        enqueue(&store, written_by_the_first(1, 50).enqueue_sync()).await;
        enqueue(&store, written_by_the_second(1, -0.25).enqueue_update()).await;
        let last = enqueue(&store, mood(1, 0.75).enqueue_update()).await;
        assert_eq!(
            last.metadata_version, 3,
            "each row has the version that wrote it"
        );
        let (running, mut delivered) = newest(&store);
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(within(delivered.recv()).await.unwrap());
        }
        assert_eq!(
            order,
            [(1, 1, 0.5, 0), (1, 2, -0.25, 0), (1, 3, 0.75, 1)],
            "in order, each as the newest version"
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn a_row_of_a_newer_program_is_a_dead_letter_until_this_one_is_updated() {
    on_each_store(|store, _| async move {
        let newer = enqueue(&store, mood(1, 0.75).enqueue_sync()).await;
        let other = enqueue(&store, written_by_the_second(2, 0.5).enqueue_sync()).await;
        let old_program = Processor::builder(store.clone())
            .handle::<second::Mood>(|_| async { Ok(()) })
            .build()
            .unwrap()
            .start("u1");
        assert!(old_program.flush(2, SOON).await.unwrap().is_delivered());
        assert!(!old_program.flush(1, SOON).await.unwrap().is_delivered());
        old_program.stop().await.unwrap();
        let other = store.fetch_event(other.id).await.unwrap().unwrap();
        assert_eq!(other.status, OutboxStatus::Completed);

        let dead = store.fetch_event(newer.id).await.unwrap().unwrap();
        assert_eq!(dead.dead_reason, Some(DeadReason::Undecodable));
        assert_eq!(dead.metadata, newer.metadata, "byte for byte");
        assert_eq!(dead.metadata_version, 3);
        assert_eq!(
            dead.error_message.as_deref(),
            Some(
                "the metadata of a \"mood\" event has version 3, and this program knows versions up to 2: update it, \
                 then retry the event"
            )
        );

        assert_eq!(store.reset_for_retry(&[newer.id]).await.unwrap(), 1);
        let (running, mut delivered) = newest(&store);
        assert_eq!(within(delivered.recv()).await, Some((1, 3, 0.75, 1)));
        running.stop().await.unwrap();
    });
}

#[test]
fn a_damaged_row_of_an_older_version_is_refused_without_showing_it() {
    on_each_store(|store, _| async move {
        let damaged = NewEvent::new("mood", 1, "u1", Operation::Create)
            .with_metadata(RawMetadata::from_bytes(r#"{"score":"secret"}"#))
            .with_metadata_version(1);
        let damaged = store.create_event(damaged).await.unwrap();
        enqueue(&store, written_by_the_first(2, 10).enqueue_sync()).await;
        let (running, mut delivered) = newest(&store);
        assert_eq!(within(delivered.recv()).await, Some((2, 1, 0.1, 0)));
        assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
        let dead = store.fetch_event(damaged.id).await.unwrap().unwrap();
        assert_eq!(dead.metadata, damaged.metadata);
        let message = dead.error_message.unwrap();
        assert!(message.contains("field `score`"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        running.stop().await.unwrap();
    });
}

#[test]
fn a_row_without_a_version_is_of_version_1() {
    let swift = row(None, &json!({ "mood": { "score": 50 } }));
    assert_eq!(swift.metadata_version, 1);
    let event = Event::<Mood>::decode(swift).unwrap();
    assert_eq!(event.metadata().valence.to_string(), "0.5");
}

#[test]
fn an_event_and_the_metadata_of_its_set_are_upgraded_alike() {
    for (version, metadata, expected) in [
        (1, json!({ "score": -50 }), "-0.5"),
        (2, json!({ "rawValence": -0.5 }), "-0.5"),
        (3, json!({ "valence": -0.5, "labels": [] }), "-0.5"),
    ] {
        let row = row(Some(version), &metadata);
        let EventsMetadata::Mood(read) = EventsMetadata::decode(&row).unwrap() else {
            panic!("not a mood")
        };
        assert_eq!(read.valence.to_string(), expected);
        let Events::Mood(event) = Events::decode(row).unwrap();
        assert_eq!(event.metadata().valence.to_string(), expected);
    }
    let newer = row(Some(4), &json!({ "valence": -0.5, "labels": [] }));
    for error in [
        EventsMetadata::decode(&newer).unwrap_err(),
        Events::decode(newer).unwrap_err(),
    ] {
        let DecodeError::NewerVersion { found, known, .. } = error else {
            panic!("{error}")
        };
        assert_eq!((found, known), (4, 3));
    }
}

#[test]
fn a_snapshot_is_upgraded_from_its_older_form() {
    #[derive(Deserialize)]
    struct GoalV1 {
        id: i64,
        name: String,
    }

    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "mood", snapshot, version = 2, upcast(1 = GoalV1))]
    struct Goal {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        title: String,
    }

    impl From<GoalV1> for Goal {
        fn from(old: GoalV1) -> Self {
            Self {
                id: old.id,
                user_id: String::new(),
                title: old.name,
            }
        }
    }

    let old = row(Some(1), &json!({ "id": 1, "name": "Swim" }));
    let event = Event::<Goal>::decode(old).unwrap();
    assert_eq!(event.metadata().title, "Swim");
}

/// A manual impl that declares only its current version.
#[derive(Debug)]
struct ByHand;

impl OutboxEntity for ByHand {
    type Metadata = i32;
    const EVENT_TYPE: &'static str = "mood";
    const OPTIONS: EntityOptions = EntityOptions::new("mood").with_metadata_version(2);

    fn entity_id(&self) -> EntityId {
        1.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&7)
    }
}

#[test]
fn an_older_version_without_a_decoder_is_refused() {
    assert_eq!(
        *Event::<ByHand>::decode(row(Some(2), &json!(7)))
            .unwrap()
            .metadata(),
        7
    );
    for version in [0, 1] {
        let error = Event::<ByHand>::decode(row(Some(version), &json!(7))).unwrap_err();
        let DecodeError::UnknownVersion { found, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, version);
    }
}
