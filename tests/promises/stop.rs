//! Stopping: no more claims; handlers finish or their events are given back; dropping the handle
//! loses nothing.

use std::time::Duration;

use outbox_runtime::{Clock, Flushed, Processor, SignOut, StoreErrorKind, prelude::*};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Note, Temporary, enqueue, note, on_each_store, start, start_with, within};

const UNAVAILABLE: Fault = Fault::Fail(StoreErrorKind::Unavailable);
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_stop_waits_for_handlers_and_records_their_answers() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, |builder| builder.max_concurrency(1));
        enqueue(&store, note(1).enqueue_sync()).await;
        enqueue(&store, note(2).enqueue_sync()).await;
        let call = remote.next().await;
        let stop = tokio::spawn(running.stop());
        tokio::task::yield_now().await;
        call.ok();
        let stopped = stop.await.unwrap().unwrap();
        assert_eq!(stopped.given_back, 0);
        assert!(remote.is_quiet(), "no further event is claimed");
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(
            (statistics.completed_count, statistics.pending_count),
            (1, 1)
        );
    });
}

#[test]
fn an_event_unfinished_at_the_deadline_is_given_back_with_its_attempt() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start_with(&store, |builder| {
            builder.stop_deadline(Duration::from_secs(3))
        });
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let mut call = remote.next().await;
        let deadline = clock.now() + Duration::from_secs(3);
        let stop = tokio::spawn(running.stop());
        within(clock.until_asleep(deadline)).await;
        clock.set(deadline);
        call.abandoned().await;
        assert_eq!(stop.await.unwrap().unwrap().given_back, 1);
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        assert_eq!(event.lease_token, None, "the event is claimable at once");
    });
}

#[test]
fn a_stop_that_is_hurried_gives_back_at_once() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let mut call = remote.next().await;
        let began = clock.now();
        let (hurry, hurried) = tokio::sync::oneshot::channel::<()>();
        let stop = tokio::spawn(running.stop_unless(async { drop(hurried.await) }));
        within(clock.until_asleep(began + Duration::from_secs(10))).await;
        assert!(!call.is_abandoned(), "the stop waits for the handler");
        hurry.send(()).unwrap();
        call.abandoned().await;
        let stopped = within(stop).await.unwrap().unwrap();
        assert_eq!((stopped.finished, stopped.given_back), (0, 1));
        assert_eq!(clock.now(), began, "no time passes");
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Pending, 0)
        );
    });
}

#[test]
fn a_stop_waits_out_a_transient_fault_of_the_store() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start(&faulty);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let stop = tokio::spawn(running.stop());
        within(clock.until_asleep(clock.now() + Duration::from_secs(10))).await;
        faulty.fail_next_times(3, StoreCall::Settle, UNAVAILABLE);
        call.ok();
        for back_off in [100, 200] {
            let until = clock.now() + Duration::from_millis(back_off);
            within(clock.until_asleep(until)).await;
            clock.set(until);
        }
        let stopped = within(stop).await.unwrap().unwrap();
        assert_eq!((stopped.finished, stopped.given_back), (1, 0));
        assert_eq!(faulty.injected().failures, 3, "the fault was injected");
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(event.status, OutboxStatus::Completed);
    });
}

#[test]
fn a_stop_reports_a_persistent_fault_of_the_store() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) =
            start_with(&faulty, |builder| builder.stop_deadline(Duration::ZERO));
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        faulty.fail_next_times(99, StoreCall::Settle, UNAVAILABLE);
        let stop = tokio::spawn(running.stop());
        for back_off in [100, 200, 400] {
            let until = clock.now() + Duration::from_millis(back_off);
            within(clock.until_asleep(until)).await;
            clock.set(until);
        }
        let error = within(stop).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        drop(call);
    });
}

#[test]
fn dropping_the_handle_stops_the_run() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        drop(running);
        call.ok();
        // A second run sees the outcome that the first one recorded on its way out.
        let (_remote, running) = start(&store);
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_runtime_that_shuts_down_under_a_run_loses_nothing() {
    let temporary = Temporary::open_with(|builder| builder).await;
    let store = temporary.store.clone();
    let (remote, event) = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (mut remote, running) = start(&store);
            let event = enqueue(&store, note(1).enqueue_sync()).await;
            let call = remote.next().await;
            drop((running, call));
            (remote, event)
        })
    })
    .join()
    .unwrap();
    drop(remote);
    let event = temporary
        .store
        .fetch_event(event.id)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(event.status, OutboxStatus::Completed);
}

