//! Promises of `#[derive(OutboxEntity)]` for generic structs.

use std::collections::BTreeMap;
use std::fmt::Debug;

use outbox_runtime::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An entity with a tag of any type, and a parameter that is not sent.
#[derive(OutboxEntity)]
#[outbox(event_type = "tagged")]
struct Tagged<T, Local = ()>
where
    T: Clone,
{
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    tag: T,
    #[outbox(metadata)]
    earlier: Vec<T>,
    _local: Local,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Mood {
    Calm,
    Tired,
}

fn tagged<T: Clone>(tag: T) -> Tagged<T> {
    Tagged {
        id: 7,
        user_id: "u1".to_owned(),
        earlier: vec![tag.clone()],
        tag,
        _local: (),
    }
}

fn json(entity: &impl OutboxEntity) -> String {
    let json = entity.metadata_json().unwrap();
    json.as_str().unwrap().to_owned()
}

#[test]
fn the_metadata_has_the_parameters_that_its_fields_use() {
    let entity = tagged(Mood::Calm);
    assert_eq!(json(&entity), r#"{"tag":"Calm","earlier":["Calm"]}"#);
    let metadata: TaggedMetadata<Mood> = serde_json::from_str(&json(&entity)).unwrap();
    assert_eq!(metadata.tag, Mood::Calm);
    assert_eq!(
        format!("{:?}", metadata.clone()),
        "TaggedMetadata { tag: Calm, earlier: [Calm] }"
    );
    assert_eq!(serde_json::to_string(&metadata).unwrap(), json(&entity));
}

#[test]
fn a_program_may_be_generic_over_the_entity_s_parameter() {
    fn sent<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static>(tag: T) -> String {
        let event = tagged(tag).enqueue_update().into_event().unwrap();
        event.metadata().unwrap().as_str().unwrap().to_owned()
    }
    assert_eq!(sent(5), r#"{"tag":5,"earlier":[5]}"#);
    assert_eq!(sent("a".to_owned()), r#"{"tag":"a","earlier":["a"]}"#);
}

#[test]
fn a_type_parameter_of_unsent_fields_need_not_be_serializable() {
    struct Cache;

    let entity = Tagged {
        id: 7,
        user_id: "u1".to_owned(),
        tag: 1,
        earlier: Vec::new(),
        _local: Cache,
    };
    assert_eq!(json(&entity), r#"{"tag":1,"earlier":[]}"#);
}

/// The set names the concrete types.
#[derive(OutboxEvents)]
enum LumeEvent {
    Tagged(Event<Tagged<Mood>>),
}

#[tokio::test]
async fn a_set_holds_an_entity_with_its_parameters() {
    struct Sync(tokio::sync::mpsc::UnboundedSender<Mood>);

    impl LumeEventHandler for Sync {
        async fn tagged(&self, event: Event<Tagged<Mood>>) -> Result<(), HandlerError> {
            let _ = self.0.send(event.metadata().tag.clone());
            Ok(())
        }
    }

    let store = MemoryStore::new();
    tagged(Mood::Tired).enqueue_sync().on(&store).await.unwrap();
    let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let processor = Processor::builder(store).handlers(LumeEvent::handled_by(Sync(sender)));
    let running = processor.build().unwrap().start("u1");
    assert_eq!(sent.recv().await, Some(Mood::Tired));
    running.stop().await.unwrap();
}

/// A type with associated types.
trait Family {
    type Member;
}

struct Numbers;

impl Family for Numbers {
    type Member = u8;
}

#[derive(OutboxEntity)]
#[outbox(event_type = "shapes")]
struct Shapes<F: Family, Key, const N: usize> {
    #[outbox(entity_id)]
    id: Key,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    members: BTreeMap<String, F::Member>,
    #[outbox(metadata)]
    first: Option<<F as Family>::Member>,
    #[outbox(metadata, sensitive)]
    grid: Grid<N>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Grid<const N: usize>(Vec<u8>);

#[test]
fn associated_types_constants_and_generic_ids_work() {
    let shapes = Shapes::<Numbers, String, 3> {
        id: "shapes:1".to_owned(),
        user_id: "u1".to_owned(),
        members: BTreeMap::from([("one".to_owned(), 1)]),
        first: Some(1),
        grid: Grid(vec![1, 2, 3]),
    };
    assert_eq!(
        json(&shapes),
        r#"{"members":{"one":1},"first":1,"grid":[1,2,3]}"#
    );
    assert_eq!(shapes.entity_id(), EntityId::from("shapes:1"));
    let metadata: ShapesMetadata<Numbers, 3> = serde_json::from_str(&json(&shapes)).unwrap();
    assert_eq!(metadata.members["one"], 1);
}

/// Serde's derives decide its form.
#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "renamed")]
#[serde(rename_all = "camelCase")]
struct Renamed<T, Local> {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    last_value: T,
    #[serde(skip)]
    _local: Option<Local>,
}

#[test]
fn the_metadata_of_a_generic_entity_follows_serde() {
    let renamed = Renamed {
        id: "a".to_owned(),
        last_value: Mood::Calm,
        _local: Some(()),
    };
    assert_eq!(json(&renamed), r#"{"lastValue":"Calm"}"#);
    let metadata: RenamedMetadata<Mood> = serde_json::from_str(&json(&renamed)).unwrap();
    assert_eq!(metadata.last_value, Mood::Calm);
}

/// A snapshot: all of it is sent, and a part is sensitive.
#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "whole", snapshot)]
struct Whole<T: Debug> {
    #[outbox(entity_id, user_id)]
    id: String,
    value: T,
    #[outbox(sensitive)]
    secret: String,
}

#[test]
fn a_generic_entity_may_be_a_snapshot() {
    let whole = Whole {
        id: "a".to_owned(),
        value: Mood::Calm,
        secret: "s".to_owned(),
    };
    let sent = json(&whole);
    assert_eq!(sent, r#"{"id":"a","value":"Calm","secret":"s"}"#);
    let metadata: <Whole<Mood> as OutboxEntity>::Metadata = serde_json::from_str(&sent).unwrap();
    assert_eq!(
        format!("{metadata:?}"),
        r#"Whole { id: "a", value: Calm, secret: [redacted] }"#
    );
}
