//! What each status means, on which operation.

use std::time::Duration;

use ::http::status::StatusCode;

use crate::event::Operation;
use crate::handler::Delivery;

/// How long a rate limit without a time lasts: a 429 without `Retry-After`, or with one that says
/// zero.
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// What a status means for a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// The service has it.
    Delivered,
    /// The service does not need it any more: [`Delivery::Obsolete`].
    Obsolete,
    /// [`Delivery::Retry`], not before `Retry-After`.
    Retry,
    /// [`Delivery::Unavailable`], not before `Retry-After`.
    Unavailable,
    /// [`Delivery::Offline`].
    Offline,
    /// [`Delivery::Unauthenticated`].
    Unauthenticated,
    /// [`Delivery::RateLimited`], for as long as `Retry-After` says, and for [`DEFAULT_PAUSE`] where it says nothing or zero.
    RateLimited,
    /// [`Delivery::Permanent`], whatever `Retry-After` says.
    Permanent,
}

impl Meaning {
    /// The table of `docs/guide/http.md`. `asked`: there is a `Retry-After`, be it zero.
    pub(super) fn of(status: StatusCode, operation: Operation, asked: bool) -> Self {
        match status.as_u16() {
            200..=299 => Self::Delivered,
            // Whoever sent it keeps what it has; no request of ours is conditional.
            304 => Self::Permanent,
            401 | 419 | 440 | 498 => Self::Unauthenticated,
            // Only a delete wants nothing more than that: an update of what is not there would be lost.
            404 | 410 if operation == Operation::Delete => Self::Obsolete,
            // The service says when to come back, so that it does not refuse for good.
            403 | 413 if asked => Self::Retry,
            407 | 511 => Self::Offline,
            429 => Self::RateLimited,
            // What answers is not what was asked (a portal, an address that has moved, another server), or has nobody
            // behind it. 421 is about the connection, whatever the event is.
            300..=399 | 421 | 502..=504 | 520..=524 | 527 | 530 => Self::Unavailable,
            // 409: the same key is still at work, as after a timeout; a true conflict is dead after a few attempts. What is
            // no status counts as a fault of the server (RFC 9110, section 15).
            408 | 409 | 423 | 425 | 449 | 499 | 500.. => Self::Retry,
            _ => Self::Permanent,
        }
    }

    /// What the runtime does about it; `None` where it was delivered. `wait` is what the service asked for.
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

/// What there is to say about an answer besides its status.
pub(super) fn remark(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=303 | 305..=399 => ": a redirect, which delivers nothing",
        407 => ": a proxy on the way wants credentials",
        511 => ": the network wants a sign-in first",
        _ => "",
    }
}
