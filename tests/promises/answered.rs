//! A handler's answer counts, even if the run has not processed it yet: at a sign-out, a stop, a
//! suspension, and after a lease has ended. Before they return, these operations also end all work
//! in progress, credential refreshes included.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::store::BoxError;
use outbox_runtime::{Clock, Processor, SignOut, StoreErrorKind, prelude::*};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Note, Remote, enqueue, note, on_each_store, start, start_with, within};
use tokio::sync::watch;

const LEASE: Duration = Duration::from_secs(60);
const UNAVAILABLE: Fault = Fault::Fail(StoreErrorKind::Unavailable);

/// The event is delivered, with one attempt.
async fn assert_delivered(store: &Arc<dyn OutboxRepository>, event: &OutboxEvent) {
    let event = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(
        (event.status, event.attempt_count),
        (OutboxStatus::Completed, 1)
    );
}

#[test]
fn an_event_answered_before_a_sign_out_is_delivered_and_not_exported() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rest.jsonl");
        // One thread: the handler gets the answer first, and the run has not seen it before the
        // sign-out.
        call.ok();
        let left = running.sign_out("u1", SignOut::Export(file)).await.unwrap();
        assert_eq!((left.exported, left.undelivered), (0, 0));
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_answered_before_a_hurried_stop_is_delivered() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        call.ok();
        let stopped = running.stop_unless(std::future::ready(())).await.unwrap();
        assert_eq!(stopped.given_back, 0);
        assert_delivered(&store, &event).await;
    });
}

#[test]
fn an_event_answered_before_an_immediate_suspension_is_delivered() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        call.ok();
        let stopped = running.suspend(Duration::ZERO).await.unwrap();
        assert_eq!(stopped.given_back, 0);
        running.resume().await.unwrap();
        assert_delivered(&store, &event).await;
        running.stop().await.unwrap();
    });
}

/// A handler cannot be stopped while it is being polled: it answers, or reaches an await.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sign_out_waits_until_no_handler_of_the_user_is_polled() {
    let store = MemoryStore::new();
    let (started, begun) = tokio::sync::oneshot::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (started, gone) = (Mutex::new(Some(started)), Arc::new(Mutex::new(gone)));
    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&has_ended);
    let running = Processor::builder(store.clone())
        .handle::<Note>(move |_| {
            let (started, gone, ended) = (
                started.lock().unwrap().take(),
                Arc::clone(&gone),
                Arc::clone(&ended),
            );
            async move {
                let _ = started.map(|started| started.send(()));
                // Blocks its thread, like code that knows nothing of async.
                let _ = gone.lock().unwrap().recv();
                ended.store(true, Ordering::SeqCst);
                Ok(())
            }
        })
        .build()
        .unwrap()
        .start("u1");
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    within(begun).await.unwrap();
    let leaving = running.clone();
    let sign_out = tokio::spawn(async move {
        let left = leaving.sign_out("u1", SignOut::Abandon).await;
        (left.unwrap(), has_ended.load(Ordering::SeqCst))
    });
    // Wait until the run has started the sign-out.
    let explained = tokio::spawn({
        let running = running.clone();
        async move { running.explain(1).await }
    });
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    let (left, had_ended) = within(sign_out).await.unwrap();
    assert!(had_ended, "a handler still ran");
    assert_eq!(left.deleted, 1);
    assert_eq!(store.fetch_event(event.id).await.unwrap(), None);
    within(explained).await.unwrap().unwrap();
    running.stop().await.unwrap();
}

#[test]
fn a_run_renews_its_leases_before_it_rescues_from_others() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start(&faulty);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let began = clock.now();
        // The store is locked from the answer until shortly after the lease has ended.
        for call in [StoreCall::Extend, StoreCall::Settle, StoreCall::Claim] {
            faulty.fail_next_times(1_000, call, UNAVAILABLE);
        }
        call.ok();
        let back_off = Duration::from_millis(100);
        within(clock.until_asleep(began + back_off)).await;
        clock.set(began + LEASE - back_off);
        within(clock.until_asleep(clock.now() + back_off * 2)).await;
        assert!(faulty.injected().failures > 0, "no renewal failed");
        faulty.heal();
        clock.set(began + LEASE + back_off);
        let flushed = within(running.flush(1, LEASE / 10)).await.unwrap();
        assert!(flushed.is_delivered(), "{flushed:?} {:?}", running.health());
        assert_delivered(&store, &event).await;
        assert!(remote.is_quiet(), "the event was sent twice");
        running.stop().await.unwrap();
    });
}

