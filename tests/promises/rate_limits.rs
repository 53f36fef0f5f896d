//! Rate limits: an app without a limiter of its own adapts to the rate that the service allows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::{Clock, HandlerSet, Processor, SignOut, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Call, Note, Remote, Task, enqueue, note, note_of, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// A service with a token bucket, one token per call, which answers after a delay.
#[derive(Clone)]
struct Service {
    clock: ManualClock,
    takes: Duration,
    /// Refill time of a token, and size of the bucket.
    each: Duration,
    burst: u32,
    /// Requested waits are multiples of this.
    unit: Duration,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Time up to which tokens were taken, as if taken one by one.
    taken_until: DateTime<Utc>,
    /// Answers in the order of the calls: whether the call was allowed.
    answers: Vec<bool>,
    under_way: usize,
    most_under_way: usize,
}

impl Service {
    fn new(clock: &ManualClock, per_second: u32, burst: u32) -> Self {
        let each = SECOND / per_second;
        Self {
            clock: clock.clone(),
            takes: Duration::ZERO,
            each,
            burst,
            unit: SECOND,
            state: Arc::new(Mutex::new(State {
                taken_until: clock.now() - each * burst,
                answers: Vec::new(),
                under_way: 0,
                most_under_way: 0,
            })),
        }
    }

    /// One call.
    async fn call(&self) -> Result<(), HandlerError> {
        let answer = self.take_token();
        if !self.takes.is_zero() {
            self.clock.sleep(self.takes).await;
        }
        self.state.lock().unwrap().under_way -= 1;
        answer.map_err(HandlerError::rate_limited)
    }

    fn take_token(&self) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap();
        state.under_way += 1;
        state.most_under_way = state.most_under_way.max(state.under_way);
        let full = now - self.each * self.burst;
        let taken_until = state.taken_until.max(full) + self.each;
        let is_allowed = taken_until <= now;
        state.answers.push(is_allowed);
        if is_allowed {
            state.taken_until = taken_until;
            return Ok(());
        }
        let wait = (taken_until - now).to_std().unwrap();
        let units = wait.as_nanos().div_ceil(self.unit.as_nanos());
        Err(self.unit * u32::try_from(units).unwrap())
    }

    fn handlers(&self) -> HandlerSet {
        let service = self.clone();
        HandlerSet::new().with::<Note>(move |_| {
            let service = service.clone();
            async move { service.call().await }
        })
    }

    fn let_through(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.answers.iter().filter(|allowed| **allowed).count()
    }

    fn most_under_way(&self) -> usize {
        std::mem::take(&mut self.state.lock().unwrap().most_under_way)
    }

    /// Lengths of the series of consecutive refusals.
    fn refusals(&self) -> Vec<usize> {
        let state = self.state.lock().unwrap();
        let rows = state.answers.split(|allowed| *allowed).map(<[bool]>::len);
        rows.filter(|len| *len > 0).collect()
    }
}

async fn enqueue_notes(store: &dyn OutboxRepository, count: i64) {
    for id in 0..count {
        enqueue(store, note(id).enqueue_sync()).await;
    }
}

async fn assert_each_took_one_attempt(store: &dyn OutboxRepository, count: usize) {
    let completed = store.fetch_events(OutboxStatus::Completed, None, None);
    let completed = completed.await.unwrap();
    assert_eq!(completed.len(), count);
    assert!(completed.iter().all(|event| event.attempt_count == 1));
}

/// Moves the clock from deadline to deadline until this many calls were allowed. For stores without
/// threads.
async fn let_time_pass_until(service: &Service, let_through: usize) {
    loop {
        settled().await;
        if service.let_through() >= let_through {
            break;
        }
        let next = service.clock.next_deadline().unwrap();
        service.clock.set(next);
    }
    settled().await;
}

