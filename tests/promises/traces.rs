//! Traces: one trace goes from the span that enqueues an event to its delivery.

use std::time::Duration;

use opentelemetry::trace::{
    FutureExt as _, SpanId, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, global};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Charge, Clock, HandlerSet, ProcessorBuilder, RetryPolicy, TraceContext, TraceContextError,
    enqueue_all, prelude::*,
};
use outbox_tests::traced::{Traced, text};
use outbox_tests::{
    Note, Temporary, enqueue, foreign_insert, note, note_of, on_each_store, start, start_with,
    within,
};

const SOON: Duration = Duration::from_secs(30);
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A handler that calls a service in a span of its own.
fn calling() -> HandlerSet {
    HandlerSet::new().with::<Note>(|event: Event<Note>| async move {
        let span = global::tracer("the application").start("PUT");
        let context = Context::current_with_span(span);
        async {
            // In the span of the attempt, and after waiting.
            tokio::task::yield_now().await;
            assert!(Context::current().has_active_span());
        }
        .with_context(context)
        .await;
        drop(event);
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_request_to_the_delivery_across_a_restart() {
    // Too long to occur in an id or a time by chance.
    const ENTITY: i64 = 987_654_321_987;
    let traced = Traced::here();
    let Temporary { store, path, .. } = &Temporary::open().await;
    let secret = Note {
        id: ENTITY,
        user_id: "user-ada".to_owned(),
        text: "dear diary".to_owned(),
    };
    let change = async { secret.enqueue_create().destination("eu").on(store).await };
    let (enqueued, request) = traced.request("POST /notes", change).await;
    let id = enqueued.unwrap().event_id();
    store.close().await;

    // The next process.
    let store = SqliteStore::open(path).await.unwrap();
    let row = store.fetch_event(id).await.unwrap().unwrap();
    let stored = row.trace_context().unwrap();
    assert_eq!(TraceContext::of_span(&request).as_ref(), Some(stored));
    let running = Processor::builder(store.clone())
        .handlers(calling())
        .build()
        .unwrap()
        .start("user-ada");
    assert!(running.flush(ENTITY, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();

    let spans = traced.of_trace(request.trace_id());
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (delivery, call) = (named("process note"), named("PUT"));
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert_eq!(delivery.parent_span_id, request.span_id());
    assert_eq!(call.parent_span_id, delivery.span_context.span_id());
    assert_eq!(delivery.span_kind, SpanKind::Consumer);
    assert_eq!(delivery.status, Status::Unset);
    let scope = &delivery.instrumentation_scope;
    assert_eq!(scope.name(), "outbox-runtime");
    assert_eq!(
        scope.schema_url(),
        Some("https://opentelemetry.io/schemas/1.42.0")
    );
    let mut attributes: Vec<_> = delivery
        .attributes
        .iter()
        .map(|one| (one.key.as_str().to_owned(), one.value.to_string()))
        .collect();
    attributes.sort();
    let id = id.to_string();
    let expected = [
        ("messaging.destination.name", "note"),
        ("messaging.message.id", &id),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.system", "outbox"),
        ("outbox.attempt", "1"),
        ("outbox.destination", "eu"),
        ("outbox.operation", "create"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(attributes, expected);
    let told = format!("{delivery:?}");
    for secret in ["user-ada", &ENTITY.to_string(), "diary"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

#[test]
fn a_trace_reaches_the_delivery_on_each_store() {
    let traced = Traced::here();
    on_each_store(|store, _| async move {
        let change = async { enqueue(store.as_ref(), note(1).enqueue_update()).await };
        let (event, request) = traced.request("request", change).await;
        let running = Processor::builder(store)
            .handlers(calling())
            .build()
            .unwrap()
            .start("u1");
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
        assert_eq!(attempt.span_context.trace_id(), request.trace_id());
        assert_eq!(attempt.parent_span_id, request.span_id());
    });
}

/// How many of 64 requests are sampled, of their deliveries, and of those where both are.
async fn sampled(links: bool) -> (usize, usize, usize) {
    const MANY: i64 = 64;
    let traced = Traced::here();
    let store = MemoryStore::new();
    let mut requests = Vec::new();
    for id in 1..=MANY {
        let change = async { enqueue(&store, note(id).enqueue_update()).await };
        requests.push(traced.request("half of the requests", change).await);
    }
    let builder = Processor::builder(store).handlers(calling());
    let builder = if links {
        builder.link_traces()
    } else {
        builder
    };
    let running = builder.build().unwrap().start("u1");
    for id in 1..=MANY {
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
    }
    running.stop().await.unwrap();
    let mut counts = (0, 0, 0);
    for (event, request) in requests {
        let is_delivery_there = !traced.attempts_at(event.id).is_empty();
        counts.0 += usize::from(request.is_sampled());
        counts.1 += usize::from(is_delivery_there);
        counts.2 += usize::from(request.is_sampled() && is_delivery_there);
    }
    counts
}

#[tokio::test]
async fn a_trace_is_sampled_as_a_whole() {
    let (requests, deliveries, both) = sampled(false).await;
    assert!((1..64).contains(&requests), "{requests} of 64 are sampled");
    assert_eq!((deliveries, both), (requests, requests));
    // The control: with links each delivery is sampled for itself, here always.
    let (_, deliveries, _) = sampled(true).await;
    assert_eq!(deliveries, 64);
}

#[tokio::test]
async fn a_linked_delivery_has_a_trace_of_its_own() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let change = async { enqueue(&store, note(1).enqueue_update()).await };
    let (event, request) = traced.request("request", change).await;
    let (mut remote, running) = start_with(&store, ProcessorBuilder::link_traces);
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
    assert_ne!(attempt.span_context.trace_id(), request.trace_id());
    assert_eq!(attempt.parent_span_id, SpanId::INVALID);
    let links: Vec<_> = attempt
        .links
        .iter()
        .map(|link| &link.span_context)
        .collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].trace_id(), request.trace_id());
    assert_eq!(links[0].span_id(), request.span_id());
}

#[tokio::test]
async fn an_event_without_a_trace_begins_one() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let event = enqueue(&store, note(1).enqueue_update()).await;
    assert_eq!(event.trace_context(), None);
    let (mut remote, running) = start(&store);
    // Not below what the run, or who started it, is in.
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
    assert_eq!(attempt.parent_span_id, SpanId::INVALID);
    assert!(attempt.links.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_inside_a_span_gives_it_to_no_attempt() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let event = enqueue(&store, note(1).enqueue_update()).await;
    let work = async {
        let (mut remote, running) = start(&store);
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    };
    let ((), worker) = traced.request("the whole worker", work).await;
    let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
    assert_ne!(attempt.span_context.trace_id(), worker.trace_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_the_store_is_in_the_span_of_its_caller() {
    let traced = Traced::here();
    let Temporary { store, .. } = &Temporary::open().await;
    let work = store.transaction(|tx| Ok(note(1).enqueue_create().on(tx)?));
    let (enqueued, request) = traced.request("request", work).await;
    let id = enqueued.unwrap().event_id();
    let row = store.fetch_event(id).await.unwrap().unwrap();
    assert_eq!(row.trace_context, TraceContext::of_span(&request));
    // The next one on the same thread is in no span.
    let work = store.transaction(|tx| Ok(note(2).enqueue_create().on(tx)?));
    let id = work.await.unwrap().event_id();
    let row = store.fetch_event(id).await.unwrap().unwrap();
    assert_eq!(row.trace_context, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_in_the_span_of_its_caller() {
    let traced = Traced::here();
    let Temporary { store, .. } = &Temporary::open().await;
    let notes: Vec<_> = (1..=60).map(note).collect();
    let batch = async { enqueue_all(&notes).on(store).await.unwrap() };
    let (_, request) = traced.request("request", batch).await;
    let given = TraceContext::new(PARENT).unwrap();
    let batch = async {
        let others = [note(61)];
        let batch = enqueue_all(&others).trace_context(given.clone());
        batch.on(store).await.unwrap()
    };
    traced.request("another", batch).await;
    let events = store.fetch_pending_events(None, None).await.unwrap();
    let of_request = TraceContext::of_span(&request);
    let is_of_request = |event: &&OutboxEvent| event.trace_context == of_request;
    assert_eq!(events.iter().filter(is_of_request).count(), 60);
    let last = events.iter().find(|event| event.entity_id == 61.into());
    assert_eq!(last.unwrap().trace_context(), Some(&given));
}

#[tokio::test]
async fn every_way_to_enqueue_keeps_the_trace_context() {
    let Temporary { store, path, .. } = &Temporary::open().await;
    let conn = Connection::open(path).unwrap();
    let context = TraceContext::new(PARENT).unwrap();
    let context = context.with_tracestate("vendor=a").unwrap();
    let traced = |id| note(id).enqueue_update().trace_context(context.clone());
    traced(1).on(store).await.unwrap();
    traced(2).on(&conn).unwrap();
    enqueue(store, traced(3)).await;
    let (sql, values) = foreign_insert(&traced(4).into_event().unwrap());
    assert_eq!(conn.execute(sql, values).unwrap(), 1);
    // By a program in another language.
    let sql =
        "INSERT INTO outbox_events (entity_id, user_id, id, event_type, operation, created_at,
            next_attempt_at, max_attempts, metadata, trace_context)
        VALUES ('5', 'u1', randomblob(16), 'note', 1, 0, 0, 5, '{\"text\":\"x\"}', ?1)";
    let written = format!("{PARENT} vendor=a");
    assert_eq!(conn.execute(sql, [written]).unwrap(), 1);
    let (mut remote, running) = start(store);
    for _ in 1..=5 {
        let call = remote.next().await;
        assert_eq!(call.event.trace_context(), Some(&context), "{}", call.id());
        call.ok();
    }
    running.stop().await.unwrap();
    let sql = "SELECT count(*) FROM outbox WHERE trace_context = ?1";
    let shown = conn.query_row(sql, [context.as_stored()], |row| row.get::<_, i64>(0));
    assert_eq!(shown.unwrap(), 5);
}

/// On a thread without a span, as most work with SQLite is.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_blocking_thread_a_trace_is_there_only_if_it_is_given() {
    let traced = Traced::here();
    let temporary = Temporary::open().await;
    let path = temporary.path.clone();
    let work = async {
        let context = TraceContext::current();
        assert!(context.is_some());
        let blocking = tokio::task::spawn_blocking(move || {
            let conn = Connection::open(path).unwrap();
            assert_eq!(TraceContext::current(), None);
            note(1).enqueue_create().on(&conn).unwrap();
            let given = note(2).enqueue_create().trace_context(context);
            given.on(&conn).unwrap();
        });
        blocking.await.unwrap();
    };
    let ((), request) = traced.request("request", work).await;
    let found = |entity: i64| {
        let store = temporary.store.clone();
        async move {
            let entity = EntityId::from(entity);
            let events = store.fetch_events_for_entity(&entity, None, None);
            events.await.unwrap().remove(0).trace_context
        }
    };
    assert_eq!(found(1).await, None, "the control");
    assert_eq!(found(2).await, TraceContext::of_span(&request));
}

#[tokio::test]
async fn a_context_that_is_given_goes_before_the_current_one() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let given = TraceContext::new(PARENT).unwrap();
    let change = async {
        let given = note(1).enqueue_update().trace_context(given.clone());
        let none = note(2).enqueue_update().trace_context(None);
        [
            enqueue(&store, given).await.trace_context,
            enqueue(&store, none).await.trace_context,
        ]
    };
    let (stored, _) = traced.request("request", change).await;
    assert_eq!(stored, [Some(given), None]);
}

#[tokio::test]
async fn a_failed_attempt_tells_its_class_and_no_message() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let (mut remote, running) = start_with(&store, |builder| builder.charge(Charge::Always));
    let minute = Duration::from_secs(60);
    for (id, error, class) in [
        (1, HandlerError::retry("dear diary"), Some("retry")),
        (2, HandlerError::permanent("dear diary"), Some("rejected")),
        (
            3,
            HandlerError::unavailable("dear diary"),
            Some("unavailable"),
        ),
        (4, HandlerError::snooze(minute), None),
        (5, HandlerError::obsolete(), None),
    ] {
        let change = note_of("u1", id).enqueue_update().max_attempts(1);
        // Of its own destination, so that no outage holds up the next one.
        let event = enqueue(&store, change.destination(format!("d{id}"))).await;
        remote.next().await.fail(error);
        within(async {
            while traced.attempts_at(event.id).is_empty() {
                SystemClock.sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
        let status = class.map_or(Status::Unset, Status::error);
        assert_eq!(attempt.status, status);
        assert_eq!(text(&attempt, "error.type").as_deref(), class);
        assert!(!format!("{attempt:?}").contains("diary"), "{attempt:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn attempts_at_one_event_are_spans_of_one_trace() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let change = async { enqueue(&store, note(1).enqueue_update()).await };
    let (event, request) = traced.request("request", change).await;
    let (mut remote, running) = start_with(&store, |builder| {
        let at_once = RetryPolicy::new([Duration::ZERO; 4]);
        builder.charge(Charge::Always).retry(at_once)
    });
    remote.next().await.fail(HandlerError::retry("HTTP 500"));
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    let attempts = traced.attempts_at(event.id);
    let told: Vec<_> = attempts
        .iter()
        .map(|it| (it.parent_span_id, text(it, "outbox.attempt").unwrap()))
        .collect();
    let parent = request.span_id();
    assert_eq!(told, [(parent, "1".to_owned()), (parent, "2".to_owned())]);
}

#[tokio::test]
async fn an_attempt_that_panics_or_is_aborted_ends_its_span() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    let panicking = HandlerSet::new().with::<Note>(|event: Event<Note>| async move {
        assert!(event.entity_id != 1.into(), "dear diary");
        std::future::pending().await
    });
    let panics = enqueue(&store, note(1).enqueue_update()).await;
    let hangs = enqueue(&store, note(2).enqueue_update()).await;
    let running = Processor::builder(store)
        .handlers(panicking)
        .stop_deadline(Duration::ZERO)
        .build()
        .unwrap()
        .start("u1");
    within(async {
        while traced.attempts_at(panics.id).is_empty() {
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    running.stop().await.unwrap();
    for (event, class) in [(panics, "panic"), (hangs, "aborted")] {
        let attempts = traced.attempts_at(event.id);
        let classes: Vec<_> = attempts
            .iter()
            .map(|attempt| text(attempt, "error.type").unwrap())
            .collect();
        assert!(classes.iter().all(|it| it == class), "{classes:?}");
        assert!(!classes.is_empty(), "{class}");
        assert_eq!(attempts[0].status, Status::error(class));
    }
}

#[tokio::test]
async fn a_malformed_context_in_a_row_costs_its_event_nothing() {
    let traced = Traced::here();
    let temporary = Temporary::open().await;
    let conn = temporary.connect();
    let long = format!("'{PARENT} {}'", "a=b,".repeat(100_000));
    let state = format!("'{PARENT} no member'");
    for (id, (damage, is_readable)) in (1..).zip([
        ("'garbage'", false),
        ("''", false),
        ("' '", false),
        ("7", false),
        ("CAST(x'ff00fe' AS TEXT)", false),
        (
            "'00-00000000000000000000000000000000-b7ad6b7169203331-01'",
            false,
        ),
        (
            "'00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01'",
            false,
        ),
        (state.as_str(), true),
        (long.as_str(), true),
    ]) {
        let event = enqueue(&temporary.store, note(id).enqueue_update()).await;
        let sql = format!("UPDATE outbox_events SET trace_context = {damage} WHERE seq = ?1");
        assert_eq!(conn.execute(&sql, [event.seq]).unwrap(), 1);
        let stored = temporary.store.fetch_event(event.id).await.unwrap();
        let expected = is_readable.then(|| TraceContext::new(PARENT).unwrap());
        assert_eq!(stored.unwrap().trace_context, expected, "{damage:.80}");
        let (mut remote, running) = start(&temporary.store);
        remote.next().await.ok();
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let [attempt] = traced.attempts_at(event.id).try_into().unwrap();
        assert_eq!(attempt.parent_span_id != SpanId::INVALID, is_readable);
    }
}

#[test]
fn headers_are_checked_and_read_as_the_specification_says() {
    let context = TraceContext::new(PARENT).unwrap();
    assert_eq!(
        (context.traceparent(), context.tracestate()),
        (PARENT, None)
    );
    assert!(context.is_sampled());
    assert_eq!(
        TraceContext::from_stored(context.as_stored()),
        Some(context.clone())
    );
    let ids = &PARENT[2..52];
    // A later version may have more flags, and may go on.
    for later in [format!("cc{ids}-09-more"), format!("01{ids}-01")] {
        assert_eq!(later.parse::<TraceContext>().unwrap(), context);
    }
    assert!(
        !TraceContext::new(&format!("cc{ids}-08"))
            .unwrap()
            .is_sampled()
    );
    for malformed in [
        "",
        "00",
        &PARENT[..54],
        &format!("{PARENT}-more"),
        &format!("ff{ids}-01"),
        &format!("cc{ids}-01more"),
        &format!("00{ids}-0x"),
        &PARENT.to_uppercase(),
        &PARENT.replace('-', "_"),
        &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
        &PARENT.replace("b7ad6b7169203331", "b7ad6b716920ü33"),
    ] {
        let refused = TraceContext::new(malformed).unwrap_err();
        assert!(
            matches!(refused, TraceContextError::Traceparent { .. }),
            "{malformed}"
        );
    }
    let longest = format!("a={},b={}", "x".repeat(256), "y".repeat(251));
    let many: Vec<String> = (0..32).map(|n| format!("k{n}=v")).collect();
    let (most, more) = (many.join(","), format!("{},k32=v", many.join(",")));
    for valid in [
        "a=b",
        "a=b, c/d=e f",
        "9t@vendor= x",
        "a=b,,",
        &longest,
        &most,
    ] {
        let with_state = context.clone().with_tracestate(valid).unwrap();
        assert_eq!(with_state.tracestate(), Some(valid));
        assert_eq!(with_state.traceparent(), PARENT);
        let read = TraceContext::from_stored(with_state.as_stored());
        assert_eq!(read, Some(with_state));
    }
    for empty in ["", "  ", ",", " , "] {
        let without = context.clone().with_tracestate(empty).unwrap();
        assert_eq!(without, context);
    }
    for malformed in [
        "a",
        "=b",
        "a=",
        "A=b",
        "9=b",
        "a=b=c",
        "a=ü",
        "a=b,a=c",
        "a@9=b",
        "a=b\n",
        &format!("{longest}z"),
        &format!("a={}", "x".repeat(257)),
        &more,
    ] {
        let refused = context.clone().with_tracestate(malformed).unwrap_err();
        assert!(
            matches!(refused, TraceContextError::Tracestate { .. }),
            "{malformed}"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_span_of_a_batch_has_links_to_at_most_128_of_its_events() {
    let traced = Traced::here();
    let store = MemoryStore::new();
    for (count, links) in [(3, 3), (130, 128)] {
        let notes: Vec<Note> = (0..count).map(|id| note(id + count * 1_000)).collect();
        let change = async { enqueue_all(&notes).on(&store).await.unwrap() };
        let (enqueued, request) = traced.request("POST /notes", change).await;
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let running = Processor::builder(store.clone())
            .handle_batch::<Note>(outbox_runtime::Batching::of(200), move |batch| {
                let sender = sender.clone();
                async move {
                    let trace_id = Context::current().span().span_context().trace_id();
                    sender.send((trace_id, batch.len())).unwrap();
                    Ok(())
                }
            })
            .build()
            .unwrap()
            .start("u1");
        let last = enqueued.last().unwrap().event_id();
        assert!(
            running
                .flush_event(last, SOON)
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
        let (trace_id, events) = within(seen.recv()).await.unwrap();
        assert_eq!(events, notes.len());
        let [batch] = traced.of_trace(trace_id).try_into().unwrap();
        assert_eq!(batch.name, "process note");
        assert_eq!(batch.span_kind, SpanKind::Consumer);
        assert_eq!(batch.parent_span_id, SpanId::INVALID);
        let size = text(&batch, "messaging.batch.message_count");
        assert_eq!(size, Some(notes.len().to_string()));
        assert_eq!(text(&batch, "messaging.message.id"), None);
        assert_eq!(batch.links.len(), links);
        for link in batch.links.iter() {
            assert_eq!(link.span_context.span_id(), request.span_id());
        }
    }
}
