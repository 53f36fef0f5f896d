//! What an HTTP answer means for a delivery.
//!
//! The status decides, then `Retry-After`; the body never does. The table of every status is in `docs/guide/http.md`;
//! [`Policy`] changes a row of it.
//!
//! With the feature `reqwest`, `send` makes a request and checks the answer, and `check_response` checks an answer that is
//! there already. Both notice a redirect that the client followed.
//!
//! # Examples
//!
//! With any client:
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

#[cfg(feature = "reqwest")]
mod client; // what there is to know from reqwest
mod error; // an answer that is no success
mod policy; // rows of an application's own
mod retry_after; // how long a service wants to be left alone
mod statuses; // what each status means

use ::http::header::HeaderMap;
use ::http::status::StatusCode;
use chrono::{DateTime, Utc};

#[cfg(feature = "reqwest")]
pub use self::client::{SendError, check_response, send};
pub use self::error::HttpError;
pub use self::policy::Policy;
pub use self::retry_after::{LONGEST_WAIT, retry_after};
pub use self::statuses::{DEFAULT_PAUSE, Meaning};
use crate::event::Operation;

/// Whether the service accepted the delivery, and what to do if it did not.
///
/// The classes follow [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110):
///
/// | status | |
/// |---|---|
/// | 2xx | accepted |
/// | 3xx, except 304 | [`Unavailable`](crate::Delivery::Unavailable): a redirect that the client did not follow |
/// | 401; 419, 440, 498 | [`Unauthenticated`](crate::Delivery::Unauthenticated) |
/// | 404 and 410 on a delete | [`Obsolete`](crate::Delivery::Obsolete): what was to be gone is gone |
/// | 403, 413 with `Retry-After` | [`Retry`](crate::Delivery::Retry) |
/// | 407, 511 | [`Offline`](crate::Delivery::Offline): a proxy or the network wants credentials of its own |
/// | 408, 409, 423, 425; 449, 499 | [`Retry`](crate::Delivery::Retry) |
/// | 429 | [`RateLimited`](crate::Delivery::RateLimited) |
/// | 421, 502, 503, 504; 520 to 524, 527, 530 | [`Unavailable`](crate::Delivery::Unavailable) |
/// | other 5xx, and what is no status (600 and above) | [`Retry`](crate::Delivery::Retry) |
/// | any other | [`Permanent`](crate::Delivery::Permanent) |
///
/// A 409 is a retry because a service answers it while a request with the same idempotency key is still at work, as after a
/// timeout; a dead letter would be wrong then. Where 409 means something else, [`Policy`] says so.
///
/// A redirect that the client *did* follow cannot be seen here: use `send` or `check_response` of the feature `reqwest`, or a
/// client that follows none.
///
/// # `Retry-After`
///
/// A `Retry` and an `Unavailable` are not tried before it, and a `RateLimited` lasts so long; how it is read is on
/// [`retry_after`]. Zero asks for no pause; a 429 pauses for [`DEFAULT_PAUSE`] then.
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
    Policy::new().check(status, headers, operation)
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
    Policy::new().check_at(status, headers, operation, now)
}
