//! What an HTTP answer means for a delivery.
//!
//! The status decides, then `Retry-After`; the body never does. The table is on [`check`].
//!
//! # Examples
//!
//! ```
//! use outbox_runtime::http::check;
//! use outbox_runtime::{HandlerError, Operation};
//! # use http::Response;
//! # async fn delete(id: &str) -> Response<()> { Response::new(()) }
//!
//! async fn handler(id: &str, operation: Operation) -> Result<(), HandlerError> {
//!     let response = delete(id).await;
//!     check(response.status(), response.headers(), operation)?;
//!     Ok(())
//! }
//! ```

use std::time::Duration;

use ::http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use ::http::status::StatusCode;
use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc, Weekday};

use crate::clock::{Clock, SystemClock};
use crate::event::Operation;
use crate::handler::{Delivery, DeliveryError};

/// How long a rate limit without a time lasts: a 429 without `Retry-After`, or with one that says zero.
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that a service can ask for. Whoever asks for more is asked again after that.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// An answer that is not a success.
///
/// Its text names the status and nothing else of the answer: bodies may hold what must not be in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service answered {status}")]
pub struct HttpError {
    status: StatusCode,
    delivery: Delivery,
}

impl HttpError {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl DeliveryError for HttpError {
    fn delivery(&self) -> Delivery {
        self.delivery
    }
}

/// Whether the service accepted the delivery, and what to do if it did not.
///
/// The classes follow [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110):
///
/// | status | |
/// |---|---|
/// | 2xx | accepted |
/// | 401 | [`Unauthenticated`](Delivery::Unauthenticated) |
/// | 404 and 410 on a delete | [`Obsolete`](Delivery::Obsolete): what was to be gone is gone |
/// | 408, 425, 5xx, and what is no status (600 and above) | [`Retry`](Delivery::Retry), not before `Retry-After` |
/// | 429, 503 with `Retry-After` | [`RateLimited`](Delivery::RateLimited) |
/// | any other | [`Permanent`](Delivery::Permanent), also a redirect that the client did not follow |
///
/// # `Retry-After`
///
/// It is a number of seconds or a date. A date is compared with the answer's own `Date`, so that it means the same on a
/// machine whose clock is wrong, and with the machine's clock where there is none. A date in the past is no wait; more
/// than [`LONGEST_WAIT`] is that; what is neither a number nor a date counts as absent. Zero asks for no pause: the 503
/// is a retry then, and the 429, which uses up no attempt, pauses for [`DEFAULT_PAUSE`].
///
/// # Errors
///
/// [`HttpError`], which says what the runtime does about it. `?` makes a
/// [`HandlerError`](crate::HandlerError) of it.
pub fn check(
    status: StatusCode,
    headers: &HeaderMap,
    operation: Operation,
) -> Result<(), HttpError> {
    check_at(status, headers, operation, SystemClock.now())
}

/// As [`check`], on a clock of your own.
///
/// # Errors
///
/// As of [`check`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
/// use outbox_runtime::http::check_at;
/// use outbox_runtime::{Delivery, DeliveryError, Operation};
///
/// let now = "2026-10-21T07:27:30Z".parse().unwrap();
/// let mut headers = HeaderMap::new();
/// headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
/// let status = StatusCode::TOO_MANY_REQUESTS;
/// let error = check_at(status, &headers, Operation::Update, now).unwrap_err();
/// let after = Duration::from_secs(30);
/// assert_eq!(error.delivery(), Delivery::RateLimited { after });
/// assert_eq!(error.to_string(), "the service answered 429 Too Many Requests");
/// ```
pub fn check_at(
    status: StatusCode,
    headers: &HeaderMap,
    operation: Operation,
    now: DateTime<Utc>,
) -> Result<(), HttpError> {
    if status.is_success() {
        return Ok(());
    }
    let wait = retry_after(headers, now).filter(|wait| !wait.is_zero());
    let delivery = class(status, wait, operation);
    Err(HttpError { status, delivery })
}

/// How long the service wants to be left alone, if the answer says so: the rules are on [`check`].
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are more than the longest wait, too.
        value.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let sent = text(headers, &DATE).and_then(|date| http_date(date, now));
        let until = http_date(value, now)?;
        (until - sent.unwrap_or(now)).to_std().unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// What a status means. `wait` is what the service asked for.
pub(crate) fn class(status: StatusCode, wait: Option<Duration>, operation: Operation) -> Delivery {
    match (status.as_u16(), wait) {
        (401, _) => Delivery::Unauthenticated,
        // Only a delete wants nothing more than that: an update of what is not there would be lost.
        (404 | 410, _) if operation == Operation::Delete => Delivery::Obsolete,
        (429, wait) => Delivery::RateLimited {
            after: wait.unwrap_or(DEFAULT_PAUSE),
        },
        (503, Some(after)) => Delivery::RateLimited { after },
        // What is no status counts as a fault of the server (RFC 9110, section 15).
        (408 | 425 | 500.., after) => Delivery::Retry { after },
        _ => Delivery::Permanent,
    }
}

/// The value of a header without the space around it, unless it is empty or no text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    Some(value).filter(|value| !value.is_empty())
}

