//! Answers of a service: any status, any `Retry-After` and `Date`, and any local time.

use chrono::{DateTime, Utc};
use http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::status::StatusCode;
use outbox_runtime::http::{LONGEST_WAIT, check_at, retry_after};
use outbox_runtime::{Delivery, DeliveryError, Operation};

use super::input::Input;

/// No wait exceeds a day, a 2xx is a success, and the wait is the requested one.
pub fn http(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let [low, high] = [input.byte(), input.byte()];
    let status = StatusCode::from_u16(100 + u16::from_le_bytes([low, high]) % 900);
    let status = status.expect("from 100 to 999");
    let operation = input.one_of(Operation::ALL);
    let now = time(input.integer());
    let mut headers = HeaderMap::new();
    add(&mut headers, RETRY_AFTER, &mut input);
    add(&mut headers, DATE, &mut input);

    let wait = retry_after(&headers, now);
    assert!(wait.is_none_or(|wait| wait <= LONGEST_WAIT));
    let answer = check_at(status, &headers, operation, now);
    assert_eq!(answer.is_ok(), status.is_success());
    match answer.map_err(|error| error.delivery()) {
        Err(Delivery::RateLimited { after }) => assert!(!after.is_zero() && after <= LONGEST_WAIT),
        Err(Delivery::Retry { after } | Delivery::Unavailable { after }) => {
            assert_eq!(after, wait.filter(|wait| !wait.is_zero()));
        }
        _ => {}
    }
}

/// Any time, mostly between the years 1700 and 2300.
fn time(micros: i64) -> DateTime<Utc> {
    let far = if micros > 0 {
        DateTime::<Utc>::MAX_UTC
    } else {
        DateTime::<Utc>::MIN_UTC
    };
    DateTime::from_timestamp_micros(micros / 1_000).map_or(far, |near| match micros % 1_000 {
        // Sometimes an extreme time.
        7 => far,
        _ => near,
    })
}

fn add(headers: &mut HeaderMap, name: HeaderName, input: &mut Input<'_>) {
    if let Ok(value) = HeaderValue::from_bytes(input.bytes()) {
        headers.insert(name, value);
    }
}
