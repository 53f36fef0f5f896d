//! A caller without company commits its own event on its own thread, but only where that keeps
//! nobody waiting; everything that holds for the writer's thread holds there too.
//!
//! The store's clock is a manual one, so that a commit takes as long as a test says: no time at
//! all, unless a function that each insert calls advances the clock.

use std::collections::HashSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::rusqlite::functions::FunctionFlags;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, Durability, EnqueueError, Enqueued, StoreErrorKind};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, note, within};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, LocalSet};

/// The threads that wrote events, in order.
#[derive(Clone, Default)]
struct Writers(Arc<Mutex<Vec<(ThreadId, String)>>>);

impl Writers {
    fn note(&self) {
        let this = thread::current();
        let name = this.name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push((this.id(), name));
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The number of events that were written elsewhere than on the store's thread.
    fn by_callers(&self) -> usize {
        let writers = self.0.lock().unwrap();
        let elsewhere = writers.iter().filter(|(_, name)| name != "outbox-writer");
        elsewhere.count()
    }
}

/// The control of a test: enqueues until this task has committed an event itself.
async fn commit_as_a_caller(store: &SqliteStore, writers: &Writers, ids: std::ops::Range<i64>) {
    for id in ids {
        if writers.by_callers() > 0 {
            return;
        }
        enqueue(store, id..id + 1).await;
    }
    panic!("this caller never commits");
}

/// A store whose commits take `cost` on its clock.
async fn open(cost: Duration) -> (Temporary, Writers) {
    let writers = Writers::default();
    let clock = ManualClock::new();
    let of_hook = (clock.clone(), writers.clone());
    let temporary = Temporary::open_with(|builder| {
        builder
            .clock(clock)
            .durability(Durability::Normal)
            .busy_timeout(Duration::from_secs(60))
            .on_connect(move |conn| {
                let (clock, writers) = of_hook.clone();
                let flags = FunctionFlags::SQLITE_UTF8;
                conn.create_scalar_function("note_writer", 0, flags, move |_| {
                    writers.note();
                    clock.advance(cost);
                    Ok(0)
                })?;
                Ok(())
            })
    })
    .await;
    let trigger =
        "CREATE TRIGGER writers AFTER INSERT ON outbox_events BEGIN SELECT note_writer(); END";
    temporary.connect().execute_batch(trigger).unwrap();
    (temporary, writers)
}

const FREE: Duration = Duration::ZERO;

fn workers(count: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(count)
        .enable_all()
        .build()
        .unwrap()
}

/// One event after the other.
async fn enqueue(store: &SqliteStore, ids: std::ops::Range<i64>) {
    for id in ids {
        note(id).enqueue_sync().on(store).await.unwrap();
    }
}

/// Runs a task on a worker thread, unlike the root future of a runtime.
fn on_worker<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = T> + Send + 'static,
) -> T {
    let task = runtime.spawn(task);
    runtime.block_on(within(task)).unwrap()
}

fn stored_notes(conn: &Connection) -> Vec<i64> {
    conn.prepare("SELECT CAST(entity_id AS INTEGER) FROM outbox_events ORDER BY seq")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn a_lone_caller_on_a_worker_thread_commits_its_own_events() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        enqueue(&temporary.store, 0..200).await;
        assert_eq!(writers.count(), 200);
        // The first few go through the queue, and afterwards one in nine.
        // (More if the store's thread is slow to rest, on a busy machine.)
        let by_callers = writers.by_callers();
        assert!(by_callers <= 190, "{by_callers} of 200");
        assert_eq!(
            stored_notes(&temporary.connect()),
            (0..200).collect::<Vec<_>>()
        );
        commit_as_a_caller(&temporary.store, &writers, 200..10_000).await;
    });
}

#[test]
fn commits_that_take_long_stay_on_the_stores_thread() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(Duration::from_micros(101)).await;
        enqueue(&temporary.store, 0..200).await;
        assert_eq!((writers.count(), writers.by_callers()), (200, 0));
    });
}

