//! Errors of serializers and deserializers show neither keys nor values.

use std::sync::Arc;

use outbox_runtime::support::Redaction;
use outbox_runtime::{HandlerSet, NewEvent, RawMetadata, prelude::*};
use outbox_tests::{Log, on_each_store};
use serde::{Deserialize, Serialize};

use super::SOON;

/// Its deserializer fails with an error that quotes the input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct Dose(String);

impl TryFrom<String> for Dose {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.ends_with("mg") {
            true => Ok(Self(text)),
            false => Err(format!("{text} is not a dose")),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Intake {
    dose: Dose,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "medication")]
struct Medication {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    name: Dose,
    #[outbox(metadata, sensitive)]
    intakes: std::collections::BTreeMap<String, Vec<Intake>>,
}

/// Everything stored and logged about an event with this metadata.
async fn stored_and_logged<E: OutboxEntity>(
    store: &Arc<dyn OutboxRepository>,
    json: &str,
) -> String {
    let (log, _guard) = Log::of_this_thread();
    let event = NewEvent::new(E::EVENT_TYPE, 1, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(json));
    let id = store.create_event(event).await.unwrap().id;
    let handlers = HandlerSet::new().with::<E>(async |_: Event<E>| Ok(()));
    let processor = Processor::builder(Arc::clone(store)).handlers(handlers);
    let running = processor.build().unwrap().start("u1");
    assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    let event = store.fetch_event(id).await.unwrap().unwrap();
    format!("{} {}", event.error_message.unwrap(), log.text())
}

#[test]
fn a_decode_error_shows_the_position_but_no_text_of_the_application() {
    on_each_store(|store, _| async move {
        let json = "{\"name\":\"1mg\",\n\"intakes\":{\"CANARY-day\":[{\"dose\":\"2mg\"},{\"dose\":\"CANARY-text\"}]}}";
        let said = stored_and_logged::<Medication>(&store, json).await;
        let place = "`intakes.*[1].*` has another shape, at line 2 column";
        assert!(said.contains(place), "{said}");
        assert!(!said.contains("CANARY") && !said.contains("dose"), "{said}");
    });
}

#[derive(Debug, Clone, Copy)]
enum Unwilling {
    Fine,
    Refused,
}

impl Serialize for Unwilling {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fine => serializer.serialize_unit(),
            Self::Refused => Err(serde::ser::Error::custom("CANARY-text is refused")),
        }
    }
}

impl<'de> Deserialize<'de> for Unwilling {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self::Fine)
    }
}

/// Everything that an error shows when printed.
fn full_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    format!("{error} {causes:?} {error:?}")
}

#[test]
fn serialization_errors_show_no_keys_and_values() {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "lab")]
    struct Lab {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        shown: std::collections::BTreeMap<String, f64>,
        #[outbox(metadata, sensitive)]
        results: std::collections::BTreeMap<String, f64>,
        #[outbox(metadata, sensitive)]
        doses: std::collections::BTreeMap<String, Odd>,
        #[outbox(metadata, sensitive)]
        unwilling: Unwilling,
    }
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Odd {
        #[serde(serialize_with = "as_text")]
        milligrams: u32,
    }
    fn as_text<S: serde::Serializer>(value: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("CANARY-{value}"))
    }
    let refused = |change: fn(&mut Lab)| {
        let mut lab = Lab {
            id: 1,
            user_id: "u1".to_owned(),
            shown: Default::default(),
            results: Default::default(),
            doses: Default::default(),
            unwilling: Unwilling::Fine,
        };
        change(&mut lab);
        let said = full_text(&lab.enqueue_create().into_event().unwrap_err());
        assert!(!said.contains("CANARY"), "{said}");
        said
    };
    let said = refused(|lab| lab.results = [("CANARY-key".to_owned(), f64::NAN)].into());
    assert!(said.contains("`results[*]` is NaN"), "{said}");
    let said = refused(|lab| {
        lab.doses
            .insert("CANARY-key".to_owned(), Odd { milligrams: 5 });
    });
    assert!(said.contains("`doses.*.*` has another shape"), "{said}");
    let said = refused(|lab| lab.unwilling = Unwilling::Refused);
    assert!(said.contains("a value cannot be serialized"), "{said}");
}

#[test]
fn keys_of_a_flattened_map_are_never_shown() {
    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "flat", snapshot)]
    struct Flat {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        title: String,
        #[outbox(sensitive)]
        #[serde(flatten)]
        findings: std::collections::BTreeMap<String, f64>,
    }
    let mut flat = Flat {
        id: 1,
        user_id: "u1".to_owned(),
        title: "a title".to_owned(),
        findings: [("CANARY-key".to_owned(), f64::NAN)].into(),
    };
    let said = full_text(&flat.enqueue_create().into_event().unwrap_err());
    assert!(said.contains("NaN") && !said.contains("CANARY"), "{said}");
    flat.findings = [("CANARY-key".to_owned(), 0.5)].into();
    assert!(flat.enqueue_create().into_event().is_ok());
    let mut redaction = Redaction::default();
    Flat::hide_sensitive(&flat, &mut redaction);
    assert_eq!(
        redaction.apply("CANARY-key of a title is .5".to_owned()),
        "[redacted] of a title is [redacted]"
    );
    on_each_store(|store, _| async move {
        let json = r#"{"id":1,"user_id":"u1","title":"a title","CANARY-key":"CANARY-text"}"#;
        let said = stored_and_logged::<Flat>(&store, json).await;
        assert!(said.contains("cannot be decoded"), "{said}");
        assert!(!said.contains("CANARY"), "{said}");
    });
}

#[test]
fn a_refused_tagged_form_of_a_sensitive_entity_shows_no_content() {
    let json = r#"{"medication":{"name":"CANARY-text","intakes":{}}}"#;
    let error = serde_json::from_str::<PharmacyMetadata>(json).unwrap_err();
    assert!(!error.to_string().contains("CANARY"), "{error}");
}

#[derive(OutboxEvents)]
enum Pharmacy {
    Medication(Event<Medication>),
}
