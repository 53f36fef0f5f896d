//! Meaning of an HTTP answer for a delivery, by RFC 9110. `http_client.rs` covers missing answers
//! and answers of other URLs.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use http::{Response, StatusCode};
use outbox_runtime::Delivery;
use outbox_runtime::http::{
    DEFAULT_PAUSE, HttpError, LONGEST_WAIT, Meaning, Policy, check, check_at, retry_after,
};
use outbox_runtime::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const RETRY: Delivery = Delivery::Retry { after: None };
const UNAVAILABLE: Delivery = Delivery::Unavailable { after: None };

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

/// A row of the table in the guide.
struct Row {
    statuses: std::ops::RangeInclusive<u16>,
    name: String,
    /// Answers for a create, an update and a delete.
    meanings: [String; 3],
    with_retry_after: String,
}

const OPERATIONS: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

fn guide() -> Vec<Row> {
    let guide = include_str!("../../docs/guide/http-statuses.md");
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [status, name, create, update, delete, with_retry_after] = cells[..] else {
            return None;
        };
        let (from, to) = status.split_once('-').unwrap_or((status, status));
        Some(Row {
            statuses: from.parse().ok()?..=to.parse().ok()?,
            name: name.to_owned(),
            meanings: [create, update, delete].map(str::to_owned),
            with_retry_after: with_retry_after.to_owned(),
        })
    };
    guide.lines().filter_map(row).collect()
}

