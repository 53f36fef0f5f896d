//! No starvation: the largest and most urgent backlog of one user delays nobody else. Measured in
//! deliveries, not in time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{
    Durability, NewEvent, Processor, RawMetadata, SignOut, WaitsFor, enqueue_all, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Broken, Flaw, Note, Temporary, enqueue, note_of, on_each_store, within};
use tokio::sync::{Notify, watch};

const BATCH: usize = 100;
const CONCURRENCY: usize = 16;
const SOON: Duration = Duration::from_secs(30);
/// Sorts between the other users.
const GIANT: &str = "user 5 with the backlog";
const URGENT: i32 = 9;

fn small(number: i64) -> Note {
    note_of(&format!("user {number}"), number)
}

/// Number of deliveries until the first one of each user.
#[derive(Default)]
struct Deliveries {
    count: usize,
    of_giant: usize,
    first: HashMap<String, usize>,
}

/// Delivers until each of these users had a delivery, or up to a limit.
async fn deliver(store: &Arc<dyn OutboxRepository>, users: usize, most: usize) -> Deliveries {
    let deliveries = Arc::new(Mutex::new(Deliveries::default()));
    let over = Arc::new(Notify::new());
    let (seen, tell) = (deliveries.clone(), over.clone());
    let running = Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let seen = &mut *seen.lock().unwrap();
            seen.count += 1;
            seen.of_giant += usize::from(event.user_id == GIANT);
            let count = seen.count;
            seen.first.entry(event.user_id.clone()).or_insert(count);
            if seen.first.len() == users || count >= most {
                tell.notify_one();
            }
            std::future::ready(Ok(()))
        })
        .batch_size(BATCH)
        .max_concurrency(CONCURRENCY)
        .build()
        .unwrap()
        .start_all_users();
    within(over.notified()).await;
    within(running.stop()).await.unwrap();
    std::mem::take(&mut *deliveries.lock().unwrap())
}

/// Checks the longest wait, and the share of deliveries in claim order until then.
fn assert_fair(deliveries: &Deliveries, users: usize) {
    assert_eq!(deliveries.first.len(), users, "every user must have a turn");
    let longest = deliveries.first.values().max().unwrap();
    // One turn in four claims, and the batch of the last one.
    let bound = 4 * users + 2 * BATCH;
    assert!(*longest <= bound, "{longest} deliveries, not {bound}");
    let urgent = deliveries.of_giant * 4;
    assert!(
        urgent >= deliveries.count * 3 - 4 * BATCH,
        "claim order must have three quarters: {urgent} / 4 of {}",
        deliveries.count
    );
}

/// Ten thousand users with one event each, and one with a hundred thousand that are older and more
/// urgent. Without optimization a quarter of it, to keep the test short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_one_user_delays_nobody_else() {
    let scale = if cfg!(debug_assertions) { 4 } else { 1 };
    let (users, backlog) = (10_000 / scale, 100_000 / i64::from(scale));
    let temporary = Temporary::open_with(|builder| builder.durability(Durability::Normal)).await;
    let large: Vec<_> = (0..backlog).map(|id| note_of(GIANT, id)).collect();
    let change = enqueue_all(&large).priority(URGENT);
    change.on(&temporary.store).await.unwrap();
    let others: Vec<_> = (0..i64::from(users)).map(small).collect();
    enqueue_all(&others).on(&temporary.store).await.unwrap();
    let store: Arc<dyn OutboxRepository> = Arc::new(temporary.store.clone());
    let users = usize::try_from(users).unwrap() + 1;
    let most = usize::try_from(backlog).unwrap();
    assert_fair(&deliver(&store, users, most).await, users);
}

