//! Limits: how many calls to a destination are under way at once, and how often one begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::{
    Batch, Batching, BuildError, Clock, HandlerSet, Processor, ProcessorBuilder, WaitsFor,
    prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Remote, Temporary, enqueue, note, note_of, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
const SLOW: &str = "slow.example.org";
const FAST: &str = "fast.example.org";

/// An entity that names its destination.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "parcel", destination = &self.to)]
struct Parcel {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    to: String,
}

fn parcel(id: i64, to: &str) -> Parcel {
    parcel_of("u1", id, to)
}

fn parcel_of(user_id: &str, id: i64, to: &str) -> Parcel {
    Parcel {
        id,
        user_id: user_id.to_owned(),
        to: to.to_owned(),
    }
}

/// Counts the calls under way at each destination, and remembers when each began.
#[derive(Clone)]
struct Service {
    clock: ManualClock,
    takes: Duration,
    state: Arc<Mutex<BTreeMap<Option<String>, Seen>>>,
}

#[derive(Default)]
struct Seen {
    under_way: usize,
    most_under_way: usize,
    begins: Vec<DateTime<Utc>>,
    /// The entities, in the order of the calls.
    entities: Vec<i64>,
    users: Vec<String>,
}

/// A call under way, until it is dropped.
struct UnderWay(Service, Option<String>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.seen(&self.1, |seen| seen.under_way -= 1);
    }
}

impl Service {
    fn new(clock: &ManualClock, takes: Duration) -> Self {
        Self {
            clock: clock.clone(),
            takes,
            state: Arc::default(),
        }
    }

    fn seen<T>(&self, destination: &Option<String>, read: impl FnOnce(&mut Seen) -> T) -> T {
        read(
            self.state
                .lock()
                .unwrap()
                .entry(destination.clone())
                .or_default(),
        )
    }

    async fn call(&self, events: &[OutboxEvent]) {
        let first = events.first().unwrap();
        let now = self.clock.now();
        self.seen(&first.destination, |seen| {
            seen.under_way += 1;
            seen.most_under_way = seen.most_under_way.max(seen.under_way);
            seen.begins.push(now);
            for event in events {
                seen.entities.push(event.entity_id.as_integer().unwrap());
                seen.users.push(event.user_id.clone());
            }
        });
        let _under_way = UnderWay(self.clone(), first.destination.clone());
        if self.takes.is_zero() {
            tokio::task::yield_now().await;
        } else {
            self.clock.sleep(self.takes).await;
        }
    }

    fn handlers<E: OutboxEntity>(&self) -> HandlerSet {
        let service = self.clone();
        HandlerSet::new().with::<E>(move |event| {
            let service = service.clone();
            async move {
                service.call(&[event.into_record()]).await;
                Ok(())
            }
        })
    }

    fn batch_handlers<E: OutboxEntity>(&self, batching: Batching) -> HandlerSet {
        let service = self.clone();
        HandlerSet::new().with_batch::<E>(batching, move |batch: Batch<Event<E>>| {
            let service = service.clone();
            async move {
                let events: Vec<OutboxEvent> =
                    batch.iter().map(|event| (**event).clone()).collect();
                service.call(&events).await;
                Ok(())
            }
        })
    }

    fn delivered(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.values().map(|seen| seen.entities.len()).sum()
    }

    fn most_under_way(&self, destination: &str) -> usize {
        self.seen(&Some(destination.to_owned()), |seen| seen.most_under_way)
    }
}

/// The most calls that began within a period of this length, wherever it starts.
fn most_within(begins: &[DateTime<Utc>], period: Duration) -> usize {
    let period = TimeDelta::from_std(period).unwrap();
    let counts = begins.iter().enumerate().map(|(at, first)| {
        let later = begins[at..].iter();
        later.take_while(|begin| **begin - *first < period).count()
    });
    counts.max().unwrap_or(0)
}

