//! Misbehaving handlers: only their own event is affected.

use std::error::Error;
use std::fmt;
use std::panic::panic_any;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::MAX_MESSAGE_BYTES;
use outbox_runtime::{Clock, HandlerSet, Processor, async_trait, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Broken, Flaw, Log, Note, Temporary, enqueue, note, on_each_store, within};

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);

async fn stored(store: &dyn OutboxRepository, event: &OutboxEvent) -> OutboxEvent {
    store.fetch_event(event.id).await.unwrap().unwrap()
}

/// The failure stored for note 1, while the same run delivers note 2.
async fn failure_of<F>(store: &Arc<dyn OutboxRepository>, fail: F) -> String
where
    F: Fn() -> Result<(), HandlerError> + Send + Sync + Clone + 'static,
{
    let user = "u1";
    store.delete_all_events_for_user(user).await.unwrap();
    let running = Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let fail = fail.clone();
            async move {
                match event.entity_id.as_integer() {
                    Some(1) => fail(),
                    _ => Ok(()),
                }
            }
        })
        .max_concurrency(1)
        .build()
        .unwrap()
        .start(user);
    let failing = enqueue(store, note(1).enqueue_sync()).await;
    enqueue(store, note(2).enqueue_sync()).await;
    let flushed = within(running.flush(2, SOON)).await;
    assert!(flushed.unwrap().is_delivered(), "the run continues");
    within(running.stop()).await.unwrap();
    let failed = stored(store, &failing).await;
    assert_eq!(
        (failed.status, failed.attempt_count),
        (OutboxStatus::Failed, 1)
    );
    failed.error_message.unwrap()
}

/// A panic may have any payload, even one that panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a panic in drop");
        }
    }
}

#[test]
fn a_panic_with_any_payload_is_a_counted_failure_and_the_run_goes_on() {
    on_each_store(|store, _| async move {
        let told = failure_of(&store, || panic!("at the {}", "disco")).await;
        assert_eq!(told, "the handler panicked: at the disco");
        let untold = "the handler panicked: (a panic without a message)";
        assert_eq!(failure_of(&store, || panic_any(7_u8)).await, untold);
        assert_eq!(failure_of(&store, || panic_any(Bomb)).await, untold);
        let nested = || panic_any(Box::new(Box::new("deep")));
        assert_eq!(failure_of(&store, nested).await, untold);
    });
}

/// An error that cannot be displayed.
#[derive(Debug)]
enum Undisplayable {
    /// Its `Display` panics.
    Panics,
    /// Its `Display` returns an error.
    Fails,
    /// Its chain of causes is infinite.
    CausedByItself,
    /// Its text is empty.
    NotUtf8,
}

impl fmt::Display for Undisplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panics => panic!("a panic in Display"),
            Self::Fails => Err(fmt::Error),
            Self::CausedByItself => f.write_str("again"),
            Self::NotUtf8 => f.write_str(&String::from_utf8_lossy(b"\xff\xfe cut \xe2\x82")),
        }
    }
}

impl Error for Undisplayable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        matches!(self, Self::CausedByItself).then_some(self)
    }
}

#[test]
fn an_error_that_cannot_be_displayed_is_a_counted_failure_and_the_run_goes_on() {
    on_each_store(|store, _| async move {
        let retry = |error: fn() -> Undisplayable| move || Err(HandlerError::retry(error()));
        let message = failure_of(&store, retry(|| Undisplayable::Panics)).await;
        assert_eq!(message, "the handler panicked: a panic in Display");
        let message = failure_of(&store, retry(|| Undisplayable::Fails)).await;
        assert!(message.starts_with("the handler panicked: "), "{message}");
        let message = failure_of(&store, retry(|| Undisplayable::CausedByItself)).await;
        assert!(message.starts_with("again: again: "), "{message}");
        assert!(message.len() < MAX_MESSAGE_BYTES);
        let message = failure_of(&store, retry(|| Undisplayable::NotUtf8)).await;
        assert_eq!(message, "\u{fffd}\u{fffd} cut \u{fffd}");
        let bytes = || {
            Err(HandlerError::retry(
                String::from_utf8(vec![0xff]).unwrap_err(),
            ))
        };
        let message = failure_of(&store, bytes).await;
        assert!(message.starts_with("invalid utf-8"), "{message}");
    });
}

