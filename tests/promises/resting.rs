//! An idle run rests, whatever handlers, settings, files and stores do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{OutboxQueue, Revision, SqliteStoreBuilder};
use outbox_runtime::support::EntityOptions;
use outbox_runtime::{BuildError, Charge, Clock, Processor, RetryPolicy, SignOut, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, enqueue, note, start, start_with, within};

const SOON: Duration = Duration::from_secs(30);
const CLEAN_UP: Duration = Duration::from_secs(300);

/// Names notes, but handles them only sometimes.
struct Fickle(Arc<AtomicBool>);

#[outbox_runtime::async_trait]
impl OutboxEventHandler for Fickle {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "note" && self.0.load(Ordering::SeqCst)
    }

    fn entities(&self) -> Vec<EntityOptions> {
        vec![EntityOptions::new("note")]
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_names_types_it_cannot_handle_is_refused() {
    let takes = Arc::new(AtomicBool::new(false));
    let builder = Processor::builder(MemoryStore::new()).handler(Fickle(Arc::clone(&takes)));
    let error = builder.build().unwrap_err();
    assert!(
        matches!(&error, BuildError::DeniedByItsHandler { event_type } if event_type == "note"),
        "{error}"
    );
    assert!(error.to_string().contains("can_handle"));
    takes.store(true, Ordering::SeqCst);
    let builder = Processor::builder(MemoryStore::new()).handler(Fickle(takes));
    builder.build().unwrap();
}

#[tokio::test]
async fn a_handler_that_changes_its_mind_does_not_make_a_run_spin() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_alone(&clock).await;
    let store = &temporary.store;
    let takes = Arc::new(AtomicBool::new(true));
    let processor = Processor::builder(store.clone()).handler(Fickle(Arc::clone(&takes)));
    let processor = processor.build().unwrap();
    takes.store(false, Ordering::SeqCst);
    let event = enqueue(store, note(1).enqueue_sync()).await;
    let running = processor.start("u1");
    within(clock.until_asleep(clock.now() + CLEAN_UP)).await;
    within(temporary.writer_rests(&event)).await;
    let before = store.statements().get();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.statements().get(), before, "the run is idle");
    running.stop().await.unwrap();
}

/// A store that reports due work, but never hands it out.
#[derive(Debug)]
struct Insistent {
    inner: MemoryStore,
    claims: Arc<AtomicUsize>,
}

macro_rules! insistent {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxRepository for Insistent {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                    self.note(stringify!($method));
                    let answer = self.inner.$method($($arg),*).await;
                    self.told(stringify!($method), answer)
                }
            )+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxQueue for Insistent {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                    self.note(stringify!($method));
                    let answer = self.inner.$method($($arg),*).await;
                    self.told(stringify!($method), answer)
                }
            )+

            fn clock(&self) -> Arc<dyn Clock> {
                self.inner.clock()
            }

            fn can_follow(&self) -> bool {
                self.inner.can_follow()
            }

            fn revision(&self) -> Revision {
                self.inner.revision()
            }

            async fn changed(&self, seen: Revision) -> Revision {
                self.inner.changed(seen).await
            }
        }
    };
}
outbox_testing::__store_calls!(insistent);