/// All tasks are idle; for one thread, where no task waits for another thread.
async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A store without threads.
fn on_memory<F: Future<Output = ()>>(
    case: impl FnOnce(Arc<dyn OutboxRepository>, ManualClock) -> F,
) {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(case(Arc::new(store), clock));
}

/// Moves the clock from deadline to deadline until this many events were in calls. For stores
/// without threads.
async fn let_time_pass_until(service: &Service, delivered: usize) {
    loop {
        settled().await;
        if service.delivered() >= delivered {
            break;
        }
        let next = service
            .clock
            .next_deadline()
            .expect("the run waits for nothing");
        service.clock.set(next);
    }
}

fn build(
    store: &Arc<dyn OutboxRepository>,
    set: HandlerSet,
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> Processor {
    let builder = Processor::builder(Arc::clone(store)).handlers(set);
    configure(builder.max_concurrency(8)).build().unwrap()
}

async fn with_status(store: &dyn OutboxRepository, status: OutboxStatus) -> Vec<OutboxEvent> {
    store.fetch_events(status, None, None).await.unwrap()
}

#[test]
fn no_more_calls_than_the_limit_are_under_way_and_the_rest_waits_in_the_store() {
    on_each_store(|store, _| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..6 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
            enqueue(&*store, parcel(id + 100, FAST).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let running = processor.start("u1");
        let mut held = Vec::new();
        let mut fast = 0;
        while fast < 6 || held.len() < 2 {
            let call = remote.next().await;
            match call.event.destination.as_deref() {
                Some(SLOW) => held.push(call),
                _ => {
                    fast += 1;
                    call.ok();
                }
            }
            assert!(held.len() <= 2);
        }
        for id in 100..106 {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        // Unclaimed, not waiting in memory.
        let claimed = with_status(&*store, OutboxStatus::Processing).await;
        assert_eq!(claimed.len(), 2);
        let waiting = with_status(&*store, OutboxStatus::Pending).await;
        assert_eq!(waiting.len(), 4);
        assert!(waiting.iter().all(|event| event.lease_token.is_none()));
        assert!(waiting.iter().all(|event| event.attempt_count == 0));
        let explanation = within(running.explain(waiting[0].entity_id.clone()))
            .await
            .unwrap();
        let limit = WaitsFor::Limit {
            destination: Some(SLOW.to_owned()),
            until: None,
        };
        assert_eq!(explanation.waits_for, limit);
        let told = "one of the calls that are under way to end: destination \"slow.example.org\" has a limit";
        assert_eq!(explanation.waits_for.to_string(), told);
        // Each call that ends makes room for one.
        for _ in 0..4 {
            held.remove(0).ok();
            held.push(remote.next().await);
            assert!(remote.is_quiet());
        }
        for call in held {
            call.ok();
        }
        for id in 0..6 {
            assert!(
                within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn events_without_a_destination_have_a_limit_of_their_own() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..20 {
            enqueue(&*store, note(id).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Note>(), |builder| {
            builder.limit(None, 3).limit(SLOW, 1)
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 20).await;
        assert_eq!(service.seen(&None, |seen| seen.most_under_way), 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_destination_that_waits_for_its_limit_does_not_keep_others_waiting() {
    for order in [[SLOW, FAST], [FAST, SLOW]] {
        on_memory(|store, clock| async move {
            let service = Service::new(&clock, SECOND);
            // Many that are older and more urgent, to the limited destination.
            for id in 0..200 {
                let change = parcel(id, SLOW).enqueue_sync().priority(9);
                enqueue(&*store, change).await;
            }
            for id in 1000..1030 {
                enqueue(&*store, parcel(id, FAST).enqueue_sync()).await;
            }
            let processor = build(&store, service.handlers::<Parcel>(), |builder| {
                builder
                    .max_concurrency(4)
                    .limit(order[0], 3)
                    .limit(order[1], 3)
            });
            let running = processor.start("u1");
            // One place of four is left for the others, so they take 30 s.
            for _ in 0..32 {
                settled().await;
                clock.advance(SECOND);
            }
            settled().await;
            let fast = service.seen(&Some(FAST.to_owned()), |seen| seen.entities.len());
            assert_eq!(fast, 30);
            assert_eq!(service.most_under_way(SLOW), 3);
            // The places of the others are not lost to them either.
            let slow = service.seen(&Some(SLOW.to_owned()), |seen| seen.entities.len());
            assert!(slow >= 32 * 2, "{slow}");
            running.detach();
        });
    }
}

#[test]
fn no_user_starves_behind_the_backlog_of_another_at_a_limited_destination() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..500 {
            let change = parcel_of("giant", id, SLOW).enqueue_sync().priority(9);
            enqueue(&*store, change).await;
        }
        let users = ["ada", "ben", "eve", "zoe"];
        for (id, user) in (1000..).zip(users) {
            enqueue(&*store, parcel_of(user, id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 2)
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 60).await;
        let told = service.seen(&Some(SLOW.to_owned()), |seen| seen.users.clone());
        for user in users {
            assert!(told.iter().any(|of| of == user), "{user}");
        }
        running.detach();
    });
}

#[test]
fn the_events_of_an_entity_keep_their_order_within_a_limit() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        let mut sent = Vec::new();
        for _ in 0..5 {
            for id in 0..4 {
                let event = enqueue(&*store, parcel(id, SLOW).enqueue_update()).await;
                sent.push((event.seq, id));
            }
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 2)
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 20).await;
        clock.advance(SECOND);
        settled().await;
        let completed = with_status(&*store, OutboxStatus::Completed).await;
        assert_eq!(completed.len(), 20);
        for id in 0..4_i64 {
            let mut of_entity: Vec<&OutboxEvent> = completed
                .iter()
                .filter(|event| event.entity_id.as_integer() == Some(id))
                .collect();
            of_entity.sort_by_key(|event| event.completed_at);
            assert!(of_entity.is_sorted_by_key(|event| event.seq));
        }
        assert_eq!(service.most_under_way(SLOW), 2);
        running.stop().await.unwrap();
    });
}

#[test]
fn quick_handlers_do_not_make_a_run_claim_more_than_the_limit() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, Duration::ZERO);
        for id in 0..2_000 {
            let to = if id % 2 == 0 { SLOW } else { FAST };
            enqueue(&*store, parcel(id, to).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.limit(SLOW, 1)
        });
        let running = processor.start("u1");
        settled().await;
        for id in 0..2_000 {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert_eq!(service.most_under_way(SLOW), 1);
        running.stop().await.unwrap();
        let completed = with_status(&*store, OutboxStatus::Completed).await;
        assert!(completed.iter().all(|event| event.attempt_count == 1));
    });
}

#[test]
fn the_runs_of_a_processor_share_its_limits() {
    on_each_store(|store, _| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..2 {
            enqueue(&*store, parcel_of("u1", id, SLOW).enqueue_sync()).await;
        }
        for id in 10..14 {
            enqueue(&*store, parcel_of("u2", id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let one = processor.start("u1");
        let first = remote.next().await;
        let second = remote.next().await;
        let two = processor.start("u2");
        let explanation = within(two.explain(10)).await.unwrap();
        assert!(
            matches!(
                explanation.waits_for,
                WaitsFor::Limit { until: None, .. } | WaitsFor::Worker
            ),
            "{explanation}"
        );
        assert!(remote.is_quiet());
        // The run that has the places ends: the other one learns that they are free.
        let stopping = tokio::spawn(async move { one.stop().await });
        first.ok();
        second.ok();
        within(stopping).await.unwrap().unwrap();
        let mut held = vec![remote.next().await, remote.next().await];
        assert!(held.iter().all(|call| call.event.user_id == "u2"));
        // With both running, each call that ends makes room for one of either.
        for id in 2..4 {
            enqueue(&*store, parcel_of("u1", id, SLOW).enqueue_sync()).await;
        }
        let again = processor.start("u1");
        for _ in 0..4 {
            held.remove(0).ok();
            held.push(remote.next().await);
            assert!(remote.is_quiet());
        }
        for call in held {
            call.ok();
        }
        for (run, ids) in [(&again, 0..4), (&two, 10..14)] {
            for id in ids {
                assert!(within(run.flush(id, SOON)).await.unwrap().is_delivered());
            }
        }
        within(again.stop()).await.unwrap();
        within(two.stop()).await.unwrap();
    });
}

#[test]
fn the_pace_is_never_exceeded_wherever_a_period_starts() {
    let paces = [
        (Pace::per_second(10), SECOND, 10),
        (Pace::per_second(3), SECOND, 3),
        (Pace::per_minute(7), SECOND * 60, 7),
        (Pace::per_second(10).burst(5), SECOND, 14),
        (Pace::per_second(200).burst(20), SECOND, 219),
    ];
    for (pace, period, most) in paces {
        for takes in [Duration::ZERO, SECOND / 3, SECOND * 2] {
            on_memory(|store, clock| async move {
                let count = most * 3;
                let service = Service::new(&clock, takes);
                for id in 0..i64::try_from(count).unwrap() {
                    enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
                }
                let begin = clock.now();
                let processor = build(&store, service.handlers::<Parcel>(), |builder| {
                    builder.max_concurrency(2000).pace(SLOW, pace)
                });
                let running = processor.start("u1");
                let_time_pass_until(&service, count).await;
                let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
                let found = most_within(&begins, period);
                assert!(found <= most, "{found} calls, not {most}: {pace:?}");
                // It is not slower than it has to be either.
                let took = (clock.now() - begin).to_std().unwrap();
                let calls = u32::try_from(count).unwrap() - pace.burst_size();
                let least = pace.distance() * calls;
                assert!(took >= least, "{took:?}, not {least:?}");
                assert!(
                    took <= least + least / 50 + SECOND / 20,
                    "{took:?}, not {least:?}"
                );
                running.detach();
            });
        }
    }
}

#[test]
fn without_a_pace_the_same_calls_exceed_it() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 3);
        for id in 0..30 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.max_concurrency(1000)
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 30).await;
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert_eq!(most_within(&begins, SECOND), 30);
        running.detach();
    });
}

