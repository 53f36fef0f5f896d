//! Absurd rows: times in 1970, in 9999 and beyond, zeros where nothing is zero. Every query about
//! them is answered, and other events are delivered.

use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, Disposition, Outcome, Settlement};
use outbox_runtime::{
    Clock, DeadLetters, EnqueueError, NewEvent, RawMetadata, RetryPolicy, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, enqueue, note, on_each_store, start, start_all_users, within};

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);

/// In microseconds since 1970: the epoch, earlier times, the last second of 9999, the first time
/// that `chrono` cannot express, and SQLite's limits.
const TIMES: [i64; 9] = [
    0,
    -1,
    -62_135_596_800_000_000,
    253_402_300_799_000_000,
    253_402_300_800_000_000,
    8_210_266_876_799_999_999,
    8_210_266_876_800_000_000,
    i64::MAX,
    i64::MIN,
];

/// Every query, by the processor and by people.
async fn everything_is_answered(store: &SqliteStore) {
    store.statistics(None).await.unwrap();
    store.stale_events(None).await.unwrap();
    store.pending_deletes(None).await.unwrap();
    store.fetch_pending_events(None, None).await.unwrap();
    store.oldest_completed().await.unwrap();
    store.rescue().await.unwrap();
    let request = ClaimRequest::new(100, LEASE);
    store.next_due(&request).await.unwrap();
    for status in OutboxStatus::ALL {
        for event in store.fetch_events(*status, None, None).await.unwrap() {
            let explained = store.explain(&event.entity_id, None).await.unwrap();
            assert!(!explained.to_string().is_empty());
            let written = serde_json::to_string(&event).unwrap();
            let read: OutboxEvent = serde_json::from_str(&written).unwrap();
            assert_eq!(read.created_at, event.created_at, "{written}");
            assert_eq!(read.next_attempt_at, event.next_attempt_at, "{written}");
        }
    }
}

#[tokio::test]
async fn rows_with_absurd_times_are_readable_and_delay_no_other_events() {
    for column in ["created_at", "next_attempt_at", "last_attempt_at"] {
        let temporary = Temporary::open().await;
        let store = &temporary.store;
        let conn = temporary.connect();
        for (id, time) in (1..).zip(TIMES) {
            enqueue(store, note(id).enqueue_sync()).await;
            let sql = format!("UPDATE outbox_events SET {column} = ?1 WHERE entity_id = ?2");
            assert_eq!(conn.execute(&sql, [time, id]).unwrap(), 1);
        }
        everything_is_answered(store).await;
        enqueue(store, note(1_000).enqueue_sync()).await;
        let (mut remote, running) = start_all_users(store, |builder| builder.max_concurrency(1));
        // Readable ones are delivered or wait for their time; the others become dead letters.
        loop {
            let call = remote.next().await;
            let id = call.id();
            call.ok();
            if id == 1_000 {
                break;
            }
        }
        assert!(
            within(running.flush(1_000, SOON))
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
        everything_is_answered(store).await;
        let dead = store.statistics(None).await.unwrap().dead_count;
        // Events in the far future are not due, and nobody has read them.
        let expected = if column == "next_attempt_at" { 1 } else { 3 };
        assert_eq!(dead, expected, "{column}: rows with invalid dates are dead");
    }
}

#[tokio::test]
async fn leases_with_absurd_ends_stop_no_rescue() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let store = &temporary.store;
    let conn = temporary.connect();
    let mut id = 0;
    for began in TIMES {
        for ends in TIMES {
            id += 1;
            let event = enqueue(store, note(id).enqueue_sync()).await;
            drop(store.mark_as_processing(event.id, LEASE).await.unwrap());
            let sql = "UPDATE outbox_claims SET claimed_at = ?1, expires_at = ?2 WHERE seqs = ',' || ?3 || ','";
            assert_eq!(conn.execute(sql, [began, ends, event.seq]).unwrap(), 1);
        }
    }
    let beside = enqueue(store, note(1_000).enqueue_sync()).await;
    drop(store.mark_as_processing(beside.id, LEASE).await.unwrap());
    clock.advance(LEASE);
    everything_is_answered(store).await;
    let rescued = store.fetch_event(beside.id).await.unwrap().unwrap();
    assert_eq!(
        rescued.status,
        OutboxStatus::Pending,
        "sound rows are rescued"
    );
}

#[test]
fn absurd_delays_and_clocks_overflow_nothing() {
    on_each_store(|store, clock| async move {
        let event = note(1).enqueue_sync().delay(Duration::MAX);
        let event = enqueue(&store, event).await;
        assert!(event.next_attempt_at > event.created_at);
        let due = store.next_due(&ClaimRequest::new(1, LEASE)).await.unwrap();
        assert!(due.is_some_and(|due| due > event.created_at));
        let explained = store.explain(&1.into(), None).await.unwrap();
        assert!(!explained.to_string().is_empty());
        assert_eq!(store.reset_for_retry(&[event.id]).await.unwrap(), 0);
        enqueue(&store, note(2).enqueue_sync()).await;
        let claims = store.claim(&ClaimRequest::new(9, Duration::MAX)).await;
        let claim = claims.unwrap().remove(0);
        store.extend(&[claim.lease], Duration::MAX).await.unwrap();
        let failed = Outcome::Retry {
            message: String::new(),
            not_before: Some(Duration::MAX),
        };
        let now = outbox_runtime::Clock::now(&clock);
        let settlement = failed.settle(&claim, &RetryPolicy::default(), now);
        store.settle(vec![settlement]).await.unwrap();
        store.rescue().await.unwrap();
        store.statistics(None).await.unwrap();
        let all = store.fetch_pending_events(None, None).await.unwrap();
        for event in all {
            let written = serde_json::to_string(&event).unwrap();
            assert_eq!(
                serde_json::from_str::<OutboxEvent>(&written).unwrap(),
                event
            );
        }
    });
}

