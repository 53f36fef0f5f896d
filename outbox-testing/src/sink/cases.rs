//! The cases of the suite for sinks. Each tests one promise and is named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "how soon a processor wakes is a matter of real time"
)]
#![deny(dead_code, reason = "a case that `sink_conformance!` does not list")]

use std::time::{Duration, Instant};

use async_trait::async_trait;
use outbox_runtime::store::ClaimRequest;
use outbox_runtime::{
    Coalesce, EnqueueError, Enqueued, Expiry, HandlerError, NewEvent, Operation, OutboxEvent,
    OutboxEventHandler, OutboxRepository, OutboxStatus, Processor, RawMetadata, StoreErrorKind,
};
use tokio::sync::mpsc;

use super::script::{SinkAnswer, SinkScript, SinkStep, SinkUnderTest};

/// Every case, for the tests that `sink_conformance!` emits.
pub mod all {
    crate::sink_conformance! { @list @export () }
}

type Sink<'a> = &'a mut dyn SinkUnderTest;

const TYPE: &str = "note";
const USER: &str = "u1";

fn event(entity: i64) -> NewEvent {
    NewEvent::new(TYPE, entity, USER, Operation::Create)
        .with_metadata(RawMetadata::from_bytes(r#"{"text":"hello"}"#))
}

/// A change that folds.
fn change(entity: i64, operation: Operation, text: &str) -> NewEvent {
    NewEvent::new(TYPE, entity, USER, operation)
        .with_coalesce(Coalesce::Latest)
        .with_metadata(RawMetadata::from_bytes(format!("{{\"text\":\"{text}\"}}")))
}

/// Runs steps in a transaction that commits.
async fn commit(sink: Sink<'_>, steps: impl IntoIterator<Item = SinkStep>) -> Vec<SinkAnswer> {
    sink.run(SinkScript::of(steps)).await.unwrap()
}

async fn roll_back(sink: Sink<'_>, steps: impl IntoIterator<Item = SinkStep>) -> Vec<SinkAnswer> {
    let script = SinkScript {
        commits: false,
        ..SinkScript::of(steps)
    };
    sink.run(script).await.unwrap()
}

/// The one value of an answer for one event.
fn single(answer: &SinkAnswer) -> Enqueued {
    match answer {
        Ok(enqueued) => {
            assert_eq!(enqueued.len(), 1, "one event has one answer: {enqueued:?}");
            enqueued[0]
        }
        Err(error) => panic!("the event is refused: {error:?}"),
    }
}

/// The events that are stored, by `seq`.
async fn stored(store: &impl OutboxRepository) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    for status in [OutboxStatus::Pending, OutboxStatus::Completed] {
        events.extend(store.fetch_events(status, None, None).await.unwrap());
    }
    events.sort_by_key(|event| event.seq);
    events
}

fn entities(events: &[OutboxEvent]) -> Vec<i64> {
    let entity = |event: &OutboxEvent| event.entity_id.as_integer().unwrap();
    events.iter().map(entity).collect()
}

fn text(event: &OutboxEvent) -> &str {
    event.metadata.as_ref().unwrap().as_str().unwrap()
}

async fn a_committed_event_is_stored(sink: Sink<'_>, store: &impl OutboxRepository) {
    let new = event(1).with_priority(-3).with_destination("eu");
    let answers = commit(sink, [SinkStep::Enqueue(new.clone())]).await;
    assert_eq!(single(&answers[0]), Enqueued::New(new.id()));
    let stored = store.fetch_event(new.id()).await.unwrap().unwrap();
    assert!(new.is_same_event(&stored));
    assert_eq!(
        (stored.priority, stored.status),
        (-3, OutboxStatus::Pending)
    );
}

async fn a_rolled_back_event_is_not(sink: Sink<'_>, store: &impl OutboxRepository) {
    let answers = roll_back(sink, [SinkStep::Enqueue(event(1))]).await;
    single(&answers[0]);
    assert_eq!(stored(store).await.len(), 0);
}

async fn a_committed_batch_is_stored_in_order(sink: Sink<'_>, store: &impl OutboxRepository) {
    let events: Vec<NewEvent> = (1..=60).map(event).collect();
    let ids: Vec<_> = events
        .iter()
        .map(|event| Enqueued::New(event.id()))
        .collect();
    let answers = commit(
        sink,
        [SinkStep::EnqueueAll(events), SinkStep::EnqueueAll(vec![])],
    )
    .await;
    assert_eq!(answers[0].as_ref().unwrap(), &ids);
    assert!(answers[1].as_ref().unwrap().is_empty(), "{:?}", answers[1]);
    assert_eq!(entities(&stored(store).await), (1..=60).collect::<Vec<_>>());
}

async fn a_rolled_back_batch_is_not_stored(sink: Sink<'_>, store: &impl OutboxRepository) {
    let answers = roll_back(sink, [SinkStep::EnqueueAll(vec![event(1), event(2)])]).await;
    assert_eq!(answers[0].as_ref().unwrap().len(), 2);
    assert_eq!(stored(store).await.len(), 0);
}

async fn a_batch_with_a_refused_event_adds_none_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let known = event(1);
    let other = event(9).with_id(known.id());
    let no_user = NewEvent::new(TYPE, 3, "", Operation::Create);
    let steps = [
        SinkStep::Enqueue(known),
        SinkStep::EnqueueAll(vec![event(2), event(3), other]),
        SinkStep::EnqueueAll(vec![event(4), no_user]),
        SinkStep::Enqueue(event(5)),
    ];
    let answers = commit(sink, steps).await;
    for (answer, at) in [(&answers[1], 2), (&answers[2], 1)] {
        assert!(
            matches!(answer, Err(EnqueueError::InBatch { index, .. }) if *index == at),
            "{answer:?}"
        );
    }
    single(&answers[3]);
    assert_eq!(entities(&stored(store).await), [1, 5]);
}

