//! Handlers complete their events in transactions of the driver.

#![allow(
    clippy::disallowed_methods,
    reason = "a case that fails ends, instead of waiting forever"
)]

use std::time::Duration;

use async_trait::async_trait;
use outbox_runtime::store::{Disposition, Lease, LeaseToken, Settled, Settlement};
use outbox_runtime::{
    Charge, CompleteError, EnqueueError, Enqueued, HandlerError, NewEvent, Operation, Order,
    OutboxEntity, OutboxEvent, OutboxEventHandler, OutboxRepository, OutboxStatus, Processor,
    RetryPolicy, RunOutcome,
};
use tokio::sync::{mpsc, oneshot};

use super::steps::{Sink, Step, TYPE, USER, claim, commit, entities, event, stored};

/// An entity whose changes follow others.
#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Next {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn next(user_id: &str) -> Next {
    let user_id = user_id.to_owned();
    Next { id: 2, user_id }
}

/// The longest that anything takes.
const LONG: Duration = Duration::from_secs(30);

/// Enqueues an event and claims it.
async fn claimed(sink: Sink<'_>, store: &impl OutboxRepository) -> OutboxEvent {
    commit(sink, [Step::Enqueue(event(1))]).await;
    claim(store).await.remove(0)
}

async fn complete(sink: Sink<'_>, event: &OutboxEvent, commits: bool) -> Result<(), CompleteError> {
    let mut tx = sink.begin(true).await.unwrap();
    let completed = tx.complete(event).await;
    tx.end(commits).await.unwrap();
    completed
}

async fn status(store: &impl OutboxRepository, event: &OutboxEvent) -> OutboxStatus {
    let found = store.fetch_event(event.id).await.unwrap();
    found.unwrap().status
}

/// Records an outcome under the lease of a claimed event, as a processor does.
async fn settle(
    store: &impl OutboxRepository,
    event: &OutboxEvent,
    disposition: Disposition,
) -> Settled {
    let lease = Lease {
        event_id: event.id,
        seq: event.seq,
        token: LeaseToken::from(event.lease_token.unwrap()),
        expires_at: event.lease_expires_at.unwrap(),
    };
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap()[0]
}

pub(super) async fn an_event_is_completed_if_and_only_if_the_transaction_commits(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let event = claimed(sink, store).await;
    complete(sink, &event, false).await.unwrap();
    assert_eq!(status(store, &event).await, OutboxStatus::Processing);
    complete(sink, &event, true).await.unwrap();
    assert_eq!(status(store, &event).await, OutboxStatus::Completed);
    // A second time changes nothing.
    complete(sink, &event, true).await.unwrap();
    let settled = settle(store, &event, Disposition::Complete).await;
    assert_eq!(settled, Settled::AlreadyCompleted);
    let stored = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(
        (
            stored.status,
            stored.attempt_count,
            stored.completed_at.is_some()
        ),
        (OutboxStatus::Completed, 1, true)
    );
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(
        (statistics.completed_count, statistics.total_events),
        (1, 1)
    );
}

pub(super) async fn a_completion_under_a_lost_lease_is_refused_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let lost = claimed(sink, store).await;
    let back = Disposition::Fail {
        message: "lost".to_owned(),
        next_attempt_at: lost.created_at,
    };
    assert_eq!(settle(store, &lost, back).await, Settled::Recorded);
    let mut tx = sink.begin(true).await.unwrap();
    let refused = tx.complete(&lost).await;
    assert!(
        matches!(refused, Err(CompleteError::LeaseLost { event_id }) if event_id == lost.id),
        "{refused:?}"
    );
    let refused = tx.supersede(&lost, next(USER).enqueue_create()).await;
    assert!(
        matches!(refused, Err(CompleteError::LeaseLost { .. })),
        "{refused:?}"
    );
    tx.enqueue(event(3)).await.unwrap();
    tx.end(true).await.unwrap();
    assert_eq!(entities(&stored(store).await), [3]);
    assert_eq!(status(store, &lost).await, OutboxStatus::Failed);
    // Nor is that noted, so the next attempt completes it.
    let again = claim(store).await;
    let again = again.iter().find(|event| event.id == lost.id).unwrap();
    complete(sink, again, true).await.unwrap();
    assert_eq!(status(store, again).await, OutboxStatus::Completed);
}