#[test]
fn an_event_that_waits_for_the_pace_says_until_when_and_is_not_claimed() {
    on_each_store(|store, clock| async move {
        let (mut remote, set) = Remote::of::<Parcel>();
        for id in 0..2 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let processor = build(&store, set, |builder| {
            builder.pace(SLOW, Pace::per_minute(1))
        });
        let running = processor.start("u1");
        let begun = clock.now();
        remote.next().await.ok();
        assert!(within(running.flush(0, SOON)).await.unwrap().is_delivered());
        let next = begun + TimeDelta::seconds(60);
        within(clock.until_asleep(next)).await;
        let explanation = within(running.explain(1)).await.unwrap();
        let limit = WaitsFor::Limit {
            destination: Some(SLOW.to_owned()),
            until: Some(next),
        };
        assert_eq!(explanation.waits_for, limit);
        let told = "its turn in the pace of calls, at 2026-01-01 00:01:00 UTC: destination \"slow.example.org\" has a limit";
        assert_eq!(explanation.waits_for.to_string(), told);
        assert_eq!(with_status(&*store, OutboxStatus::Pending).await.len(), 1);
        clock.advance(SECOND * 59);
        within(clock.until_asleep(next)).await;
        assert!(remote.is_quiet());
        clock.advance(SECOND);
        remote.next().await.ok();
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        within(running.stop()).await.unwrap();
    });
}