/// Runs a future on this thread, as an executor unknown to tokio does.
fn foreign_executor<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Opens a store and enqueues enough events that a worker thread would commit most.
async fn enqueue_alone() {
    let (temporary, writers) = open(FREE).await;
    enqueue(&temporary.store, 0..100).await;
    assert_eq!((writers.count(), writers.by_callers()), (100, 0));
}

#[test]
fn a_current_thread_runtime_never_commits() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(enqueue_alone());
    runtime.block_on(async { tokio::spawn(enqueue_alone()).await.unwrap() });
}

#[test]
fn a_local_set_never_commits() {
    let runtime = workers(2);
    LocalSet::new().block_on(&runtime, enqueue_alone());
    LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(enqueue_alone()).await.unwrap();
    });
    // On a thread of the runtime's own, too.
    let handle = runtime.handle().clone();
    let blocking = runtime.spawn_blocking(move || {
        handle.block_on(LocalSet::new().run_until(async {
            tokio::task::spawn_local(enqueue_alone()).await.unwrap();
        }));
    });
    runtime.block_on(blocking).unwrap();
    on_worker(&runtime, async {
        tokio::task::block_in_place(|| {
            let local = LocalSet::new();
            tokio::runtime::Handle::current().block_on(local.run_until(async {
                tokio::task::spawn_local(enqueue_alone()).await.unwrap();
            }));
        });
    });
}

#[test]
fn whatever_else_polls_a_task_never_commits() {
    let runtime = workers(2);
    runtime.block_on(enqueue_alone());
    foreign_executor(enqueue_alone());
    let _entered = runtime.enter();
    foreign_executor(enqueue_alone());
}

#[test]
fn the_only_worker_of_a_runtime_never_commits() {
    on_worker(&workers(1), enqueue_alone());
}

/// Lone callers, on stores whose files another connection has locked, while another task runs.
async fn others_go_on_while_files_are_locked(callers: usize) {
    let mut enqueued = JoinSet::new();
    let mut locks = Vec::new();
    let has_ended = Arc::new(AtomicBool::new(false));
    for _ in 0..callers {
        let (temporary, _) = open(FREE).await;
        enqueue(&temporary.store, 0..40).await;
        let conn = temporary.connect();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        locks.push(conn);
        let has_ended = Arc::clone(&has_ended);
        enqueued.spawn(async move {
            // The store waits for the lock, whichever thread would have had this turn.
            enqueue(&temporary.store, 40..60).await;
            has_ended.store(true, Ordering::SeqCst);
            let stored = stored_notes(&temporary.connect());
            assert_eq!(stored, (0..60).collect::<Vec<_>>());
        });
    }
    let other = tokio::spawn(async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        // Timers fire, too.
        SystemClock.sleep(Duration::from_millis(20)).await;
    });
    within(other).await.unwrap();
    assert!(!has_ended.load(Ordering::SeqCst), "the files are locked");
    drop(locks);
    while let Some(ended) = within(enqueued.join_next()).await {
        ended.unwrap();
    }
}

#[test]
fn a_locked_file_does_not_block_a_current_thread_runtime() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(others_go_on_while_files_are_locked(1));
}

#[test]
fn locked_files_do_not_block_the_workers_of_a_multi_thread_runtime() {
    // As many callers as workers: one blocked worker each would leave none.
    let runtime = workers(2);
    on_worker(&runtime, others_go_on_while_files_are_locked(2));
}

#[test]
fn many_tasks_that_enqueue_once_share_commits() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let store = &temporary.store;
        enqueue(store, 0..100).await;
        let before = writers.by_callers();
        assert!(before > 0, "the control: a lone caller commits");
        let mut tasks = JoinSet::new();
        for id in 100..164 {
            let store = store.clone();
            tasks.spawn(async move { enqueue(&store, id..id + 1).await });
        }
        while let Some(ended) = within(tasks.join_next()).await {
            ended.unwrap();
        }
        // All in one task, each with a waker of its own, as `FuturesUnordered` does.
        let each: Vec<_> = (164..228).map(|id| enqueue(store, id..id + 1)).collect();
        within(Unordered::new(each)).await;
        assert_eq!(writers.by_callers(), before);
        assert_eq!(stored_notes(&temporary.connect()).len(), 228);
    });
}

