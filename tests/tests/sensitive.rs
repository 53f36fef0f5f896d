//! What is sensitive is shown nowhere: not by `Debug`, not in logs, not in the reason that is stored with a failure.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{
    BoxError, HandlerSet, NewEvent, RawMetadata, Redaction, RetryPolicy, prelude::*,
};
use outbox_tests::{Log, enqueue, on_each_store};
use serde::{Deserialize, Serialize};

const SOON: Duration = Duration::from_secs(30);

/// No text may show any of these, in whatever way it quotes them.
const CANARIES: [&str; 4] = [
    "CANARY-text",
    "CANARY \"quoted\"\nline",
    "CANARY-label",
    "4915",
];

/// The same data, kept out of sight.
#[derive(OutboxEntity)]
#[outbox(event_type = "diary", max_attempts = 2)]
struct Diary {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
    #[outbox(metadata, sensitive)]
    text: String,
    #[outbox(metadata, sensitive)]
    #[serde(rename = "Quoted")]
    quoted: Option<String>,
    #[outbox(metadata, sensitive)]
    labels: Vec<String>,
    #[outbox(metadata, sensitive)]
    phone: u64,
}

/// The same again, as a snapshot.
#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "page", max_attempts = 2, snapshot)]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(sensitive)]
    text: String,
    #[outbox(sensitive)]
    quoted: Option<String>,
    #[outbox(sensitive)]
    labels: Vec<String>,
    #[outbox(sensitive)]
    phone: u64,
}

/// The positive control: nothing of it is sensitive.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "open", max_attempts = 2)]
struct Open {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

fn diary(id: i64) -> Diary {
    Diary {
        id,
        user_id: "u1".to_owned(),
        valence: 0.25,
        text: CANARIES[0].to_owned(),
        quoted: Some(CANARIES[1].to_owned()),
        labels: vec!["ok".to_owned(), CANARIES[2].to_owned()],
        phone: 4915,
    }
}

fn page(id: i64) -> Page {
    let Diary {
        user_id,
        text,
        quoted,
        labels,
        phone,
        ..
    } = diary(id);
    Page {
        id,
        user_id,
        text,
        quoted,
        labels,
        phone,
    }
}

fn open(id: i64) -> Open {
    Open {
        id,
        user_id: "u1".to_owned(),
        text: CANARIES[0].to_owned(),
    }
}

/// A remote service that repeats what it refuses, as they do.
fn echo() -> String {
    let [text, quoted, label, phone] = CANARIES;
    format!("HTTP 400: {text:?}, {quoted} or {quoted:?} with [{label}] of +{phone}1")
}

/// Fails in the way that the entity's id asks for.
async fn refuse<E: OutboxEntity>(event: Event<E>) -> Result<(), HandlerError> {
    match event.entity_id.as_integer() {
        Some(1) => Err(HandlerError::retry(echo())),
        Some(2) => Err(HandlerError::permanent(echo())),
        Some(3) => std::panic::panic_any(echo()),
        _ => {
            let nested: BoxError = echo().into();
            Err(std::io::Error::other(nested)).or_retry()
        }
    }
}

fn shows_a_canary(text: &str) -> Option<&'static str> {
    let mut spellings = CANARIES.iter().flat_map(|canary| {
        [
            canary.to_string(),
            format!("{canary:?}").trim_matches('"').to_owned(),
            canary.replace('\n', " "),
        ]
        .map(|spelling| (*canary, spelling))
    });
    spellings
        .find(|(_, spelling)| text.contains(spelling))
        .map(|(canary, _)| canary)
}

/// Delivers events of ids 1 to 4, in vain, and returns everything that anybody could read about it.
async fn everything_said<E: OutboxEntity>(
    store: Arc<dyn OutboxRepository>,
    entity: impl Fn(i64) -> E,
) -> String {
    let (log, _guard) = Log::of_this_thread();
    let mut said = String::new();
    let handlers = HandlerSet::new().with::<E>(refuse);
    let retry = RetryPolicy::new([Duration::ZERO]);
    let processor = Processor::builder(store.clone())
        .handlers(handlers)
        .retry(retry);
    let running = processor.build().unwrap().start("u1");
    for id in 1..=4 {
        let event = enqueue(&*store, Enqueue::new(&entity(id), Operation::Create)).await;
        let flushed = running.flush(id, SOON).await.unwrap();
        assert!(!flushed.is_delivered());
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(event.status, OutboxStatus::Dead);
        let explanation = running.explain(id).await.unwrap();
        writeln!(said, "{flushed:?} {explanation:?} {event:?}").unwrap();
        writeln!(said, "stored: {}", event.error_message.clone().unwrap()).unwrap();
        let typed = Event::<E>::decode(event).unwrap();
        writeln!(said, "{typed:?}").unwrap();
    }
    writeln!(
        said,
        "{:?} {running:?}",
        store.statistics(None).await.unwrap()
    )
    .unwrap();
    running.stop().await.unwrap();
    said + &log.text()
}