#[tokio::test]
async fn a_closed_store_says_so_and_can_be_reopened() {
    let temporary = Temporary::open().await;
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    temporary.store.close().await;
    temporary.store.close().await;
    let closed = temporary.store.statistics(None).await.unwrap_err();
    assert_eq!(closed.kind(), StoreErrorKind::Closed);
    let refused = note(2).enqueue_sync().on(&temporary.store).await;
    assert!(refused.unwrap_err().to_string().contains("closed"));
    let again = outbox_runtime::SqliteStore::open(&temporary.path)
        .await
        .unwrap();
    assert_eq!(again.statistics(None).await.unwrap().pending_count, 1);
}

#[tokio::test]
async fn a_run_whose_store_is_closed_backs_off_and_still_stops() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    temporary.store.close().await;
    running.trigger();
    assert!(running.flush(1, SOON).await.is_err());
    within(running.stop()).await.unwrap();
}

#[test]
fn a_flush_reports_its_timeout() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let deadline = clock.now() + Duration::from_secs(2);
        let flushed = async {
            within(clock.until_asleep(deadline)).await;
            clock.set(deadline);
        };
        let (flushed, ()) = tokio::join!(running.flush(1, Duration::from_secs(2)), flushed);
        assert!(matches!(flushed.unwrap(), Flushed::TimedOut(_)));
        call.ok();
        running.stop().await.unwrap();
    });
}

#[test]
fn futures_of_a_run_can_be_spawned() {
    fn can_be_spawned(_: impl Future + Send) {}
    fn of(running: &Running) {
        can_be_spawned(running.flush(1, SOON));
        can_be_spawned(running.explain(1));
        can_be_spawned(running.suspend(SOON));
        can_be_spawned(running.sign_out("u1", SignOut::Drain { deadline: SOON }));
    }
    let _ = of;
}

/// A bad idea that happens: an app quits from inside a handler.
#[test]
fn a_runtime_that_a_handler_shuts_down_loses_nothing() {
    let store = MemoryStore::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let handle = runtime.handle().clone();
    let (sender, ended) = std::sync::mpsc::channel();
    let own = std::sync::Mutex::new(Some(runtime));
    let processor = {
        let _inside = handle.enter();
        Processor::builder(store.clone())
            .handle::<Note>(move |_| {
                let runtime = own.lock().unwrap().take();
                let sender = sender.clone();
                async move {
                    if let Some(runtime) = runtime {
                        runtime.shutdown_background();
                        sender.send(()).unwrap();
                    }
                    std::future::pending().await
                }
            })
            .build()
            .unwrap()
    };
    let running = {
        let _inside = handle.enter();
        processor.start("u1")
    };
    let elsewhere = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    };
    let event = elsewhere().block_on(enqueue(&store, note(1).enqueue_sync()));
    ended.recv_timeout(SOON).unwrap();
    // The handle of a killed run answers, and can be dropped.
    elsewhere().block_on(async {
        let ended = within(running.stop()).await.unwrap_err();
        assert_eq!(ended.kind(), StoreErrorKind::Closed);
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_ne!(
            stored.status,
            OutboxStatus::Completed,
            "the event stays pending"
        );
        assert_eq!(stored.attempt_count, 1);
    });
}

/// The store's work runs on its own threads, and does not depend on the caller's runtime.
#[test]
fn enqueueing_needs_no_runtime_and_no_run() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
        let mut context = std::task::Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(value) => return value,
                std::task::Poll::Pending => std::thread::park(),
            }
        }
    }
    assert!(tokio::runtime::Handle::try_current().is_err());
    let temporary = block_on(Temporary::open());
    // On the application's own connection, without async.
    let conn = temporary.connect();
    note(1).enqueue_sync().on(&conn).unwrap();
    // On the store, from any executor.
    block_on(async { note(2).enqueue_sync().on(&temporary.store).await }).unwrap();
    block_on(async {
        // On the application's own connection inside a future: complete when the call returns.
        note(3).enqueue_sync().on(&conn).unwrap();
    });
    let statistics = block_on(temporary.store.statistics(None)).unwrap();
    assert_eq!(statistics.pending_count, 3);
}

#[tokio::test]
async fn events_enqueued_after_a_stop_wait_for_the_next_run() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    running.stop().await.unwrap();
    note(1).enqueue_sync().on(&temporary.store).await.unwrap();
    let (mut remote, running) = start(&temporary.store);
    remote.next().await.ok();
    assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
    running.stop().await.unwrap();
}