/// Polls futures, each with a waker of its own.
struct Unordered<F>(Vec<(Pin<Box<F>>, Waker)>);

struct Child(Mutex<Option<Waker>>);

impl Wake for Child {
    fn wake(self: Arc<Self>) {
        if let Some(parent) = &*self.0.lock().unwrap() {
            parent.wake_by_ref();
        }
    }
}

impl<F: Future<Output = ()>> Future for Unordered<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|(future, child)| {
            *child = Waker::from(Arc::new(Child(Mutex::new(Some(cx.waker().clone())))));
            future
                .as_mut()
                .poll(&mut Context::from_waker(child))
                .is_pending()
        });
        if self.0.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<F: Future<Output = ()>> Unordered<F> {
    fn new(futures: Vec<F>) -> Self {
        let idle = Waker::noop();
        Self(
            futures
                .into_iter()
                .map(|future| (Box::pin(future), idle.clone()))
                .collect(),
        )
    }
}

#[test]
fn requests_keep_the_order_in_which_they_were_made() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let store = &temporary.store;
        for first in (0..60).step_by(3) {
            // Without company, until this caller commits again.
            let others = 1_000 + 30 * first;
            enqueue(store, others..others + 30).await;
            let transaction = store.transaction(move |tx| {
                note(first + 1).enqueue_sync().on(tx)?;
                Ok(())
            });
            let (before, between, after) = tokio::join!(
                biased;
                note(first).enqueue_sync().on(store),
                transaction,
                note(first + 2).enqueue_sync().on(store),
            );
            before.unwrap();
            between.unwrap();
            after.unwrap();
        }
        commit_as_a_caller(store, &writers, 10_000..20_000).await;
        let stored = stored_notes(&temporary.connect());
        let stored: Vec<_> = stored.into_iter().filter(|id| *id < 1_000).collect();
        assert_eq!(stored, (0..60).collect::<Vec<_>>());
    });
}

#[test]
fn a_dropped_caller_leaves_a_store_that_works() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, _) = open(FREE).await;
        let store = &temporary.store;
        enqueue(store, 0..40).await;
        let conn = temporary.connect();
        for id in 40..60 {
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut dropped = pin!(note(id).enqueue_sync().on(store));
            let polled = std::future::poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "the file is locked");
            conn.execute_batch("COMMIT").unwrap();
        }
        // Each was polled, so each may be written, but only once.
        enqueue(store, 60..100).await;
        within(store.close()).await;
        let stored = stored_notes(&conn);
        let ids: HashSet<_> = stored.iter().copied().collect();
        assert_eq!(ids.len(), stored.len(), "{stored:?}");
        assert!((0..40).chain(60..100).all(|id| ids.contains(&id)));
    });
}

#[test]
fn a_refused_or_failed_event_of_a_lone_caller_fails_alone() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let store = &temporary.store;
        temporary
            .connect()
            .execute_batch(
                "CREATE TRIGGER sevens AFTER INSERT ON outbox_events WHEN new.entity_id % 10 = 7
                 BEGIN SELECT RAISE(ROLLBACK, 'no sevens'); END",
            )
            .unwrap();
        let mut ids = 0..10_000;
        while ids.start < 200 || writers.by_callers() == 0 {
            let id = ids.next().expect("this caller commits");
            let enqueued = note(id).enqueue_sync().on(store).await;
            match enqueued {
                Err(EnqueueError::Store(error)) if id % 10 == 7 => {
                    assert!(!error.outcome_unknown(), "{error}");
                    assert!(error.to_string().contains("no sevens"), "{error}");
                }
                enqueued => assert!(matches!(enqueued, Ok(Enqueued::New(_))), "{id}"),
            }
        }
        let expected: Vec<_> = (0..ids.start).filter(|id| id % 10 != 7).collect();
        assert_eq!(stored_notes(&temporary.connect()), expected);
    });
}

