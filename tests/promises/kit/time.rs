//! Tokio's paused time: it advances for retries, and not for the threads of a store or a service.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use outbox_runtime::{Charge, HandlerSet, ProcessorBuilder, RetryPolicy, prelude::*};
use outbox_testing::{
    FakeService, HandlerAnswer, Inline, Reply, assert_enqueued, drain, perform, run_until_failed,
};

use crate::{Goal, MoodEntry, goal, mood, stores};

/// Puts goals to the service.
fn to(service: &FakeService) -> HandlerSet {
    putting_to(&service.url())
}

/// Puts goals to the server at this URL.
fn putting_to(url: &str) -> HandlerSet {
    let (client, url) = (reqwest::Client::new(), url.to_owned());
    HandlerSet::new().with(move |event: Event<Goal>| {
        let request = client.put(format!("{url}/goals/{}", event.entity_id));
        let request = request.header("idempotency-key", event.idempotency_key().to_string());
        async move {
            let answer = request.send().await.or_retry()?;
            answer.error_for_status().or_retry()?;
            Ok(())
        }
    })
}

fn counting(builder: ProcessorBuilder) -> ProcessorBuilder {
    builder
        .charge(Charge::Always)
        .retry(RetryPolicy::new(vec![Duration::from_secs(3_600)]).without_jitter())
}

#[tokio::test(start_paused = true)]
async fn hours_of_retries_pass_at_once_and_no_statement_times_out() {
    for store in stores().await {
        let event = store.create_event(goal(1).enqueue_create().into_event().unwrap());
        let event = event.await.unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let handler = {
            let calls = Arc::clone(&calls);
            move |_: Event<Goal>| {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    if call < 3 {
                        return Err(HandlerError::retry("not yet"));
                    }
                    Ok(())
                }
            }
        };
        let builder = counting(Processor::builder(Arc::clone(&store)).handle(handler));
        let processor = builder.build().unwrap();
        // An hour is beyond this timeout, so the run ends with the first failure.
        let report = drain(&processor, Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            (report.waiting.len(), calls.load(Ordering::SeqCst)),
            (1, 1),
            "{report}"
        );
        let day = Duration::from_secs(24 * 3_600);
        let failed = run_until_failed(&processor, day).await.unwrap().unwrap();
        assert_eq!((failed.id, failed.attempt_count), (event.id, 2));
        assert_eq!(drain(&processor, day).await.unwrap().assert_empty(), 1);
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        let took = event.completed_at.unwrap() - event.created_at;
        assert_eq!((took.num_hours(), event.attempt_count), (3, 4));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_enqueued_is_found_and_delivered_inline_in_paused_time() {
    let store = SqliteStore::open_in_memory().await.unwrap();
    let began = store.clock().now();
    let enqueued = store
        .transaction(|tx| Ok(mood(7, 0.5).enqueue_update().on(tx)?))
        .await;
    enqueued.unwrap();
    assert_enqueued!(store, MoodEntry { valence: 0.5, .. }, operation = Update);
    let handlers = HandlerSet::new().with(|_: Event<MoodEntry>| async { Ok(()) });
    let inline = Inline::start(store.clone(), handlers).unwrap();
    let event = mood(8, 0.1).enqueue_create().on(&inline).await.unwrap();
    assert_eq!(event.status, OutboxStatus::Completed);
    inline.settled().await.unwrap().assert_empty();
    let passed = store.clock().now() - began;
    assert!(
        passed.num_seconds() < 20,
        "no time limit was near: {passed}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_outside_of_the_runtime_makes_no_time_limit_end() {
    let service = FakeService::start().unwrap();
    let handlers = service.holding_time(to(&service));
    for id in 1..=5 {
        let performed = perform(handlers.clone(), &goal(id)).await.unwrap();
        assert_eq!(performed.answer, HandlerAnswer::Ok, "{performed:?}");
    }
    service.reply(Reply::hang());
    let performed = perform(handlers.clone(), &goal(6)).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::TimedOut);
    // A day of retries against a service that recovers, without a second of waiting.
    for _ in 0..3 {
        service.reply(Reply::status(500));
    }
    for store in stores().await {
        let event = store.create_event(goal(7).enqueue_create().into_event().unwrap());
        let event = event.await.unwrap();
        let builder = counting(Processor::builder(Arc::clone(&store)).handler(handlers.clone()));
        let day = Duration::from_secs(24 * 3_600);
        let report = drain(&builder.build().unwrap(), day).await.unwrap();
        assert_eq!(report.assert_empty(), 1);
        let received = service.received();
        let key = received.last().unwrap().header("idempotency-key");
        assert_eq!(key, Some(event.id.to_string().as_str()));
    }
}

/// A server that answers each connection with 200 once it has taken a token. Returns its URL.
fn slow_server(tokens: mpsc::Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            while head
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            if tokens.recv().is_err() {
                return;
            }
            // A client that has given up is not there any more.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    url
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_makes_a_time_limit_end_unless_time_is_held() {
    let (token, tokens) = mpsc::channel();
    let url = slow_server(tokens);
    // It answers only after the attempt, which would last 20 s of the machine's time.
    let performed = perform(putting_to(&url), &goal(1)).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::TimedOut);
    token.send(()).unwrap();
    // It answers after a while in which paused time would be over.
    let slow = std::thread::spawn(move || {
        let (_sender, nothing) = mpsc::channel::<()>();
        assert!(nothing.recv_timeout(Duration::from_millis(100)).is_err());
        token.send(()).unwrap();
    });
    let service = FakeService::start().unwrap();
    let held = service.holding_time(putting_to(&url));
    let performed = perform(held, &goal(2)).await.unwrap();
    assert_eq!(performed.answer, HandlerAnswer::Ok, "{performed:?}");
    slow.join().unwrap();
}
