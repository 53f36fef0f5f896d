//! Logging: spans and events of `tracing` with ids and types, never with a payload or a user.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Coalesce, DeadLetters, DeadReason, NewEvent, RawMetadata, async_trait, prelude::*,
};
use outbox_tests::{
    Broken, Flaw, Log, Note, Temporary, enqueue, note, start, start_all_users, within,
};

const SOON: Duration = Duration::from_secs(30);
const CANARY: &str = "sk_live_CANARY";

#[tokio::test(flavor = "current_thread")]
async fn an_event_with_an_older_order_than_its_type_is_logged() {
    let (log, _guard) = Log::of_this_thread();
    let temporary = Temporary::open().await;
    let now = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let older = note(2).enqueue_sync().into_event().unwrap();
    let older = older.with_order(outbox_runtime::Order::User);
    let older = temporary.store.create_event(older).await.unwrap();
    let (mut remote, running) = start(&temporary.store);
    for _ in 0..2 {
        remote.next().await.ok();
    }
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    assert!(running.flush(2, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    let text = log.text();
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("another order"))
        .collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains(&older.id.to_string()), "{told:?}");
    assert!(!told[0].contains(&now.id.to_string()), "{told:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn attempts_are_logged_by_id_and_type_without_payloads_and_users() {
    let (log, _guard) = Log::of_this_thread();

    let temporary = Temporary::open().await;
    let secret = Note {
        id: 1,
        user_id: format!("user-{CANARY}"),
        text: format!("text-{CANARY}"),
    };
    let delivered = enqueue(&temporary.store, secret.enqueue_sync()).await;
    let damaged = NewEvent::new("note", 2, "u2", Operation::Create)
        .with_metadata(RawMetadata::encode(&[CANARY]).unwrap());
    let damaged = temporary.store.create_event(damaged).await.unwrap();
    let (mut remote, running) = start_all_users(&temporary.store, |builder| builder);
    let call = remote.next().await;
    tracing::info!(event = ?call.event, "an application that logs the event itself");
    call.fail(HandlerError::unauthenticated());
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    assert!(!running.flush(2, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();

    let text = log.text();
    for told in [
        "outbox run started",
        "credentials were refused",
        "delivered",
        "dead letter",
        "outbox run stopped",
        &delivered.id.to_string(),
        &damaged.id.to_string(),
        DeadReason::Undecodable.as_str(),
    ] {
        assert!(text.contains(told), "{told:?} is not told:\n{text}");
    }
    let of_the_library: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("logs the event itself"))
        .collect();
    assert!(of_the_library.len() >= 5, "{text}");
    for line in of_the_library {
        assert!(!line.contains(CANARY), "{line}");
    }
    // The event's own `Debug` names its user, but never its payload.
    assert!(!text.contains(&format!("text-{CANARY}")), "{text}");
    let stored = temporary
        .store
        .fetch_event(damaged.id)
        .await
        .unwrap()
        .unwrap();
    assert!(!stored.error_message.unwrap().contains(CANARY));
}

#[tokio::test(flavor = "current_thread")]
async fn cancelled_events_are_logged_with_the_reason() {
    let (log, _guard) = Log::of_this_thread();
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    let change = |operation| {
        NewEvent::new("draft", 1, format!("user-{CANARY}"), operation)
            .with_metadata(RawMetadata::encode(&CANARY).unwrap())
            .with_coalesce(Coalesce::Latest)
    };
    let (create, delete) = (change(Operation::Create), change(Operation::Delete));
    let ids = [create.id(), delete.id()];
    for event in [create, delete] {
        (&conn).enqueue(Ok(event)).unwrap();
    }
    let text = log.text();
    let line = text
        .lines()
        .find(|line| line.contains("neither event is sent"));
    let line = line.expect("the message is logged");
    assert!(
        line.contains("INFO"),
        "the level must be on by default: {line}"
    );
    for told in [&ids[0].to_string(), &ids[1].to_string(), "draft"] {
        assert!(line.contains(told), "{told:?} is missing: {line}");
    }
    assert!(!text.contains(CANARY), "{text}");
}

/// In keys, where control characters are refused: direction overrides, and characters that some
/// take for a line break.
const IN_KEYS: &str = "\u{202e}a\u{2028}FORGED\u{2029}\u{feff}";
/// In texts of handlers, drivers and hooks: anything.
const IN_WORDS: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\0\r\nFORGED level=ERROR\n{\"level\":\"ERROR\"}\u{202e}\u{2028}\u{9b}31m";

/// Fails in every way, by the entity's number.
struct Failing;

#[async_trait]
impl OutboxEventHandler for Failing {
    fn can_handle(&self, event_type: &str) -> bool {
        !event_type.starts_with("unhandled")
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        match event.entity_id.as_integer() {
            Some(1) => Err(HandlerError::retry(IN_WORDS)),
            Some(2) => Err(HandlerError::permanent(IN_WORDS)),
            Some(3) => panic!("{IN_WORDS}"),
            Some(4) => Err(HandlerError::rate_limited(Duration::from_millis(1))),
            Some(5) => Err(HandlerError::offline()),
            Some(6) => Err(HandlerError::unauthenticated()),
            _ => Ok(()),
        }
    }
}

/// Triggers every log message about events, users, failures and stores, with hostile names and
/// texts.
async fn everything_goes_wrong(log: &Log) {
    // A hostile type without a handler, and events that fail, fold, die and are retried.
    let store = MemoryStore::new();
    let event = |event_type: &str, id: i64| {
        let metadata = RawMetadata::encode(IN_WORDS).unwrap();
        NewEvent::new(
            event_type.to_owned(),
            id,
            format!("user{IN_KEYS}{id}"),
            Operation::Create,
        )
        .with_metadata(metadata)
    };
    let fold = event(IN_KEYS, 7).with_coalesce(Coalesce::Latest);
    store.create_event(fold).await.unwrap();
    let newer = event(IN_KEYS, 7).with_coalesce(Coalesce::Latest);
    store.create_event(newer).await.unwrap();
    let unhandled = format!("unhandled{IN_KEYS}");
    store.create_event(event(&unhandled, 8)).await.unwrap();
    for id in 1..=8 {
        let event = event(IN_KEYS, id).with_max_attempts(1);
        store.create_event(event).await.unwrap();
        let running = Processor::builder(store.clone())
            .handler(Failing)
            .on_unauthenticated(|user| async move { Err(format!("{user}: {IN_WORDS}").into()) })
            .build()
            .unwrap()
            .start(format!("user{IN_KEYS}{id}"));
        let soon = Duration::from_millis(20);
        assert_eq!(
            running.flush(id, soon).await.unwrap().is_delivered(),
            id == 7
        );
        running.stop().await.unwrap();
    }
    let letters = DeadLetters::of(store.clone());
    assert_eq!(
        letters.list().await.unwrap().len(),
        3,
        "retry, permanent, panic"
    );
    letters.retry().await.unwrap();
    letters
        .prepare_discard()
        .await
        .unwrap()
        .confirm()
        .await
        .unwrap();

    // A known type in the set, with metadata that does not match.
    let (mut remote, running) = start_all_users(&store, |builder| builder);
    store.create_event(event("note", 9)).await.unwrap();
    store
        .create_event(note(10).enqueue_sync().into_event().unwrap())
        .await
        .unwrap();
    remote.next().await.ok();
    running.stop().await.unwrap();

    // A store that fails to claim, and one that fails to record, even during the stop.
    for flaw in [Flaw::FailsClaims(IN_WORDS), Flaw::FailsOutcomes(IN_WORDS)] {
        let broken: Arc<dyn OutboxRepository> = Arc::new(Broken::new(flaw, SystemClock));
        enqueue(&*broken, note(1).enqueue_sync()).await;
        let (mut remote, running) = start(&broken);
        if let Flaw::FailsOutcomes(_) = flaw {
            remote.next().await.ok();
        }
        let told = || log.text().matches("the store failed").count();
        let before = told();
        within(async {
            while told() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(running.stop()).await.unwrap();
    }
}

/// User-controlled strings stay on one line, move no cursor, and forge no message.
fn assert_nothing_is_forged(log: &Log) {
    let text = log.text();
    let told = text.matches("FORGED").count();
    assert!(told >= 8, "logged only {told} times:\n{text}");
    for line in text.lines() {
        assert!(!line.trim_start().starts_with("FORGED"), "{line:?}");
        let hidden = |c: char| {
            c.is_control() || matches!(c, '\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
        };
        assert!(!line.contains(hidden), "{line:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn user_controlled_text_is_escaped_in_a_log_of_lines() {
    let (log, _guard) = Log::of_this_thread();
    everything_goes_wrong(&log).await;
    assert_nothing_is_forged(&log);
    for told in [
        "the last outcomes could not be recorded",
        "the store failed",
        "no handler takes",
    ] {
        assert!(log.text().contains(told), "{told}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn user_controlled_text_is_escaped_in_a_log_of_json() {
    let (log, _guard) = Log::of_this_thread_as_json();
    everything_goes_wrong(&log).await;
    assert_nothing_is_forged(&log);
    for line in log.text().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let target = line["target"].as_str().unwrap();
        assert!(target.starts_with("outbox_runtime"), "{line}");
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn an_outage_is_two_lines_and_a_dead_letter_is_one() {
    let (log, _guard) = Log::of_this_thread();
    let store = MemoryStore::new();
    let (mut remote, running) = start(&store);
    let lines = |level: &str, part: &str| {
        let text = log.text();
        let is_meant = |line: &&str| line.contains(level) && line.contains(part);
        text.lines().filter(is_meant).count()
    };
    for id in 0..12 {
        enqueue(&store, note(id).enqueue_sync()).await;
    }
    // Many probes, each refused.
    for _ in 0..20 {
        remote
            .next_eventually()
            .await
            .fail(HandlerError::unavailable("HTTP 503"));
    }
    assert_eq!(lines(" WARN ", "the circuit opens"), 1, "{}", log.text());
    for _ in 0..12 {
        remote.next_eventually().await.ok();
    }
    for id in 0..12 {
        assert!(running.flush(id, SOON * 100).await.unwrap().is_delivered());
    }
    assert_eq!(lines(" INFO ", "the circuit closes"), 1, "{}", log.text());
    // No line for a probe, at the usual levels.
    let told = |level| lines(level, "outbox_runtime");
    assert_eq!((told(" WARN "), told(" ERROR ")), (1, 0), "{}", log.text());

    let dead = enqueue(&store, note(99).enqueue_sync()).await;
    let rejected = HandlerError::permanent("no such note");
    remote.next_eventually().await.fail(rejected);
    assert!(!running.flush(99, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    assert_eq!(told(" ERROR "), 1, "{}", log.text());
    let id = dead.id.to_string();
    assert_eq!(lines(" ERROR ", &id), 1);
    assert_eq!(lines(" ERROR ", "reason=rejected"), 1, "{}", log.text());
}