#[test]
fn a_stop_records_an_outcome_whose_lease_ended_but_was_not_reclaimed() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start_with(&faulty, |builder| builder.max_concurrency(1));
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        faulty.fail_next_times(1_000, StoreCall::Settle, UNAVAILABLE);
        let back_off = clock.now() + Duration::from_millis(100);
        call.ok();
        within(clock.until_asleep(back_off)).await;
        // The run is not polled for a while, and the lease ends.
        clock.set(clock.now() + LEASE * 2);
        faulty.heal();
        running.stop().await.unwrap();
        assert_delivered(&store, &event).await;
    });
}

#[test]
fn leases_are_renewed_after_a_third_and_at_once_after_a_failed_renewal() {
    on_each_store(|store, clock| async move {
        let faulty = FaultStore::new(store.clone());
        let (mut remote, running) = start(&faulty);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let renewal = clock.now() + LEASE / 3;
        within(clock.until_asleep(renewal)).await;
        faulty.fail_next(StoreCall::Extend, UNAVAILABLE);
        clock.set(renewal);
        let again = renewal + Duration::from_millis(100);
        within(clock.until_asleep(again)).await;
        clock.set(again);
        within(clock.until_asleep(again + LEASE / 3)).await;
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.lease_expires_at, Some(again + LEASE));
        call.ok();
        assert!(
            within(running.flush(1, LEASE))
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
    });
}

/// A hook that requests credentials, and a count of its calls in progress. None of them ever
/// completes.
fn hanging_refresh() -> (
    watch::Receiver<usize>,
    impl Fn(String) -> BoxFuture + Send + Sync + 'static,
) {
    /// Counts as a call in progress until dropped.
    struct UnderWay(watch::Sender<usize>);
    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.send_modify(|count| *count -= 1);
        }
    }
    let (sender, under_way) = watch::channel(0);
    let hook = move |_| -> BoxFuture {
        let sender = sender.clone();
        Box::pin(async move {
            sender.send_modify(|count| *count += 1);
            let _under_way = UnderWay(sender);
            std::future::pending().await
        })
    };
    (under_way, hook)
}

/// A run with an event whose credentials were refused, during the refresh.
async fn at_a_hanging_refresh(
    store: &Arc<dyn OutboxRepository>,
) -> (watch::Receiver<usize>, Remote, Running) {
    let (mut under_way, hook) = hanging_refresh();
    let (mut remote, running) = start_with(store, |builder| builder.on_unauthenticated(hook));
    enqueue(store, note(1).enqueue_sync()).await;
    remote.next().await.fail(HandlerError::unauthenticated());
    within(under_way.wait_for(|count| *count == 1))
        .await
        .unwrap();
    (under_way, remote, running)
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

#[test]
fn a_sign_out_ends_the_credential_refresh_of_its_user() {
    on_each_store(|store, clock| async move {
        let (under_way, mut remote, running) = at_a_hanging_refresh(&store).await;
        let drain = SignOut::Drain {
            deadline: Duration::ZERO,
        };
        running.sign_out("u1", drain).await.unwrap();
        assert_eq!(*under_way.borrow(), 0);
        // No refresh starts while the user is signed out.
        clock.advance(Duration::from_secs(3_600));
        running.trigger();
        running.explain(1).await.unwrap();
        assert_eq!(*under_way.borrow(), 0);
        running.sign_in("u1").await;
        remote.next().await.ok();
        assert!(
            within(running.flush(1, LEASE))
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn a_suspension_ends_credential_refreshes_and_a_resumption_restarts_them() {
    on_each_store(|store, _| async move {
        let (mut under_way, _remote, running) = at_a_hanging_refresh(&store).await;
        running.suspend(Duration::ZERO).await.unwrap();
        assert_eq!(*under_way.borrow(), 0);
        running.resume().await.unwrap();
        within(under_way.wait_for(|count| *count == 1))
            .await
            .unwrap();
        running.stop().await.unwrap();
        assert_eq!(*under_way.borrow(), 0);
    });
}

#[test]
fn a_refresh_from_before_a_sign_in_does_not_affect_the_new_credentials() {
    on_each_store(|store, _| async move {
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let (mut remote, running) = start_with(&store, |builder| {
            builder.on_unauthenticated(move |_| {
                let (answer, answered) = tokio::sync::oneshot::channel::<()>();
                let _ = asked.send(answer);
                async move {
                    Err(answered
                        .await
                        .map_or_else(BoxError::from, |()| "expired".into()))
                }
            })
        });
        enqueue(&store, note(1).enqueue_sync()).await;
        remote.next().await.fail(HandlerError::unauthenticated());
        let answer = within(asks.recv()).await.unwrap();
        running.sign_in("u1").await;
        let call = remote.next().await;
        answer.send(()).unwrap();
        // The run processes the refresh before this query.
        running.explain(1).await.unwrap();
        enqueue(&store, note(2).enqueue_sync()).await;
        call.ok();
        remote.next().await.ok();
        assert!(
            within(running.flush(2, LEASE))
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
    });
}
