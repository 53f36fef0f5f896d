//! Dead letters: filtered, exported in full, retried, and discarded only after a preview.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::{Disposition, Settlement};
use outbox_runtime::{
    DeadLetters, DeadReason, ExportError, NewEvent, RawMetadata, StoreErrorKind, prelude::*,
};
use outbox_tests::on_each_store;

const LEASE: Duration = Duration::from_secs(60);

/// Enqueues an event and buries it.
async fn dead(
    store: &Arc<dyn OutboxRepository>,
    event: NewEvent,
    reason: DeadReason,
) -> OutboxEvent {
    let event = store.create_event(event).await.unwrap();
    let claim = store.mark_as_processing(event.id, LEASE).await.unwrap();
    let disposition = Disposition::Bury {
        reason,
        message: "HTTP 400".to_owned(),
    };
    let settlement = Settlement {
        lease: claim.lease,
        disposition,
    };
    store.settle(vec![settlement]).await.unwrap();
    store.fetch_event(event.id).await.unwrap().unwrap()
}

fn event(entity: i64, user: &str) -> NewEvent {
    NewEvent::new("note", entity, user, Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"kept"}"#))
}

#[test]
fn dead_letters_are_filtered_by_user_type_entity_and_reason() {
    on_each_store(|store, _| async move {
        let rejected = dead(&store, event(1, "u1"), DeadReason::Rejected).await;
        let exhausted = dead(&store, event(2, "u1"), DeadReason::AttemptsExhausted).await;
        let other = NewEvent::new("task", 3, "u2", Operation::Delete);
        let other = dead(&store, other, DeadReason::Rejected).await;
        store.create_event(event(4, "u1")).await.unwrap();

        let all = DeadLetters::of(store);
        let listed = async |letters: DeadLetters| letters.list().await.unwrap();
        let of_all = listed(all.clone()).await;
        assert_eq!(of_all, [&rejected, &exhausted, &other].map(Clone::clone));
        let of_user = listed(all.clone().of_user("u1")).await;
        assert_eq!(of_user, [rejected.clone(), exhausted.clone()]);
        let of_type = listed(all.clone().of_type("task")).await;
        assert_eq!(of_type, std::slice::from_ref(&other));
        assert_eq!(listed(all.clone().of_entity(2)).await, [exhausted]);
        let of_reason = listed(all.clone().with_reason(DeadReason::Rejected)).await;
        assert_eq!(of_reason, [rejected, other]);
        let nothing = listed(all.of_user("u1").of_type("task")).await;
        assert!(nothing.is_empty());
    });
}

