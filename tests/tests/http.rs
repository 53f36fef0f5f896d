//! What an HTTP answer means for a delivery, by RFC 9110, and what it means that there is none.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};
use outbox_runtime::Delivery;
use outbox_runtime::http::{DEFAULT_PAUSE, HttpError, LONGEST_WAIT, check, check_at, retry_after};
use outbox_runtime::prelude::*;
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);
const RETRY: Delivery = Delivery::Retry { after: None };

fn now() -> DateTime<Utc> {
    "2026-10-21T07:27:30Z".parse().unwrap()
}

fn asking_for(wait: &str) -> HeaderMap {
    HeaderMap::from_iter([(RETRY_AFTER, wait.parse().unwrap())])
}

fn answer(status: u16, headers: &HeaderMap, operation: Operation) -> Result<(), HttpError> {
    let status = StatusCode::from_u16(status).unwrap();
    check_at(status, headers, operation, now())
}

fn class(status: u16, headers: &HeaderMap, operation: Operation) -> Delivery {
    answer(status, headers, operation).unwrap_err().delivery()
}

#[test]
fn every_2xx_is_a_success() {
    for status in 200..300 {
        let answer = answer(status, &asking_for("5"), Operation::Update);
        assert_eq!(answer, Ok(()), "{status}");
    }
}

#[test]
fn the_status_decides() {
    use Operation::{Create, Delete, Update};
    let all = [Create, Update, Delete];
    let changes = [Create, Update];
    let table: [(&[u16], &[Operation], Delivery); 8] = [
        (&[401], &all, Delivery::Unauthenticated),
        (&[404, 410], &[Delete], Delivery::Obsolete),
        (&[404, 410], &changes, Delivery::Permanent),
        (
            &[
                400, 402, 403, 405, 406, 407, 409, 411, 412, 413, 414, 415, 416, 417, 418, 421,
                422, 423, 424, 426, 428, 431, 451, 499,
            ],
            &all,
            Delivery::Permanent,
        ),
        (
            &[101, 300, 301, 302, 303, 304, 307, 308],
            &all,
            Delivery::Permanent,
        ),
        (&[408, 425], &all, RETRY),
        (
            &[500, 501, 502, 503, 504, 505, 507, 508, 511, 599, 600, 999],
            &all,
            RETRY,
        ),
        (
            &[429],
            &all,
            Delivery::RateLimited {
                after: DEFAULT_PAUSE,
            },
        ),
    ];
    for (statuses, operations, expected) in table {
        for status in statuses {
            for operation in operations {
                let class = class(*status, &HeaderMap::new(), *operation);
                assert_eq!(class, expected, "{status} on {operation}");
            }
        }
    }
}

#[test]
fn retry_after_makes_a_pause_of_429_and_503_and_the_earliest_time_of_a_retry() {
    let headers = asking_for("7");
    let after = 7 * SECOND;
    for status in [429, 503] {
        let class = class(status, &headers, Operation::Update);
        assert_eq!(class, Delivery::RateLimited { after }, "{status}");
    }
    for status in [408, 425, 500, 502, 504] {
        let class = class(status, &headers, Operation::Update);
        assert_eq!(class, Delivery::Retry { after: Some(after) }, "{status}");
    }
    for status in [301, 400, 413] {
        let class = class(status, &headers, Operation::Update);
        assert_eq!(class, Delivery::Permanent, "{status}");
    }
}

#[test]
fn retry_after_is_read_as_seconds_or_as_a_date_in_any_of_the_three_forms() {
    for (value, expected) in [
        ("0", Some(Duration::ZERO)),
        ("120", Some(120 * SECOND)),
        ("007", Some(7 * SECOND)),
        (" 7 ", Some(7 * SECOND)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", Some(30 * SECOND)),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", Some(30 * SECOND)),
        ("Wed Oct 21 07:28:00 2026", Some(30 * SECOND)),
        ("Sun Nov  6 08:49:37 1994", Some(Duration::ZERO)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::ZERO)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(Duration::ZERO)),
        ("Wed, 21 Oct 2026 07:27:60 GMT", Some(30 * SECOND)),
        // Two digits of a year are at most 50 years ahead.
        ("Wednesday, 21-Oct-76 07:27:30 GMT", Some(LONGEST_WAIT)),
        ("Thursday, 21-Oct-77 07:27:30 GMT", Some(Duration::ZERO)),
    ] {
        assert_eq!(retry_after(&asking_for(value), now()), expected, "{value}");
    }
}

