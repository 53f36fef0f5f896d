//! Every string that somebody else can influence is a value and nothing more: in every parameter that takes one, it either
//! comes back as it was or is refused by name, and what is beside it is untouched.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::{
    ClaimRequest, DeadLetters, DeadReason, Disposition, EnqueueError, EntityId, EventTypes,
    NewEvent, RawMetadata, Settlement, prelude::*,
};
use outbox_tests::on_each_store;

const LEASE: Duration = Duration::from_secs(60);

/// What may stand in a key.
const ALLOWED: [&str; 14] = [
    "'; DROP TABLE outbox_events; --",
    "\" OR 1 = 1 --",
    "x' OR user_id <> '",
    "%",
    "_",
    "?1",
    ":user",
    "NULL",
    "0",
    " leading and trailing ",
    "ünïcödé \u{1f4a5} e\u{301}",
    "\u{202e}desrever\u{202c}",
    "<script>alert(1)</script>",
    "${jndi:ldap://127.0.0.1/}",
];

/// What may not: control characters, which would break lines of logs, and what no row has room for.
fn refused() -> Vec<String> {
    let controls = [
        "",
        "nul\0nul",
        "line\nline",
        "\u{1b}[31mred",
        "bell\u{7}",
        "next\u{85}line",
    ];
    let mut refused: Vec<String> = controls.map(str::to_owned).into();
    refused.push("ä".repeat(128));
    refused
}

fn event(event_type: &str, entity: &str, user: &str) -> NewEvent {
    NewEvent::new(event_type.to_owned(), entity, user, Operation::Update)
}

/// Stands beside every hostile one and must stay as it is.
async fn bystander(store: &Arc<dyn OutboxRepository>) -> OutboxEvent {
    let beside = event("plain", "beside", "innocent");
    store.create_event(beside).await.unwrap()
}

#[test]
fn a_key_that_may_be_comes_back_as_it_was() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        for hostile in ALLOWED {
            let event = event(hostile, hostile, hostile);
            let id = store.create_event(event).await.unwrap().id;
            let stored = store.fetch_event(id).await.unwrap().unwrap();
            assert_eq!(stored.event_type, hostile);
            assert_eq!(stored.user_id, hostile);
            assert_eq!(stored.entity_id.as_text(), Some(hostile));
        }
        let of_all = store.statistics(None).await.unwrap();
        assert_eq!(of_all.pending_count, 1 + ALLOWED.len() as u64);
        let stored = store.fetch_event(beside.id).await.unwrap();
        assert_eq!(stored, Some(beside));
    });
}

#[test]
fn a_key_that_may_not_be_is_refused_by_name() {
    on_each_store(|store, _| async move {
        for hostile in refused() {
            let tries = [
                ("event_type", event(&hostile, "e", "u")),
                ("entity_id", event("t", &hostile, "u")),
                ("user_id", event("t", "e", &hostile)),
            ];
            for (expected, event) in tries {
                let answer = store.create_event(event).await;
                let Err(EnqueueError::Invalid { field, reason, .. }) = answer else {
                    panic!("{expected} {hostile:?}: {answer:?}");
                };
                assert_eq!(field, expected, "{hostile:?}");
                assert!(!reason.chars().any(char::is_control), "{reason:?}");
            }
        }
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}

#[test]
fn a_filter_is_compared_and_never_read_as_a_statement_or_a_pattern() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        let hostile: Vec<OutboxEvent> = {
            let mut stored = Vec::new();
            for text in ALLOWED {
                stored.push(store.create_event(event(text, text, text)).await.unwrap());
            }
            stored
        };
        for expected in &hostile {
            let text = expected.user_id.as_str();
            let only = std::slice::from_ref(expected);
            let entity = EntityId::from(text);
            assert_eq!(
                store.fetch_pending_events(Some(text), None).await.unwrap(),
                only
            );
            let listed = store
                .fetch_events(OutboxStatus::Pending, Some(text), None)
                .await;
            assert_eq!(listed.unwrap(), only);
            let listed = store
                .fetch_events_for_entity(&entity, Some(text), Some(text))
                .await;
            assert_eq!(listed.unwrap(), only);
            assert_eq!(store.statistics(Some(text)).await.unwrap().total_events, 1);
            let explanation = store.explain(&entity, Some(text)).await.unwrap();
            assert_eq!(explanation.first.map(|first| first.id), Some(expected.id));
            assert!(store.stale_events(Some(text)).await.unwrap().is_empty());
            assert!(store.pending_deletes(Some(text)).await.unwrap().is_empty());

            let request = ClaimRequest::new(100, LEASE)
                .with_user(text)
                .with_event_types(EventTypes::Only(vec![text.to_owned()]))
                .without_users(vec!["x' OR 'y".to_owned()]);
            assert!(store.next_due(&request).await.unwrap().is_some());
            let claims = store.claim(&request).await.unwrap();
            let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
            assert_eq!(claimed, [expected.id], "{text:?}");
        }
        let others = ALLOWED.map(str::to_owned).to_vec();
        let request = ClaimRequest::new(100, LEASE)
            .with_event_types(EventTypes::AllExcept(others.clone()))
            .without_users(others);
        let claims = store.claim(&request).await.unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].event.id, beside.id);
    });
}

#[test]
fn texts_of_failures_and_payloads_are_stored_as_values() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        for (number, text) in ALLOWED.iter().enumerate() {
            let metadata = RawMetadata::encode(text).unwrap();
            let user = format!("u{number}");
            let event = event("t", "e", &user).with_metadata(metadata.clone());
            let event = store.create_event(event).await.unwrap();
            let claim = store.mark_as_processing(event.id, LEASE).await.unwrap();
            let disposition = Disposition::Bury {
                reason: DeadReason::Rejected,
                message: (*text).to_owned(),
            };
            let settlement = Settlement {
                lease: claim.lease,
                disposition,
            };
            store.settle(vec![settlement]).await.unwrap();
            let letters = DeadLetters::of(Arc::clone(&store)).of_user(user);
            let dead = letters.list().await.unwrap();
            assert_eq!(dead[0].error_message.as_deref(), Some(*text));
            assert_eq!(dead[0].metadata, Some(metadata));
        }
        let stored = store.fetch_event(beside.id).await.unwrap();
        assert_eq!(stored, Some(beside));
    });
}

#[test]
fn a_deletion_or_a_new_owner_takes_just_what_was_named() {
    on_each_store(|store, _| async move {
        for text in ALLOWED {
            let beside = bystander(&store).await;
            let id = store.create_event(event("t", text, text)).await.unwrap().id;
            assert_eq!(store.reassign_user(text, "taker").await.unwrap(), 1);
            assert_eq!(store.reassign_user("taker", text).await.unwrap(), 1);
            let entity = [EntityId::from(text)];
            let deleted = store
                .delete_events_for_entities(&entity, Some("x' OR 1 = 1 --"))
                .await;
            assert_eq!(deleted.unwrap(), 0);
            let deleted = store.delete_events_for_entities(&entity, Some(text)).await;
            assert_eq!(deleted.unwrap(), 1);
            assert_eq!(store.fetch_event(id).await.unwrap(), None);
            store.create_event(event("t", "e", text)).await.unwrap();
            assert_eq!(store.delete_all_events_for_user(text).await.unwrap(), 1);
            assert!(store.delete_event(beside.id).await.unwrap());
        }
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}
