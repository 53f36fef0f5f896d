//! The meaning of HTTP responses for deliveries.
//!
//! The status and `Retry-After` decide; the body is never read. [`Policy`] changes
//! the meaning of a status.
//!
//! The guide: [http](https://docs.rs/outbox-guide/latest/outbox_guide/http/),
//! [every status](https://docs.rs/outbox-guide/latest/outbox_guide/http_statuses/).
//!
//! With the `reqwest` feature, `send` makes a request and checks the response, and `check_response`
//! checks an existing response. Both detect a redirect that the client followed.
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
mod client; // sending and checking with reqwest
mod error; // the error of an unsuccessful response
mod policy; // an application's own meanings of statuses
mod retry_after; // parsing of Retry-After and similar headers
mod statuses; // the meaning of each status

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

/// Checks whether the service accepted the delivery.
///
/// The meaning of a status follows [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110):
///
/// | status | meaning |
/// |---|---|
/// | 2xx | accepted |
/// | 3xx, except 304 | [`Unavailable`]: a redirect that the client did not follow |
/// | 401; 419, 440, 498 | [`Unauthenticated`] |
/// | 404 and 410 on a delete | [`Obsolete`]: the resource is already gone |
/// | 403, 413 with `Retry-After` | [`Retry`] |
/// | 407, 511 | [`Offline`]: a proxy or the network requires credentials of its own |
/// | 408, 409, 423, 425; 449, 499 | [`Retry`] |
/// | 429 | [`RateLimited`] |
/// | 421, 502, 503, 504; 520 to 524, 527, 530 | [`Unavailable`] |
/// | other 5xx, and invalid statuses (600 and above) | [`Retry`] |
/// | any other | [`Permanent`] |
///
/// [`Obsolete`]: crate::Delivery::Obsolete
/// [`Offline`]: crate::Delivery::Offline
/// [`Permanent`]: crate::Delivery::Permanent
/// [`RateLimited`]: crate::Delivery::RateLimited
/// [`Retry`]: crate::Delivery::Retry
/// [`Unauthenticated`]: crate::Delivery::Unauthenticated
/// [`Unavailable`]: crate::Delivery::Unavailable
///
/// A 409 is a retry because services return it while a request with the same idempotency key is
/// still in progress, such as after a timeout; a dead letter would be wrong then. If 409 has
/// another meaning, set it in a [`Policy`].
///
/// A redirect that the client *did* follow cannot be detected here: use `send` or `check_response`
/// of the `reqwest` feature, or a client that does not follow redirects.
///
/// # `Retry-After`
///
/// A `Retry` or `Unavailable` is not attempted again before the given time, and a `RateLimited`
/// pause lasts until then; see [`retry_after`] for the accepted forms. Zero means no delay, except
/// that a 429 pauses for [`DEFAULT_PAUSE`].
///
/// # Errors
///
/// [`HttpError`], which determines the runtime's reaction. `?` converts it to a
/// [`HandlerError`](crate::HandlerError).
///
/// # Examples
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use outbox_runtime::http::check;
/// use outbox_runtime::{HandlerError, Operation};
///
/// fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), HandlerError> {
///     check(status, headers, Operation::Update)?;
///     Ok(())
/// }
///
/// assert!(judge(StatusCode::NO_CONTENT, &HeaderMap::new()).is_ok());
/// assert!(judge(StatusCode::BAD_GATEWAY, &HeaderMap::new()).is_err());
/// ```
pub fn check(
    status: StatusCode,
    headers: &HeaderMap,
    operation: Operation,
) -> Result<(), HttpError> {
    Policy::new().check(status, headers, operation)
}

/// Like [`check`], with the current time as an argument.
///
/// # Errors
///
/// See [`check`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
/// use outbox_runtime::http::check_at;
/// use outbox_runtime::{Delivery, DeliveryError, Operation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = "2026-10-21T07:27:30Z".parse()?;
/// let mut headers = HeaderMap::new();
/// headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:00 GMT".parse()?);
/// let status = StatusCode::TOO_MANY_REQUESTS;
/// let error = check_at(status, &headers, Operation::Update, now).err();
/// let error = error.ok_or("a 429 is no success")?;
/// let after = Duration::from_secs(30);
/// assert_eq!(error.delivery(), Delivery::RateLimited { after });
/// assert_eq!(error.to_string(), "the service answered 429 Too Many Requests");
/// # Ok(())
/// # }
/// ```
pub fn check_at(
    status: StatusCode,
    headers: &HeaderMap,
    operation: Operation,
    now: DateTime<Utc>,
) -> Result<(), HttpError> {
    Policy::new().check_at(status, headers, operation, now)
}
