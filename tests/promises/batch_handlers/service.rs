//! A service that takes batches, and runs that call it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use outbox_runtime::{
    Batch, Batching, HandlerSet, Processor, ProcessorBuilder, RetryPolicy, WaitsFor, prelude::*,
};
use outbox_tests::{Note, enqueue, note, within};
use tokio::sync::{mpsc, oneshot};

use super::SOON;

/// A remote service that takes several notes in one call, answered by the test.
pub(super) struct Service {
    calls: mpsc::UnboundedReceiver<BatchCall>,
}

/// One call, waiting for its answer.
pub(super) struct BatchCall {
    pub(super) batch: Arc<Batch<Event<Note>>>,
    pub(super) answer: oneshot::Sender<Result<(), HandlerError>>,
}

impl Service {
    pub(super) fn new(batching: Batching) -> (Self, HandlerSet) {
        let (sender, calls) = mpsc::unbounded_channel();
        let set = HandlerSet::new().with_batch::<Note>(batching, move |batch| {
            let sender = sender.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                let batch = Arc::new(batch);
                let _ = sender.send(BatchCall { batch, answer });
                answered
                    .await
                    .unwrap_or_else(|_| Err(HandlerError::offline()))
            }
        });
        (Self { calls }, set)
    }

    pub(super) async fn next(&mut self) -> BatchCall {
        within(self.calls.recv())
            .await
            .expect("the processor is running")
    }

    pub(super) fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

impl BatchCall {
    pub(super) fn ids(&self) -> Vec<i64> {
        let events = self.batch.iter();
        events
            .map(|event| event.entity_id.as_integer().unwrap())
            .collect()
    }

    pub(super) fn answer(self, answer: Result<(), HandlerError>) {
        let _ = self.answer.send(answer);
    }
}

pub(super) fn start(
    store: &Arc<dyn OutboxRepository>,
    batching: Batching,
    configure: impl FnOnce(ProcessorBuilder) -> ProcessorBuilder,
) -> (Service, Running) {
    let (service, handlers) = Service::new(batching);
    let builder = Processor::builder(Arc::clone(store))
        .retry(RetryPolicy::default().without_jitter())
        .handlers(handlers);
    let running = configure(builder).build().unwrap().start("u1");
    (service, running)
}

pub(super) async fn enqueue_notes(store: &Arc<dyn OutboxRepository>, ids: std::ops::Range<i64>) {
    for id in ids {
        enqueue(store, note(id).enqueue_sync()).await;
    }
}

pub(super) async fn of_entity(store: &Arc<dyn OutboxRepository>, id: i64) -> OutboxEvent {
    let mut events = store
        .fetch_events_for_entity(&id.into(), None, None)
        .await
        .unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

pub(super) async fn delivered(running: &Running, ids: impl IntoIterator<Item = i64>) {
    for id in ids {
        let flushed = within(running.flush(id, SOON)).await.unwrap();
        assert!(flushed.is_delivered(), "{id}: {flushed:?}");
    }
}

/// Waits until so many notes are delivered, without a flush, which sends every batch at once.
pub(super) async fn completed(store: &Arc<dyn OutboxRepository>, count: u64) {
    let are_completed = async {
        while store.statistics(None).await.unwrap().completed_count < count {
            tokio::task::yield_now().await;
        }
    };
    within(are_completed).await;
}

/// Waits until the run explains that a note waits for others of its batch.
pub(super) async fn gathered(running: &Running, id: i64, until: DateTime<Utc>) {
    let is_gathered = async {
        while running.explain(id).await.unwrap().waits_for != (WaitsFor::Batch { until }) {
            tokio::task::yield_now().await;
        }
    };
    within(is_gathered).await;
}
