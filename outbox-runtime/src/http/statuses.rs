//! The meaning of each status, by operation.

use std::time::Duration;

use ::http::status::StatusCode;

use crate::event::Operation;
use crate::handler::Delivery;

/// The pause of a rate limit without a duration: a 429 without `Retry-After`, or with a zero.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::http::DEFAULT_PAUSE;
///
/// assert_eq!(DEFAULT_PAUSE, Duration::from_secs(1));
/// ```
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// The meaning of a status for a delivery.
///
/// # Examples
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use outbox_runtime::http::{Meaning, Policy};
/// use outbox_runtime::Operation;
///
/// // The service answers 418 in maintenance.
/// let policy = Policy::new().means([418], Meaning::Unavailable);
/// assert!(policy.check(StatusCode::IM_A_TEAPOT, &HeaderMap::new(), Operation::Update).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// The service accepted the event.
    Delivered,
    /// The service no longer needs the event: [`Delivery::Obsolete`].
    Obsolete,
    /// [`Delivery::Retry`], not before `Retry-After`.
    Retry,
    /// [`Delivery::Unavailable`], not before `Retry-After`.
    Unavailable,
    /// [`Delivery::Offline`].
    Offline,
    /// [`Delivery::Unauthenticated`].
    Unauthenticated,
    /// [`Delivery::RateLimited`], for the time in `Retry-After`, or [`DEFAULT_PAUSE`] if that is
    /// missing or zero.
    RateLimited,
    /// [`Delivery::Permanent`], regardless of `Retry-After`.
    Permanent,
}

impl Meaning {
    /// Looks up the table of `docs/guide/http-statuses.md`. `asked`: a `Retry-After` is present,
    /// even if zero.
    pub(super) fn of(status: StatusCode, operation: Operation, asked: bool) -> Self {
        match status.as_u16() {
            200..=299 => Self::Delivered,
            // The server kept its resource, although no request of ours is conditional.
            304 => Self::Permanent,
            401 | 419 | 440 | 498 => Self::Unauthenticated,
            // Only for a delete is that the desired state; an update would be lost.
            404 | 410 if operation == Operation::Delete => Self::Obsolete,
            // The service says when to try again, so the refusal is not final.
            403 | 413 if asked => Self::Retry,
            407 | 511 => Self::Offline,
            429 => Self::RateLimited,
            // The responder is not the requested service (a portal, a moved address, another
            // server), or has no backend. 421 concerns the connection, whatever the event.
            300..=399 | 421 | 502..=504 | 520..=524 | 527 | 530 => Self::Unavailable,
            // 409: a request with the same key is still in progress, such as after a timeout; a
            // real conflict becomes a dead letter after a few attempts. An invalid status counts as
            // a server error (RFC 9110, section 15).
            408 | 409 | 423 | 425 | 449 | 499 | 500.. => Self::Retry,
            _ => Self::Permanent,
        }
    }

    /// The reaction of the runtime; `None` if the event was delivered. `wait` is the delay that the
    /// service asked for.
    pub(super) fn delivery(self, wait: Option<Duration>) -> Option<Delivery> {
        let after = wait.filter(|wait| !wait.is_zero());
        Some(match self {
            Self::Delivered => return None,
            Self::Obsolete => Delivery::Obsolete,
            Self::Retry => Delivery::Retry { after },
            Self::Unavailable => Delivery::Unavailable { after },
            Self::Offline => Delivery::Offline,
            Self::Unauthenticated => Delivery::Unauthenticated,
            Self::RateLimited => Delivery::RateLimited {
                after: after.unwrap_or(DEFAULT_PAUSE),
            },
            Self::Permanent => Delivery::Permanent,
        })
    }
}

/// An explanation of the status for the error message.
pub(super) fn remark(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=303 | 305..=399 => ": a redirect; nothing was delivered",
        407 => ": a proxy requires credentials",
        511 => ": the network requires a sign-in",
        _ => "",
    }
}