/// JSON has no raw control characters, and PostgreSQL's text has no NUL: all stores refuse the same
/// texts, before writing anything.
#[test]
fn a_nul_is_treated_the_same_by_every_store() {
    on_each_store(|store, _| async move {
        let with_metadata = |json: &str| {
            NewEvent::new("note", 1, "u1", Operation::Create)
                .with_metadata(RawMetadata::from_bytes(json))
        };
        let refused = store
            .create_event(with_metadata("{\"text\":\"a\0b\"}"))
            .await;
        let Err(EnqueueError::Invalid { field, reason, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(field, "metadata");
        assert!(
            reason.contains("NUL") && reason.contains("byte 10"),
            "{reason}"
        );
        let refused = NewEvent::new("note", 1, "u\0", Operation::Create);
        let refused = store.create_event(refused).await.unwrap_err();
        assert!(refused.to_string().contains("user_id"), "{refused}");

        // Escaped, it is an ordinary character.
        let json = r#"{"text":"a\u0000b"}"#;
        let event = store.create_event(with_metadata(json)).await.unwrap();
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(
            stored.metadata.as_ref().and_then(RawMetadata::as_str),
            Some(json)
        );
        assert_eq!(
            Event::<Note>::decode(stored).unwrap().metadata().text,
            "a\0b"
        );

        // In failure messages it becomes a space, so that the failure can be recorded anywhere.
        let claim = store.mark_as_processing(event.id, LEASE).await.unwrap();
        let outcome = Outcome::Dead {
            reason: outbox_runtime::DeadReason::Rejected,
            message: "no\0t so".to_owned(),
        };
        let settlement: Settlement = outcome.settle(&claim, &RetryPolicy::default(), stored_at());
        assert!(
            matches!(&settlement.disposition, Disposition::Bury { message, .. } if message == "no t so")
        );
        store.settle(vec![settlement]).await.unwrap();
        let dead = DeadLetters::of(store.clone()).list().await.unwrap();
        assert_eq!(dead[0].error_message.as_deref(), Some("no t so"));
    });
}

fn stored_at() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::UNIX_EPOCH
}

/// Counters in a row saturate at their maximum.
#[tokio::test]
async fn counters_at_their_maximum_cost_no_event_and_no_run() {
    const END: [i64; 3] = [u32::MAX as i64 - 1, u32::MAX as i64, i64::MAX];
    for column in ["snoozes", "deferrals", "crashes", "revision"] {
        for end in END {
            let clock = ManualClock::new();
            let made = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
            let store = &made.store;
            enqueue(store, note(1).enqueue_sync()).await;
            let sql = format!("UPDATE outbox_events SET {column} = ?1");
            made.connect().execute(&sql, [end]).unwrap();
            let refusal = || outbox_runtime::Refusal {
                class: outbox_runtime::RefusalClass::Unavailable,
                message: "down".to_owned(),
            };
            let outcomes = [
                Outcome::Snoozed {
                    delay: Duration::ZERO,
                    bound: None,
                },
                Outcome::GivenBack {
                    delay: Duration::ZERO,
                    refusal: Some(refusal()),
                },
                Outcome::Deferred {
                    refusal: refusal(),
                    not_before: None,
                    base: Some(LEASE),
                },
            ];
            for outcome in outcomes {
                let request = ClaimRequest::new(1, LEASE);
                let claims = store.claim(&request).await.unwrap();
                let settlement = outcome.settle(&claims[0], &RetryPolicy::default(), clock.now());
                store.settle(vec![settlement]).await.unwrap();
                clock.advance(2 * LEASE);
            }
            store.rescue().await.unwrap();
            everything_is_answered(store).await;
        }
    }
    let clock = ManualClock::new();
    let made = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    enqueue(&made.store, note(1).enqueue_sync()).await;
    let sql = "UPDATE outbox_events SET snoozes = ?1, deferrals = ?1";
    made.connect().execute(sql, [u32::MAX]).unwrap();
    let (mut remote, running) = start(&made.store);
    let again = clock.now() + Duration::from_secs(1);
    let call = remote.next().await;
    call.fail(HandlerError::snooze(Duration::ZERO));
    within(clock.until_asleep(again)).await;
    clock.set(again);
    remote.next().await.ok();
    let flushed = within(running.flush(1, SOON)).await.unwrap();
    assert!(flushed.is_delivered(), "{flushed:?}");
    running.stop().await.unwrap();
}