async fn an_event_of_a_kept_savepoint_is_stored(sink: Sink<'_>, store: &impl OutboxRepository) {
    let inner = SinkStep::Savepoint {
        steps: vec![SinkStep::Enqueue(event(2))],
        is_kept: true,
    };
    let steps = [
        SinkStep::Enqueue(event(1)),
        inner,
        SinkStep::Enqueue(event(3)),
    ];
    let answers = commit(sink, steps).await;
    assert_eq!(answers.len(), 3);
    assert_eq!(entities(&stored(store).await), [1, 2, 3]);
}

async fn an_event_of_a_rolled_back_savepoint_is_not(sink: Sink<'_>, store: &impl OutboxRepository) {
    let fold = SinkStep::Savepoint {
        steps: vec![SinkStep::Enqueue(change(1, Operation::Update, "gone"))],
        is_kept: false,
    };
    let inner = SinkStep::Savepoint {
        steps: vec![
            SinkStep::Enqueue(event(2)),
            SinkStep::EnqueueAll(vec![event(3), event(4)]),
        ],
        is_kept: false,
    };
    let first = SinkStep::Enqueue(change(1, Operation::Update, "kept"));
    let answers = commit(sink, [first, fold, inner, SinkStep::Enqueue(event(5))]).await;
    assert_eq!(answers.len(), 5);
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 5]);
    assert_eq!(text(&stored[0]), r#"{"text":"kept"}"#);
}

async fn the_same_event_twice_is_written_once(sink: Sink<'_>, store: &impl OutboxRepository) {
    let new = event(1);
    let again = || SinkStep::Enqueue(new.clone());
    let answers = commit(sink, [again(), again()]).await;
    assert_eq!(single(&answers[0]), Enqueued::New(new.id()));
    assert_eq!(single(&answers[1]), Enqueued::AlreadyThere(new.id()));
    let batch = SinkStep::EnqueueAll(vec![new.clone(), event(2)]);
    let answers = commit(sink, [again(), batch]).await;
    assert_eq!(single(&answers[0]), Enqueued::AlreadyThere(new.id()));
    let batch = answers[1].as_ref().unwrap();
    assert_eq!(batch[0], Enqueued::AlreadyThere(new.id()));
    assert!(matches!(batch[1], Enqueued::New(_)), "{batch:?}");
    assert_eq!(entities(&stored(store).await), [1, 2]);
}