fn assert_kept_out_of_sight(said: &str) {
    assert!(
        said.contains("HTTP 400") && said.contains("[redacted]"),
        "{said}"
    );
    assert_eq!(shows_a_canary(said), None, "{said}");
}

#[test]
fn sensitive_metadata_is_in_no_message_log_or_debug() {
    on_each_store(|store, _| async move {
        assert_kept_out_of_sight(&everything_said(store, diary).await);
    });
}

#[test]
fn sensitive_fields_of_a_snapshot_are_in_no_message_log_or_debug() {
    on_each_store(|store, _| async move {
        assert_kept_out_of_sight(&everything_said(store, page).await);
    });
}

#[test]
fn what_is_not_sensitive_is_told_as_it_is() {
    on_each_store(|store, _| async move {
        let said = everything_said(store, open).await;
        assert_eq!(shows_a_canary(&said), Some(CANARIES[0]), "{said}");
        assert!(!said.contains("[redacted]"), "{said}");
    });
}

#[test]
fn a_row_that_cannot_be_decoded_does_not_show_what_it_holds() {
    on_each_store(|store, _| async move {
        let (log, _guard) = Log::of_this_thread();
        let metadata = format!(r#"{{"valence":{:?},"text":7}}"#, CANARIES[0]);
        let damaged = NewEvent::new("diary", 1, "u1", Operation::Create)
            .with_metadata(RawMetadata::from_bytes(metadata));
        let id = store.create_event(damaged).await.unwrap().id;
        let handlers = HandlerSet::new().with::<Diary>(refuse);
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u1");
        assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let event = store.fetch_event(id).await.unwrap().unwrap();
        let said = format!(
            "{event:?} {} {}",
            event.error_message.clone().unwrap(),
            log.text()
        );
        assert!(said.contains("cannot be decoded"), "{said}");
        assert_eq!(shows_a_canary(&said), None, "{said}");
    });
}

#[test]
fn debug_shows_the_rest_of_the_metadata() {
    let metadata = DiaryMetadata {
        valence: 0.25,
        text: CANARIES[0].to_owned(),
        quoted: None,
        labels: Vec::new(),
        phone: 4915,
    };
    assert_eq!(
        format!("{metadata:?}"),
        "DiaryMetadata { valence: 0.25, text: [redacted], quoted: [redacted], labels: [redacted], phone: [redacted] }"
    );
    let shown = format!("{:?}", page(7));
    assert!(
        shown.starts_with("Page { id: 7, user_id: \"u1\", text: [redacted]"),
        "{shown}"
    );
    assert_eq!(shows_a_canary(&shown), None);
}

/// Fails to be written as JSON.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn a_value_that_cannot_be_read_hides_the_whole_text() {
    let mut redaction = Redaction::default();
    redaction.hide(&Unwritable);
    assert_eq!(redaction.apply("anything".to_owned()), "[redacted]");
}

#[test]
fn short_values_are_hidden_as_words_only() {
    let mut redaction = Redaction::default();
    redaction.hide(&("a", 5, true, None::<String>, ""));
    let text = "a cat, 5 of 50, true: a".to_owned();
    assert_eq!(
        redaction.apply(text),
        "[redacted] cat, [redacted] of 50, true: [redacted]"
    );
}

#[test]
fn a_value_within_another_is_hidden_with_it() {
    let mut redaction = Redaction::default();
    redaction.hide("secret");
    redaction.hide("secrets of mine");
    let text = "my secrets of mine are secret".to_owned();
    assert_eq!(redaction.apply(text), "my [redacted] are [redacted]");
}
