//! Claiming ahead: quick handlers have events waiting for them, and however that ends, no event
//! loses an attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::{Clock, HandlerSet, OutboxStatus, Processor, prelude::*};
use outbox_testing::{ManualClock, StoreCall};
use outbox_tests::{Counting, Note, enqueue, note, on_each_store, within};
use tokio::sync::Semaphore;

const SOON: Duration = Duration::from_secs(30);
const EVENTS: i64 = 400;

/// A handler that answers at once, until the test makes it stall.
#[derive(Clone)]
struct Service {
    calls: Arc<AtomicUsize>,
    stall_at: Arc<AtomicUsize>,
    stalled: Arc<Semaphore>,
    release: Arc<Semaphore>,
    offline: bool,
}

impl Service {
    fn stalling_at(call: usize) -> Self {
        Self {
            calls: Arc::default(),
            stall_at: Arc::new(AtomicUsize::new(call)),
            stalled: Arc::new(Semaphore::new(0)),
            release: Arc::new(Semaphore::new(0)),
            offline: false,
        }
    }

    /// One handler at a time, so that only events claimed ahead can wait.
    fn start(&self, store: &Arc<dyn OutboxRepository>) -> Running {
        let service = self.clone();
        let set = HandlerSet::new().with::<Note>(move |_| {
            let service = service.clone();
            async move {
                let call = service.calls.fetch_add(1, Ordering::SeqCst) + 1;
                if call < service.stall_at.load(Ordering::SeqCst) {
                    return Ok(());
                }
                service.stalled.add_permits(1);
                service.release.acquire().await.unwrap().forget();
                if service.offline {
                    return Err(HandlerError::offline());
                }
                Ok(())
            }
        });
        Processor::builder(Arc::clone(store))
            .handlers(set)
            .max_concurrency(1)
            .build()
            .unwrap()
            .start("u1")
    }

    async fn stalled(&self) {
        within(self.stalled.acquire()).await.unwrap().forget();
    }

    /// Answers the stalled call; the next call to stall comes after this many.
    fn release_for(&self, calls: usize) {
        self.stall_at.fetch_add(calls, Ordering::SeqCst);
        self.release.add_permits(1);
    }
}

async fn enqueue_all(store: &dyn OutboxRepository) {
    for id in 0..EVENTS {
        enqueue(store, note(id).enqueue_sync()).await;
    }
}

async fn processing_count_of(store: &dyn OutboxRepository) -> u64 {
    store.statistics(None).await.unwrap().processing_count
}

/// Stalls now and then, until events wait behind a stalled call.
async fn stall_with_events_waiting(service: &Service, store: &dyn OutboxRepository) {
    loop {
        service.stalled().await;
        if processing_count_of(store).await > 1 {
            return;
        }
        let calls = service.calls.load(Ordering::SeqCst);
        assert!(calls + 40 < EVENTS as usize, "nothing is claimed ahead");
        service.release_for(40);
    }
}

async fn assert_nothing_counted(store: &dyn OutboxRepository, left: usize) {
    assert_eq!(processing_count_of(store).await, 0);
    let pending = store
        .fetch_events(OutboxStatus::Pending, None, None)
        .await
        .unwrap();
    assert_eq!(pending.len(), left);
    assert!(pending.iter().all(|event| event.attempt_count == 0));
}

/// With virtual time, a handler that sleeps on the store's clock is as slow as that clock says.
#[test]
fn no_events_are_claimed_ahead_for_a_slow_handler() {
    on_each_store(|store, clock: ManualClock| async move {
        enqueue_all(&*store).await;
        let slow = clock.clone();
        let (calls, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, begins) = (Arc::clone(&calls), Arc::clone(&begun));
        let set = HandlerSet::new().with::<Note>(move |_| {
            let (slow, begins) = (slow.clone(), Arc::clone(&begins));
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                begins.add_permits(1);
                slow.sleep(Duration::from_millis(50)).await;
                Ok(())
            }
        });
        let builder = Processor::builder(Arc::clone(&store)).handlers(set);
        let running = builder.max_concurrency(1).build().unwrap().start("u1");
        for call in 1..=100 {
            within(begun.acquire()).await.unwrap().forget();
            assert_eq!(processing_count_of(&*store).await, 1, "call {call}");
            let ends = clock.now() + Duration::from_millis(50);
            within(clock.until_asleep(ends)).await;
            clock.set(ends);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 100);
        running.stop().await.unwrap();
    });
}

