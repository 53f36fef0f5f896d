//! Sensitive data is shown nowhere: not by `Debug`, not in logs, not in the stored reason of a
//! failure.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::BoxError;
use outbox_runtime::{Charge, HandlerSet, NewEvent, RawMetadata, RetryPolicy, prelude::*};
use outbox_tests::{Log, enqueue, on_each_store};
use serde::{Deserialize, Serialize};

mod errors; // errors of serializers and deserializers
mod texts; // values in texts

const SOON: Duration = Duration::from_secs(30);

/// No text may show any of these, however it is quoted.
const CANARIES: [&str; 4] = [
    "CANARY-text",
    "CANARY \"quoted\"\nline",
    "CANARY-label",
    "4915",
];

/// The same data, marked sensitive.
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

/// The positive control: nothing is sensitive.
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

/// A remote service that echoes what it refuses.
fn echo() -> String {
    let [text, quoted, label, phone] = CANARIES;
    format!("HTTP 400: {text:?}, {quoted} or {quoted:?} with [{label}] of +{phone}1")
}

/// Fails in the way that the entity's id selects.
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

/// Delivers events with ids 1 to 4, which fail, and returns all text that anyone could read about
/// them.
async fn all_visible_text<E: OutboxEntity>(
    store: Arc<dyn OutboxRepository>,
    entity: impl Fn(i64) -> E,
) -> String {
    let (log, _guard) = Log::of_this_thread();
    let mut said = String::new();
    let handlers = HandlerSet::new().with::<E>(refuse);
    let retry = RetryPolicy::new([Duration::ZERO]);
    let processor = Processor::builder(store.clone())
        .handlers(handlers)
        .charge(Charge::Always)
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
        assert_kept_out_of_sight(&all_visible_text(store, diary).await);
    });
}

#[test]
fn sensitive_fields_of_a_snapshot_are_in_no_message_log_or_debug() {
    on_each_store(|store, _| async move {
        assert_kept_out_of_sight(&all_visible_text(store, page).await);
    });
}

#[test]
fn data_that_is_not_sensitive_is_shown_unchanged() {
    on_each_store(|store, _| async move {
        let said = all_visible_text(store, open).await;
        assert_eq!(shows_a_canary(&said), Some(CANARIES[0]), "{said}");
        assert!(!said.contains("[redacted]"), "{said}");
    });
}

#[test]
fn a_row_that_cannot_be_decoded_does_not_show_its_content() {
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

/// Version 1 of a note.
#[derive(Deserialize)]
struct NoteV1 {
    secret_of_then: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "note", version = 2, upcast(1 = NoteV1))]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    words: usize,
    #[outbox(metadata, sensitive)]
    text: String,
}

impl From<NoteV1> for NoteMetadata {
    fn from(old: NoteV1) -> Self {
        Self {
            words: 2,
            text: old.secret_of_then.to_uppercase(),
        }
    }
}

#[test]
fn values_of_an_older_version_are_hidden_in_old_and_new_form() {
    on_each_store(|store, _| async move {
        let stored = r#"{"secret_of_then":"my secret"}"#;
        let event = NewEvent::new("note", 1, "u1", Operation::Create)
            .with_metadata(RawMetadata::from_bytes(stored));
        let mut event = store.create_event(event).await.unwrap();
        event.metadata_version = 1;
        let set = HandlerSet::new().with::<Note>(async |_: Event<Note>| Ok(()));
        let text = "my secret, MY SECRET".to_owned();
        let redacted = outbox_runtime::OutboxEventHandler::redact(&set, &event, text);
        assert_eq!(redacted, "[redacted], [redacted]");
    });
}

#[test]
fn debug_of_an_entity_leaves_out_sensitive_fields() {
    let shown = format!("{:?}", diary(7));
    assert_eq!(
        shown,
        "Diary { valence: 0.25, text: [redacted], quoted: [redacted], labels: [redacted], phone: [redacted], .. }"
    );
}

/// Refuses a `large` event with a text whose redaction lasts until a `small` event was delivered.
struct Refusing {
    begun: Arc<tokio::sync::Notify>,
    delivered: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

#[outbox_runtime::async_trait]
impl outbox_runtime::OutboxEventHandler for Refusing {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "large"
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Err(HandlerError::permanent("x".repeat(1_000_000)))
    }

    fn redact(&self, _: &OutboxEvent, _: String) -> String {
        self.begun.notify_one();
        let delivered = self.delivered.lock().unwrap().recv_timeout(SOON);
        format!("redacted, and others: {delivered:?}")
    }
}

/// Delivers a `small` event while the text of a `large` one is being redacted.
struct Waiting {
    begun: Arc<tokio::sync::Notify>,
    delivered: std::sync::mpsc::Sender<()>,
}

#[outbox_runtime::async_trait]
impl outbox_runtime::OutboxEventHandler for Waiting {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "small"
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        self.begun.notified().await;
        self.delivered.send(()).or_permanent()
    }
}

#[test]
fn a_large_redaction_does_not_block_other_events() {
    // The runtime has one thread; a redaction on it would block all other work.
    on_each_store(|store, _| async move {
        let begun = Arc::new(tokio::sync::Notify::new());
        let (sender, receiver) = std::sync::mpsc::channel();
        let large = NewEvent::new("large", 1, "u1", Operation::Create);
        let id = store.create_event(large).await.unwrap().id;
        let small = NewEvent::new("small", 2, "u1", Operation::Create);
        store.create_event(small).await.unwrap();
        let processor = Processor::builder(store.clone())
            .handler(Refusing {
                begun: Arc::clone(&begun),
                delivered: std::sync::Mutex::new(receiver),
            })
            .handler(Waiting {
                begun,
                delivered: sender,
            });
        let running = processor.build().unwrap().start("u1");
        assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let event = store.fetch_event(id).await.unwrap().unwrap();
        assert_eq!(event.error_message.unwrap(), "redacted, and others: Ok(())");
    });
}
