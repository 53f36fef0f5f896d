//! A commit wakes the processors of this process.
#![allow(
    clippy::disallowed_methods,
    reason = "how soon that happens is measured, though not judged"
)]

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outbox_runtime::{
    HandlerError, OutboxEvent, OutboxEventHandler, OutboxRepository, Processor, RunOutcome,
};
use tokio::sync::mpsc;

use super::steps::{Sink, Step, TYPE, commit, event, single};

/// The longest that anything takes.
const LONG: Duration = Duration::from_secs(30);

const ROUNDS: i64 = 5;

pub(super) async fn a_commit_is_told_to_a_store_of_this_process_that_sleeps(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let mut times_asleep = 0;
    for entity in 0..ROUNDS {
        let mut changed = store.changed(store.revision());
        // It sleeps from the first poll on, and looks for nothing by itself.
        let asleep = poll_fn(|cx| Poll::Ready(changed.as_mut().poll(cx).is_pending())).await;
        let answers = commit(sink, [Step::Enqueue(event(entity))]).await;
        single(&answers[0]);
        if asleep {
            times_asleep += 1;
            let told = tokio::time::timeout(LONG, changed).await;
            assert!(told.is_ok(), "the store was not told of event {entity}");
        }
    }
    assert!(times_asleep > 0, "there was always something new");
}

/// Tells when an event was delivered.
struct Told(mpsc::UnboundedSender<Instant>);

#[async_trait]
impl OutboxEventHandler for Told {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == TYPE
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        // The case may have failed and gone.
        let _ = self.0.send(Instant::now());
        Ok(())
    }
}

pub(super) async fn a_commit_wakes_the_processors_of_this_process<S>(sink: Sink<'_>, store: &S)
where
    S: OutboxRepository + Clone,
{
    let (told, mut delivered) = mpsc::unbounded_channel();
    let processor = Processor::builder(store.clone())
        .handler(Told(told))
        .build();
    let running = processor.unwrap().start_all_users();
    let mut outcomes = running.outcomes();
    let mut taken = Duration::ZERO;
    for entity in 0..ROUNDS {
        let answers = commit(sink, [Step::Enqueue(event(entity))]).await;
        let committed = Instant::now();
        single(&answers[0]);
        let at = tokio::time::timeout(LONG, delivered.recv()).await;
        taken += at.unwrap().unwrap().saturating_duration_since(committed);
        // It has nothing else to do then, and sleeps.
        let told = tokio::time::timeout(LONG, outcomes.next()).await;
        assert!(
            matches!(told, Ok(Some(RunOutcome::Delivered { .. }))),
            "{told:?}"
        );
    }
    running.stop().await.unwrap();
    println!("{} ms from commit to handler", taken.as_millis() / 5);
}
