//! Futures dropped at any await: their operation is done or not done, and the next caller finds a
//! consistent state.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, Disposition, Settled, Settlement};
use outbox_runtime::{Flushed, HandlerSet, MemoryStore, Processor, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Note, Temporary, enqueue, note, on_each_store, within};

const LEASE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// Polls a future up to this many times, whenever it is woken, and then drops it. `None`: it was
/// not done.
async fn poll_up_to<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            // The last poll: it is dropped before it could be woken.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops the future of `begin` after 0, 1, 2 … polls, until it completes in time, and checks the
/// store each time.
async fn drop_at_every_poll<T, F, C>(begin: impl Fn() -> F, after: impl Fn() -> C)
where
    F: Future<Output = T>,
    C: Future<Output = ()>,
{
    for times in 0..100 {
        let done = within(poll_up_to(times, begin())).await.is_some();
        within(after()).await;
        if done {
            assert!(
                times > 0,
                "the future completed at once, and was never dropped"
            );
            return;
        }
    }
    panic!("the future never completes");
}

/// After the leases have ended, everything can be claimed and delivered.
async fn assert_nothing_is_stuck(store: &dyn OutboxRepository, clock: &ManualClock) {
    // Requests are answered in order: this one after all abandoned ones.
    let _ = store.rescue().await.unwrap();
    clock.advance(LEASE);
    let _ = store.rescue().await.unwrap();
    loop {
        let claims = store.claim(&ClaimRequest::new(9, LEASE)).await.unwrap();
        let settlements = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        });
        let settled = store.settle(settlements.collect()).await.unwrap();
        assert_eq!(settled, vec![Settled::Recorded; claims.len()]);
        let left = store.statistics(None).await.unwrap();
        if left.completed_count == left.total_events {
            break;
        }
        // A server may still roll back what was abandoned.
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_dropped_enqueue_is_done_or_not_and_can_be_repeated() {
    on_each_store(|store, _| async move {
        let event = note(1).enqueue_sync().into_event().unwrap();
        let begin = || store.create_event(event.clone());
        drop_at_every_poll(begin, || async {
            store.create_event(event.clone()).await.unwrap();
            assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
        })
        .await;
    });
}

#[test]
fn a_dropped_claim_holds_nothing_longer_than_its_lease() {
    on_each_store(|store, clock| async move {
        let request = ClaimRequest::new(9, LEASE);
        drop_at_every_poll(
            || async {
                enqueue(&store, note(1).enqueue_sync()).await;
                store.claim(&request).await
            },
            || assert_nothing_is_stuck(store.as_ref(), &clock),
        )
        .await;
    });
}

#[test]
fn a_dropped_settlement_is_recorded_or_not() {
    on_each_store(|store, clock| async move {
        drop_at_every_poll(
            || async {
                enqueue(&store, note(1).enqueue_sync()).await;
                let claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
                let lease = claims[0].lease;
                let disposition = Disposition::Complete;
                store.settle(vec![Settlement { lease, disposition }]).await
            },
            || assert_nothing_is_stuck(store.as_ref(), &clock),
        )
        .await;
    });
}

#[tokio::test(flavor = "current_thread")]
async fn a_dropped_transaction_leaves_none_open() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let begin = || {
        store.transaction(|tx| {
            note(1).enqueue_sync().on(tx)?;
            note(2).enqueue_sync().on(tx)?;
            Ok(())
        })
    };
    drop_at_every_poll(begin, || async {
        // Both or neither, and the writer stays usable.
        let after = store.transaction(|tx| {
            let count = "SELECT count(*) FROM outbox_events";
            Ok(tx.query_row(count, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(after.await.unwrap() % 2, 0);
        let outside: i64 = temporary
            .connect()
            .query_row("PRAGMA quick_check", [], |_| Ok(0))
            .unwrap();
        assert_eq!(outside, 0);
    })
    .await;
}

/// A handler with many awaits.
fn slow(awaits: usize) -> HandlerSet {
    HandlerSet::new().with::<Note>(move |_| async move {
        for _ in 0..awaits {
            tokio::task::yield_now().await;
        }
        Ok(())
    })
}

#[tokio::test(flavor = "current_thread")]
async fn an_event_whose_handler_is_stopped_at_any_await_is_given_back_or_done() {
    const AWAITS: usize = 12;
    let (mut given_back, mut done) = (0, 0);
    for turns in 0..3 * AWAITS {
        let clock = ManualClock::new();
        let store = MemoryStore::with_clock(clock);
        let processor = Processor::builder(store.clone())
            .handlers(slow(AWAITS))
            .stop_deadline(Duration::ZERO)
            .build()
            .unwrap();
        enqueue(&store, note(1).enqueue_sync()).await;
        let running = processor.start("u1");
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let stopped = within(running.stop()).await.unwrap();
        let statistics = store.statistics(None).await.unwrap();
        let open = (statistics.pending_count, statistics.completed_count);
        match stopped.given_back {
            1 => given_back += 1,
            _ => done += statistics.completed_count,
        }
        assert!(matches!(open, (1, 0) | (0, 1)), "{statistics:?}");
        // The next run continues, with all attempts left.
        let next = Processor::builder(store.clone()).handlers(slow(0)).build();
        let next = next.unwrap().start("u1");
        assert!(next.flush(1, SOON).await.unwrap().is_delivered());
        next.stop().await.unwrap();
        let all = store
            .fetch_events(OutboxStatus::Completed, None, None)
            .await;
        assert_eq!(all.unwrap()[0].attempt_count, 1, "after {turns} turns");
    }
    assert!(
        given_back > 3 && done > 3,
        "{given_back} given back, {done} done"
    );
}

#[test]
fn waiting_for_a_run_may_be_dropped_at_any_await() {
    on_each_store(|store, _| async move {
        let processor = Processor::builder(store.clone()).handlers(slow(1)).build();
        let running = processor.unwrap().start("u1");
        drop_at_every_poll(
            || async {
                enqueue(&store, note(1).enqueue_update()).await;
                running.flush(1, SOON).await
            },
            || async {
                let flushed = running.flush(1, SOON).await.unwrap();
                // If the enqueue was dropped too early, there is no event.
                let is_settled = flushed.is_delivered() || flushed == Flushed::NothingThere;
                assert!(is_settled, "{flushed:?}");
            },
        )
        .await;
        running.stop().await.unwrap();
    });
}