async fn unequal(store: &Arc<dyn OutboxRepository>, users: i64, backlog: i64) {
    for id in 0..backlog {
        let id = 1_000_000 + id;
        enqueue(store, note_of(GIANT, id).enqueue_sync().priority(URGENT)).await;
    }
    for number in 0..users {
        enqueue(store, small(number).enqueue_sync()).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_store_without_turns_is_caught() {
    for (flaw, is_fair) in [(Flaw::None, true), (Flaw::IgnoresTurns, false)] {
        let store: Arc<dyn OutboxRepository> = Arc::new(Broken::new(flaw, ManualClock::new()));
        unequal(&store, 100, 2_000).await;
        let deliveries = deliver(&store, 101, 1_500).await;
        assert_eq!(deliveries.first.len() == 101, is_fair, "{flaw:?}");
        if is_fair {
            assert_fair(&deliveries, 101);
        }
    }
}

/// A large note of the user with the large backlog.
fn large(id: i64) -> NewEvent {
    let text = "x".repeat(NewEvent::MAX_METADATA_BYTES - 2);
    NewEvent::new("note", id, GIANT, Operation::Create)
        .with_priority(URGENT)
        .with_metadata(RawMetadata::from_bytes(format!("\"{text}\"")))
}

#[test]
fn large_metadata_takes_no_turns_away() {
    on_each_store(|store, _| async move {
        for id in 0..40 {
            store.create_event(large(id)).await.unwrap();
        }
        for number in 0..25 {
            enqueue(&*store, small(number).enqueue_sync()).await;
        }
        let request = ClaimRequest::new(64, SOON).with_turns(16, "");
        let claims = store.claim(&request).await.unwrap();
        let of_giant = claims.iter().filter(|claim| claim.event.user_id == GIANT);
        let of_giant = of_giant.count();
        let of_others = claims.len() - of_giant;
        assert!(
            of_others >= 15,
            "{of_others} of the others and {of_giant} of the giant"
        );
        let bytes: usize = claims
            .iter()
            .filter_map(|claim| Some(claim.event.metadata.as_ref()?.len()))
            .sum();
        assert!(bytes <= ClaimRequest::MAX_METADATA_BYTES + NewEvent::MAX_METADATA_BYTES);
        // After everybody else had a turn, the rest belongs to the giant again.
        let after = claims
            .last()
            .map_or(String::new(), |claim| claim.event.user_id.clone());
        let request = ClaimRequest::new(64, SOON).with_turns(16, after);
        let claims = store.claim(&request).await.unwrap();
        let of_giant = claims.iter().filter(|claim| claim.event.user_id == GIANT);
        assert!(of_giant.count() >= 12);
    });
}

/// A new user is served within the same bound, although all others have more than enough.
#[test]
fn users_who_arrive_later_get_their_turn_too() {
    outbox_tests::on_each_store(|store, _| async move {
        for number in 0..20 {
            for id in 0..60 {
                enqueue(
                    &store,
                    note_of(&format!("user {number}"), 100 * number + id).enqueue_sync(),
                )
                .await;
            }
        }
        let late = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(Notify::new());
        let (seen, tell, inside) = (late.clone(), over.clone(), store.clone());
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let running = Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                let (seen, tell, store) = (seen.clone(), tell.clone(), inside.clone());
                let count = 1 + count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                async move {
                    if count.is_multiple_of(100) && count <= 500 {
                        let user = format!("late {count}");
                        let change = note_of(&user, 10_000).enqueue_sync().priority(-9);
                        enqueue(&store, change).await;
                    }
                    if let Some(since) = event.user_id.strip_prefix("late ") {
                        let since: usize = since.parse().unwrap();
                        let seen = &mut *seen.lock().unwrap();
                        seen.push(count - since);
                        if seen.len() == 5 {
                            tell.notify_one();
                        }
                    }
                    Ok(())
                }
            })
            .max_concurrency(1)
            .batch_size(10)
            .build()
            .unwrap()
            .start_all_users();
        within(over.notified()).await;
        within(running.stop()).await.unwrap();
        for waited in late.lock().unwrap().iter() {
            assert!(*waited <= 4 * 25 + 2 * 10, "{waited} deliveries");
        }
    });
}