pub(super) async fn what_waits_for_a_completed_event_goes_on_with_the_commit(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let update = |entity| NewEvent::new(TYPE, entity, USER, Operation::Update);
    let steps = [
        event(1),
        // Of the same entity under another order.
        update(1).with_order(Order::User),
        update(1),
        update(2).with_after(TYPE, 1),
    ];
    let [first, elder, second, child] = steps.each_ref().map(NewEvent::id);
    commit(sink, steps.map(Step::Enqueue)).await;
    let held = claim(store).await;
    assert_eq!(
        held.iter().map(|event| event.id).collect::<Vec<_>>(),
        [first]
    );
    complete(sink, &held[0], false).await.unwrap();
    assert!(claim(store).await.is_empty(), "it was rolled back");
    complete(sink, &held[0], true).await.unwrap();
    let mut held = claim(store).await;
    held.sort_by_key(|event| event.seq);
    assert_eq!(
        held.iter().map(|event| event.id).collect::<Vec<_>>(),
        [elder, child]
    );
    complete(sink, &held[0], true).await.unwrap();
    let held = claim(store).await;
    assert_eq!(
        held.iter().map(|event| event.id).collect::<Vec<_>>(),
        [second]
    );
}

pub(super) async fn an_event_is_superseded_with_the_commit_or_neither_happens(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = claimed(sink, store).await;
    let mut tx = sink.begin(true).await.unwrap();
    let refused = tx.supersede(&first, next("").enqueue_create()).await;
    assert!(
        matches!(
            refused,
            Err(CompleteError::Next {
                source: EnqueueError::Invalid { .. },
                ..
            })
        ),
        "{refused:?}"
    );
    tx.end(true).await.unwrap();
    assert_eq!(status(store, &first).await, OutboxStatus::Processing);
    for commits in [false, true] {
        let mut tx = sink.begin(true).await.unwrap();
        let followed = tx.supersede(&first, next(USER).enqueue_create()).await;
        let Ok(followed @ Enqueued::New(_)) = followed else {
            panic!("{followed:?}");
        };
        // A second call enqueues no second event.
        let again = tx.supersede(&first, next(USER).enqueue_create()).await;
        assert_eq!(again.unwrap(), followed);
        tx.end(commits).await.unwrap();
        let expected = match commits {
            true => OutboxStatus::Completed,
            false => OutboxStatus::Processing,
        };
        assert_eq!(status(store, &first).await, expected);
        assert_eq!(claim(store).await.len(), usize::from(commits));
    }
}

/// A call of the handler: the event, and what to answer.
type Call = (OutboxEvent, oneshot::Sender<Result<(), HandlerError>>);

struct Asks(mpsc::UnboundedSender<Call>);

#[async_trait]
impl OutboxEventHandler for Asks {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == TYPE
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        let (answer, answered) = oneshot::channel();
        // The case may have failed and gone.
        let _ = self.0.send((event.clone(), answer));
        answered.await.unwrap_or(Ok(()))
    }
}

pub(super) async fn a_handler_that_completes_its_event_is_tried_again_unless_the_transaction_commits<
    S,
>(
    sink: Sink<'_>,
    store: &S,
) where
    S: OutboxRepository + Clone,
{
    for is_kept in [true, false] {
        let (asks, mut calls) = mpsc::unbounded_channel();
        let processor = Processor::builder(store.clone())
            .handler(Asks(asks))
            .retry(RetryPolicy::new([Duration::from_millis(1)]))
            .charge(Charge::Always);
        let processor = match is_kept {
            true => processor,
            false => processor.keep_completed(Duration::ZERO),
        };
        let running = processor.build().unwrap().start_all_users();
        let mut outcomes = running.outcomes();
        let new = event(1);
        commit(sink, [Step::Enqueue(new.clone())]).await;
        for commits in [false, true] {
            let called = tokio::time::timeout(LONG, calls.recv()).await;
            let (called, answer) = called.unwrap().unwrap();
            assert_eq!(called.attempt_count, 1 + u32::from(commits));
            complete(sink, &called, commits).await.unwrap();
            answer.send(Ok(())).unwrap();
            let told = tokio::time::timeout(LONG, outcomes.next()).await;
            match (commits, told.unwrap()) {
                (false, Some(RunOutcome::Failed { event, .. }))
                | (true, Some(RunOutcome::Delivered { event })) => assert_eq!(event.id, new.id()),
                (_, told) => panic!("{told:?}"),
            }
        }
        running.stop().await.unwrap();
        let found = store.fetch_event(new.id()).await.unwrap();
        assert_eq!(found.is_some(), is_kept);
    }
    let statistics = store.statistics(None).await.unwrap();
    assert_eq!(statistics.completed_total, 2, "both are counted");
}