#[test]
fn a_batch_is_one_call_of_its_destination() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..100 {
            let user = format!("user {}", id % 5);
            enqueue(&*store, parcel_of(&user, id, SLOW).enqueue_sync()).await;
        }
        let set = service.batch_handlers::<Parcel>(Batching::of(10));
        let processor = build(&store, set, |builder| {
            builder
                .limit(SLOW, 2)
                .pace(SLOW, Pace::per_second(1).burst(3))
        });
        let running = processor.start_all_users();
        let_time_pass_until(&service, 100).await;
        assert_eq!(service.most_under_way(SLOW), 2);
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert_eq!(begins.len(), 10, "full batches: {begins:?}");
        assert!(most_within(&begins, SECOND) <= 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_batch_that_waits_for_more_events_has_a_place() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 2);
        for id in 0..6 {
            let user = format!("user {id}");
            enqueue(&*store, parcel_of(&user, id, SLOW).enqueue_sync()).await;
        }
        let set = service.batch_handlers::<Parcel>(Batching::of(10).within(SECOND * 2));
        let processor = build(&store, set, |builder| builder.limit(SLOW, 2));
        let running = processor.start_all_users();
        settled().await;
        assert_eq!(service.delivered(), 0);
        assert_eq!(
            with_status(&*store, OutboxStatus::Processing).await.len(),
            2
        );
        // Each of them may still be filled.
        let claimed = with_status(&*store, OutboxStatus::Processing).await;
        assert_eq!(claimed.len(), 2);
        let user = claimed[0].user_id.clone();
        enqueue(&*store, parcel_of(&user, 50, SLOW).enqueue_sync()).await;
        settled().await;
        assert_eq!(
            with_status(&*store, OutboxStatus::Processing).await.len(),
            3
        );
        let_time_pass_until(&service, 7).await;
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.len());
        assert_eq!(begins, 6, "a batch of two");
        assert_eq!(service.most_under_way(SLOW), 2);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}