#[test]
fn a_retry_affects_only_events_that_match_the_filter() {
    on_each_store(|store, _| async move {
        let first = dead(&store, event(1, "u1"), DeadReason::Rejected).await;
        let second = dead(&store, event(2, "u1"), DeadReason::AttemptsExhausted).await;
        let letters = DeadLetters::of(store.clone()).with_reason(DeadReason::Rejected);
        assert_eq!(letters.retry().await.unwrap(), 1);
        let first = store.fetch_event(first.id).await.unwrap().unwrap();
        assert_eq!(
            (first.status, first.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        let second = store.fetch_event(second.id).await.unwrap().unwrap();
        assert_eq!(second.status, OutboxStatus::Dead);
    });
}

#[test]
fn a_discard_has_a_preview_and_spares_retried_events() {
    on_each_store(|store, _| async move {
        let first = dead(&store, event(1, "u1"), DeadReason::Rejected).await;
        let second = dead(&store, event(2, "u1"), DeadReason::Rejected).await;
        let letters = DeadLetters::of(store.clone());
        let discard = letters.prepare_discard().await.unwrap();
        assert_eq!(discard.events(), [first.clone(), second.clone()]);
        assert_eq!(
            letters.list().await.unwrap().len(),
            2,
            "a preview discards nothing"
        );
        store.reset_for_retry(&[second.id]).await.unwrap();
        assert_eq!(discard.confirm().await.unwrap(), 1);
        assert_eq!(store.fetch_event(first.id).await.unwrap(), None);
        let second = store.fetch_event(second.id).await.unwrap().unwrap();
        assert_eq!(second.status, OutboxStatus::Pending);
    });
}

#[test]
fn a_discard_spares_events_changed_since_its_preview() {
    on_each_store(|store, _| async move {
        let mut events = Vec::new();
        for entity in 1..=4 {
            events.push(dead(&store, event(entity, "u1"), DeadReason::Rejected).await);
        }
        let letters = DeadLetters::of(store.clone());
        let discard = letters.prepare_discard().await.unwrap();
        // One was edited, one was retried and died again for another reason, and one came later.
        let mut mended = events[1].clone();
        mended.metadata = Some(RawMetadata::from_bytes(r#"{"text":"mended"}"#));
        store.update_event(&mended).await.unwrap();
        store.reset_for_retry(&[events[2].id]).await.unwrap();
        let claim = store.mark_as_processing(events[2].id, LEASE).await.unwrap();
        let disposition = Disposition::Bury {
            reason: DeadReason::Undecodable,
            message: "another".to_owned(),
        };
        let lease = claim.lease;
        store
            .settle(vec![Settlement { lease, disposition }])
            .await
            .unwrap();
        let later = dead(&store, event(5, "u1"), DeadReason::Rejected).await;

        let mut file = Vec::new();
        assert_eq!(discard.export(&mut file).unwrap(), 4);
        assert_eq!(discard.confirm().await.unwrap(), 2);
        let left = letters.list().await.unwrap();
        let left: Vec<_> = left.iter().map(|event| event.id).collect();
        assert_eq!(left, [events[1].id, events[2].id, later.id]);
        let lines = String::from_utf8(file).unwrap();
        let ids = lines
            .lines()
            .map(|line| serde_json::from_str::<OutboxEvent>(line).unwrap().id);
        let expected: Vec<_> = events.iter().map(|event| event.id).collect();
        assert_eq!(ids.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_retry_may_give_more_attempts_than_the_event_had() {
    on_each_store(|store, _| async move {
        let given_up = event(1, "u1").with_max_attempts(1);
        let given_up = dead(&store, given_up, DeadReason::AttemptsExhausted).await;
        let rejected = dead(&store, event(2, "u1"), DeadReason::Rejected).await;
        let letters = DeadLetters::of(store.clone()).with_reason(DeadReason::AttemptsExhausted);
        let refused = letters.retry_with_attempts(0).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::InvalidArgument);
        assert_eq!(letters.retry_with_attempts(3).await.unwrap(), 1);
        let event = store.fetch_event(given_up.id).await.unwrap().unwrap();
        assert_eq!(
            (event.status, event.max_attempts),
            (OutboxStatus::Pending, 3)
        );
        assert_eq!(event.attempt_count, 0);
        let event = store.fetch_event(rejected.id).await.unwrap().unwrap();
        assert_eq!(event, rejected, "dead for another reason");
    });
}

#[test]
fn an_export_has_every_dead_letter_complete_and_one_per_line() {
    on_each_store(|store, _| async move {
        let first = dead(&store, event(1, "u1"), DeadReason::Rejected).await;
        let damaged = event(2, "u1").with_metadata(RawMetadata::from_bytes("{\n not JSON"));
        let damaged = dead(&store, damaged, DeadReason::Undecodable).await;
        let mut file = Vec::new();
        let letters = DeadLetters::of(store.clone());
        assert_eq!(letters.export(&mut file).await.unwrap(), 2);
        let file = String::from_utf8(file).unwrap();
        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines.len(), 2, "{file}");
        let read: OutboxEvent = serde_json::from_str(lines[0]).unwrap();
        assert_eq!((read.id, &read.metadata), (first.id, &first.metadata));
        assert_eq!(read.error_message.as_deref(), Some("HTTP 400"));
        let read: OutboxEvent = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(read.id, damaged.id);
        assert!(lines[1].contains("not JSON"), "{}", lines[1]);
        assert_eq!(
            letters.list().await.unwrap().len(),
            2,
            "an export removes nothing"
        );
    });
}

/// A full disk.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_that_cannot_be_written_says_so() {
    on_each_store(|store, _| async move {
        dead(&store, event(1, "u1"), DeadReason::Rejected).await;
        let failed = DeadLetters::of(store).export(&mut Full).await;
        let Err(ExportError::Write(error)) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    });
}