#[test]
fn transactions_stay_on_the_stores_thread_and_a_panic_in_one_stays_alone() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let store = &temporary.store;
        for id in 0..60 {
            enqueue(store, id..id + 1).await;
            let thread = store
                .transaction(|_| Ok(thread::current().name().map(str::to_owned)))
                .await;
            assert_eq!(thread.unwrap().as_deref(), Some("outbox-writer"));
            let panicking = store.clone();
            let panicked = tokio::spawn(async move {
                let work = panicking.transaction(|_| -> Result<(), _> { panic!("in a closure") });
                work.await
            });
            assert!(panicked.await.unwrap_err().is_panic());
            // The store is known to wait for itself here, and not on the caller's thread.
            let again = store.clone();
            let refused = store.transaction(move |_| {
                let enqueued = foreign_executor(note(99).enqueue_sync().on(&again));
                Ok(enqueued.map(drop).unwrap_err().to_string())
            });
            assert!(refused.await.unwrap().contains("would deadlock"));
        }
        // Whether one of these events found the store without company is up to the scheduler.
        commit_as_a_caller(store, &writers, 60..10_000).await;
        let stored = stored_notes(&temporary.connect());
        assert!(stored.iter().take(60).copied().eq(0..60));
    });
}

#[test]
fn closing_completes_what_lone_callers_began() {
    let runtime = workers(2);
    for round in 0..20 {
        on_worker(&runtime, async move {
            let (temporary, _) = open(FREE).await;
            let store = temporary.store.clone();
            let caller = tokio::spawn(async move {
                let mut written = Vec::new();
                for id in 0.. {
                    match note(id).enqueue_sync().on(&store).await {
                        Ok(_) => written.push(id),
                        Err(EnqueueError::Store(error)) => {
                            assert_eq!(error.kind(), StoreErrorKind::Closed);
                            return written;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                written
            });
            for _ in 0..round * 50 {
                tokio::task::yield_now().await;
            }
            within(temporary.store.close()).await;
            let log = temporary.path.with_extension("db-wal");
            assert!(!log.exists(), "every connection is closed");
            let written = within(caller).await.unwrap();
            assert_eq!(stored_notes(&temporary.connect()), written);
        });
    }
}

#[test]
fn a_replaced_file_is_noticed_on_a_callers_thread() {
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let store = &temporary.store;
        commit_as_a_caller(store, &writers, 100..10_000).await;
        std::fs::rename(&temporary.path, temporary.path.with_extension("old")).unwrap();
        for id in 40..60 {
            let error = note(id).enqueue_sync().on(store).await.unwrap_err();
            let EnqueueError::Store(error) = error else {
                panic!("{error}");
            };
            assert_eq!(error.kind(), StoreErrorKind::FileReplaced);
        }
    });
}

/// A long event.
#[derive(Debug, OutboxEntity)]
#[outbox(event_type = "page")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

#[test]
fn the_log_of_lone_callers_is_written_back() {
    const PAGE: u64 = 4_096;
    let runtime = workers(2);
    on_worker(&runtime, async {
        let (temporary, writers) = open(FREE).await;
        let text = "x".repeat(100_000);
        for id in 0..600 {
            let page = Page {
                id,
                user_id: "u1".to_owned(),
                text: text.clone(),
            };
            page.enqueue_sync().on(&temporary.store).await.unwrap();
        }
        commit_as_a_caller(&temporary.store, &writers, 1_000..10_000).await;
        let log = temporary.path.with_extension("db-wal");
        let pages = std::fs::metadata(log).unwrap().len() / PAGE;
        // Written: more than 15,000. A checkpoint is due at 4,000.
        assert!(pages < 8_000, "{pages} pages");
    });
}
