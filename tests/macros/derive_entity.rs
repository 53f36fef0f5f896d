//! Promises of `#[derive(OutboxEntity)]`.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::borrow::Cow;
use std::sync::Mutex;
use std::time::Duration;

use outbox_runtime::support::AsUserId;
use outbox_runtime::{
    Enqueue, EnqueueError, EntityId, EventSink, NewEvent, Operation, OutboxEntity,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use uuid::Uuid;

#[derive(OutboxEntity)]
#[outbox(event_type = "moodEntry", priority = -5, max_attempts = 3)]
#[outbox(retry = ["500ms", "5s", "2m", "1h", "1d"], timeout = "30s")]
struct MoodEntry {
    #[outbox(entity_id)]
    id: Uuid,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
    #[outbox(metadata)]
    labels: Vec<String>,
    #[outbox(metadata)]
    note: Option<String>,
}

fn mood() -> MoodEntry {
    MoodEntry {
        id: Uuid::nil(),
        user_id: "user-1".to_owned(),
        valence: 0.5,
        labels: vec!["calm".to_owned(), "a \"quoted\" word".to_owned()],
        note: None,
    }
}

/// The JSON that the event carries.
fn sent(event: Enqueue) -> String {
    let event = event.into_event().unwrap();
    let json = event.metadata().and_then(|json| json.as_str());
    json.unwrap().to_owned()
}

#[test]
fn metadata_is_written_from_the_borrowed_fields() {
    assert_eq!(
        sent(mood().enqueue_sync()),
        r#"{"valence":0.5,"labels":["calm","a \"quoted\" word"],"note":null}"#
    );
}

#[test]
fn the_metadata_struct_reads_what_the_entity_writes() {
    let json = sent(mood().enqueue_sync());
    let metadata: MoodEntryMetadata = serde_json::from_str(&json).unwrap();
    assert!((metadata.valence - 0.5).abs() < f64::EPSILON);
    assert_eq!(metadata.labels.len(), 2);
    assert_eq!(metadata.note, None);
    assert_eq!(serde_json::to_string(&metadata).unwrap(), json);
}

#[test]
fn integers_of_any_size_are_read_as_they_were_written() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "transfer")]
    struct Transfer {
        #[outbox(entity_id, user_id)]
        id: String,
        #[outbox(metadata)]
        amount: u128,
        #[outbox(metadata)]
        change: i128,
    }

    let transfer = Transfer {
        id: "a".to_owned(),
        amount: u128::MAX,
        change: i128::MIN,
    };
    let json = transfer.metadata_json().unwrap();
    let metadata: TransferMetadata = json.decode().unwrap();
    assert_eq!(metadata.amount, u128::MAX);
    assert_eq!(metadata.change, i128::MIN);
}

#[test]
fn an_absent_option_is_none_and_unknown_fields_are_ignored() {
    let json = r#"{"labels":[],"valence":1,"colour":"red"}"#;
    let metadata: MoodEntryMetadata = serde_json::from_str(json).unwrap();
    assert_eq!(metadata.note, None);
}

