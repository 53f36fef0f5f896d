//! How do I deliver over HTTP, and who retries?
//!
//! `http::send` turns the response into an outcome. This service is overloaded once (503) and then
//! accepts; both attempts carry the same idempotency key.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, ensure};
use outbox_runtime::http;
use outbox_runtime::prelude::*;
use reqwest::{Client, redirect};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(metadata)]
    title: String,
}

/// Answers one request per status, and returns the idempotency keys that it saw.
fn serve(listener: &TcpListener, statuses: [&str; 2]) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for status in statuses {
        let mut socket = BufReader::new(listener.accept()?.0);
        let mut length = 0;
        for line in socket.by_ref().lines() {
            match line?.split_once(": ") {
                Some(("idempotency-key", key)) => keys.push(key.to_owned()),
                Some(("content-length", bytes)) => length = bytes.parse().unwrap_or_default(),
                Some(_) => {}
                None if length == 0 => {} // the request line
                None => break,
            }
        }
        io::copy(&mut socket.by_ref().take(length), &mut io::sink())?;
        let response = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
        socket.get_mut().write_all(response.as_bytes())?;
    }
    Ok(keys)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let base = format!("http://{}/goals", listener.local_addr()?);
    let service = std::thread::spawn(move || serve(&listener, ["503 Overloaded", "200 OK"]));

    let client = Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .redirect(redirect::Policy::none());
    let store = SqliteStore::open_in_memory().await?;
    let deliver = |(client, base): (Client, String), event: Event<Goal>| async move {
        let request = client
            .put(format!("{base}/{}", event.entity_id))
            .header("Idempotency-Key", event.idempotency_key().to_string())
            .body(serde_json::to_string(event.metadata()).or_permanent()?);
        http::send(request, event.operation).await?;
        Ok(())
    };
    let processor = Processor::builder(store.clone()).handle_with((client.build()?, base), deliver);
    let running = processor.build()?.start("user-1");

    let (id, user_id, title) = (7, "user-1", "Swim".to_owned());
    let goal = Goal { id, user_id, title };
    goal.enqueue_create().on(&store).await?;
    let flushed = running.flush(7, Duration::from_secs(10)).await?;
    ensure!(flushed.is_delivered(), "{flushed:?}");
    let keys = service.join().ok().context("the service panicked")??;
    ensure!(keys.len() == 2 && keys.first() == keys.last());
    println!("503, then 200, both under one key: {keys:?}");
    running.stop().await?;
    Ok(())
}