/// A poisoned event among many: all halves are calls.
#[test]
fn the_halves_of_a_refused_batch_obey_the_limit_and_the_pace() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND / 10);
        for id in 0..64 {
            enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
        }
        let called = service.clone();
        let set = HandlerSet::new().with_batch::<Parcel>(Batching::of(64), move |batch| {
            let service = called.clone();
            async move {
                let events: Vec<OutboxEvent> =
                    batch.iter().map(|event| (**event).clone()).collect();
                service.call(&events).await;
                match events
                    .iter()
                    .any(|event| event.entity_id.as_integer() == Some(37))
                {
                    true => Err(HandlerError::permanent("422")),
                    false => Ok(()),
                }
            }
        });
        let processor = build(&store, set, |builder| {
            builder.limit(SLOW, 1).pace(SLOW, Pace::per_second(1))
        });
        let running = processor.start("u1");
        let mut statistics = running.statistics().await.unwrap();
        for _ in 0..200 {
            if statistics.dead_count + statistics.completed_count == 64 {
                break;
            }
            settled().await;
            clock.set(clock.next_deadline().expect("the run waits for nothing"));
            settled().await;
            statistics = running.statistics().await.unwrap();
        }
        assert_eq!((statistics.dead_count, statistics.completed_count), (1, 63));
        assert_eq!(service.most_under_way(SLOW), 1);
        let begins = service.seen(&Some(SLOW.to_owned()), |seen| seen.begins.clone());
        assert!(begins.len() <= 15, "{}", begins.len());
        assert_eq!(most_within(&begins, SECOND), 1);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_clock_that_goes_back_does_not_stop_paced_calls() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, Duration::ZERO);
        let processor = build(&store, service.handlers::<Parcel>(), |builder| {
            builder.pace(SLOW, Pace::per_second(2))
        });
        let running = processor.start("u1");
        for (ids, delivered) in [(0..10, 10), (10..20, 20)] {
            for id in ids {
                enqueue(&*store, parcel(id, SLOW).enqueue_sync()).await;
            }
            let before = clock.now();
            let_time_pass_until(&service, delivered).await;
            let took = clock.now() - before;
            assert!(took <= TimeDelta::seconds(6), "{took}");
            clock.set(before - TimeDelta::seconds(600));
        }
        running.detach();
    });
}

