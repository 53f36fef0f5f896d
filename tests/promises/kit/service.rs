//! The fake service, asked by a real client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use outbox_testing::{FakeService, Reply};
use outbox_tests::within;
use serde_json::{Value, json};

/// What the service answers to these bytes.
fn raw(service: &FakeService, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    // A service that refuses a request may reset the connection after its answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn it_answers_by_script_and_records_what_it_is_sent() {
    let service = FakeService::start().unwrap();
    service
        .reply(Reply::status(503).header("retry-after", "7"))
        .reply(Reply::json(201, &json!({"id": 7})));
    service.otherwise(Reply::status(204));
    let client = reqwest::Client::new();
    let put = || {
        let request = client.put(format!("{}/goals/7?full=1", service.url()));
        request
            .header("Idempotency-Key", "k1")
            .body("{\"title\":\"Swim\"}")
            .send()
    };
    let busy = within(put()).await.unwrap();
    assert_eq!(
        (busy.status().as_u16(), &busy.headers()["retry-after"]),
        (503, &"7".parse().unwrap())
    );
    let created = within(put()).await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(within(created.text()).await.unwrap(), "{\"id\":7}");
    assert_eq!(service.replies_left(), 0);
    assert_eq!(within(put()).await.unwrap().status(), 204);
    let received = service.received();
    assert_eq!(received.len(), 3);
    let first = &received[0];
    assert_eq!(
        (first.method.as_str(), first.path.as_str()),
        ("PUT", "/goals/7?full=1")
    );
    assert_eq!(first.header("idempotency-key"), Some("k1"));
    assert_eq!(first.json::<Value>().unwrap()["title"], "Swim");
    assert_eq!(first.text(), "{\"title\":\"Swim\"}");
    service.reply(Reply::ok()).clear();
    assert_eq!((service.received().len(), service.replies_left()), (0, 0));
}

#[tokio::test]
async fn it_disconnects_hangs_and_is_late_on_request() {
    let service = FakeService::start().unwrap();
    service.reply(Reply::disconnect()).reply(Reply::hang());
    service.reply(Reply::ok().after(Duration::from_millis(20)));
    let client = reqwest::Client::new();
    assert!(within(client.get(service.url()).send()).await.is_err());
    let short = client
        .get(service.url())
        .timeout(Duration::from_millis(50))
        .send();
    assert!(within(short).await.unwrap_err().is_timeout());
    assert_eq!(
        within(client.get(service.url()).send())
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(service.received().len(), 3);
}

#[test]
fn requests_are_bounded_and_malformed_ones_refused() {
    let service = FakeService::start().unwrap();
    let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\nSwim\r\n2\r\n!!\r\n0\r\nt: 1\r\n\r\n";
    assert!(raw(&service, chunked).starts_with("HTTP/1.1 200"));
    let waits = b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nSwim";
    assert!(raw(&service, waits).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"));
    let received = service.received();
    assert_eq!(
        (received[0].text(), received[1].text()),
        ("Swim!!".into(), "Swim".into())
    );
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(70_000));
    for (bytes, status) in [
        (&b"nonsense\r\n\r\n"[..], 400),
        (b"GET / SPDY/3\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
            413,
        ),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
        ),
        (long.as_bytes(), 431),
    ] {
        let answer = raw(&service, bytes);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
    }
    assert_eq!(
        service.received().len(),
        2,
        "a refused request is not recorded"
    );
    let head = raw(&service, b"HEAD / HTTP/1.1\r\n\r\n");
    assert!(head.ends_with("content-length: 0\r\n\r\n"), "{head}");
}

#[test]
fn it_ends_with_its_value_whatever_clients_do() {
    let service = FakeService::start().unwrap();
    let address = service.address();
    service.otherwise(Reply::hang());
    let silent = TcpStream::connect(address).unwrap();
    let mut hanging = TcpStream::connect(address).unwrap();
    hanging.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    while service.received().is_empty() {
        std::thread::yield_now();
    }
    drop(service);
    let mut rest = Vec::new();
    hanging
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(hanging.read_to_end(&mut rest).unwrap_or_default(), 0);
    assert!(
        TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
    drop(silent);
}
