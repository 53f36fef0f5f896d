//! Metadata arrives unchanged, or is refused at enqueue; events with equal meaning are equal.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use outbox_runtime::prelude::*;
use outbox_runtime::{Coalesce, Enqueued, NewEvent, RawMetadata, enqueue_all};
use outbox_tests::{Temporary, on_each_store};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Default, OutboxEntity)]
#[outbox(event_type = "sample")]
struct Sample {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    rate: f64,
    #[outbox(metadata)]
    small: f32,
    #[outbox(metadata)]
    last: Option<f64>,
    #[outbox(metadata)]
    points: Vec<(f64, f64)>,
    #[outbox(metadata)]
    by_day: BTreeMap<String, Nested>,
    #[outbox(metadata)]
    kind: Kind,
    #[outbox(metadata)]
    flat: Flat,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Nested {
    values: [f32; 2],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
enum Kind {
    #[default]
    None,
    One(f64),
    Two(f64, f64),
    Named {
        value: f64,
    },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    inner: HashMap<String, f64>,
}

fn refusal(sample: &Sample) -> String {
    let error = sample.enqueue_sync().into_event().unwrap_err();
    assert!(matches!(error, EnqueueError::Metadata { .. }), "{error:?}");
    let source = std::error::Error::source(&error);
    format!(
        "{error} {}",
        source.map(ToString::to_string).unwrap_or_default()
    )
}

#[test]
fn a_non_finite_float_is_refused_with_its_path() {
    let nested = |values| BTreeMap::from([("2026-11-01".to_owned(), Nested { values })]);
    let with = |change: &dyn Fn(&mut Sample)| {
        let mut sample = Sample {
            user_id: "u1".to_owned(),
            ..Sample::default()
        };
        change(&mut sample);
        refusal(&sample)
    };
    let cases: [(&str, String); 10] = [
        ("`rate` is NaN", with(&|sample| sample.rate = f64::NAN)),
        (
            "`small` is infinity",
            with(&|sample| sample.small = f32::INFINITY),
        ),
        (
            "`last` is -infinity",
            with(&|sample| sample.last = Some(f64::NEG_INFINITY)),
        ),
        (
            "`last` is NaN",
            with(&|sample| sample.last = Some(f64::NAN)),
        ),
        (
            "`points[1][0]` is NaN",
            with(&|sample| sample.points = vec![(0.0, 0.0), (f64::NAN, 0.0)]),
        ),
        (
            "`by_day[\"2026-11-01\"].values[1]` is NaN",
            with(&|sample| sample.by_day = nested([0.0, f32::NAN])),
        ),
        (
            "`kind.One` is NaN",
            with(&|sample| sample.kind = Kind::One(f64::NAN)),
        ),
        (
            "`kind.Two[1]` is NaN",
            with(&|sample| sample.kind = Kind::Two(0.0, f64::NAN)),
        ),
        (
            "`kind.Named.value` is NaN",
            with(&|sample| sample.kind = Kind::Named { value: f64::NAN }),
        ),
        (
            "`flat[\"x\"]` is NaN",
            with(&|sample| sample.flat.inner = HashMap::from([("x".to_owned(), f64::NAN)])),
        ),
    ];
    for (expected, told) in cases {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    // Finite numbers and absent values are accepted.
    let sample = Sample {
        user_id: "u1".to_owned(),
        ..Sample::default()
    };
    let _ = sample.enqueue_sync().into_event().unwrap();
}

/// An entity that is its own metadata, and one whose JSON is defined by serde's derives.
#[derive(Debug, Clone, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "whole", snapshot)]
struct Whole {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    rate: f64,
}

#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "renamed")]
struct Renamed {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    #[serde(rename = "theRate")]
    rate: f64,
}

#[test]
fn every_way_to_write_metadata_refuses_non_finite_floats() {
    on_each_store(|store, _| async move {
        let user_id = || "u1".to_owned();
        let whole = |id, rate| Whole {
            id,
            user_id: user_id(),
            rate,
        };
        let error = whole(1, f64::NAN).enqueue_sync().into_event().unwrap_err();
        assert!(format!("{error:?}").contains("`rate` is NaN"), "{error:?}");
        let renamed = Renamed {
            id: 1,
            user_id: user_id(),
            rate: f64::INFINITY,
        };
        let error = renamed.enqueue_sync().into_event().unwrap_err();
        assert!(
            format!("{error:?}").contains("`theRate` is infinity"),
            "{error:?}"
        );
        let error = RawMetadata::encode(&[0.5, f64::NAN]).unwrap_err();
        assert!(error.to_string().contains("`[1]` is NaN"), "{error}");
        let error = RawMetadata::encode(&f64::NAN).unwrap_err();
        assert!(error.to_string().contains("the value is NaN"), "{error}");
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}

#[tokio::test]
async fn one_invalid_event_refuses_its_batch_and_is_named() {
    let made = Temporary::open().await;
    let whole = |id, rate| Whole {
        id,
        user_id: "u1".to_owned(),
        rate,
    };
    let entities = [whole(1, 0.5), whole(2, f64::NAN)];
    let error = enqueue_all(&entities).on(&made.store).await.unwrap_err();
    assert!(
        matches!(error, EnqueueError::InBatch { index: 1, .. }),
        "{error:?}"
    );
    assert!(format!("{error:?}").contains("`rate` is NaN"), "{error:?}");
    assert_eq!(made.store.statistics(None).await.unwrap().total_events, 0);
}

#[test]
fn a_float_is_read_back_bit_for_bit() {
    // xorshift64: the same floats each time, of every magnitude.
    let mut word = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word
    };
    let mut count = 0;
    while count < 100_000 {
        let bits = next();
        let (double, single) = (f64::from_bits(bits), f32::from_bits(bits as u32));
        let degrees = (bits >> 11) as f64 / (1_u64 << 53) as f64 * 180.0;
        if !double.is_finite() || !single.is_finite() {
            continue;
        }
        count += 1;
        let raw = RawMetadata::encode(&(double, single, degrees)).unwrap();
        let read: (f64, f32, f64) = raw.decode().unwrap();
        assert_eq!(read.0.to_bits(), double.to_bits(), "{double:e}");
        assert_eq!(read.1.to_bits(), single.to_bits(), "{single:e}");
        assert_eq!(read.2.to_bits(), degrees.to_bits(), "{degrees:e}");
    }
}

#[derive(Debug, Clone)]
struct Tagged {
    tags: HashMap<String, i64>,
}

impl OutboxEntity for Tagged {
    type Metadata = HashMap<String, i64>;

    const EVENT_TYPE: &'static str = "tagged";
    const OPTIONS: outbox_runtime::support::EntityOptions =
        outbox_runtime::support::EntityOptions::new("tagged").with_coalesce(Coalesce::Latest);

    fn entity_id(&self) -> EntityId {
        1.into()
    }

    fn user_id(&self) -> Cow<'_, str> {
        "u1".into()
    }

    fn metadata_json(&self) -> Result<RawMetadata, serde_json::Error> {
        RawMetadata::encode(&self.tags)
    }
}

/// The same tags in a map with another iteration order.
fn tagged(value: i64) -> Tagged {
    let tags = (0..16).map(|tag| (format!("tag {tag}"), tag * value));
    Tagged {
        tags: tags.collect(),
    }
}

#[test]
fn an_entity_rebuilt_with_a_hash_map_is_the_same_event() {
    on_each_store(|store, _| async move {
        let enqueue = async |id: Uuid, value| {
            let event = tagged(value).enqueue(Operation::Update).with_event_id(id);
            store.create_event(event.into_event().unwrap()).await
        };
        let [first, second] = [Uuid::now_v7(), Uuid::now_v7()];
        let stored = enqueue(first, 1).await.unwrap();
        assert_eq!(enqueue(first, 1).await.unwrap(), stored);
        // Also after folding, when fingerprints are compared.
        let folded = enqueue(second, 2).await.unwrap();
        assert_eq!(folded.id, first);
        for (id, value) in [(first, 1), (second, 2)] {
            assert_eq!(enqueue(id, value).await.unwrap(), folded);
            let other = enqueue(id, 3).await;
            assert!(
                matches!(other, Err(EnqueueError::Conflict { .. })),
                "{other:?}"
            );
        }
    });
}

/// `enqueue` for any operation.
trait EnqueueAny: OutboxEntity + Sized {
    fn enqueue(&self, operation: Operation) -> Enqueue {
        Enqueue::new(self, operation)
    }
}

impl<E: OutboxEntity> EnqueueAny for E {}

#[tokio::test]
async fn content_is_compared_by_meaning_on_a_connection_too() {
    let made = Temporary::open().await;
    let own = made.connect();
    let id = Uuid::now_v7();
    let event = |json: &str| {
        NewEvent::new("note", 1, "u1", Operation::Create)
            .with_id(id)
            .with_metadata(RawMetadata::from_bytes(json))
    };
    let enqueue = |json: &str| outbox_runtime::EventSink::enqueue(&own, Ok(event(json)));
    assert_eq!(
        enqueue(r#"{"a":1.50,"b":"\u00e9"}"#).unwrap(),
        Enqueued::New(id)
    );
    let again = enqueue("{ \"b\": \"é\", \"a\": 15e-1 }").unwrap();
    assert_eq!(again, Enqueued::AlreadyThere(id));
    let other = enqueue(r#"{"a":1.51,"b":"é"}"#).unwrap_err();
    assert!(matches!(other, EnqueueError::Conflict { .. }), "{other:?}");
}

/// Stores keep fingerprints, so every version must compute the same ones. The expected values were
/// computed independently.
#[test]
fn a_fingerprint_is_what_every_version_makes_of_the_content() {
    let plain = NewEvent::new("note", 7, "u1", Operation::Create);
    assert_eq!(plain.fingerprint(), -7_751_350_255_766_809_208);
    let no_json = NewEvent::new("note", "seven", "u1", Operation::Update)
        .with_metadata(RawMetadata::from_bytes("not JSON"))
        .with_metadata_version(2)
        .with_destination("eu");
    assert_eq!(no_json.fingerprint(), 3_772_586_868_380_696_366);
    let id = Uuid::from_u128(0x0190_b5e2_7b1c_7cc3_8f4e_3d1a_0a6c_9e11);
    let json = NewEvent::new("mood", id, "u2", Operation::Delete)
        .with_metadata(RawMetadata::from_bytes(r#"{"b": true, "a": "\u0078"}"#));
    assert_eq!(json.fingerprint(), 5_964_930_344_941_358_527);
}
