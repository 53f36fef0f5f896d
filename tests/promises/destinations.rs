//! Destinations and other notes in a row: on every way to enqueue, and whatever the columns
//! contain.

use std::time::Duration;

use outbox_runtime::store::{
    ClaimRequest, Disposition, Rescued, Selector, Settled, Settlement, SqliteInsert,
};
use outbox_runtime::{
    DeadReason, EnqueueError, NewEvent, Refusal, RefusalClass, enqueue_all, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, enqueue, note, on_each_store};

const LEASE: Duration = Duration::from_secs(60);

/// An entity with its own destination.
#[derive(OutboxEntity)]
#[outbox(event_type = "photo", destination = self.host)]
struct Photo {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    host: Option<String>,
}

fn photo(id: i64, host: Option<&str>) -> Photo {
    Photo {
        id,
        user_id: "u1".to_owned(),
        host: host.map(str::to_owned),
    }
}

fn claim_all() -> ClaimRequest {
    ClaimRequest::new(99, LEASE)
}

#[test]
fn an_event_has_the_destination_of_its_entity_builder_or_batch() {
    on_each_store(|store, _| async move {
        let at_a = photo(1, Some("a"));
        let event = enqueue(&store, at_a.enqueue_sync()).await;
        assert_eq!(event.destination.as_deref(), Some("a"));
        let event = enqueue(&store, photo(2, None).enqueue_sync()).await;
        assert_eq!(event.destination, None);
        let event = enqueue(&store, at_a.enqueue_update().destination("b")).await;
        assert_eq!(event.destination.as_deref(), Some("b"));
        let event = enqueue(&store, note(3).enqueue_sync().destination("c")).await;
        assert_eq!(event.destination.as_deref(), Some("c"));
        let event = enqueue(&store, note(4).enqueue_sync()).await;
        assert_eq!(event.destination, None);
        // The handler sees the destination, and a claim can filter by it.
        let to_c = claim_all().only(Selector::new().destination(Some("c")));
        let claims = store.claim(&to_c).await.unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].event.destination.as_deref(), Some("c"));
    });
}

#[tokio::test]
async fn a_batch_and_a_transaction_of_the_caller_keep_the_destination() {
    let temporary = Temporary::open().await;
    let photos = [photo(1, Some("a")), photo(2, None)];
    enqueue_all(&photos).on(&temporary.store).await.unwrap();
    let all_to_b = enqueue_all(&photos).operation(Operation::Update);
    let mut conn = temporary.connect();
    let tx = conn.transaction().unwrap();
    all_to_b.destination("b").on(&tx).unwrap();
    photos[0].enqueue_delete().on(&tx).unwrap();
    tx.commit().unwrap();
    let events = temporary.store.fetch_pending_events(None, None).await;
    let mut events = events.unwrap();
    events.sort_by_key(|event| event.seq);
    let to: Vec<Option<&str>> = events
        .iter()
        .map(|event| event.destination.as_deref())
        .collect();
    assert_eq!(to, [Some("a"), None, Some("b"), Some("b"), Some("a")]);
}