/// The guide's name of an answer.
fn told(answer: Result<(), HttpError>) -> &'static str {
    let Err(error) = answer else {
        return "delivered";
    };
    match error.delivery() {
        Delivery::Obsolete => "obsolete",
        Delivery::Retry { .. } => "retry",
        Delivery::Unavailable { .. } => "unavailable",
        Delivery::Offline => "offline",
        Delivery::Unauthenticated => "unauthenticated",
        Delivery::RateLimited { .. } => "rate limited",
        Delivery::Permanent => "permanent",
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_status_decides() {
    for row in guide() {
        for status in row.statuses.clone() {
            for (operation, meaning) in OPERATIONS.into_iter().zip(&row.meanings) {
                let answer = answer(status, &HeaderMap::new(), operation);
                assert_eq!(told(answer), meaning, "{status} on {operation}");
            }
        }
    }
}

#[test]
fn the_guide_lists_each_status_once_and_registered_ones_by_name() {
    let rows = guide();
    for status in 100..=999 {
        let count = rows.iter().filter(|row| row.statuses.contains(&status));
        assert_eq!(count.count(), 1, "{status}");
    }
    // The IANA registry, and common unregistered codes.
    let registered = [
        100..=104,
        200..=208,
        226..=226,
        300..=308,
        400..=418,
        421..=426,
        428..=429,
        431..=431,
        451..=451,
        500..=508,
        510..=511,
    ];
    let unregistered = [419, 440, 449, 498, 499, 598, 599]
        .into_iter()
        .chain(520..=530);
    for status in registered.into_iter().flatten().chain(unregistered) {
        let row = rows
            .iter()
            .find(|row| row.statuses.contains(&status))
            .unwrap();
        assert_eq!(row.statuses, status..=status);
        assert_ne!(row.name, "unassigned", "{status}");
    }
}

/// An independent copy of the table, so that the guide and the code cannot be wrong together.
#[test]
fn the_most_important_statuses_have_the_right_delivery_class() {
    use Operation::{Create, Delete, Update};
    let unavailable = Delivery::Unavailable { after: None };
    let after = DEFAULT_PAUSE;
    for (statuses, operation, expected) in [
        (
            &[502, 503, 504, 520, 521, 522, 523, 524, 527, 530][..],
            Update,
            unavailable,
        ),
        (&[301, 302, 303, 307, 308, 421], Create, unavailable),
        (&[407, 511], Create, Delivery::Offline),
        (&[401, 419, 440, 498], Create, Delivery::Unauthenticated),
        (&[429], Create, Delivery::RateLimited { after }),
        (
            &[408, 409, 423, 425, 449, 499, 500, 507, 599, 999],
            Update,
            RETRY,
        ),
        (
            &[400, 403, 404, 410, 412, 413, 422, 304, 101],
            Update,
            Delivery::Permanent,
        ),
        (&[404, 410], Delete, Delivery::Obsolete),
    ] {
        for status in statuses {
            let class = class(*status, &HeaderMap::new(), operation);
            assert_eq!(class, expected, "{status} on {operation}");
        }
    }
}

#[test]
fn retry_after_sets_the_pause_or_the_earliest_retry() {
    let headers = asking_for("7");
    let after = 7 * SECOND;
    for row in guide() {
        for status in row.statuses.clone() {
            for (operation, meaning) in OPERATIONS.into_iter().zip(&row.meanings) {
                let with = answer(status, &headers, operation);
                let expected = match (row.with_retry_after.as_str(), meaning.as_str()) {
                    (_, "rate limited") => Err(Delivery::RateLimited { after }),
                    ("not before", "retry") | ("retry", _) => {
                        Err(Delivery::Retry { after: Some(after) })
                    }
                    ("not before", "unavailable") => {
                        Err(Delivery::Unavailable { after: Some(after) })
                    }
                    ("no difference", _) => {
                        let without = answer(status, &HeaderMap::new(), operation);
                        without.map_err(|error| error.delivery())
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(with.map_err(|error| error.delivery()), expected, "{status}");
            }
        }
    }
}

#[test]
fn a_refusal_with_retry_after_is_not_permanent() {
    for (status, value, after) in [
        (413, "7", Some(7 * SECOND)),
        (403, "7", Some(7 * SECOND)),
        (413, "0", None),
        (413, "Sun, 06 Nov 1994 08:49:37 GMT", None),
    ] {
        let class = class(status, &asking_for(value), Operation::Create);
        assert_eq!(class, Delivery::Retry { after }, "{status}: {value}");
    }
    for value in ["", "soon"] {
        let class = class(413, &asking_for(value), Operation::Create);
        assert_eq!(class, Delivery::Permanent, "{value}");
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
        // Two-digit years are at most 50 years ahead.
        ("Wednesday, 21-Oct-76 07:27:30 GMT", Some(LONGEST_WAIT)),
        ("Thursday, 21-Oct-77 07:27:30 GMT", Some(Duration::ZERO)),
        // A fraction is rounded up.
        ("1.5", Some(2 * SECOND)),
        ("0.001", Some(SECOND)),
        ("2.0", Some(2 * SECOND)),
        ("0.0", Some(Duration::ZERO)),
        // The longest wait of a list counts; a date contains a comma of its own.
        ("5, 6", Some(6 * SECOND)),
        ("7,6", Some(7 * SECOND)),
        ("soon, 6", Some(6 * SECOND)),
        ("5, Wed, 21 Oct 2026 07:28:00 GMT", Some(30 * SECOND)),
        ("Wed, 21 Oct 2026 07:28:00 GMT, 31.5", Some(32 * SECOND)),
        (
            "Wednesday, 21-Oct-26 07:28:00 GMT,Wed Oct 21 07:28:01 2026",
            Some(31 * SECOND),
        ),
    ] {
        assert_eq!(retry_after(&asking_for(value), now()), expected, "{value}");
    }
}

#[test]
fn a_malformed_retry_after_counts_as_absent() {
    for value in [
        "",
        " ",
        "-5",
        "+5",
        ".5",
        "5.",
        "1.2.3",
        "1.-5",
        "1e3",
        "Wed,",
        ",",
        "5s",
        "soon",
        "0x10",
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
        assert_eq!(class, UNAVAILABLE, "{value}");
    }
    let bytes = http::HeaderValue::from_bytes(b"\xff").unwrap();
    let headers = HeaderMap::from_iter([(RETRY_AFTER, bytes)]);
    assert_eq!(retry_after(&headers, now()), None);
    assert_eq!(retry_after(&HeaderMap::new(), now()), None);
}

#[test]
fn of_several_headers_the_longest_wait_counts() {
    let mut headers = asking_for("7");
    for value in ["5", "Wed, 21 Oct 2026 07:28:00 GMT", "soon", "12"] {
        headers.append(RETRY_AFTER, value.parse().unwrap());
    }
    headers.append(RETRY_AFTER, http::HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(retry_after(&headers, now()), Some(30 * SECOND));
}

#[test]
fn no_wait_exceeds_a_day() {
    for value in [
        "86401",
        "99999999999999999999999999",
        "99999999999999999999999999.5",
        "18446744073709551615.5",
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
        assert_eq!(class(503, &headers, Operation::Update), UNAVAILABLE);
        let limited = Delivery::RateLimited {
            after: DEFAULT_PAUSE,
        };
        assert_eq!(class(429, &headers, Operation::Update), limited);
    }
}

#[test]
fn a_date_is_compared_with_the_clock_of_the_service() {
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
fn the_error_has_its_status() {
    let error = answer(503, &HeaderMap::new(), Operation::Create).unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn the_text_names_proxies_and_networks_that_answer_for_the_service() {
    for (status, text) in [
        (302, "302 Found: a redirect; nothing was delivered"),
        (304, "304 Not Modified"),
        (
            407,
            "407 Proxy Authentication Required: a proxy requires credentials",
        ),
        (
            511,
            "511 Network Authentication Required: the network requires a sign-in",
        ),
    ] {
        let error = answer(status, &HeaderMap::new(), Operation::Create).unwrap_err();
        assert_eq!(error.to_string(), format!("the service answered {text}"));
        assert!(!error.is_redirected(), "no redirect was followed");
    }
}

fn by(policy: &Policy, status: u16, headers: &HeaderMap, operation: Operation) -> Option<Delivery> {
    let status = StatusCode::from_u16(status).unwrap();
    let answer = policy.check_at(status, headers, operation, now());
    answer.err().map(|error| error.delivery())
}

#[test]
fn a_policy_changes_a_row_by_status_and_operation_and_no_other() {
    use Operation::{Create, Delete, Update};
    let policy = Policy::new()
        .means([409], Meaning::Permanent)
        .means_on(Create, [409], Meaning::Delivered)
        .means_on(Update, [404], Meaning::Obsolete)
        .means(525..=526, Meaning::Unavailable)
        .means([207], Meaning::Retry);
    let none = HeaderMap::new();
    for (status, operation, expected) in [
        (409, Create, None),
        (409, Update, Some(Delivery::Permanent)),
        (409, Delete, Some(Delivery::Permanent)),
        (404, Create, Some(Delivery::Permanent)),
        (404, Update, Some(Delivery::Obsolete)),
        (404, Delete, Some(Delivery::Obsolete)),
        (524, Update, Some(UNAVAILABLE)),
        (525, Update, Some(UNAVAILABLE)),
        (526, Update, Some(UNAVAILABLE)),
        (528, Update, Some(RETRY)),
        (207, Update, Some(RETRY)),
        (200, Update, None),
    ] {
        let found = by(&policy, status, &none, operation);
        assert_eq!(found, expected, "{status} on {operation}");
    }
    let later = policy.means([409], Meaning::Unauthenticated);
    let found = by(&later, 409, &none, Create);
    assert_eq!(
        found,
        Some(Delivery::Unauthenticated),
        "the last setting wins"
    );
}

#[test]
fn a_policy_row_applies_whatever_retry_after_says() {
    let policy = Policy::new()
        .means([413], Meaning::Permanent)
        .means([403], Meaning::RateLimited);
    let headers = asking_for("7");
    let found = by(&policy, 413, &headers, Operation::Create);
    assert_eq!(found, Some(Delivery::Permanent));
    let after = 7 * SECOND;
    let found = by(&policy, 403, &headers, Operation::Create);
    assert_eq!(found, Some(Delivery::RateLimited { after }));
}

fn with(name: &'static str, value: &str) -> HeaderMap {
    let name = http::HeaderName::from_static(name);
    HeaderMap::from_iter([(name, value.parse().unwrap())])
}

#[test]
fn milliseconds_are_read_only_by_policy_and_win_over_seconds() {
    let reads = Policy::new().read_retry_after_ms();
    let millis = |millis| Delivery::RateLimited {
        after: Duration::from_millis(millis),
    };
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        let mut headers = with(name, "1500");
        headers.insert(RETRY_AFTER, "2".parse().unwrap());
        let usual = class(429, &headers, Operation::Create);
        assert_eq!(usual, Delivery::RateLimited { after: 2 * SECOND });
        let found = by(&reads, 429, &headers, Operation::Create);
        assert_eq!(found, Some(millis(1500)), "{name}");
    }
    for (value, expected) in [
        ("1499.2", 1500),
        ("soon", 1000),
        ("99999999999999999999", 86_400_000),
    ] {
        let found = by(
            &reads,
            429,
            &with("retry-after-ms", value),
            Operation::Create,
        );
        assert_eq!(found, Some(millis(expected)), "{value}");
    }
}

#[test]
fn the_draft_rate_limit_header_is_read_only_by_policy_and_yields_to_retry_after() {
    let reads = Policy::new().read_rate_limit();
    let limited = |after| Some(Delivery::RateLimited { after });
    for (value, after) in [
        (r#""default";r=0;t=30"#, 30 * SECOND),
        (r#""burst";r=0;t=2, "daily";r=0;t=600"#, 600 * SECOND),
        (r#""burst";r=0;t=2, "daily";r=10;t=600"#, 2 * SECOND),
        (r#""a, b; r=5";t=30;r=0"#, 30 * SECOND),
        (r#""far";r=0;t=999999999"#, LONGEST_WAIT),
        (r#""default";r=50;t=30"#, DEFAULT_PAUSE),
        (r#""default";r=0"#, DEFAULT_PAUSE),
        ("limit=100, remaining=0, reset=30", DEFAULT_PAUSE),
    ] {
        let mut headers = with("ratelimit", value);
        let found = by(&reads, 429, &headers, Operation::Create);
        assert_eq!(found, limited(after), "{value}");
        let usual = class(429, &headers, Operation::Create);
        assert_eq!(Some(usual), limited(DEFAULT_PAUSE));
        headers.insert(RETRY_AFTER, "5".parse().unwrap());
        let found = by(&reads, 429, &headers, Operation::Create);
        assert_eq!(found, limited(5 * SECOND), "{value}");
    }
}
