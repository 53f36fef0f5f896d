//! The service of `docs/guide/axum.md` is the program of this package, and does what the page says.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "a program that hangs does not hang its test"
)]

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Router, routing};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(path).unwrap()
}

/// The first program of a page.
fn block(page: &str) -> String {
    let text = file(&format!("../../docs/guide/{page}.md"));
    let (_, rest) = text.split_once("```rust,no_run\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_programs_of_the_pages_are_the_tested_ones() {
    let program = file("src/bin/service.rs");
    let (about, program) = program.split_once("\n\n").unwrap();
    assert!(about.starts_with("//! "));
    assert_eq!(
        [block("axum"), block("axum-tests")].join("\n"),
        program,
        "copy integrations/guide/src/bin/service.rs to docs/guide/axum.md and axum-tests.md"
    );
}

/// A request that the partner has received.
type Received = (String, HeaderMap, String);

/// The service that hears of the notes.
struct Partner {
    url: String,
    received: mpsc::UnboundedReceiver<Received>,
}

impl Partner {
    async fn start() -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let take = async |State(sender): State<mpsc::UnboundedSender<Received>>,
                          uri: Uri,
                          headers: HeaderMap,
                          body: String| {
            sender.send((uri.path().to_owned(), headers, body)).unwrap();
            StatusCode::NO_CONTENT
        };
        let app = Router::new().route("/notes/{id}", routing::put(take));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app.with_state(sender)).await });
        Self { url, received }
    }

    async fn next(&mut self) -> Received {
        soon("a note at the partner", self.received.recv())
            .await
            .unwrap()
    }
}

/// The service, as a process in a folder of its own.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    async fn start(folder: &TempDir, partner: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_service"))
            .current_dir(folder.path())
            .env("LISTEN", "127.0.0.1:0")
            .env("PARTNER_URL", partner)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("the address", lines.next_line()).await.unwrap();
        let url = line
            .unwrap()
            .strip_prefix("listens on ")
            .unwrap()
            .to_owned();
        Self { child, url }
    }

    /// Saves a note; returns its id.
    async fn save(&self, user: &str, text: &'static str) -> String {
        let url = format!("{}/users/{user}/notes", self.url);
        let request = reqwest::Client::new().post(url).body(text);
        let response = soon("an answer", request.send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        response.text().await.unwrap()
    }

    /// Ends it as a supervisor does.
    async fn end(mut self) {
        let id = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(sent.unwrap().success());
        let status = soon("the end", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("not within 30 s: {what}"))
}

#[tokio::test]
async fn a_note_that_is_saved_reaches_the_partner() {
    let folder = tempfile::tempdir().unwrap();
    let mut partner = Partner::start().await;
    let service = Service::start(&folder, &partner.url).await;
    let id = service.save("ada", "buy milk").await;
    let (path, headers, body) = partner.next().await;
    assert_eq!(path, format!("/notes/{id}"));
    assert_eq!(body, r#"{"text":"buy milk"}"#);
    assert!(headers.contains_key("idempotency-key"));
    service.end().await;
}

#[tokio::test]
async fn a_note_that_is_saved_while_the_partner_is_away_is_sent_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    // A port on which nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let service = Service::start(&folder, &format!("http://{}", nobody.unwrap())).await;
    let id = service.save("ada", "buy bread").await;
    service.end().await;

    let mut partner = Partner::start().await;
    let service = Service::start(&folder, &partner.url).await;
    let (path, _, body) = partner.next().await;
    assert_eq!(path, format!("/notes/{id}"));
    assert_eq!(body, r#"{"text":"buy bread"}"#);
    service.end().await;
}
