//! Metadata that can be serialized but not deserialized is refused at enqueue, with the path of the
//! fault.

use std::collections::{BTreeMap, HashMap};

use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// Path and description of the fault.
async fn refused<E: OutboxEntity>(
    entity: E,
    enqueue: fn(&E) -> Enqueue,
) -> (Option<String>, String) {
    let store = MemoryStore::new();
    let error = enqueue(&entity).on(&store).await.unwrap_err();
    let in_batch = enqueue_all(&[entity]).on(&store).await.unwrap_err();
    assert!(
        matches!(&in_batch, EnqueueError::InBatch { index: 0, source } if source.to_string() == error.to_string()),
        "{in_batch}"
    );
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    match error {
        EnqueueError::Unreadable { path, reason, .. } => (path, reason),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_flattened_map_with_integer_keys_is_refused() {
    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "counts", snapshot)]
    struct Counts {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[serde(flatten)]
        by_day: HashMap<u64, i64>,
    }
    let counts = Counts {
        id: 1,
        user_id: "user-1".into(),
        by_day: HashMap::from([(20_250_101, 3), (20_250_102, 4)]),
    };
    let (path, _) = refused(counts, Counts::enqueue_create).await;
    assert!(path.unwrap().starts_with("2025010"));
}

#[tokio::test]
async fn a_flattened_integer_of_128_bits_is_refused() {
    #[derive(Serialize, Deserialize)]
    struct Large {
        large: u128,
    }
    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "large", snapshot)]
    struct Holder {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[serde(flatten)]
        inner: Large,
    }
    let holder = Holder {
        id: 1,
        user_id: "user-1".into(),
        inner: Large { large: u128::MAX },
    };
    let (path, reason) = refused(holder, Holder::enqueue_update).await;
    assert!(
        path.as_deref() == Some("large") || reason.contains("128"),
        "{path:?} {reason}"
    );
}

#[tokio::test]
async fn a_flattened_map_with_the_name_of_a_field_is_refused() {
    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "tagged", snapshot)]
    struct Tagged {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        title: String,
        #[serde(flatten)]
        rest: BTreeMap<String, String>,
    }
    let tagged = |key: &str| Tagged {
        id: 1,
        user_id: "user-1".into(),
        title: "a".into(),
        rest: BTreeMap::from([(key.to_owned(), "secret".to_owned())]),
    };
    let (path, reason) = refused(tagged("title"), Tagged::enqueue_delete).await;
    assert_eq!(path.as_deref(), Some("title"), "{reason}");
    assert!(!reason.contains("secret"), "{reason}");
    assert!(tagged("subtitle").enqueue_create().into_event().is_ok());
}

#[tokio::test]
async fn a_field_that_is_skipped_and_has_no_default_is_refused() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "mood")]
    struct Mood {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        #[serde(skip_serializing_if = "String::is_empty")]
        notes: String,
        #[outbox(metadata)]
        valence: f64,
    }
    let mood = |notes: &str| Mood {
        id: 1,
        user_id: "user-1".into(),
        notes: notes.into(),
        valence: 0.5,
    };
    let (path, reason) = refused(mood(""), Mood::enqueue_create).await;
    assert_eq!(path.as_deref(), Some("notes"), "{reason}");
    assert!(mood("calm").enqueue_create().into_event().is_ok());
}

#[tokio::test]
async fn a_nested_fault_is_reported_with_its_path_and_without_its_value() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Dose {
        #[serde(serialize_with = "as_text")]
        milligrams: u32,
    }
    fn as_text<S: serde::Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("secret-{value}"))
    }
    #[derive(OutboxEntity)]
    #[outbox(event_type = "plan")]
    struct Plan {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        name: String,
        #[outbox(metadata)]
        doses: Vec<Dose>,
    }
    let plan = Plan {
        id: 1,
        user_id: "user-1".into(),
        name: "a \"quoted, {odd}\" name".into(),
        doses: vec![Dose { milligrams: 5 }],
    };
    let (path, reason) = refused(plan, Plan::enqueue_create).await;
    assert_eq!(path.as_deref(), Some("doses.0.milligrams"));
    assert!(!reason.contains("secret"), "{reason}");
}