impl Insistent {
    fn note(&self, method: &str) {
        if method == "claim" {
            self.claims.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn told<T: 'static, E>(&self, method: &str, answer: Result<T, E>) -> Result<T, E> {
        if method != "next_due" {
            return answer;
        }
        let now: Option<DateTime<Utc>> = Some(self.inner.clock().now());
        let now: Box<dyn std::any::Any> = Box::new(now);
        Ok(*now.downcast::<T>().unwrap())
    }
}

#[tokio::test]
async fn a_store_that_reports_due_work_in_vain_is_polled_ever_less_often() {
    let clock = ManualClock::new();
    let claims = Arc::new(AtomicUsize::new(0));
    let store = Arc::new(Insistent {
        inner: MemoryStore::with_clock(clock.clone()),
        claims: Arc::clone(&claims),
    });
    let (mut remote, running) = start(&store);
    // The clock stands still: a run that sleeps has stopped polling.
    within(clock.until_asleep(clock.now() + Duration::from_millis(10))).await;
    let at_first = claims.load(Ordering::SeqCst);
    assert!(at_first < 100, "{at_first} claims");
    let end = clock.now() + Duration::from_secs(3_600);
    while let Some(next) = clock.next_deadline().filter(|next| *next < end) {
        clock.set(next);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let in_an_hour = claims.load(Ordering::SeqCst) - at_first;
    assert!(in_an_hour < 100, "{in_an_hour} claims");
    // A real change is noticed at once.
    enqueue(&store.inner, note(1).enqueue_sync()).await;
    remote.next().await.ok();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn settings_without_a_limit_deliver_everything_and_overflow_nothing() {
    for on_disk in [false, true] {
        let temporary = Temporary::open_with(|builder| builder.queue_bound(usize::MAX)).await;
        let store: Arc<dyn OutboxRepository> = if on_disk {
            Arc::new(temporary.store.clone())
        } else {
            Arc::new(MemoryStore::new())
        };
        let (delivered, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
        let running = Processor::builder(Arc::clone(&store))
            .handle::<Note>(move |event| {
                let _ = delivered.send(event.entity_id.clone());
                async { Ok(()) }
            })
            .max_concurrency(usize::MAX)
            .batch_size(usize::MAX)
            .timeout(Duration::MAX - Duration::from_nanos(1))
            .lease(Duration::MAX)
            .stop_deadline(Duration::MAX)
            .keep_completed(Duration::MAX)
            .cleanup_interval(Duration::MAX)
            .retry(RetryPolicy::new(vec![Duration::MAX]))
            .build()
            .unwrap()
            .start("u1");
        for id in 0..100 {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        for _ in 0..100 {
            within(deliveries.recv()).await.unwrap();
        }
        let flushed = within(running.flush(99, Duration::MAX)).await.unwrap();
        assert!(flushed.is_delivered());
        within(running.suspend(Duration::MAX)).await.unwrap();
        within(running.resume()).await.unwrap();
        within(running.stop()).await.unwrap();
    }
}

/// Handles types that start with its letter; answers with a rate limit.
struct Untyped(&'static str, Arc<AtomicUsize>);

#[outbox_runtime::async_trait]
impl OutboxEventHandler for Untyped {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type.starts_with(self.0)
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0 {
            "a" => Err(HandlerError::rate_limited(Duration::from_secs(60))),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn events_of_a_paused_untyped_handler_are_not_claimed_and_given_back_repeatedly() {
    let clock = ManualClock::new();
    let temporary =
        Temporary::open_with(|builder| builder.clock(clock.clone()).count_statements()).await;
    let store = &temporary.store;
    let (limited, free) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let running = Processor::builder(store.clone())
        .handler(Untyped("a", Arc::clone(&limited)))
        .handler(Untyped("b", Arc::clone(&free)))
        .build()
        .unwrap()
        .start("u1");
    for id in 0..20 {
        let event = outbox_runtime::NewEvent::new("alpha", id, "u1", Operation::Create);
        store.create_event(event).await.unwrap();
    }
    within(clock.until_asleep(clock.now() + Duration::from_secs(60))).await;
    let event = outbox_runtime::NewEvent::new("beta", 100, "u1", Operation::Create);
    store.create_event(event).await.unwrap();
    assert!(
        within(running.flush(100, SOON))
            .await
            .unwrap()
            .is_delivered()
    );
    assert_eq!(free.load(Ordering::SeqCst), 1);
    within(async {
        // Until two looks in a row find the same count.
        let mut before = 0;
        while before != store.statements().get() {
            before = store.statements().get();
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert!(limited.load(Ordering::SeqCst) <= 3, "only calls in flight");
    running.stop().await.unwrap();
}

/// On a machine whose clock was set back, files are dated ahead.
#[tokio::test(start_paused = true)]
async fn a_wal_dated_in_the_future_makes_no_run_look_for_work() {
    let temporary = Temporary::open_with(SqliteStoreBuilder::count_statements).await;
    let store = &temporary.store;
    let (mut remote, running) = start(store);
    let event = enqueue(store, note(1).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    let wal = temporary.path.with_file_name("app.db-wal");
    let ahead = std::fs::metadata(&wal).unwrap().modified().unwrap() + Duration::from_secs(3_600);
    let touched = std::process::Command::new("touch")
        .arg("-d")
        .arg(DateTime::<Utc>::from(ahead).to_rfc3339())
        .arg(&wal)
        .status();
    assert!(touched.unwrap().success());
    let clock = store.clock();
    clock.sleep(Duration::from_secs(5)).await;
    temporary.writer_rests(&event).await;
    let before = store.statements().get();
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(
        store.statements().get(),
        before,
        "statements in an idle minute"
    );
    // The positive control: a commit by another process is still noticed.
    let own = temporary.connect();
    note(2).enqueue_sync().on(&own).unwrap();
    assert_eq!(remote.next().await.id(), 2);
    running.stop().await.unwrap();
}

/// With tokio's time paused, hours of retries pass at once.
#[tokio::test(start_paused = true)]
async fn retries_and_timeouts_follow_the_paused_time_of_tokio() {
    let temporary = Temporary::open().await;
    for store in [
        Arc::new(MemoryStore::new()) as Arc<dyn OutboxRepository>,
        Arc::new(temporary.store.clone()),
    ] {
        let clock = store.clock();
        let (mut remote, running) = start_with(&store, |builder| {
            builder
                .charge(Charge::Always)
                .retry(RetryPolicy::new(vec![Duration::from_secs(3_600)]).without_jitter())
        });
        let began = clock.now();
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::retry("later"));
        let call = remote.next_eventually().await;
        let passed = (clock.now() - began).num_minutes();
        assert!((60..62).contains(&passed), "{passed} minutes");
        call.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    }
}

/// While a task waits for a thread of the store, paused time does not advance: no timeout expires.
#[tokio::test(start_paused = true)]
#[allow(
    clippy::disallowed_methods,
    reason = "the test is about the application's own timeouts"
)]
async fn files_open_and_close_without_timeouts_while_tokio_time_is_paused() {
    use tokio::time::timeout;
    let folder = tempfile::tempdir().unwrap();
    let opening = SqliteStore::open(folder.path().join("app.db"));
    let store = timeout(SOON, opening).await.unwrap().unwrap();
    timeout(SOON, store.suspend()).await.unwrap().unwrap();
    timeout(SOON, store.resume()).await.unwrap().unwrap();
    let (mut remote, running) = start(&store);
    enqueue(&store, note(1).enqueue_sync()).await;
    remote.next_eventually().await.ok();
    let flushed = timeout(SOON, running.flush(1, SOON)).await.unwrap();
    assert!(flushed.unwrap().is_delivered());
    timeout(SOON, running.suspend(SOON)).await.unwrap().unwrap();
    timeout(SOON, running.resume()).await.unwrap().unwrap();
    let export = SignOut::Export(folder.path().join("u1.jsonl"));
    timeout(SOON, running.sign_out("u1", export))
        .await
        .unwrap()
        .unwrap();
    timeout(SOON, running.stop()).await.unwrap().unwrap();
    timeout(SOON, store.close()).await.unwrap();
}

#[tokio::test]
async fn a_lease_too_short_to_renew_and_a_zero_timeout_are_refused() {
    let build = |timeout: Duration, lease: Duration| {
        let builder = Processor::builder(MemoryStore::new());
        let builder = builder.handle::<Note>(|_| async { Ok(()) });
        builder.timeout(timeout).lease(lease).build().map(drop)
    };
    let moment = Duration::from_nanos(1);
    let refused = build(Duration::ZERO, SOON).unwrap_err();
    assert!(matches!(refused, BuildError::NoTime { .. }), "{refused}");
    for lease in [2 * moment, Duration::from_millis(10) - moment] {
        let refused = build(moment, lease).unwrap_err();
        assert!(
            matches!(refused, BuildError::LeaseTooShort { .. }),
            "{refused}"
        );
    }
    build(moment, Duration::from_millis(10)).unwrap();
}
