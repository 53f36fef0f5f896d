//! Transactions in steps, and what the cases share.

use std::pin::Pin;
use std::time::Duration;

use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{
    Coalesce, EnqueueError, Enqueued, NewEvent, Operation, OutboxEvent, OutboxRepository,
    OutboxStatus, RawMetadata,
};

use super::super::driver::{SinkTransaction, SinkUnderTest};

pub(super) type Sink<'a> = &'a mut dyn SinkUnderTest;

/// What an enqueueing answered: a batch with one value per event, a single event with one.
pub(super) type Answer = Result<Vec<Enqueued>, EnqueueError>;

/// What to do in a transaction.
pub(super) enum Step {
    Enqueue(NewEvent),
    EnqueueAll(Vec<NewEvent>),
    Savepoint { steps: Vec<Step>, is_kept: bool },
}

pub(super) const TYPE: &str = "note";
pub(super) const USER: &str = "u1";

pub(super) fn event(entity: i64) -> NewEvent {
    NewEvent::new(TYPE, entity, USER, Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

/// A change that folds.
pub(super) fn change(entity: i64, operation: Operation, text: &str) -> NewEvent {
    NewEvent::new(TYPE, entity, USER, operation)
        .with_coalesce(Coalesce::Latest)
        .with_metadata(RawMetadata::from_bytes(format!("{{\"text\":\"{text}\"}}")))
}

/// Does the steps. An answer that is an error does not end them.
pub(super) fn run<'a>(
    tx: &'a mut dyn SinkTransaction,
    steps: Vec<Step>,
    answers: &'a mut Vec<Answer>,
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async move {
        for step in steps {
            match step {
                Step::Enqueue(event) => {
                    let answer = tx.enqueue(event).await;
                    answers.push(answer.map(|enqueued| vec![enqueued]));
                }
                Step::EnqueueAll(events) => answers.push(tx.enqueue_all(events).await),
                Step::Savepoint { steps, is_kept } => {
                    let mut inner = tx.savepoint().await.unwrap();
                    run(inner.as_mut(), steps, answers).await;
                    inner.end(is_kept).await.unwrap();
                }
            }
        }
    })
}

pub(super) async fn in_transaction(
    sink: Sink<'_>,
    steps: impl IntoIterator<Item = Step>,
    commits: bool,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut tx = sink.begin(true).await.unwrap();
    run(tx.as_mut(), steps.into_iter().collect(), &mut answers).await;
    tx.end(commits).await.unwrap();
    answers
}

/// Does steps in a transaction that commits.
pub(super) async fn commit(sink: Sink<'_>, steps: impl IntoIterator<Item = Step>) -> Vec<Answer> {
    in_transaction(sink, steps, true).await
}

pub(super) async fn roll_back(
    sink: Sink<'_>,
    steps: impl IntoIterator<Item = Step>,
) -> Vec<Answer> {
    in_transaction(sink, steps, false).await
}

/// The one value of an answer for one event.
pub(super) fn single(answer: &Answer) -> Enqueued {
    match answer {
        Ok(enqueued) => {
            assert_eq!(enqueued.len(), 1, "one event has one answer: {enqueued:?}");
            enqueued[0]
        }
        Err(error) => panic!("the event is refused: {error:?}"),
    }
}

/// The events that are stored, by `seq`.
pub(super) async fn stored(store: &impl OutboxRepository) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    for status in [OutboxStatus::Pending, OutboxStatus::Completed] {
        events.extend(store.fetch_events(status, None, None).await.unwrap());
    }
    events.sort_by_key(|event| event.seq);
    events
}

/// Claims what can be claimed.
pub(super) async fn claim(store: &impl OutboxRepository) -> Vec<OutboxEvent> {
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    claims.into_iter().map(|claim| claim.event).collect()
}

pub(super) fn entities(events: &[OutboxEvent]) -> Vec<i64> {
    let entity = |event: &OutboxEvent| event.entity_id.as_integer().unwrap();
    events.iter().map(entity).collect()
}

pub(super) fn text(event: &OutboxEvent) -> &str {
    event.metadata.as_ref().unwrap().as_str().unwrap()
}