#[test]
fn a_field_that_is_missing_or_of_another_type_is_named() {
    let fault = |json| serde_json::from_str::<MoodEntryMetadata>(json).unwrap_err();
    let missing = fault(r#"{"valence":1}"#).to_string();
    assert!(missing.contains("missing field `labels`"), "{missing}");
    let other = fault(r#"{"valence":"high","labels":[]}"#).to_string();
    assert!(other.contains("field `valence`"), "{other}");
}

#[test]
fn the_event_says_what_the_attributes_say() {
    let event = mood().enqueue_sync().into_event().unwrap();
    assert_eq!(event.event_type(), "moodEntry");
    assert_eq!(event.entity_id(), &EntityId::Uuid(Uuid::nil()));
    assert_eq!(event.user_id(), "user-1");
    assert_eq!(event.priority(), -5);
    assert_eq!(event.max_attempts(), 3);
    assert_eq!(event.delay(), Duration::ZERO);
    assert_eq!(event.metadata_version(), 1);
}

#[test]
fn the_options_say_what_the_attributes_say() {
    let options = MoodEntry::OPTIONS;
    assert_eq!(options.event_type(), MoodEntry::EVENT_TYPE);
    assert_eq!(options.priority(), -5);
    assert_eq!(options.timeout(), Some(Duration::from_secs(30)));
    let minute = 60;
    assert_eq!(
        options.retry().unwrap(),
        [
            Duration::from_millis(500),
            Duration::from_secs(5),
            Duration::from_secs(2 * minute),
            Duration::from_secs(60 * minute),
            Duration::from_secs(24 * 60 * minute),
        ]
    );
}

#[test]
fn each_method_has_its_operation() {
    let operation = |event: Enqueue| event.into_event().unwrap().operation();
    assert_eq!(operation(mood().enqueue_sync()), Operation::Create);
    assert_eq!(operation(mood().enqueue_update()), Operation::Update);
    assert_eq!(operation(mood().enqueue_delete()), Operation::Delete);
}

#[test]
fn an_event_reaches_the_sink_with_the_options_of_the_call() {
    #[derive(Default)]
    struct Outgoing(Mutex<Vec<NewEvent>>);

    impl EventSink<Outgoing> for &Outgoing {
        type Output = Result<(), EnqueueError>;

        fn enqueue(self, event: Result<NewEvent, EnqueueError>) -> Self::Output {
            self.0.lock().unwrap().push(event?);
            Ok(())
        }
    }

    let outgoing = Outgoing::default();
    let delay = Duration::from_secs(5);
    let update = mood().enqueue_update().priority(9).delay(delay);
    update.on(&outgoing).unwrap();
    let events = outgoing.0.into_inner().unwrap();
    assert_eq!((events[0].priority(), events[0].delay()), (9, delay));
}

#[test]
fn the_display_name_is_the_struct_name_in_words() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "httpLog")]
    struct HTTPLogEntry {
        #[outbox(entity_id, user_id)]
        id: String,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "named", display_name = "Something else")]
    struct Named {
        #[outbox(entity_id, user_id)]
        id: String,
    }

    assert_eq!(HTTPLogEntry::OPTIONS.display_name(), "HTTP Log Entry");
    assert_eq!(Named::OPTIONS.display_name(), "Something else");
    assert_eq!(Named::OPTIONS.retry(), None);
}

#[test]
fn the_longest_event_type_fits_a_row() {
    #[derive(OutboxEntity)]
    #[outbox(
        event_type = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
    )]
    struct Long {
        #[outbox(entity_id, user_id)]
        id: String,
    }

    assert_eq!(Long::EVENT_TYPE.len(), NewEvent::MAX_KEY_BYTES);
    let long = Long { id: "a".to_owned() };
    assert!(long.enqueue_sync().into_event().is_ok());
}

#[test]
fn an_entity_without_metadata_sends_an_empty_object() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "session")]
    struct Session {
        #[outbox(entity_id, user_id)]
        id: String,
    }

    let session = Session { id: "a".to_owned() };
    assert_eq!(sent(session.enqueue_delete()), "{}");
    let _: SessionMetadata = serde_json::from_str("{}").unwrap();
}

#[test]
fn any_number_of_fields_may_be_metadata() {
    macro_rules! of_bytes {
        ($name:ident: $($field:ident)*) => {
            #[derive(OutboxEntity)]
            #[outbox(event_type = "wide")]
            struct $name {
                #[outbox(entity_id, user_id)]
                id: String,
                $(#[outbox(metadata)] $field: u8,)*
            }

            impl $name {
                fn new() -> Self {
                    Self { id: "a".to_owned(), $($field: 7,)* }
                }
            }
        };
    }

    of_bytes!(Wide: a b c d e f g h i j k l m n o p);
    of_bytes!(Wider: a b c d e f g h i j k l m n o p q);

    let sixteen = r#"{"a":7,"b":7,"c":7,"d":7,"e":7,"f":7,"g":7,"h":7,"i":7,"j":7,"k":7,"l":7,"m":7,"n":7,"o":7,"p":7"#;
    let wide = sent(Wide::new().enqueue_sync());
    assert_eq!(wide, format!("{sixteen}}}"));
    let metadata: WideMetadata = serde_json::from_str(&wide).unwrap();
    assert_eq!(metadata.p, 7);
    let wider = sent(Wider::new().enqueue_sync());
    assert_eq!(wider, format!("{sixteen},\"q\":7}}"));
    let metadata: WiderMetadata = serde_json::from_str(&wider).unwrap();
    assert_eq!(metadata.q, 7);
}

#[test]
fn a_snapshot_sends_the_whole_entity() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "goal", snapshot)]
    #[serde(rename_all = "camelCase")]
    struct Goal {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        title: String,
    }

    let goal = Goal {
        id: 7,
        user_id: "user-1".to_owned(),
        title: "Run".to_owned(),
    };
    let json = sent(goal.enqueue_sync());
    assert_eq!(json, r#"{"id":7,"userId":"user-1","title":"Run"}"#);
    let metadata: <Goal as OutboxEntity>::Metadata = serde_json::from_str(&json).unwrap();
    assert_eq!(metadata, goal);
}

