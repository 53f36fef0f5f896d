//! Bounds: very large values and sudden load are refused, split, or queued.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, Disposition, Rescued, Settlement, SqliteInsert};
use outbox_runtime::{
    Charge, Clock, DeadReason, EnqueueError, NewEvent, OutboxEntity, Processor, RawMetadata,
    StoreErrorKind, enqueue_all, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, enqueue, note, note_of, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A refusal must name the value, its size, the limit, and the remedy.
fn assert_told(refused: &EnqueueError) {
    let EnqueueError::Invalid {
        event_type,
        field,
        reason,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((event_type.as_str(), *field), ("note", "metadata"));
    let size = NewEvent::MAX_METADATA_BYTES + r#"{"text":""}"#.len();
    for told in [
        &format!("has {size} bytes"),
        "more than 1048576",
        "a table of your own",
    ] {
        assert!(reason.contains(told), "{reason}");
    }
}

#[tokio::test]
async fn too_large_metadata_is_refused_on_every_way_to_enqueue() {
    let large = Note {
        text: "x".repeat(NewEvent::MAX_METADATA_BYTES),
        ..note(1)
    };
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let memory = MemoryStore::new();
    let mut conn = temporary.connect();
    assert_told(&large.enqueue_sync().on(store).await.unwrap_err());
    assert_told(&large.enqueue_sync().on(&memory).await.unwrap_err());
    assert_told(&large.enqueue_sync().on(&conn).unwrap_err());
    let tx = conn.transaction().unwrap();
    assert_told(&large.enqueue_sync().on(&tx).unwrap_err());
    drop(tx);
    let both = [note(2), large.clone()];
    for refused in [
        enqueue_all(&both).on(store).await.unwrap_err(),
        enqueue_all(&both).on(&memory).await.unwrap_err(),
        enqueue_all(&both).on(&conn).unwrap_err(),
    ] {
        match refused {
            EnqueueError::InBatch { index: 1, source } => assert_told(&source),
            other => panic!("{other:?}"),
        }
    }
    // Manually, like relays and unsupported drivers.
    let metadata = large.metadata_json().unwrap();
    let event = NewEvent::new("note", 1, "u1", Operation::Create).with_metadata(metadata);
    assert_told(&SqliteInsert::new(&event).unwrap_err());
    assert_told(&store.create_event(event.clone()).await.unwrap_err());
    assert_told(&memory.create_event(event).await.unwrap_err());
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    assert_eq!(memory.statistics(None).await.unwrap().total_events, 0);
    // The largest permitted size.
    let most = "x".repeat(NewEvent::MAX_METADATA_BYTES - r#"{"text":""}"#.len());
    let largest = Note {
        text: most,
        ..note(1)
    };
    largest.enqueue_sync().on(store).await.unwrap();
}

/// Rows that others have written with SQL may exceed the limits.
#[tokio::test]
async fn large_rows_are_claimed_in_small_batches_and_too_large_ones_die_unread() {
    const MIB: usize = 1 << 20;
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for id in 0..6 {
        note(id).enqueue_sync().on(store).await.unwrap();
    }
    let conn = temporary.connect();
    let write = |id: i64, size: usize| {
        conn.execute(
            "UPDATE outbox_events SET metadata = ?2 WHERE entity_id = ?1",
            (id, format!("\"{}\"", "x".repeat(size - 2))),
        )
        .unwrap();
    };
    for id in [0, 1, 3, 4] {
        write(id, 7 * MIB);
    }
    write(2, ClaimRequest::MAX_METADATA_BYTES + 1);
    let mut sizes = Vec::new();
    loop {
        let claims = store.claim(&ClaimRequest::new(100, LEASE)).await.unwrap();
        if claims.is_empty() {
            break;
        }
        let size =
            |claim: &outbox_runtime::store::Claim| claim.event.metadata.as_ref().unwrap().len();
        let loaded: usize = claims.iter().map(size).sum();
        assert!(loaded < ClaimRequest::MAX_METADATA_BYTES + 7 * MIB);
        sizes.push(claims.len());
    }
    assert_eq!(sizes, [3, 2], "0, 1 and 3; then 4 and 5");
    let dead = conn
        .query_row(
            "SELECT dead_reason, error_message, octet_length(metadata) FROM outbox WHERE status = 'dead'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    let told = "column metadata: 16777217 bytes exceed the limit of 16777216";
    let (reason, message, size): (String, String, u32) = dead;
    assert_eq!(reason, DeadReason::Undecodable.as_str());
    assert_eq!(message, told);
    assert_eq!(
        usize::try_from(size).unwrap(),
        ClaimRequest::MAX_METADATA_BYTES + 1,
        "no event is lost"
    );
}

/// A lock that is never released: callers that wait for a place in the queue, and callers in the
/// queue, all get an answer in the end.
#[tokio::test]
async fn ten_thousand_producers_on_a_locked_file_are_all_answered() {
    const PRODUCERS: i64 = 10_000;
    let temporary = Temporary::open_with(|builder| {
        builder
            .queue_bound(256)
            .busy_timeout(Duration::from_millis(10))
    })
    .await;
    let store = &temporary.store;
    let produce = || async {
        let producers = (0..PRODUCERS).map(|id| {
            let store = store.clone();
            tokio::spawn(async move { note(id).enqueue_sync().on(&store).await })
        });
        let producers: Vec<_> = producers.collect();
        let mut answers = Vec::new();
        for producer in producers {
            answers.push(within(producer).await.unwrap());
        }
        answers
    };
    let rival = temporary.connect();
    rival.execute_batch("BEGIN IMMEDIATE").unwrap();
    for answer in produce().await {
        match answer {
            Err(EnqueueError::Store(error)) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                assert!(error.is_transient());
            }
            other => panic!("{other:?}"),
        }
    }
    rival.execute_batch("ROLLBACK").unwrap();
    assert!(produce().await.iter().all(Result::is_ok));
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(statistics.pending_count, PRODUCERS.unsigned_abs());
}

#[tokio::test(flavor = "current_thread")]
async fn refused_credentials_of_many_users_are_refreshed_one_at_a_time() {
    const USERS: usize = 300;
    let store = MemoryStore::with_clock(ManualClock::new());
    let refreshed = Arc::new(Mutex::new(BTreeSet::new()));
    let (has_access, hook) = (refreshed.clone(), refreshed.clone());
    let may_refresh = Arc::new(tokio::sync::Semaphore::new(0));
    let permits = may_refresh.clone();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let running = Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let is_let_in = has_access.lock().unwrap().contains(&event.user_id);
            if !is_let_in {
                count.fetch_add(1, Ordering::SeqCst);
            }
            std::future::ready(if is_let_in {
                Ok(())
            } else {
                Err(HandlerError::unauthenticated())
            })
        })
        .on_unauthenticated(move |user| {
            let (permits, hook) = (permits.clone(), hook.clone());
            async move {
                permits.acquire().await.unwrap().forget();
                assert!(hook.lock().unwrap().insert(user), "one refresh per user");
                Ok(())
            }
        })
        .build()
        .unwrap()
        .start_all_users();
    for number in 0..USERS {
        let id = i64::try_from(number).unwrap();
        let change = note_of(&format!("user {number}"), id).enqueue_sync();
        enqueue(&store, change).await;
    }
    let mut seen = store.revision();
    while refused.load(Ordering::SeqCst) < USERS {
        seen = within(store.changed(seen)).await;
    }
    // The run, its handlers, and one refresh for all waiting events.
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert!(tasks <= 1 + 3 + 1, "{tasks} tasks");
    may_refresh.add_permits(USERS);
    for id in 0..i64::try_from(USERS).unwrap() {
        let flushed = within(running.flush(id, SOON)).await.unwrap();
        assert!(flushed.is_delivered());
    }
    assert_eq!(refreshed.lock().unwrap().len(), USERS);
    assert_eq!(refused.load(Ordering::SeqCst), USERS);
    within(running.stop()).await.unwrap();
}

/// A service that is down for a while, and whether too many call it at once.
#[derive(Default)]
struct Service {
    is_up: std::sync::atomic::AtomicBool,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

const EVENTS: i64 = 200;
const CONCURRENCY: usize = 4;

impl Service {
    fn start(self: &Arc<Self>, store: &Arc<dyn OutboxRepository>, down: Down) -> Running {
        let service = self.clone();
        Processor::builder(store.clone())
            .handle::<Note>(move |_| {
                let service = service.clone();
                async move {
                    service.calls.fetch_add(1, Ordering::SeqCst);
                    let at_once = 1 + service.at_once.fetch_add(1, Ordering::SeqCst);
                    service.most_at_once.fetch_max(at_once, Ordering::SeqCst);
                    for _ in 0..10 {
                        tokio::task::yield_now().await;
                    }
                    service.at_once.fetch_sub(1, Ordering::SeqCst);
                    match down {
                        _ if service.is_up.load(Ordering::SeqCst) => Ok(()),
                        Down::Refusing => Err(HandlerError::retry("503")),
                        Down::Unreachable => Err(HandlerError::offline()),
                    }
                }
            })
            .max_concurrency(CONCURRENCY)
            .charge(match down {
                Down::Refusing => Charge::Always,
                Down::Unreachable => Charge::Evidence,
            })
            // So that only probes have deadlines within this hour.
            .cleanup_interval(2 * HOUR)
            .build()
            .unwrap()
            .start_all_users()
    }

    fn come_back(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }

    async fn assert_all_delivered(&self, running: Running) {
        for id in 0..EVENTS {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert_eq!(self.most_at_once.load(Ordering::SeqCst), CONCURRENCY);
        within(running.stop()).await.unwrap();
    }
}

#[derive(Clone, Copy)]
enum Down {
    Refusing,
    Unreachable,
}

#[test]
fn events_that_fail_together_are_retried_spread_out_and_within_the_limit() {
    on_each_store(|store, clock| async move {
        for id in 0..EVENTS {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        let service = Arc::new(Service::default());
        let running = service.start(&store, Down::Refusing);
        let began = clock.now();
        let mut seen = store.revision();
        while store.statistics(None).await.unwrap().failed_count < EVENTS.unsigned_abs() {
            seen = within(store.changed(seen)).await;
        }
        let failed = store
            .fetch_events(OutboxStatus::Failed, None, None)
            .await
            .unwrap();
        let due: BTreeSet<_> = failed.iter().map(|event| event.next_attempt_at).collect();
        assert!(due.len() > failed.len() * 9 / 10, "{} times", due.len());
        let delays = due.iter().map(|due| (*due - began).to_std().unwrap());
        let (earliest, latest) = (delays.clone().min().unwrap(), delays.max().unwrap());
        assert!(earliest >= Duration::from_secs(1));
        assert!(latest - earliest > Duration::from_millis(150));
        assert!(latest <= Duration::from_millis(1_200));
        service.come_back();
        clock.set(*due.last().unwrap());
        service.assert_all_delivered(running).await;
        assert_eq!(service.calls.load(Ordering::SeqCst), 2 * failed.len());
    });
}

#[test]
fn a_service_that_cannot_be_reached_for_an_hour_is_asked_by_one_probe_at_a_time() {
    on_each_store(|store, clock| async move {
        for id in 0..EVENTS {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        let service = Arc::new(Service::default());
        let running = service.start(&store, Down::Unreachable);
        let began = clock.now();
        let (mut delay, mut probes) = (1, 0);
        while clock.now() < began + HOUR {
            let probe_at = clock.now() + Duration::from_secs(delay);
            within(clock.until_asleep(probe_at)).await;
            let calls = service.calls.load(Ordering::SeqCst);
            // The calls in progress, and four that showed that the events are not at fault.
            assert_eq!(calls, CONCURRENCY + 4 + probes, "one call per probe");
            clock.set(probe_at);
            delay = (2 * delay).min(60);
            probes += 1;
        }
        let next = clock.now() + Duration::from_secs(delay);
        within(clock.until_asleep(next)).await;
        service.come_back();
        clock.set(next);
        service.assert_all_delivered(running).await;
        let pending = store.statistics(None).await.unwrap().pending_count;
        assert_eq!(pending, 0);
    });
}

/// Ten thousand long leases, older than the few that have ended.
#[tokio::test]
async fn a_rescue_reaches_expired_leases_behind_many_live_ones() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let store = &temporary.store;
    let notes: Vec<_> = (0..10_003).map(note).collect();
    enqueue_all(&notes).on(store).await.unwrap();
    let live = store.claim(&ClaimRequest::new(10_000, HOUR)).await.unwrap();
    assert_eq!(live.len(), 10_000);
    let dead = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
    assert_eq!(dead.len(), 3);
    clock.advance(LEASE);
    let rescued = store.rescue().await.unwrap();
    assert_eq!((rescued.requeued, rescued.buried), (3, 0));
    assert_eq!(store.rescue().await.unwrap(), Rescued::default());

    // The same for clean-up: the young events are newer than the old ones, which fill more than one
    // batch.
    let complete = |claims: &[outbox_runtime::store::Claim]| {
        let settlements = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        });
        store.settle(settlements.collect())
    };
    complete(&live[..2_500]).await.unwrap();
    clock.advance(LEASE);
    let limit = clock.now();
    complete(&live[2_500..]).await.unwrap();
    assert_eq!(store.delete_completed_events(limit).await.unwrap(), 2_500);
    assert_eq!(store.delete_completed_events(limit).await.unwrap(), 0);
    let left = store.statistics(None).await.unwrap();
    assert_eq!(
        (left.completed_count, left.pending_count + left.failed_count),
        (7_500, 3)
    );
}

/// A text is cut between two characters, and marked as cut.
#[test]
fn an_error_text_is_cut_at_a_character_and_fits() {
    on_each_store(|store, _| async move {
        // Shifted by one byte each, so that the limit falls on each byte of a character.
        for shift in 0..4 {
            let created = enqueue(&store, note(shift).enqueue_sync()).await;
            let claim = store.mark_as_processing(created.id, LEASE).await.unwrap();
            let shift = usize::try_from(shift).unwrap();
            let text = "x".repeat(shift) + &"😀".repeat(1 << 18);
            store.mark_as_failed(&claim.lease, &text).await.unwrap();
            let failed = store.fetch_event(created.id).await.unwrap().unwrap();
            let kept = failed.error_message.unwrap();
            let most = outbox_runtime::store::MAX_MESSAGE_BYTES;
            assert!((most - 6..=most).contains(&kept.len()), "{}", kept.len());
            assert!(text.starts_with(kept.strip_suffix('…').unwrap()));
        }
    });
}

#[test]
fn an_error_text_at_the_limit_is_kept_whole() {
    on_each_store(|store, _| async move {
        let created = enqueue(&store, note(1).enqueue_sync()).await;
        let claim = store.mark_as_processing(created.id, LEASE).await.unwrap();
        let text = "x".repeat(outbox_runtime::store::MAX_MESSAGE_BYTES);
        store.mark_as_failed(&claim.lease, &text).await.unwrap();
        let failed = store.fetch_event(created.id).await.unwrap().unwrap();
        assert_eq!(failed.error_message, Some(text));
    });
}

/// Errors about metadata report only its length.
#[test]
fn a_refusal_for_size_shows_nothing_of_the_content() {
    let secret = "s3cr3t".repeat(NewEvent::MAX_METADATA_BYTES);
    let event = NewEvent::new("note", 1, "u1", Operation::Create)
        .with_metadata(RawMetadata::from_bytes(secret));
    let refused = event.validate().unwrap_err();
    assert!(!refused.to_string().contains("s3cr3t"));
}