#[test]
fn retry_after_that_makes_no_sense_counts_as_absent() {
    for value in [
        "",
        " ",
        "-5",
        "+5",
        "1.5",
        "5s",
        "soon",
        "0x10",
        "5, 6",
        "21 Oct 2026 07:28:00 GMT",
        "Wed, 21 Oct 2026 07:28:00",
        "Wed, 21 Oct 2026 07:28:00 CET",
        "Wed, 32 Oct 2026 07:28:00 GMT",
        "Wed, 21 Okt 2026 07:28:00 GMT",
        "2026-10-21T07:28:00Z",
        "Saturday, 29-Feb-25 00:00:00 GMT",
    ] {
        assert_eq!(retry_after(&asking_for(value), now()), None, "{value}");
        let class = class(503, &asking_for(value), Operation::Update);
        assert_eq!(class, RETRY, "{value}");
    }
    let bytes = http::HeaderValue::from_bytes(b"\xff").unwrap();
    let headers = HeaderMap::from_iter([(RETRY_AFTER, bytes)]);
    assert_eq!(retry_after(&headers, now()), None);
    assert_eq!(retry_after(&HeaderMap::new(), now()), None);
}

#[test]
fn nobody_waits_for_more_than_a_day() {
    for value in [
        "86401",
        "99999999999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        let wait = retry_after(&asking_for(value), now());
        assert_eq!(wait, Some(LONGEST_WAIT), "{value}");
    }
}

#[test]
fn a_clock_at_either_end_of_time_overflows_nothing() {
    let headers = asking_for("Sunday, 06-Nov-94 08:49:37 GMT");
    for now in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let wait = retry_after(&headers, now);
        assert!(wait.is_some_and(|wait| wait <= LONGEST_WAIT), "{now}");
    }
}

#[test]
fn a_wait_of_zero_asks_for_no_pause_and_a_rate_limit_never_spins() {
    for value in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let headers = asking_for(value);
        assert_eq!(class(503, &headers, Operation::Update), RETRY);
        let limited = Delivery::RateLimited {
            after: DEFAULT_PAUSE,
        };
        assert_eq!(class(429, &headers, Operation::Update), limited);
    }
}

#[test]
fn a_date_is_compared_with_the_clock_that_wrote_it() {
    let mut headers = asking_for("Thu, 01 Jan 2026 00:00:05 GMT");
    assert_eq!(retry_after(&headers, now()), Some(Duration::ZERO));
    headers.insert(DATE, "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
    assert_eq!(retry_after(&headers, now()), Some(5 * SECOND));
    headers.insert(DATE, "yesterday".parse().unwrap());
    assert_eq!(retry_after(&headers, now()), Some(Duration::ZERO));
}

#[test]
fn a_question_mark_in_a_handler_keeps_the_answer_and_names_the_status() {
    fn handler(response: &Response<&str>) -> Result<(), HandlerError> {
        check(response.status(), response.headers(), Operation::Update)?;
        Ok(())
    }
    let mut response = Response::new("the title of Anna's entry is too long");
    assert!(handler(&response).is_ok());
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    let error = handler(&response).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Permanent);
    let text = error.to_string();
    assert_eq!(text, "the service answered 422 Unprocessable Entity");
}

#[test]
fn the_error_tells_its_status() {
    let error = answer(503, &HeaderMap::new(), Operation::Create).unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.timeout(Duration::from_millis(100)).build().unwrap()
}

/// The error of a request to a server that does not exist.
async fn refused() -> reqwest::Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/?key=secret");
    client().get(url).send().await.unwrap_err()
}

#[tokio::test]
async fn no_connection_is_offline() {
    assert_eq!(refused().await.delivery(), Delivery::Offline);
}

#[tokio::test]
async fn no_answer_in_time_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error = client().get(url).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.delivery(), RETRY);
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_retry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let request = client().get(url).send();
    let (error, ()) = tokio::join!(request, async {
        drop(listener.accept().await.unwrap());
    });
    assert_eq!(error.unwrap_err().delivery(), RETRY);
}

#[tokio::test]
async fn a_request_that_cannot_be_built_is_permanent() {
    let error = client().get("no url").send().await.unwrap_err();
    assert!(error.is_builder(), "{error}");
    assert_eq!(error.delivery(), Delivery::Permanent);
}

#[test]
fn error_for_status_means_what_the_status_means() {
    for (status, expected) in [
        (401, Delivery::Unauthenticated),
        (404, Delivery::Permanent),
        (503, RETRY),
    ] {
        let response = Response::builder().status(status).body("").unwrap();
        let response = reqwest::Response::from(response);
        let error = response.error_for_status().unwrap_err();
        assert_eq!(error.delivery(), expected, "{status}");
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
    for error in [&direct, &caused, &quoted, &chosen] {
        let text = error.to_string();
        assert!(text.contains("error sending request: "), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(!format!("{direct:?}").contains("secret"));
    assert_eq!(direct.delivery(), Delivery::Offline);
    assert_eq!(caused.delivery(), Delivery::Offline);
}
