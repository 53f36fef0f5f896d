//! What a pooler between needs: it may give each transaction another session of the server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use outbox_postgres::tokio_postgres::{Client, NoTls};
use outbox_postgres_tests::{Server, open};
use outbox_runtime::store::{BatchSink, ClaimRequest};
use outbox_runtime::{Cancel, Coalesce, Expiry, NewEvent, OnSameKey, prelude::*};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(60);

/// What a client has sent.
type Sent = Arc<Mutex<Vec<u8>>>;

/// A connection that keeps what is sent on it.
struct Tapped {
    stream: TcpStream,
    sent: Sent,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            self.sent.lock().unwrap().extend(&bytes[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection of an application, and what it sends.
async fn tapped() -> (Client, Sent) {
    let server = Server::shared();
    let stream = TcpStream::connect(("127.0.0.1", server.port()));
    let stream = stream.await.unwrap();
    let sent = Sent::default();
    let tapped = Tapped {
        stream,
        sent: Arc::clone(&sent),
    };
    let connected = server.config().connect_raw(tapped, NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(async move {
        // An error shows in the statements that it concerns.
        let _ = connection.await;
    });
    (client, sent)
}

/// The statements that were parsed: the name of each, empty for those of one use, and its text.
fn parsed(sent: &Sent) -> Vec<(String, String)> {
    let sent = sent.lock().unwrap();
    let length = |at: usize| {
        let four = sent[at..].first_chunk().unwrap();
        usize::try_from(u32::from_be_bytes(*four)).unwrap()
    };
    // The first message has no type.
    let mut at = length(0);
    let mut parsed = Vec::new();
    while at < sent.len() {
        let end = at + 1 + length(at + 1);
        if sent[at] == b'P' {
            let mut texts = sent[at + 5..end].split(|byte| *byte == 0);
            let mut text = || String::from_utf8_lossy(texts.next().unwrap()).into_owned();
            parsed.push((text(), text()));
        }
        at = end;
    }
    parsed
}

fn event(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

#[tokio::test]
async fn nothing_that_a_sink_does_needs_the_session_of_an_earlier_transaction() {
    let store = open(|store| store).await;
    let outbox = store.outbox();
    let (mut client, sent) = tapped().await;
    // A known id, a fold and its end, an expiry, a batch, a key twice, and cancellations of events
    // behind which others wait.
    let known = event(1).with_id(Uuid::from_u128(7));
    let draft =
        |operation| NewEvent::new("draft", 1, "u1", operation).with_coalesce(Coalesce::Latest);
    let expiring = event(2).with_expiry(Expiry::After(LEASE));
    for event in [event(1), known.clone(), known, expiring] {
        outbox.on(&client).enqueue(Ok(event)).await.unwrap();
    }
    let tx = client.transaction().await.unwrap();
    for operation in [Operation::Create, Operation::Update, Operation::Delete] {
        let draft = draft(operation);
        outbox.on(&tx).enqueue(Ok(draft)).await.unwrap();
    }
    let many = (3..60).chain(3..60).map(|entity| Ok(event(entity)));
    outbox.on(&tx).enqueue_all(many).await.unwrap();
    for answer in [OnSameKey::Replace, OnSameKey::Replace, OnSameKey::Keep] {
        let keyed = event(3).with_key("report").with_on_same_key(answer);
        outbox.on(&tx).enqueue(Ok(keyed)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let tx = client.transaction().await.unwrap();
    let canceled = Cancel::key("u1", "report").on(outbox.on(&tx)).await;
    assert_eq!(canceled.unwrap().canceled.len(), 1);
    let canceled = Cancel::entity("u1", 3).on(outbox.on(&tx)).await;
    assert_eq!(canceled.unwrap().canceled.len(), 2);
    tx.commit().await.unwrap();
    let claims = store.claim(&ClaimRequest::new(2, LEASE)).await.unwrap();
    let tx = client.transaction().await.unwrap();
    let completed = claims[0].event.complete_on(outbox.on(&tx));
    completed.await.unwrap();
    tx.commit().await.unwrap();
    let completed = claims[1].event.complete_on(outbox.on(&client));
    completed.await.unwrap();
    let parsed = parsed(&sent);
    assert!(parsed.len() > 20, "{parsed:?}");
    let named: Vec<_> = parsed.iter().filter(|(name, _)| !name.is_empty()).collect();
    assert!(named.is_empty(), "prepared by name: {named:?}");
}