async fn other_content_under_a_known_id_is_a_conflict_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = event(1);
    let id = first.id();
    commit(sink, [SinkStep::Enqueue(first)]).await;
    let others = [
        event(2).with_id(id),
        event(1)
            .with_id(id)
            .with_metadata(RawMetadata::from_bytes("{}")),
    ];
    for (other, entity) in others.into_iter().zip(3..) {
        let steps = [SinkStep::Enqueue(other), SinkStep::Enqueue(event(entity))];
        let answers = commit(sink, steps).await;
        assert!(
            matches!(&answers[0], Err(EnqueueError::Conflict { event_id }) if *event_id == id),
            "{:?}",
            answers[0]
        );
        single(&answers[1]);
    }
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 3, 4]);
    assert_eq!(text(&stored[0]), r#"{"text":"hello"}"#);
}

async fn a_nul_in_json_is_kept(sink: Sink<'_>, store: &impl OutboxRepository) {
    let json = r#"{"text":"a\u0000b ☃"}"#;
    let new = event(1).with_metadata(RawMetadata::from_bytes(json));
    let again = new.clone();
    let answers = commit(sink, [SinkStep::Enqueue(new), SinkStep::Enqueue(again)]).await;
    assert!(matches!(single(&answers[1]), Enqueued::AlreadyThere(_)));
    assert_eq!(text(&stored(store).await[0]), json);
}

async fn an_event_that_breaks_a_rule_is_refused_and_keeps_the_transaction(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let nul = event(1).with_metadata(RawMetadata::from_bytes("\"a\0b\""));
    let refused = [
        (nul, "metadata"),
        (
            NewEvent::new(TYPE, "a\0b", USER, Operation::Create),
            "entity_id",
        ),
        (NewEvent::new(TYPE, 1, "", Operation::Create), "user_id"),
        (NewEvent::new("", 1, USER, Operation::Create), "event_type"),
    ];
    for (refused, entity) in refused.into_iter().zip(2..) {
        let (refused, rule) = refused;
        let steps = [SinkStep::Enqueue(refused), SinkStep::Enqueue(event(entity))];
        let answers = commit(sink, steps).await;
        assert!(
            matches!(&answers[0], Err(EnqueueError::Invalid { field, .. }) if *field == rule),
            "{:?}",
            answers[0]
        );
        single(&answers[1]);
    }
    assert_eq!(entities(&stored(store).await), [2, 3, 4, 5]);
}

async fn a_newer_event_folds_into_a_waiting_one(sink: Sink<'_>, store: &impl OutboxRepository) {
    let first = change(1, Operation::Update, "one");
    let newer = change(1, Operation::Update, "two");
    let ids = (first.id(), newer.id());
    commit(sink, [SinkStep::Enqueue(first.clone())]).await;
    let answers = commit(sink, [SinkStep::Enqueue(newer.clone())]).await;
    let (event_id, into) = (ids.1, ids.0);
    assert_eq!(single(&answers[0]), Enqueued::Folded { event_id, into });
    // A folded event is known.
    let answers = commit(sink, [SinkStep::Enqueue(newer), SinkStep::Enqueue(first)]).await;
    assert_eq!(single(&answers[0]), Enqueued::Folded { event_id, into });
    assert_eq!(single(&answers[1]), Enqueued::AlreadyThere(into));
    let other = change(1, Operation::Update, "three").with_id(ids.1);
    let answers = commit(sink, [SinkStep::Enqueue(other)]).await;
    assert!(
        matches!(answers[0], Err(EnqueueError::Conflict { .. })),
        "{:?}",
        answers[0]
    );
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1]);
    assert_eq!(text(&stored[0]), r#"{"text":"two"}"#);
}