/// All tasks are idle; for one thread, where no task waits for another thread.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A store without threads.
fn on_memory<F: Future<Output = ()>>(
    case: impl FnOnce(Arc<dyn OutboxRepository>, ManualClock) -> F,
) {
    let clock = ManualClock::new();
    let store = outbox_runtime::MemoryStore::with_clock(clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    runtime.block_on(case(Arc::new(store), clock));
}

#[test]
fn a_known_rate_limit_of_two_calls_a_second_never_refuses_two_in_a_row() {
    // It states when the next call is allowed, rounded up to a second or to 10 ms.
    for (slots, unit) in [(3, 1000), (3, 10), (16, 1000), (16, 10)] {
        on_memory(|store, clock| async move {
            let mut service = Service::new(&clock, 2, 2);
            service.unit = Duration::from_millis(unit);
            let begin = clock.now();
            enqueue_notes(&*store, 300).await;
            let running = Processor::builder(Arc::clone(&store))
                .handlers(service.handlers())
                .max_concurrency(slots)
                .build()
                .unwrap()
                .start("u1");
            let_time_pass_until(&service, 300).await;
            let took = (clock.now() - begin).as_seconds_f64();
            assert!(300.0 / took >= 1.6, "{took} s");
            let refusals = service.refusals();
            // Two tokens are available at first: other calls in flight are refused.
            assert_eq!(refusals[0], slots - 2);
            assert!(refusals.len() > 100, "{refusals:?}");
            assert!(refusals[1..].iter().all(|row| *row == 1), "{refusals:?}");
            running.stop().await.unwrap();
            assert_each_took_one_attempt(&*store, 300).await;
        });
    }
}

#[test]
fn a_slow_service_with_a_known_rate_limit_never_refuses_two_in_a_row() {
    on_memory(|store, clock| async move {
        for takes in [1, 50, 200, 400] {
            let mut service = Service::new(&clock, 2, 2);
            service.takes = Duration::from_millis(takes);
            service.unit = Duration::from_millis(10);
            let begin = clock.now();
            let first = i64::try_from(takes).unwrap() * 1000;
            for id in first..first + 300 {
                enqueue(&*store, note(id).enqueue_sync()).await;
            }
            let running = Processor::builder(Arc::clone(&store))
                .handlers(service.handlers())
                .max_concurrency(16)
                .build()
                .unwrap()
                .start("u1");
            let_time_pass_until(&service, 300).await;
            let took = (clock.now() - begin).as_seconds_f64();
            assert!(300.0 / took >= 1.6, "{takes} ms: {took} s");
            let refusals = service.refusals();
            assert_eq!(refusals[0], 14);
            assert!(refusals[1..].iter().all(|row| *row == 1), "{refusals:?}");
            running.stop().await.unwrap();
        }
    });
}

#[test]
fn a_handler_set_regains_its_slots_one_by_one() {
    on_memory(|store, clock| async move {
        // Only three of the first six calls are refused.
        let mut service = Service::new(&clock, 1000, 1000);
        service.state.lock().unwrap().taken_until = clock.now() - service.each * 3;
        service.takes = Duration::from_millis(100);
        enqueue_notes(&*store, 1500).await;
        let running = Processor::builder(Arc::clone(&store))
            .handlers(service.handlers())
            .max_concurrency(6)
            .build()
            .unwrap()
            .start("u1");
        let_time_pass_until(&service, 3).await;
        assert_eq!(service.most_under_way(), 6);
        let mut seen = Vec::new();
        while seen.len() < 6 {
            let_time_pass_until(&service, service.let_through() + 1).await;
            let most = service.most_under_way();
            if most > seen.len() {
                seen.push(clock.now());
                assert_eq!(most, seen.len());
            }
        }
        for two in seen.windows(2) {
            let took = (two[1] - two[0]).to_std().unwrap();
            assert!(took >= 7 * SECOND && took <= 9 * SECOND, "{seen:?}");
        }
        assert_eq!(service.refusals(), [3]);
        let stop = running.stop_unless(std::future::ready(()));
        assert_eq!(stop.await.unwrap().given_back, 6);
    });
}

/// Notes and tasks, each with its own handler set, for all users.
struct Scene {
    store: Arc<dyn OutboxRepository>,
    clock: ManualClock,
    notes: Remote,
    tasks: Remote,
    running: Running,
}

const LEASE: Duration = Duration::from_secs(90);
const TIMEOUT: Duration = Duration::from_secs(20);

impl Scene {
    /// With notes of u1, u2, and so on.
    async fn with_notes(store: Arc<dyn OutboxRepository>, clock: ManualClock, notes: i64) -> Self {
        for id in 1..=notes {
            enqueue(&*store, note_of(&format!("u{id}"), id).enqueue_sync()).await;
        }
        let (notes, note_handlers) = Remote::new();
        let (tasks, task_handlers) = Remote::of::<Task>();
        let running = Processor::builder(Arc::clone(&store))
            .handlers(note_handlers)
            .handlers(task_handlers)
            .lease(LEASE)
            .timeout(TIMEOUT)
            .build()
            .unwrap()
            .start_all_users();
        Self {
            store,
            clock,
            notes,
            tasks,
            running,
        }
    }

    /// Half-open: three notes were refused, and one of them is retried.
    async fn half_open(store: Arc<dyn OutboxRepository>, clock: ManualClock) -> (Self, Call) {
        let mut scene = Self::with_notes(store, clock, 3).await;
        for _ in 0..3 {
            scene
                .notes
                .next()
                .await
                .fail(HandlerError::rate_limited(SECOND));
        }
        scene.pass(SECOND).await;
        let probe = scene.notes.next().await;
        (scene, probe)
    }

    /// Advances the clock, once the run, or a handler's timeout, sleeps until then.
    async fn pass(&self, time: Duration) {
        let until = self.clock.now() + time;
        within(self.clock.until_asleep(until)).await;
        self.clock.set(until);
    }

    /// No note is sent, while other types such as tasks are.
    async fn assert_only_tasks_are_sent(&mut self) {
        for id in 100..102 {
            let task = Task {
                id,
                user_id: "somebody else".to_owned(),
            };
            enqueue(&*self.store, task.enqueue_sync()).await;
            self.tasks.next().await.ok();
            let flushed = self.running.flush(id, SOON).await.unwrap();
            assert!(flushed.is_delivered());
        }
        assert!(self.notes.is_quiet());
    }
}

#[test]
fn after_a_pause_one_event_is_tried_alone_and_other_sets_go_on() {
    on_each_store(|store, clock| async move {
        let (mut scene, probe) = Scene::half_open(store, clock).await;
        scene.assert_only_tasks_are_sent().await;
        probe.ok();
        // First one by one, because the service may allow only one call.
        let next = scene.notes.next().await;
        scene.assert_only_tasks_are_sent().await;
        next.ok();
        scene.notes.next().await.ok();
        for id in 1..=3 {
            assert!(scene.running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert_each_took_one_attempt(&*scene.store, 7).await;
        scene.running.stop().await.unwrap();
    });
}

#[test]
fn a_repeated_pause_doubles_unless_the_service_asks_for_a_longer_one() {
    on_each_store(|store, clock| async move {
        let (mut scene, mut probe) = Scene::half_open(store, clock).await;
        // Requested pause and resulting pause: repetitions are doubled, up to a minute.
        let pauses = [
            (1, 2),
            (1, 4),
            (1, 8),
            (0, 16),
            (0, 32),
            // After this many in a row, a minute is the minimum.
            (9, 60),
            (90, 90),
            (3, 60),
        ];
        for (asked, pause) in pauses {
            probe.fail(HandlerError::rate_limited(asked * SECOND));
            let until = scene.clock.now() + pause * SECOND;
            within(scene.clock.until_asleep(until)).await;
            assert!(scene.notes.is_quiet());
            scene.clock.set(until);
            probe = scene.notes.next().await;
        }
        probe.ok();
        // After a delivery, a rate limit is not a repetition.
        for asked in [3, 0] {
            let call = scene.notes.next().await;
            call.fail(HandlerError::rate_limited(asked * SECOND));
            let pause = SECOND * asked.max(1);
            scene.pass(pause).await;
            scene.notes.next().await.ok();
            if asked == 3 {
                enqueue(&*scene.store, note(9).enqueue_sync()).await;
            }
        }
        scene.running.stop().await.unwrap();
    });
}

#[test]
fn calls_in_flight_when_a_pause_begins_do_not_shorten_or_double_it() {
    on_each_store(|store, clock| async move {
        let mut scene = Scene::with_notes(store, clock, 4).await;
        let first = scene.notes.next().await;
        let second = scene.notes.next().await;
        let third = scene.notes.next().await;
        first.fail(HandlerError::rate_limited(5 * SECOND));
        second.fail(HandlerError::rate_limited(SECOND));
        scene.pass(5 * SECOND).await;
        let probe = scene.notes.next().await;
        // It began before the pause: its answer only adds its own pause.
        third.fail(HandlerError::rate_limited(2 * SECOND));
        scene.assert_only_tasks_are_sent().await;
        probe.ok();
        scene.pass(2 * SECOND).await;
        let probe = scene.notes.next().await;
        scene.assert_only_tasks_are_sent().await;
        probe.ok();
        scene.notes.next().await.ok();
        scene.notes.next().await.ok();
        for id in 1..=4 {
            assert!(scene.running.flush(id, SOON).await.unwrap().is_delivered());
        }
        scene.running.stop().await.unwrap();
    });
}

#[test]
fn an_attempt_hanging_since_before_the_pause_does_not_keep_the_set_half_open() {
    on_each_store(|store, clock| async move {
        let mut scene = Scene::with_notes(store, clock, 3).await;
        let hangs = scene.notes.next().await;
        for _ in 0..2 {
            scene
                .notes
                .next()
                .await
                .fail(HandlerError::rate_limited(SECOND));
        }
        scene.pass(SECOND).await;
        scene.notes.next().await.ok();
        scene.notes.next().await.ok();
        for id in [2, 3] {
            assert!(scene.running.flush(id, SOON).await.unwrap().is_delivered());
        }
        assert!(!hangs.is_abandoned());
        let stop = scene.running.stop_unless(std::future::ready(()));
        assert_eq!(stop.await.unwrap().given_back, 1);
    });
}

/// Possible outcomes of the one retried event.
#[derive(Debug, Clone, Copy)]
enum End {
    Retried,
    Dead,
    TimedOut,
    Offline,
    Unauthenticated,
    Snoozed,
    SignedOut,
    Deleted,
}

#[test]
fn another_event_follows_the_half_open_one_whatever_its_outcome() {
    let ends = [
        End::Retried,
        End::Dead,
        End::TimedOut,
        End::Offline,
        End::Unauthenticated,
        End::Snoozed,
        End::SignedOut,
        End::Deleted,
    ];
    for end in ends {
        on_each_store(|store, clock| async move {
            let (mut scene, mut probe) = Scene::half_open(store, clock).await;
            match end {
                End::Retried => probe.fail(HandlerError::retry("HTTP 500")),
                End::Dead => probe.fail(HandlerError::permanent("HTTP 400")),
                End::TimedOut => scene.pass(TIMEOUT).await,
                End::Offline => probe.fail(HandlerError::offline()),
                End::Unauthenticated => probe.fail(HandlerError::unauthenticated()),
                End::Snoozed => probe.fail(HandlerError::snooze(100 * SECOND)),
                End::SignedOut => {
                    let how = SignOut::Abandon;
                    let user = probe.event.user_id.clone();
                    scene.running.sign_out(user, how).await.unwrap();
                    probe.abandoned().await;
                }
                End::Deleted => {
                    assert!(scene.store.delete_event(probe.event.id).await.unwrap());
                    scene.pass(LEASE / 3).await;
                }
            }
            let next = scene.notes.next().await;
            scene.assert_only_tasks_are_sent().await;
            next.ok();
            scene.notes.next().await.ok();
            scene.running.stop().await.unwrap();
        });
    }
}

#[test]
fn a_suspension_and_a_stop_give_the_half_open_event_back_uncounted() {
    on_each_store(|store, clock| async move {
        let (mut scene, probe) = Scene::half_open(store, clock).await;
        let suspended = scene.running.suspend(Duration::ZERO).await.unwrap();
        assert_eq!(suspended.given_back, 1);
        assert!(probe.is_abandoned());
        scene.running.resume().await.unwrap();
        let probe = scene.notes.next().await;
        scene.assert_only_tasks_are_sent().await;
        let stop = scene.running.stop_unless(std::future::ready(()));
        assert_eq!(stop.await.unwrap().given_back, 1);
        assert!(probe.is_abandoned());
        let pending = scene.store.fetch_events(OutboxStatus::Pending, None, None);
        let pending = pending.await.unwrap();
        assert_eq!(pending.len(), 3);
        assert!(pending.iter().all(|event| event.attempt_count == 0));
    });
}
