//! What the library says: spans and events of `tracing`, with ids and types, and never a payload or a user.

use std::time::Duration;

use outbox_runtime::{Coalesce, DeadReason, NewEvent, RawMetadata, prelude::*};
use outbox_tests::{Log, Note, Temporary, enqueue, start_all_users};

const SOON: Duration = Duration::from_secs(30);
const CANARY: &str = "sk_live_CANARY";

#[tokio::test(flavor = "current_thread")]
async fn attempts_are_told_by_id_and_type_and_payloads_and_users_are_not() {
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
    // The event's own Debug names its user, but never shows what it carries.
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
async fn what_is_not_sent_after_all_is_told_with_the_reason() {
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
    let line = text.lines().find(|line| line.contains("neither is sent"));
    let line = line.expect("it is told");
    assert!(
        line.contains("INFO"),
        "at a level that is on by default: {line}"
    );
    for told in [&ids[0].to_string(), &ids[1].to_string(), "draft"] {
        assert!(line.contains(told), "{told:?} is not told: {line}");
    }
    assert!(!text.contains(CANARY), "{text}");
}