#[test]
fn events_waiting_for_a_handler_that_became_slow_are_given_back_uncounted() {
    on_each_store(|store, clock: ManualClock| async move {
        enqueue_all(&*store).await;
        let service = Service::stalling_at(100);
        let running = service.start(&store);
        stall_with_events_waiting(&service, &*store).await;
        // The first lease renewal is later than this.
        let patience = clock.now() + Duration::from_millis(100);
        within(clock.until_asleep(patience)).await;
        clock.set(patience);
        let mut seen = store.revision();
        while processing_count_of(&*store).await > 1 {
            seen = within(store.changed(seen)).await;
        }
        let pending = store
            .fetch_events(OutboxStatus::Pending, None, None)
            .await
            .unwrap();
        assert!(pending.iter().all(|event| event.attempt_count == 0));
        service.release_for(EVENTS as usize);
        for id in 0..EVENTS {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        let sent = store
            .fetch_events(OutboxStatus::Completed, None, None)
            .await
            .unwrap();
        assert!(sent.iter().all(|event| event.attempt_count == 1));
        assert_eq!(service.calls.load(Ordering::SeqCst), EVENTS as usize);
        running.stop().await.unwrap();
    });
}

#[test]
fn events_waiting_when_the_network_goes_down_are_given_back_uncounted() {
    on_each_store(|store, clock: ManualClock| async move {
        enqueue_all(&*store).await;
        let mut service = Service::stalling_at(100);
        service.offline = true;
        let running = service.start(&store);
        service.stalled().await;
        let sent = service.calls.load(Ordering::SeqCst) - 1;
        // One refusal may be the event's own fault. Four more show that the network is down.
        for _ in 0..4 {
            service.release_for(1);
            service.stalled().await;
        }
        service.release_for(1);
        let first_probe = clock.now() + Duration::from_secs(1);
        within(clock.until_asleep(first_probe)).await;
        assert_nothing_counted(&*store, EVENTS as usize - sent).await;
        running.stop().await.unwrap();
    });
}

#[test]
fn events_waiting_when_the_run_stops_are_given_back_uncounted() {
    on_each_store(|store, _| async move {
        enqueue_all(&*store).await;
        let service = Service::stalling_at(100);
        let running = service.start(&store);
        stall_with_events_waiting(&service, &*store).await;
        let stop = tokio::spawn(running.stop());
        tokio::task::yield_now().await;
        service.release_for(EVENTS as usize);
        assert_eq!(stop.await.unwrap().unwrap().given_back, 0);
        let sent = service.calls.load(Ordering::SeqCst);
        assert_nothing_counted(&*store, EVENTS as usize - sent).await;
    });
}

/// With ten entities, ten events can be sent at a time. A write for each of them would be a commit
/// for each of them.
#[test]
fn outcomes_that_let_the_next_events_go_are_written_together() {
    on_each_store(|store, _| async move {
        for id in 0..EVENTS {
            enqueue(&*store, note(id % 10).enqueue_sync()).await;
        }
        let counting = Arc::new(Counting::new(Arc::clone(&store), StoreCall::Settle));
        let set = HandlerSet::new().with::<Note>(|_| std::future::ready(Ok(())));
        let builder = Processor::builder(Arc::clone(&counting)).handlers(set);
        let running = builder.max_concurrency(2).build().unwrap().start("u1");
        for id in 0..10 {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
        let sent = store.statistics(None).await.unwrap().completed_count;
        let writes = counting.calls();
        assert_eq!(sent, EVENTS as u64);
        // The first 32 attempts have to be quick before events wait for handlers.
        assert!(writes <= 32 + EVENTS as usize / 5, "{writes} writes");
    });
}
