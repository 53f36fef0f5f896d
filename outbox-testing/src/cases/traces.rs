//! Trace contexts: the span that enqueued an event.

use super::helpers::{
    SECOND, Store, buried, change_of, claim, claim_one, complete, create, event, fetch, settle,
};
use crate::ManualClock;
use outbox_runtime::store::Disposition;
use outbox_runtime::{
    Clock, Coalesce, EventFilter, NewEvent, Operation, Order, OutboxEvent, TraceContext,
};

/// The context of a span with this number.
fn span(number: u64) -> TraceContext {
    let traceparent = format!("00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01");
    let context = TraceContext::new(&traceparent).unwrap();
    context.with_tracestate("vendor=a:b;c,t@other=d e").unwrap()
}

fn assert_from(event: &OutboxEvent, context: &TraceContext) {
    assert_eq!(event.trace_context(), Some(context), "{event:?}");
}

pub(super) async fn a_trace_context_stays_with_its_event(store: Store<'_>, clock: &ManualClock) {
    let (one, bare) = (span(1), TraceContext::new(span(2).traceparent()).unwrap());
    let plain = create(store, event(1)).await;
    assert_eq!(plain.trace_context(), None);
    let traced = create(store, event(2).with_trace_context(one.clone())).await;
    assert_from(&traced, &one);
    assert_eq!(fetch(store, &traced).await, traced);
    let without_state = create(store, event(3).with_trace_context(bare.clone())).await;
    assert_from(&fetch(store, &without_state).await, &bare);

    let claims = claim(store, 9).await;
    let found: Vec<_> = claims.iter().map(|it| it.event.trace_context()).collect();
    assert_eq!(found, [None, Some(&one), Some(&bare)]);
    complete(store, &claims[0]).await;
    complete(store, &claims[2]).await;
    assert_from(&fetch(store, &without_state).await, &bare);
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "HTTP 500".to_owned(),
    };
    settle(store, &claims[1], failed).await;
    assert_from(&fetch(store, &traced).await, &one);
    clock.advance(SECOND);
    let again = claim_one(store).await;
    assert_from(&again.event, &one);
    settle(store, &again, buried()).await;

    // What an operator does.
    let page = store.page(&EventFilter::default(), None, 9).await.unwrap();
    let listed = page.events.iter().find(|it| it.id == traced.id);
    assert_from(listed.unwrap(), &one);
    store.reset_for_retry(&[traced.id]).await.unwrap();
    let mut edited = fetch(store, &traced).await;
    assert_from(&edited, &one);
    edited.priority = 7;
    store.update_event(&edited).await.unwrap();
    store.reassign_user("u1", "u2").await.unwrap();
    let mut moved = fetch(store, &traced).await;
    assert_from(&moved, &one);
    moved.trace_context = None;
    let refused = store.update_event(&moved).await.unwrap_err();
    assert!(refused.to_string().contains("trace_context"), "{refused}");
    let last = claim_one(store).await;
    assert_from(&last.event, &one);
}

pub(super) async fn the_same_event_from_another_span_is_written_once(
    store: Store<'_>,
    _: &ManualClock,
) {
    let first = create(store, event(1).with_trace_context(span(1))).await;
    for context in [Some(span(2)), None] {
        let again = event(1).with_id(first.id).with_trace_context(context);
        assert_eq!(create(store, again).await, first);
    }
    assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
}

pub(super) async fn a_fold_takes_the_trace_context_of_the_newer_event(
    store: Store<'_>,
    _: &ManualClock,
) {
    for (entity, order) in [(1, Order::Entity), (2, Order::None)] {
        let change = |text, context: Option<TraceContext>| {
            change_of(entity, order, text).with_trace_context(context)
        };
        let first = create(store, change("a", None)).await;
        let folded = create(store, change("b", Some(span(1)))).await;
        assert_eq!(folded.id, first.id);
        assert_from(&folded, &span(1));
        let newest = change("c", Some(span(2)));
        assert_from(&create(store, newest.clone()).await, &span(2));
        // A repetition of the newest from another span changes nothing.
        let again = newest.with_trace_context(span(3));
        assert_from(&create(store, again).await, &span(2));
        assert_from(&claim_one(store).await.event, &span(2));
        let next = create(store, change("d", Some(span(4)))).await;
        assert_ne!(next.id, first.id);
        assert_eq!(create(store, change("e", None)).await.trace_context(), None);
    }
    // A creation that its deletion cancels keeps its own.
    let draft = |operation, number| {
        NewEvent::new("draft", 3, "u1", operation)
            .with_coalesce(Coalesce::Latest)
            .with_trace_context(span(number))
    };
    create(store, draft(Operation::Create, 5)).await;
    let cancelled = create(store, draft(Operation::Delete, 6)).await;
    assert_eq!(cancelled.operation, Operation::Create);
    assert_from(&cancelled, &span(5));
}