async fn a_fold_of_a_rolled_back_transaction_is_undone(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = change(1, Operation::Update, "one");
    let newer = change(1, Operation::Update, "two");
    commit(sink, [SinkStep::Enqueue(first)]).await;
    let answers = roll_back(sink, [SinkStep::Enqueue(newer.clone())]).await;
    assert!(matches!(single(&answers[0]), Enqueued::Folded { .. }));
    assert_eq!(text(&stored(store).await[0]), r#"{"text":"one"}"#);
    // It is not known either, so that it can be enqueued again.
    commit(sink, [SinkStep::Enqueue(newer)]).await;
    assert_eq!(text(&stored(store).await[0]), r#"{"text":"two"}"#);
}

async fn events_of_a_batch_fold(sink: Sink<'_>, store: &impl OutboxRepository) {
    let batch = vec![
        change(1, Operation::Update, "one"),
        event(2),
        change(1, Operation::Update, "two"),
        change(3, Operation::Update, "three"),
    ];
    let answers = commit(sink, [SinkStep::EnqueueAll(batch)]).await;
    let answers = answers[0].as_ref().unwrap();
    assert!(matches!(answers[2], Enqueued::Folded { .. }), "{answers:?}");
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 2, 3]);
    assert_eq!(text(&stored[0]), r#"{"text":"two"}"#);
}

async fn a_create_and_its_delete_cancel_out(sink: Sink<'_>, store: &impl OutboxRepository) {
    let create = change(1, Operation::Create, "one");
    let delete = change(1, Operation::Delete, "one");
    let expected = Enqueued::Cancelled {
        event_id: delete.id(),
        create: create.id(),
    };
    commit(sink, [SinkStep::Enqueue(create)]).await;
    let answers = commit(sink, [SinkStep::Enqueue(delete)]).await;
    assert_eq!(single(&answers[0]), expected);
    let claimed = claim(store).await;
    assert!(claimed.is_empty(), "neither is sent: {claimed:?}");
}

async fn an_event_replaces_the_waiting_one_with_its_key(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let (old, new) = (event(1).with_key("k"), event(2).with_key("k"));
    let expected = Enqueued::Replaced {
        event_id: new.id(),
        replaced: old.id(),
    };
    let takes_keys = sink.takes_keys();
    let answers = commit(sink, [SinkStep::Enqueue(old)]).await;
    if !takes_keys {
        assert!(
            matches!(&answers[0], Err(EnqueueError::Store(error))
                if error.kind() == StoreErrorKind::NotAllowedHere),
            "{:?}",
            answers[0]
        );
        return;
    }
    assert!(matches!(single(&answers[0]), Enqueued::New(_)));
    let answers = commit(sink, [SinkStep::Enqueue(new)]).await;
    assert_eq!(single(&answers[0]), expected);
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [2]);
    assert_eq!(stored[0].dedup_key.as_deref(), Some("k"));
}

async fn headers_are_stored_and_are_content(sink: Sink<'_>, store: &impl OutboxRepository) {
    let headed = |entity| {
        event(entity)
            .with_header("x-tenant", "7")
            .with_sensitive_header("authorization", "s\u{e9}cret")
    };
    let (one, expiring) = (
        headed(1),
        headed(2).with_expiry(Expiry::After(Duration::from_secs(3600))),
    );
    let batch = vec![headed(3), event(4)];
    let other = one.clone().with_header("x-tenant", "8");
    let steps = [
        SinkStep::Enqueue(one.clone()),
        SinkStep::Enqueue(expiring),
        SinkStep::EnqueueAll(batch),
        SinkStep::Enqueue(one.clone()),
        SinkStep::Enqueue(other),
    ];
    let answers = commit(sink, steps).await;
    assert_eq!(single(&answers[3]), Enqueued::AlreadyThere(one.id()));
    assert!(
        matches!(&answers[4], Err(EnqueueError::Conflict { event_id }) if *event_id == one.id()),
        "other headers are other content: {:?}",
        answers[4]
    );
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1, 2, 3, 4]);
    for headed in &stored[..3] {
        assert_eq!(headed.headers(), one.headers());
    }
    assert!(stored[1].expires_at.is_some(), "it expires as well");
    assert!(stored[3].headers().is_empty(), "{:?}", stored[3].headers());
}

async fn headers_of_a_newer_event_replace_those_it_folds_into(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let first = change(1, Operation::Update, "one").with_header("x-tenant", "7");
    let newer = change(1, Operation::Update, "two").with_header("x-region", "eu");
    commit(sink, [SinkStep::Enqueue(first.clone())]).await;
    let answers = commit(sink, [SinkStep::Enqueue(newer.clone())]).await;
    assert!(matches!(single(&answers[0]), Enqueued::Folded { .. }));
    let stored = stored(store).await;
    assert_eq!(entities(&stored), [1]);
    assert_eq!(stored[0].headers(), newer.headers());
    // Both are known with their own headers.
    let other = first.clone().with_header("x-tenant", "8");
    let steps = [first.clone(), newer, other].map(SinkStep::Enqueue);
    let answers = commit(sink, steps).await;
    assert_eq!(single(&answers[0]), Enqueued::AlreadyThere(first.id()));
    assert!(matches!(single(&answers[1]), Enqueued::Folded { .. }));
    assert!(
        matches!(answers[2], Err(EnqueueError::Conflict { .. })),
        "{:?}",
        answers[2]
    );
}