/// A date in any of the three forms that a recipient must accept (RFC 9110, section 5.6.7).
fn http_date(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const CURRENT: &str = "%d %b %Y %H:%M:%S GMT";
    const RFC_850: &str = "%d-%b-%y %H:%M:%S GMT";
    const ASCTIME: &str = "%b %d %H:%M:%S %Y";
    // Each begins with a weekday, which says nothing that the rest does not.
    let (weekday, date) = text.split_once(' ')?;
    weekday.trim_end_matches(',').parse::<Weekday>().ok()?;
    let parse = |form| NaiveDateTime::parse_from_str(date.trim_start(), form).ok();
    parse(CURRENT)
        .or_else(|| parse(ASCTIME))
        .or_else(|| in_this_century(parse(RFC_850)?, now))
        .map(|date| date.and_utc())
}

/// Two digits of a year mean the latest such year that is at most 50 years ahead.
fn in_this_century(date: NaiveDateTime, now: DateTime<Utc>) -> Option<NaiveDateTime> {
    let year = now.year() - now.year().rem_euclid(100) + date.year().rem_euclid(100);
    let too_far = now
        .naive_utc()
        .checked_add_signed(TimeDelta::days(50 * 365 + 13));
    let ahead = date.with_year(year);
    match ahead {
        Some(date) if too_far.is_none_or(|too_far| date <= too_far) => ahead,
        _ => date.with_year(year - 100),
    }
}

#[cfg(feature = "reqwest")]
mod client {
    //! `reqwest::Error` says what to do about it.

    use crate::event::Operation;
    use crate::handler::{Delivery, DeliveryError};

    /// What it means that there is no answer, or that it is of no use.
    ///
    /// | | |
    /// |---|---|
    /// | no connection: no route, no name, refused, no TLS | [`Offline`](Delivery::Offline), also if it timed out |
    /// | `error_for_status` | as [`check`](super::check) says, without headers and as of an update |
    /// | the request could not be built | [`Permanent`](Delivery::Permanent): the next one would be the same |
    /// | too many redirects | [`Permanent`](Delivery::Permanent) |
    /// | all others: a timeout, a connection that broke, an answer that cannot be read | [`Retry`](Delivery::Retry) |
    ///
    /// An answer that cannot be read is a retry because the service may have accepted the delivery: the same
    /// idempotency key, asked again, tells.
    ///
    /// # The URL
    ///
    /// may hold secrets. A [`HandlerError`](crate::HandlerError) takes it out of the error that it is made of, and leaves it
    /// out of the text of the errors that caused it. What an error of the application writes into its own text is its
    /// own: with thiserror's `#[error(transparent)]` or `{0}`, wrap `error.without_url()`.
    impl DeliveryError for reqwest::Error {
        fn delivery(&self) -> Delivery {
            if self.is_connect() {
                Delivery::Offline
            } else if let Some(status) = self.status() {
                super::class(status, None, Operation::Update)
            } else if self.is_builder() || self.is_redirect() {
                Delivery::Permanent
            } else {
                Delivery::Retry { after: None }
            }
        }
    }
}