/// Users whose events may not be sent get no turn, and take no turn from others.
#[test]
fn turns_skip_paused_users() {
    outbox_tests::on_each_store(|store, _| async move {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = sent.clone();
        let running = Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                seen.lock().unwrap().push(event.user_id.clone());
                std::future::ready(Ok(()))
            })
            .max_concurrency(1)
            .build()
            .unwrap()
            .start_all_users();
        let paused = [GIANT, "user 7", "user 8"];
        for user in paused {
            let how = SignOut::Drain { deadline: SOON };
            within(running.sign_out(user, how)).await.unwrap();
        }
        unequal(&store, 30, 200).await;
        for number in (0..30).filter(|number| ![7, 8].contains(number)) {
            let flushed = within(running.flush(number, SOON)).await.unwrap();
            assert!(flushed.is_delivered());
        }
        within(running.stop()).await.unwrap();
        let sent = sent.lock().unwrap();
        assert_eq!(sent.len(), 28);
        assert!(!sent.iter().any(|user| paused.contains(&user.as_str())));
    });
}

/// Users whose quota is used up, until it is lifted.
struct Quotas {
    running: Running,
    calls: watch::Receiver<usize>,
    delivered: watch::Receiver<usize>,
    is_over: Arc<AtomicBool>,
}

impl Quotas {
    /// Each of these users has a refused event.
    async fn used_up(store: &(impl OutboxRepository + Clone), users: std::ops::Range<i64>) -> Self {
        let (call, calls) = watch::channel(0);
        let (deliver, delivered) = watch::channel(0);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let running = Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                let is_refused = event.user_id != "other" && !over.load(Ordering::SeqCst);
                let count = if is_refused { &call } else { &deliver };
                count.send_modify(|count| *count += 1);
                std::future::ready(if is_refused {
                    Err(HandlerError::unavailable("quota").for_user())
                } else {
                    Ok(())
                })
            })
            .build()
            .unwrap()
            .start_all_users();
        for user in users {
            enqueue(store, small(user).enqueue_sync()).await;
        }
        Self {
            running,
            calls,
            delivered,
            is_over,
        }
    }
}

/// Pauses are compared with each other only where a probe may be due.
#[tokio::test]
async fn many_refused_users_delay_nobody_else() {
    let clock = ManualClock::new();
    let made = Temporary::open_with(|builder| {
        let builder = builder.clock(clock);
        builder.durability(Durability::Normal).single_process()
    });
    let made = made.await;
    let store = &made.store;
    let mut quotas = Quotas::used_up(store, 0..1_200).await;
    for id in -20..0 {
        enqueue(store, note_of("other", id).enqueue_sync()).await;
    }
    within(quotas.delivered.wait_for(|count| *count == 20))
        .await
        .unwrap();
    quotas.running.stop().await.unwrap();
}

/// A round of probes makes a limited number of claims.
#[tokio::test]
async fn a_probe_is_made_although_many_others_have_no_events() {
    const USERS: usize = 100;
    for last in [0, 33, 66, 99] {
        let clock = ManualClock::new();
        let store = MemoryStore::with_clock(clock.clone());
        let mut quotas = Quotas::used_up(&store, 0..100).await;
        within(quotas.calls.wait_for(|count| *count == USERS))
            .await
            .unwrap();
        // The run has processed the refusals.
        let explained = quotas.running.explain(99).await.unwrap();
        assert!(matches!(explained.waits_for, WaitsFor::Outage(_)));
        for user in (0..100).filter(|user| *user != last) {
            let user = small(user).user_id;
            let gone = store.delete_all_events_for_user(&user);
            assert_eq!(gone.await.unwrap(), 1);
        }
        quotas.is_over.store(true, Ordering::SeqCst);
        // The run sleeps again, and only the end of the pauses wakes it.
        quotas.running.explain(last).await.unwrap();
        clock.advance(Duration::from_secs(60));
        within(quotas.delivered.wait_for(|count| *count == 1))
            .await
            .unwrap();
        quotas.running.stop().await.unwrap();
    }
}