async fn claim(store: &impl OutboxRepository) -> Vec<OutboxEvent> {
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    claims.into_iter().map(|claim| claim.event).collect()
}

async fn events_of_one_entity_are_claimed_in_order(sink: Sink<'_>, store: &impl OutboxRepository) {
    let events = [event(1), event(1), event(2)];
    let ids = [events[0].id(), events[2].id()];
    commit(sink, events.map(SinkStep::Enqueue)).await;
    let claimed: Vec<_> = claim(store).await.iter().map(|event| event.id).collect();
    assert_eq!(
        claimed, ids,
        "the second event of an entity waits for the first"
    );
}

async fn an_event_waits_for_the_creation_of_its_parent(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let update = |entity| NewEvent::new(TYPE, entity, USER, Operation::Update);
    let parent = event(1);
    let child = update(2)
        .with_after(TYPE, 1)
        .with_header("x-tenant", "7")
        .with_expiry(Expiry::After(Duration::from_secs(3600)));
    let batch = vec![update(3).with_after(TYPE, 1), update(4).with_after(TYPE, 9)];
    let steps = [
        SinkStep::Enqueue(parent),
        SinkStep::Enqueue(child.clone()),
        SinkStep::EnqueueAll(batch),
    ];
    commit(sink, steps)
        .await
        .iter()
        .for_each(|answer| assert!(answer.is_ok(), "{answer:?}"));
    let stored = store.fetch_event(child.id()).await.unwrap().unwrap();
    assert_eq!(stored.parents, child.parents());
    assert_eq!(stored.headers(), child.headers());
    assert!(stored.expires_at.is_some());
    // Nobody creates the parent of the last one.
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.event.clone()).collect();
    assert_eq!(entities(&claimed), [1, 4]);
    for claim in &claims {
        store.mark_as_completed(&claim.lease).await.unwrap();
    }
    assert_eq!(entities(&self::claim(store).await), [2, 3]);
}

async fn a_transaction_that_read_before_another_commit_writes_or_must_be_repeated(
    sink: Sink<'_>,
    store: &impl OutboxRepository,
) {
    let ways: [fn() -> SinkStep; 3] = [
        || SinkStep::Enqueue(event(1)),
        || SinkStep::Enqueue(change(2, Operation::Update, "x")),
        || SinkStep::EnqueueAll(vec![event(3), event(4)]),
    ];
    for way in ways {
        let script = SinkScript {
            begins_to_write: false,
            commits: false,
            ..SinkScript::of([SinkStep::Read, SinkStep::Elsewhere(event(9)), way()])
        };
        let answers = sink.run(script).await.unwrap();
        match &answers[0] {
            Ok(_) => assert!(!sink.can_become_stale(), "{:?}", answers[0]),
            Err(error) => {
                assert!(error.needs_new_transaction(), "{error:?}");
                assert!(
                    error.is_transient() && !error.outcome_unknown(),
                    "{error:?}"
                );
            }
        }
        commit(sink, [way()]).await[0].as_ref().unwrap();
    }
    assert_eq!(entities(&stored(store).await), [9, 1, 9, 2, 9, 3, 4]);
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

/// A store that is not told looks for commits of others twice a second.
const ROUNDS: i64 = 5;
const ALL_ROUNDS: Duration = Duration::from_millis(800);

async fn a_processor_of_this_process_delivers_at_once<S>(sink: Sink<'_>, store: &S)
where
    S: OutboxRepository + Clone,
{
    let (told, mut delivered) = mpsc::unbounded_channel();
    let processor = Processor::builder(store.clone())
        .handler(Told(told))
        .build();
    let running = processor.unwrap().start_all_users();
    let mut taken = Duration::ZERO;
    for entity in 0..ROUNDS {
        // The processor sleeps by now.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answers = commit(sink, [SinkStep::Enqueue(event(entity))]).await;
        let committed = Instant::now();
        single(&answers[0]);
        let at = tokio::time::timeout(Duration::from_secs(10), delivered.recv()).await;
        let at = at.unwrap().unwrap();
        taken += at.saturating_duration_since(committed);
    }
    running.stop().await.unwrap();
    println!("{} ms from commit to handler", taken.as_millis() / 5);
    assert!(taken < ALL_ROUNDS, "{ROUNDS} events took {taken:?}");
}