/// A text that attacks an operator's terminal.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\0\r\nFORGED line\n\u{202e}\u{2028}";

#[tokio::test(flavor = "current_thread")]
async fn an_error_text_of_any_size_and_kind_is_kept_in_part_and_logged_escaped() {
    let (log, _guard) = Log::of_this_thread();
    let store: Arc<dyn OutboxRepository> = Arc::new(MemoryStore::new());
    let large = || {
        Err(HandlerError::retry(
            HOSTILE.repeat((1 << 20) / HOSTILE.len()),
        ))
    };
    let message = failure_of(&store, large).await;
    assert!((MAX_MESSAGE_BYTES - 4..=MAX_MESSAGE_BYTES).contains(&message.len()));
    assert!(message.ends_with('…'));
    assert!(!message.contains(char::is_control), "{message:?}");
    let in_a_panic = || panic_any(HOSTILE.repeat(100_000));
    let message = failure_of(&store, in_a_panic).await;
    assert!(message.len() <= MAX_MESSAGE_BYTES);
    assert!(!message.contains(char::is_control), "{message:?}");
    assert_clean(&log);
}

/// No text moves a cursor, or forges a log line.
fn assert_clean(log: &Log) {
    let text = log.text();
    assert!(text.contains("FORGED"), "it is told: {text}");
    for line in text.lines() {
        assert!(!line.starts_with("FORGED"), "{line:?}");
        let hidden = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
        assert!(!line.contains(hidden), "{line:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_text_of_a_store_is_logged_escaped() {
    let (log, _guard) = Log::of_this_thread();
    let clock = ManualClock::new();
    let store = Broken::new(Flaw::FailsClaims(HOSTILE), clock.clone());
    let running = Processor::builder(store)
        .handle::<Note>(|_| async { Ok(()) })
        .build()
        .unwrap()
        .start("u1");
    // The run backs off.
    within(clock.until_asleep(clock.now() + Duration::from_millis(100))).await;
    running.stop().await.unwrap();
    assert_clean(&log);
}

struct Picky;

#[async_trait]
impl OutboxEventHandler for Picky {
    fn can_handle(&self, event_type: &str) -> bool {
        assert!(event_type != "task", "a bug in can_handle");
        true
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

#[test]
fn a_handler_that_panics_in_can_handle_does_not_get_the_event() {
    on_each_store(|store, _| async move {
        let task = outbox_tests::Task {
            id: 1,
            user_id: "u1".to_owned(),
        };
        let waiting = enqueue(&store, task.enqueue_sync()).await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let processor = Processor::builder(store.clone()).handler(Picky).build();
        let running = processor.unwrap().start("u1");
        let flushed = within(running.flush(2, SOON)).await;
        assert!(flushed.unwrap().is_delivered(), "the run continues");
        within(running.stop()).await.unwrap();
        let waiting = stored(&store, &waiting).await;
        assert_eq!(
            (waiting.status, waiting.attempt_count),
            (OutboxStatus::Pending, 0)
        );
    });
}

#[test]
fn events_enqueued_by_a_handler_come_after_its_own_event() {
    on_each_store(|store, _| async move {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (inside, seen) = (store.clone(), sent.clone());
        let running = Processor::builder(store.clone())
            .handle::<Note>(move |event| {
                let (store, sent) = (inside.clone(), seen.clone());
                async move {
                    if event.is_new_record() {
                        enqueue(&store, note(1).enqueue_update()).await;
                        enqueue(&store, note(1).enqueue_delete().priority(100)).await;
                    }
                    sent.lock().unwrap().push(event.operation);
                    Ok(())
                }
            })
            .max_concurrency(1)
            .build()
            .unwrap()
            .start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        let flushed = within(running.flush(1, SOON)).await;
        assert!(flushed.unwrap().is_delivered());
        running.stop().await.unwrap();
        let expected = [Operation::Create, Operation::Update, Operation::Delete];
        assert_eq!(*sent.lock().unwrap(), expected);
    });
}

#[tokio::test(flavor = "current_thread")]
async fn a_handler_may_use_a_transaction_of_its_own_store() {
    let temporary = Temporary::open().await;
    let store = temporary.store.clone();
    let processor = Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let store = store.clone();
            async move {
                if event.is_new_record() {
                    let enqueued = store.transaction(|tx| {
                        note(1).enqueue_update().on(tx)?;
                        Ok(())
                    });
                    enqueued.await.or_permanent()?;
                    // All of these share the writer, and none waits for another.
                    note(2).enqueue_update().on(&store).await.or_permanent()?;
                    store.statistics(None).await.or_permanent()?;
                }
                Ok(())
            }
        })
        .max_concurrency(1)
        .build()
        .unwrap();
    let running = processor.start("u1");
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    for id in [1, 2] {
        let flushed = within(running.flush(id, SOON)).await;
        assert!(flushed.unwrap().is_delivered());
    }
    running.stop().await.unwrap();
    let statistics = temporary.store.statistics(None).await.unwrap();
    assert_eq!(statistics.completed_count, 3);
}

/// Handlers that block their thread for note 1 until released.
fn blocking() -> (mpsc::Sender<()>, mpsc::Receiver<()>, HandlerSet) {
    let (let_go, wait) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let wait = Mutex::new(wait);
    let set = HandlerSet::new().with::<Note>(move |event| {
        if event.entity_id.as_integer() == Some(1) {
            begin.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        async { Ok(()) }
    });
    (let_go, begun, set)
}

#[test]
fn a_handler_that_blocks_one_of_several_threads_delays_nobody_else() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = MemoryStore::new();
        let (let_go, begun, handlers) = blocking();
        let processor = Processor::builder(store.clone()).handlers(handlers).build();
        let running = processor.unwrap().start("u1");
        enqueue(&store, note(1).enqueue_sync()).await;
        tokio::task::spawn_blocking(move || begun.recv())
            .await
            .unwrap()
            .unwrap();
        for id in 2..6 {
            enqueue(&store, note(id).enqueue_sync()).await;
            let flushed = within(running.flush(id, SOON)).await;
            assert!(flushed.unwrap().is_delivered());
        }
        let_go.send(()).unwrap();
        let flushed = within(running.flush(1, SOON)).await;
        assert!(flushed.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

/// The worst case: a runtime with one thread, which a handler blocks for longer than its lease.
#[test]
fn a_handler_that_blocks_the_only_thread_past_its_lease_is_fenced_and_logged() {
    let clock = ManualClock::new();
    let store = MemoryStore::with_clock(clock.clone());
    let (let_go, begun, handlers) = blocking();
    let inside = store.clone();
    let blocked = std::thread::spawn(move || {
        let (log, _guard) = Log::of_this_thread();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let processor = Processor::builder(inside.clone())
                .handlers(handlers)
                .build();
            let running = processor.unwrap().start("u1");
            enqueue(&inside, note(1).enqueue_sync()).await;
            assert!(running.flush(1, SOON).await.unwrap().is_delivered());
            running.stop().await.unwrap();
        });
        log.text()
    });
    begun.recv().unwrap();
    clock.advance(LEASE);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        // Another process takes over the event.
        let processor = Processor::builder(store.clone())
            .handle::<Note>(|_| async { Ok(()) })
            .build();
        let running = processor.unwrap().start("u1");
        let flushed = within(running.flush(1, SOON)).await;
        assert!(flushed.unwrap().is_delivered());
        running.stop().await.unwrap();
        let before = store
            .fetch_events(OutboxStatus::Completed, None, None)
            .await
            .unwrap();
        assert_eq!((before.len(), before[0].attempt_count), (1, 1));

        clock.advance(LEASE);
        let_go.send(()).unwrap();
        let log = tokio::task::spawn_blocking(move || blocked.join())
            .await
            .unwrap()
            .unwrap();
        assert!(log.contains("a handler blocks its thread"), "{log}");
        let after = store
            .fetch_events(OutboxStatus::Completed, None, None)
            .await
            .unwrap();
        assert_eq!(after, before, "the late outcome is not recorded");
    });
}
