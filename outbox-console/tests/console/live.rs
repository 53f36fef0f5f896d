//! Live updates: who gets a stream, what is in it, and when it ends.

use std::pin::pin;

use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use outbox_console::LiveStreams;

use crate::scene::{Store, Visitor, bury, console, event, memory, settle};

/// The lines of a stream as they come.
struct Lines {
    body: axum::body::BodyDataStream,
}

impl Lines {
    fn of(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
        }
    }

    async fn next(&mut self) -> Option<String> {
        let bytes = self.body.next().await?.unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }
}

async fn open(store: &Store, most: usize) -> (Visitor, LiveStreams) {
    let mut console = console(store).live_streams(most);
    let streams = console.streams();
    (Visitor::signed_in(console.into_router()).await, streams)
}

#[tokio::test]
async fn a_change_is_told_once_with_names_and_data_of_ours() {
    let (store, _) = memory();
    let (visitor, streams) = open(&store, 4).await;
    let (status, body) = visitor.stream("/live").await;
    assert_eq!(status, StatusCode::OK);
    let mut lines = Lines::of(body);
    let hello = lines.next().await.unwrap();
    assert_eq!(hello, "retry: 3000\nevent: hello\ndata: {\"number\":0}\n\n");
    let hostile = "x\n\nevent: evil\ndata: <script>";
    let mut number = 0;
    // The first look may be before or after the first event.
    let told = async {
        let told = lines.next().await.unwrap();
        drop(lines);
        told
    };
    let enqueue = async {
        loop {
            number += 1;
            store
                .create_event(event(number, "meal", "ann"))
                .await
                .unwrap();
            settle(&store, bury(hostile)).await;
            outbox_runtime::Clock::sleep(
                &outbox_runtime::store::SystemClock,
                std::time::Duration::from_millis(200),
            )
            .await;
        }
    };
    let told = tokio::select! {
        told = told => told,
        () = enqueue => unreachable!(),
    };
    assert_eq!(told, "event: change\ndata: {\"number\":1}\n\n");
    assert_eq!(
        streams.count(),
        0,
        "a stream that is closed frees its place"
    );
}

#[tokio::test]
async fn streams_are_bounded_and_for_those_who_signed_in() {
    let (store, _) = memory();
    let (visitor, streams) = open(&store, 2).await;
    let (first, second) = (visitor.stream("/live").await, visitor.stream("/live").await);
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    assert_eq!(streams.count(), 2);
    let (refused, _) = visitor.stream("/live").await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    drop(second);
    let (status, _body) = visitor.stream("/live").await;
    assert_eq!(status, StatusCode::OK);
    let mut stranger = visitor.clone();
    stranger.cookie = None;
    let (status, _) = stranger.stream("/live").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let (store, _) = memory();
    let (visitor, streams) = open(&store, 2).await;
    let mut lines = Lines::of(visitor.stream("/live").await.1);
    assert!(lines.next().await.is_some());
    {
        let mut next = pin!(lines.next());
        let waits = futures_util::poll!(&mut next);
        assert!(waits.is_pending(), "{waits:?}");
        streams.end();
        assert_eq!(next.await, None);
    }
    let (refused, _) = visitor.stream("/live").await;
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_browser_with_many_windows_keeps_connections_for_pages() {
    let (store, _) = memory();
    let (visitor, streams) = open(&store, 32).await;
    let mut windows = Vec::new();
    for _ in 0..4 {
        let (status, body) = visitor.stream("/live").await;
        assert_eq!(status, StatusCode::OK);
        windows.push(Lines::of(body));
    }
    let mut fifth = Lines::of(visitor.stream("/live").await.1);
    let busy = fifth.next().await.unwrap();
    assert_eq!(busy, "retry: 10000\nevent: busy\ndata: {\"number\":0}\n\n");
    assert_eq!(fifth.next().await, None);
    assert_eq!(streams.count(), 4);
    // The controls: a window that closes makes room, and another session has room of its own.
    windows.pop();
    let mut sixth = Lines::of(visitor.stream("/live").await.1);
    assert!(sixth.next().await.unwrap().contains("event: hello"));
    let mut other = visitor.clone();
    other.cookie = None;
    let other = other.sign_in().await;
    let mut other = Lines::of(other.stream("/live").await.1);
    assert!(other.next().await.unwrap().contains("event: hello"));
}