/// A run with limits that has nothing to do.
#[tokio::test]
async fn an_idle_run_with_limits_runs_no_statement() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| {
        let builder = builder.clock(clock.clone()).count_statements();
        builder.single_process()
    });
    let temporary = temporary.await;
    let store = &temporary.store;
    let (mut remote, set) = Remote::of::<Parcel>();
    let processor = Processor::builder(store.clone())
        .handlers(set)
        .limit(SLOW, 2)
        .pace(SLOW, Pace::per_second(1))
        .limit(None, 1)
        .build()
        .unwrap();
    let running = processor.start("u1");
    let event = enqueue(store, parcel(1, SLOW).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
    // The run looks once more when the pace allows the next call. Then only the clean-up is left.
    within(clock.until_asleep(clock.now() + SECOND)).await;
    clock.advance(SECOND);
    let clean_up = clock.now() + Duration::from_secs(299);
    within(clock.until_asleep(clean_up)).await;
    within(temporary.writer_rests(&event)).await;
    let before = store.statements().get();
    for _ in 0..100 {
        clock.advance(SECOND);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(store.statements().get(), before, "the run is idle");
    within(running.stop()).await.unwrap();
}

#[tokio::test]
async fn a_limit_that_allows_nothing_is_refused() {
    let (_, set) = Remote::of::<Parcel>();
    let mut set = Some(set);
    let mut refused = |configure: fn(ProcessorBuilder) -> ProcessorBuilder| {
        let set = set.take().unwrap_or_default();
        let builder = Processor::builder(MemoryStore::new()).handlers(set);
        let error = configure(builder).build().unwrap_err();
        assert!(matches!(error, BuildError::Limit { .. }), "{error}");
        error.to_string()
    };
    assert_eq!(
        refused(|it| it.limit(SLOW, 0)),
        "the limit of destination \"slow.example.org\": a limit allows at least 1 call"
    );
    assert_eq!(
        refused(|it| it.limit(None, 0)),
        "the limit of events without a destination: a limit allows at least 1 call"
    );
    type Set = fn(ProcessorBuilder) -> ProcessorBuilder;
    let paces: [(Set, &str); 5] = [
        (
            |it| it.pace(SLOW, Pace::per_second(0)),
            "a pace needs at least 1 call",
        ),
        (
            |it| it.pace(SLOW, Pace::new(1, Duration::ZERO)),
            "the period of a pace is longer than zero",
        ),
        (
            |it| it.pace(SLOW, Pace::new(6, Duration::from_secs(7 * 24 * 60 * 60))),
            "a pace has at least one call a day",
        ),
        (
            |it| it.pace(SLOW, Pace::per_second(1).burst(0)),
            "a burst has at least 1 call",
        ),
        (
            |it| it.pace(SLOW, Pace::per_second(1).burst(10_001)),
            "a burst has at most 10,000 calls",
        ),
    ];
    for (configure, fault) in paces {
        assert_eq!(
            refused(configure),
            format!("the limit of destination \"slow.example.org\": {fault}")
        );
    }
    // No event can have such a destination.
    assert_eq!(
        refused(|it| it.limit("", 1)),
        "the limit of destination \"\": no event can have this destination, because the name is empty"
    );
    let told = refused(|it| it.limit("a\nb", 1));
    assert!(told.contains("control character"), "{told}");
    // A name that no event has yet is none of them.
    let (_, set) = Remote::of::<Parcel>();
    let builder = Processor::builder(MemoryStore::new()).handlers(set);
    builder.limit("typo", 4).build().unwrap();
}

/// A later value replaces an earlier one, and a limit and a pace belong together.
#[test]
fn a_later_limit_replaces_an_earlier_one() {
    on_memory(|store, clock| async move {
        let service = Service::new(&clock, SECOND);
        for id in 0..9 {
            enqueue(&*store, note_of("u1", id).enqueue_sync()).await;
        }
        let processor = build(&store, service.handlers::<Note>(), |builder| {
            builder
                .limit(None, 0)
                .limit(None, 3)
                .pace(None, Pace::per_second(1000).burst(9))
        });
        let running = processor.start("u1");
        let_time_pass_until(&service, 9).await;
        assert_eq!(service.seen(&None, |seen| seen.most_under_way), 3);
        clock.advance(SECOND);
        running.stop().await.unwrap();
    });
}
