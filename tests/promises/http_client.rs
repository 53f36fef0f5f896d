//! Deliveries with reqwest: who answered, and what a missing answer means. The servers are real, on
//! loopback.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use outbox_runtime::Delivery;
use outbox_runtime::http::{Meaning, Policy, check, check_response, send};
use outbox_runtime::prelude::*;
use outbox_tests::{Note, enqueue, note};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Method, Url, redirect};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const RETRY: Delivery = Delivery::Retry { after: None };
const UNAVAILABLE: Delivery = Delivery::Unavailable { after: None };
const PATIENCE: Duration = Duration::from_millis(100);

/// A service that answers by the request line, `POST /goals HTTP/1.1`, and records the requests.
struct Service {
    address: SocketAddr,
    asked: UnboundedReceiver<String>,
}

impl Service {
    /// `None` closes the connection without an answer.
    fn start(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = unbounded_channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let line = request_line(&mut stream);
                let answer = answer(&line);
                // Recorded before the answer, so that it is visible once the answer arrives.
                if tell.send(line).is_err() {
                    return;
                }
                if let Some(answer) = answer {
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        Self { address, asked }
    }

    /// Redirects `/goals` to `target` with `status`, and answers all other requests with 200, like
    /// a web page.
    fn redirecting(status: u16, target: &str) -> Self {
        let redirect = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        Self::start(move |line| match line.contains(" /goals") {
            true => Some(redirect.clone()),
            false => Some(page(200)),
        })
    }

    fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    fn asked(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

fn page(status: u16) -> String {
    format!("HTTP/1.1 {status} Page\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlogin")
}

/// Reads a request completely.
fn request_line(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            line.trim_end().clone_into(&mut first);
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    first
}

fn builder() -> ClientBuilder {
    Client::builder().no_proxy()
}

/// With reqwest's defaults.
fn following() -> Client {
    builder().build().unwrap()
}

fn careful() -> Client {
    builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

const OPERATIONS: [(Method, Operation); 4] = [
    (Method::POST, Operation::Create),
    (Method::PUT, Operation::Update),
    (Method::PATCH, Operation::Update),
    (Method::DELETE, Operation::Delete),
];

#[tokio::test]
async fn a_followed_redirect_is_not_a_delivery_even_with_status_200() {
    let portal = Service::start(|_| Some(page(200)));
    for status in [301, 302, 303, 307, 308] {
        for target in ["/login".to_owned(), portal.url("/portal").to_string()] {
            for (method, operation) in OPERATIONS {
                let service = Service::redirecting(status, &target);
                let url = service.url("/goals");
                let request = || following().request(method.clone(), url.clone()).body("{}");
                let context = format!("{method} {status} {target}");

                let response = request().send().await.unwrap();
                assert_eq!(response.status(), 200, "{context}");
                check(response.status(), response.headers(), operation)
                    .expect("the positive control: the redirect looks like a success");
                let error = check_response(&response, &method, &url, operation).unwrap_err();
                assert_eq!(error.delivery(), UNAVAILABLE, "{context}");
                assert!(error.is_redirected(), "{context}");

                let error = send(request(), operation).await.unwrap_err();
                assert_eq!(error.delivery(), UNAVAILABLE, "{context}");
                let text = HandlerError::from(error).to_string();
                let sent_to = service.address.to_string();
                let answered_by = match target.starts_with('/') {
                    true => "another URL there".to_owned(),
                    false => portal.address.to_string(),
                };
                let expected = format!(
                    "{method} to {sent_to} was redirected, and {answered_by} answered 200 OK; nothing was delivered"
                );
                assert!(text.starts_with(&expected), "{text}");
                assert!(text.contains("redirect::Policy::none()"), "{text}");
            }
        }
    }
}

/// A missing page says nothing about the event, neither that it is gone nor that it is rejected.
#[tokio::test]
async fn an_answer_of_another_url_is_not_about_the_event() {
    for status in [400, 401, 404, 410, 422, 429, 500] {
        let target = Service::start(move |_| Some(page(status)));
        let service = Service::redirecting(302, target.url("/login").as_str());
        for (method, operation) in OPERATIONS {
            let request = following().request(method, service.url("/goals"));
            let error = send(request, operation).await.unwrap_err();
            assert_eq!(error.delivery(), UNAVAILABLE, "{status} on {operation}");
        }
    }
}

#[tokio::test]
async fn an_unfollowed_redirect_is_the_answer_and_no_other_server_is_called() {
    for status in [301, 302, 303, 307, 308] {
        let mut service = Service::redirecting(status, "/login");
        let request = careful().post(service.url("/goals")).body("{}");
        let error = send(request, Operation::Create).await.unwrap_err();
        assert_eq!(error.delivery(), UNAVAILABLE, "{status}");
        let text = error.to_string();
        assert!(
            text.ends_with(": a redirect; nothing was delivered"),
            "{text}"
        );
        assert_eq!(service.asked(), ["POST /goals HTTP/1.1"], "{status}");
    }
}

/// A redirect cannot be detected afterwards; the careful client does not follow it.
#[tokio::test]
async fn a_redirect_to_the_same_url_is_noticed_where_none_is_followed() {
    let see_other = |line: &str| {
        match line.starts_with("POST") {
        true => Some(
            "HTTP/1.1 303 See Other\r\nlocation: /goals\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_owned(),
        ),
        false => Some(page(200)),
    }
    };
    let service = Service::start(see_other);
    let request = careful().post(service.url("/goals"));
    let error = send(request, Operation::Create).await.unwrap_err();
    assert_eq!(error.delivery(), UNAVAILABLE);
}

#[tokio::test]
async fn url_parts_that_the_server_does_not_see_make_no_difference() {
    let service = Service::start(|_| Some(page(201)));
    let address = service.address;
    for url in [
        format!("http://{address}/goals"),
        format!("http://{address}/goals#top"),
        format!("http://anna:secret@{address}/goals"),
        format!("http://{address}"),
        format!("http://{address}/a%20b/../goals?q=1&q=%C3%A4|"),
    ] {
        let url: Url = url.parse().unwrap();
        let response = following().post(url.clone()).send().await.unwrap();
        let answer = check_response(&response, &Method::POST, &url, Operation::Create);
        assert_eq!(answer, Ok(()), "{url}");
    }
    let request = following().post(service.url("/goals?page=2#top"));
    let response = send(request, Operation::Create).await.unwrap();
    assert_eq!(
        response.text().await.unwrap(),
        "login",
        "the body is still unread"
    );
}

#[test]
fn a_response_made_from_parts_has_no_url_to_compare() {
    let response = Response::builder().status(204).body("").unwrap();
    let response = reqwest::Response::from(response);
    let url = "http://api.example.com/goals".parse().unwrap();
    let answer = check_response(&response, &Method::POST, &url, Operation::Create);
    assert_eq!(answer, Ok(()));
}

#[tokio::test]
async fn the_path_and_the_query_of_a_redirect_are_in_no_message() {
    let service = Service::redirecting(302, "/token-of-anna?key=secret");
    let request = following().post(service.url("/goals?key=secret"));
    let error = send(request, Operation::Create).await.unwrap_err();
    let mut text = format!("{error} {error:?}");
    text += &HandlerError::from(error).to_string();
    assert!(
        !text.contains("secret") && !text.contains("token"),
        "{text}"
    );
}

#[tokio::test]
async fn a_policy_applies_to_the_answer_of_the_requested_url() {
    let policy = Policy::new().means([404, 200], Meaning::Delivered);
    let service = Service::start(|_| Some(page(404)));
    let request = following().put(service.url("/goals"));
    assert!(policy.send(request, Operation::Update).await.is_ok());
    let service = Service::redirecting(302, "/login");
    let request = following().put(service.url("/goals"));
    let error = policy.send(request, Operation::Update).await.unwrap_err();
    assert_eq!(error.delivery(), UNAVAILABLE);
}

#[tokio::test]
async fn an_event_with_a_redirected_request_stays_in_the_outbox() {
    let mut service = Service::redirecting(302, "/login");
    let url = service.url("/goals");
    let store = MemoryStore::new();
    let client = following();
    let (tell, mut told) = unbounded_channel();
    let processor = Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let request = client.post(url.clone());
            let tell = tell.clone();
            async move {
                let sent = send(request, event.operation).await;
                tell.send(sent.is_ok()).unwrap();
                Ok(sent.map(drop)?)
            }
        })
        .build()
        .unwrap();
    let event = enqueue(&store, note(1).enqueue_sync()).await;
    let running = processor.start("u1");
    assert_eq!(service.asked.recv().await.unwrap(), "POST /goals HTTP/1.1");
    assert_eq!(service.asked.recv().await.unwrap(), "GET /login HTTP/1.1");
    assert_eq!(told.recv().await, Some(false));
    running.stop().await.unwrap();
    let row = store.fetch_event(event.id).await.unwrap().unwrap();
    assert!(row.status != OutboxStatus::Completed, "{:?}", row.status);
    assert!(row.status != OutboxStatus::Dead, "{:?}", row.status);
}

/// A client with short timeouts.
fn client() -> Client {
    builder().timeout(PATIENCE).build().unwrap()
}

/// Error of a request to a server that does not exist.
async fn refused() -> reqwest::Error {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/?key=secret");
    client().get(url).send().await.unwrap_err()
}

#[tokio::test]
async fn no_connection_is_offline() {
    assert_eq!(refused().await.delivery(), Delivery::Offline);
}

/// A name service that never answers, or that finds no name.
struct Names {
    answers: bool,
}

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let answers = self.answers;
        Box::pin(async move {
            if !answers {
                std::future::pending::<()>().await;
            }
            Err::<Addrs, _>("no such name".into())
        })
    }
}

