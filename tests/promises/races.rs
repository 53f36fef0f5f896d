//! Concurrent operations on one event: two callers enqueue, complete, rescue, delete or edit it.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::{Claim, ClaimRequest, Disposition, Settled, Settlement};
use outbox_runtime::{EnqueueError, NewEvent, RawMetadata, StoreErrorKind, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{Temporary, enqueue, note, on_each_store, start, within};

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);

fn completion(claim: &Claim) -> Vec<Settlement> {
    vec![Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    }]
}

/// Two stores on one file, like two processes, and one in-memory store for both sides.
async fn pairs(clock: &ManualClock) -> (Vec<[Arc<dyn OutboxRepository>; 2]>, Temporary) {
    let memory = MemoryStore::with_clock(clock.clone());
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let other = SqliteStore::builder(&temporary.path).clock(clock.clone());
    let other = other.open().await.unwrap();
    let pairs = vec![
        [
            Arc::new(memory.clone()) as Arc<dyn OutboxRepository>,
            Arc::new(memory),
        ],
        [Arc::new(temporary.store.clone()), Arc::new(other)],
    ];
    (pairs, temporary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_owners_completes_an_event_and_no_rescue_brings_it_back() {
    let clock = ManualClock::new();
    let (pairs, _temporary) = pairs(&clock).await;
    for [first, second] in pairs {
        for id in 0..50 {
            let event = enqueue(&first, note(id).enqueue_sync()).await;
            let claim = first.mark_as_processing(event.id, LEASE).await.unwrap();
            clock.advance(LEASE);
            // The lease is over: the rescuer, which claims the event next, and the late owner run
            // concurrently.
            let second = Arc::clone(&second);
            let taker = tokio::spawn(async move {
                let rescued = second.rescue().await.unwrap();
                let claims = second.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
                let (again, claim) = (second.rescue().await.unwrap(), &claims[0]);
                let settled = second.settle(completion(claim)).await.unwrap();
                (second, rescued, again, settled)
            });
            let late = first.settle(completion(&claim)).await.unwrap();
            let extended = first.rescue().await.unwrap();
            let (back, rescued, again, settled) = taker.await.unwrap();
            assert_eq!(late, [Settled::LeaseLost], "the lease had ended");
            assert_eq!(rescued.requeued + extended.requeued + again.requeued, 1);
            assert_eq!(
                settled,
                [Settled::Recorded],
                "the new attempt is unaffected"
            );
            assert_eq!(back.rescue().await.unwrap().requeued, 0);
            let stored = first.fetch_event(event.id).await.unwrap().unwrap();
            assert_eq!(
                (stored.status, stored.attempt_count),
                (OutboxStatus::Completed, 1)
            );
        }
    }
}

#[test]
fn an_event_that_is_deleted_while_its_handler_runs_stays_deleted() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let behind = enqueue(&store, note(1).enqueue_update()).await;
        let call = remote.next().await;
        assert!(store.delete_event(event.id).await.unwrap());
        call.ok();
        let call = remote.next().await;
        assert_eq!(call.event.id, behind.id, "the next event goes out");
        call.ok();
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        assert_eq!(store.fetch_event(event.id).await.unwrap(), None);
        let completed = store.statistics(None).await.unwrap().completed_count;
        assert_eq!(completed, 1, "the deleted event's outcome is discarded");
    });
}

#[test]
fn an_event_with_a_handler_can_neither_be_edited_nor_reset() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let mut edited = store.fetch_event(event.id).await.unwrap().unwrap();
        edited.metadata = Some(RawMetadata::from_bytes("{}"));
        let refused = store.update_event(&edited).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains("processing"), "{refused}");
        assert_eq!(store.reset_for_retry(&[event.id]).await.unwrap(), 0);
        assert_eq!(store.discard(&[event.id]).await.unwrap(), 0);
        call.ok();
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_enqueued_many_times_at_once_is_stored_once() {
    let (pairs, _temporary) = pairs(&ManualClock::new()).await;
    for sides in pairs {
        let same = NewEvent::new("note", 1, "u1", Operation::Create);
        let other = same.clone().with_metadata(RawMetadata::from_bytes("{}"));
        let tasks: Vec<_> = (0..16)
            .map(|number: usize| {
                let store = Arc::clone(&sides[number % 2]);
                // Half of them enqueue other content under the same id.
                let event = if number % 4 < 2 { &same } else { &other }.clone();
                tokio::spawn(async move { (number % 4 < 2, store.create_event(event).await) })
            })
            .collect();
        let mut written = Vec::new();
        for task in tasks {
            let (is_same, answer) = task.await.unwrap();
            match answer {
                Ok(event) => written.push((is_same, event)),
                Err(EnqueueError::Conflict { event_id }) => assert_eq!(event_id, same.id()),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(
            written.len(),
            8,
            "all callers with one content succeed, and none with the other"
        );
        assert!(
            written.iter().all(|(is_same, event)| {
                *is_same == written[0].0 && event.seq == written[0].1.seq
            })
        );
        assert_eq!(sides[0].statistics(None).await.unwrap().total_events, 1);
    }
}