/// Serializes a temperature as text.
mod celsius {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        degrees: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{degrees} °C"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let degrees = text.strip_suffix(" °C").map(str::parse);
        degrees
            .and_then(Result::ok)
            .ok_or_else(|| D::Error::custom("no temperature"))
    }
}

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "measurement")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Measurement {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    taken_at: u64,
    #[outbox(metadata)]
    #[serde(rename = "temp", with = "celsius")]
    temperature: f64,
    #[outbox(metadata)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_name: Option<String>,
    /// Not metadata; its type could not be.
    #[serde(skip)]
    _cache: Vec<*const u8>,
}

fn measurement(device_name: Option<&str>) -> Measurement {
    Measurement {
        id: 7,
        user_id: "user-1".to_owned(),
        taken_at: 1_000,
        temperature: 36.6,
        device_name: device_name.map(str::to_owned),
        _cache: Vec::new(),
    }
}

#[test]
fn the_metadata_follows_serde() {
    let with_device = sent(measurement(Some("wrist")).enqueue_sync());
    assert_eq!(
        with_device,
        r#"{"takenAt":1000,"temp":"36.6 °C","deviceName":"wrist"}"#
    );
    let without = sent(measurement(None).enqueue_sync());
    assert_eq!(without, r#"{"takenAt":1000,"temp":"36.6 °C"}"#);
    for json in [with_device, without] {
        let metadata: MeasurementMetadata = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&metadata).unwrap(), json);
    }
}

#[test]
fn the_metadata_follows_a_field_s_rename_alone() {
    #[derive(Serialize, OutboxEntity)]
    #[outbox(event_type = "weight")]
    struct Weight {
        #[outbox(entity_id, user_id)]
        id: String,
        #[outbox(metadata)]
        #[serde(rename = "kg")]
        kilograms: f32,
    }

    let weight = Weight {
        id: "a".to_owned(),
        kilograms: 72.1,
    };
    assert_eq!(sent(weight.enqueue_sync()), r#"{"kg":72.1}"#);
    let metadata: WeightMetadata = serde_json::from_value(json!({ "kg": 1 })).unwrap();
    assert!((metadata.kilograms - 1.0).abs() < f32::EPSILON);
}

#[test]
fn a_field_that_cannot_be_written_is_an_error_of_the_enqueue() {
    #[derive(Debug, Clone, Deserialize)]
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no words for it"))
        }
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "secret")]
    struct Secret {
        #[outbox(entity_id, user_id)]
        id: String,
        #[outbox(metadata)]
        content: Unwritable,
        #[outbox(metadata)]
        after_it: u8,
    }

    let secret = Secret {
        id: "a".to_owned(),
        content: Unwritable,
        after_it: 1,
    };
    let error = secret.enqueue_sync().into_event().unwrap_err();
    assert!(matches!(error, EnqueueError::Metadata { .. }), "{error:?}");
}

#[test]
fn ids_may_have_types_of_the_application() {
    #[derive(Clone)]
    struct GoalId(i64);

    impl From<GoalId> for EntityId {
        fn from(id: GoalId) -> Self {
            Self::from(format!("goal:{}", id.0))
        }
    }

    struct UserId(Uuid);

    impl AsUserId for UserId {
        fn as_user_id(&self) -> Cow<'_, str> {
            self.0.as_user_id()
        }
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "goal")]
    struct Goal {
        #[outbox(entity_id)]
        id: GoalId,
        #[outbox(user_id)]
        owner: UserId,
    }

    let goal = Goal {
        id: GoalId(7),
        owner: UserId(Uuid::nil()),
    };
    assert_eq!(goal.entity_id(), EntityId::from("goal:7"));
    assert_eq!(goal.user_id(), "00000000-0000-0000-0000-000000000000");
}