fn without_names(answers: bool) -> ClientBuilder {
    builder().dns_resolver(Arc::new(Names { answers }))
}

#[tokio::test]
async fn a_network_that_drops_packets_is_offline_only_after_connect_timeout() {
    let silent = || without_names(false);
    for (client, expected) in [
        (silent().connect_timeout(PATIENCE), Delivery::Offline),
        (silent().timeout(PATIENCE), UNAVAILABLE),
        (silent().read_timeout(PATIENCE), UNAVAILABLE),
        (without_names(true), Delivery::Offline),
    ] {
        let client = client.build().unwrap();
        let request = client.get("http://api.example.com/");
        let error = send(request, Operation::Create).await.unwrap_err();
        assert_eq!(error.delivery(), expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_timeout_after_connecting_is_unavailable() {
    // Accepts connections through the system's backlog, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for client in [
        builder().timeout(PATIENCE),
        builder().read_timeout(PATIENCE),
        builder().timeout(PATIENCE).connect_timeout(PATIENCE),
    ] {
        let request = client.build().unwrap().get(&url);
        let error = request.send().await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.delivery(), UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_unavailable() {
    for half in [
        None,
        Some("HTTP/1.1 200 OK\r\ncontent-le"),
        Some("220 mail.example.com ESMTP\r\n"),
    ] {
        let service = Service::start(move |_| half.map(str::to_owned));
        let error = following().post(service.url("/")).send().await.unwrap_err();
        assert_eq!(error.delivery(), UNAVAILABLE, "{half:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_the_answer_is_unavailable() {
    for rest in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n5\r\nhal",
        "transfer-encoding: chunked\r\n\r\nno length\r\n",
    ] {
        let service = Service::start(move |_| Some(format!("HTTP/1.1 200 OK\r\n{rest}")));
        let request = following().post(service.url("/"));
        let response = send(request, Operation::Create).await.unwrap();
        let error = response.bytes().await.unwrap_err();
        assert_eq!(error.delivery(), UNAVAILABLE, "{rest}: {error:?}");
    }
}

#[tokio::test]
async fn redirects_without_an_end_are_unavailable() {
    let service = Service::start(|_| {
        Some("HTTP/1.1 307 Round\r\nlocation: /goals\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned())
    });
    let error = following()
        .post(service.url("/goals"))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_redirect(), "{error}");
    assert_eq!(error.delivery(), UNAVAILABLE);
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_permanent() {
    let error = client().get("no url").send().await.unwrap_err();
    assert!(error.is_builder(), "{error}");
    assert_eq!(error.delivery(), Delivery::Permanent);
    let error = send(client().get("no url"), Operation::Create)
        .await
        .unwrap_err();
    assert_eq!(error.delivery(), Delivery::Permanent);
}

/// This workspace's reqwest has no TLS.
#[tokio::test]
async fn https_without_tls_is_permanent_and_says_what_to_enable() {
    let request = || client().get("https://127.0.0.1:1/?key=secret");
    let direct = request().send().await.unwrap_err();
    let chosen = request().send().await.unwrap_err();
    assert!(
        direct.is_connect(),
        "a connect error that would count as offline: {direct}"
    );
    let sent = send(request(), Operation::Create).await.unwrap_err();
    assert_eq!(sent.delivery(), Delivery::Permanent);
    for error in [
        HandlerError::from(direct),
        HandlerError::from(sent),
        HandlerError::from(SyncError::from(chosen)),
    ] {
        assert_eq!(error.delivery(), Delivery::Permanent);
        let text = error.to_string();
        assert!(text.contains("built without TLS"), "{text}");
        assert!(
            text.contains("`rustls`") && !text.contains("secret"),
            "{text}"
        );
    }
}

#[test]
fn error_for_status_means_what_the_status_means() {
    for (status, expected) in [
        (401, Delivery::Unauthenticated),
        (404, Delivery::Permanent),
        (503, UNAVAILABLE),
        (500, RETRY),
    ] {
        let response = Response::builder().status(status).body("").unwrap();
        let response = reqwest::Response::from(response);
        let error = response.error_for_status().unwrap_err();
        assert_eq!(error.delivery(), expected, "{status}");
    }
}

/// The reason why the guide advises against it.
#[test]
fn check_does_not_accept_every_status_that_error_for_status_accepts() {
    for status in [101, 302, 304, 600, 999] {
        let response = Response::builder().status(status).body("").unwrap();
        let response = reqwest::Response::from(response);
        assert!(response.error_for_status_ref().is_ok(), "{status}");
        let answer = check(response.status(), response.headers(), Operation::Create);
        assert!(answer.is_err(), "{status}");
    }
}

#[derive(Debug, thiserror::Error, DeliveryError)]
enum SyncError {
    #[error("sending failed")]
    #[outbox(transparent)]
    Send(#[from] reqwest::Error),
    #[error("it is so: {0}")]
    #[outbox(permanent)]
    Quoting(#[source] reqwest::Error),
}

#[tokio::test]
async fn the_url_of_a_failed_request_is_in_no_message() {
    let error = refused().await;
    assert!(error.to_string().contains("secret"), "the positive control");
    let direct = HandlerError::from(error);
    let caused = HandlerError::from(SyncError::from(refused().await));
    let quoted = HandlerError::from(SyncError::Quoting(refused().await));
    let chosen = HandlerError::retry(refused().await);
    let added = HandlerError::offline().because(refused().await);
    for error in [&direct, &caused, &quoted, &chosen, &added] {
        let text = error.to_string();
        assert!(text.contains("error sending request: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    for error in [&direct, &added] {
        assert!(!format!("{error:?}").contains("secret"));
    }
    assert_eq!(direct.delivery(), Delivery::Offline);
    assert_eq!(caused.delivery(), Delivery::Offline);
}