/// Asserts that the error names the destination and this reason.
fn is_refused<T: std::fmt::Debug>(outcome: Result<T, EnqueueError>, reason: &str) {
    let error = match outcome.unwrap_err() {
        EnqueueError::InBatch { index: 0, source } => *source,
        error => error,
    };
    let EnqueueError::Invalid {
        field, event_type, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!((*field, event_type.as_str()), ("destination", "photo"));
    assert!(error.to_string().contains(reason), "{error}");
}

#[tokio::test]
async fn an_invalid_destination_is_refused_by_name_on_every_way_to_enqueue() {
    let temporary = Temporary::open().await;
    let memory = MemoryStore::new();
    let long = "x".repeat(256);
    for (broken, reason) in [
        ("", "is empty"),
        (long.as_str(), "256 bytes"),
        ("a\nb", "control character"),
        ("\u{85}", "control character"),
    ] {
        let broken_photo = photo(1, Some(broken));
        let fine = photo(1, None);
        is_refused(broken_photo.enqueue_sync().into_event(), reason);
        is_refused(
            fine.enqueue_sync().destination(broken).on(&memory).await,
            reason,
        );
        is_refused(
            broken_photo.enqueue_sync().on(&temporary.store).await,
            reason,
        );
        let conn = temporary.connect();
        is_refused(broken_photo.enqueue_delete().on(&conn), reason);
        let both = [broken_photo, photo(2, None)];
        is_refused(enqueue_all(&both).on(&memory).await, reason);
        is_refused(enqueue_all(&both).on(&temporary.store).await, reason);
        is_refused(enqueue_all(&both).on(&conn), reason);
        let event = NewEvent::new("photo", 1, "u1", Operation::Create).with_destination(broken);
        is_refused(SqliteInsert::new(&event), reason);
        is_refused(memory.create_event(event.clone()).await, reason);
        is_refused(temporary.store.create_event(event).await, reason);
    }
    let longest = "x".repeat(255);
    let event = enqueue(
        &temporary.store,
        note(1).enqueue_sync().destination(&longest),
    )
    .await;
    assert_eq!(event.destination, Some(longest));
    let statistics = memory.statistics(None).await.unwrap();
    assert_eq!(statistics.total_events, 0, "nothing was written");
}

#[tokio::test]
async fn rows_of_other_programs_without_the_new_columns_are_delivered() {
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    conn.execute_batch(
        "INSERT INTO outbox_events
             (entity_id, user_id, id, event_type, operation, created_at, next_attempt_at, max_attempts, metadata)
         VALUES (7, 'u1', randomblob(16), 'note', 0, 1, 1, 5, '{\"text\":\"x\"}')",
    )
    .unwrap();
    let store = &temporary.store;
    let claims = store.claim(&claim_all()).await.unwrap();
    let event = &claims[0].event;
    assert_eq!(
        (event.destination.as_ref(), event.last_refusal.as_ref()),
        (None, None)
    );
    assert_eq!((event.deferrals, event.crashes, event.snoozes), (0, 0, 0));
    assert_eq!((event.deferred_since, event.revision), (None, 0));
    let settled = store.mark_as_completed(&claims[0].lease).await.unwrap();
    assert_eq!(settled, Settled::Recorded);
}

#[tokio::test]
async fn unreadable_notes_in_a_row_never_cost_its_event() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let store = &temporary.store;
    let conn = temporary.connect();
    let damages = [
        "deferrals = -5, crashes = -5, snoozes = -5, revision = -5",
        "deferrals = 9223372036854775807, crashes = 0, snoozes = 9223372036854775807, revision = 9223372036854775807",
        "deferrals = 4294967295, snoozes = 4294967295",
        "deferred_since = 9223372036854775807, last_refusal = 'nobody knows'",
        "deferred_since = -9223372036854775808, last_refusal = CAST(x'ff3a20' AS TEXT)",
        "last_refusal = 'what: ever'",
    ];
    for (id, damage) in (1..).zip(damages) {
        let event = enqueue(store, note(id).enqueue_sync()).await;
        let changed = conn.execute(
            &format!("UPDATE outbox_events SET {damage} WHERE id = ?1"),
            [event.id],
        );
        assert_eq!(changed.unwrap(), 1);
        let mut read = store.fetch_event(event.id).await.unwrap().unwrap();
        if let Some(refusal) = &read.last_refusal {
            assert_eq!(refusal.class, RefusalClass::Retry, "{damage}");
            assert!(!refusal.message.is_empty());
        }
        read.priority += 1;
        store.update_event(&read).await.unwrap();
        let due = store.clock().now();
        let refusal = Refusal::new(RefusalClass::Offline, "no");
        for disposition in [
            Disposition::Defer {
                next_attempt_at: due,
                refusal: refusal.clone(),
            },
            Disposition::Snooze {
                next_attempt_at: due,
            },
            Disposition::GiveBack {
                next_attempt_at: None,
                refusal: Some(refusal),
            },
        ] {
            let claims = store.claim(&claim_all()).await.unwrap();
            assert_eq!(claims.len(), 1, "{damage}");
            let lease = claims[0].lease;
            let settled = store.settle(vec![Settlement { lease, disposition }]).await;
            assert_eq!(settled.unwrap(), [Settled::Recorded], "{damage}");
        }
        drop(store.claim(&claim_all()).await.unwrap());
        clock.advance(LEASE);
        assert_eq!(
            store.rescue().await.unwrap(),
            Rescued::new(1, 0),
            "{damage}"
        );
        let claims = store.claim(&claim_all()).await.unwrap();
        assert_eq!(claims[0].event.crashes, 1, "{damage}");
        assert!(claims[0].event.deferrals > 0 && claims[0].event.snoozes > 0);
        let settled = store.mark_as_completed(&claims[0].lease).await.unwrap();
        assert_eq!(settled, Settled::Recorded);
        store.statistics(None).await.unwrap();
    }
    // This is above any limit on crashes.
    let event = enqueue(store, note(50).enqueue_sync()).await;
    drop(store.claim(&claim_all()).await.unwrap());
    conn.execute(
        "UPDATE outbox_events SET crashes = 9223372036854775807 WHERE id = ?1",
        [event.id],
    )
    .unwrap();
    clock.advance(LEASE);
    assert_eq!(store.rescue().await.unwrap(), Rescued::new(0, 1));
    // A destination is no note: an event with an unreadable destination cannot be delivered.
    let damaged = enqueue(store, note(51).enqueue_sync()).await;
    let beside = enqueue(store, note(52).enqueue_sync()).await;
    conn.execute(
        "UPDATE outbox_events SET destination = CAST(x'ff' AS TEXT) WHERE id = ?1",
        [damaged.id],
    )
    .unwrap();
    let claims = store.claim(&claim_all()).await.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].event.id, beside.id);
    let damaged = store.fetch_event(damaged.id).await.unwrap().unwrap();
    assert_eq!(damaged.dead_reason, Some(DeadReason::Undecodable));
    assert!(damaged.error_message.unwrap().contains("destination"));
}
