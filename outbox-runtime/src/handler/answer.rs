//! What a handler may answer: not just that it failed, but what to do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, one_line, without_url};
use crate::event::DeadReason;
use crate::metadata::DecodeError;
use crate::outcome::Outcome;

/// What a handler answers when it did not deliver: not just that it failed, but what to do about it.
///
/// `?` turns any [`DeliveryError`] into it; [`or_retry`](HandlerResult::or_retry) and
/// [`or_permanent`](HandlerResult::or_permanent) turn any other error.
///
/// | | the attempt | then |
/// |---|---|---|
/// | [`retry`](Self::retry) | counts | again, after the retry schedule's delay |
/// | [`permanent`](Self::permanent) | counts | dead letter |
/// | [`offline`](Self::offline) | is given back | the whole run pauses and probes |
/// | [`unauthenticated`](Self::unauthenticated) | is given back | the user's work pauses until credentials were refreshed |
/// | [`rate_limited`](Self::rate_limited) | is given back | the handler set pauses for that long, then tries one event alone |
/// | [`obsolete`](Self::obsolete) | counts | completed: the remote service does not want it any more |
/// | [`snooze`](Self::snooze) | is given back | again after that long |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{HandlerError, HandlerResult};
///
/// fn classify(status: u16) -> Result<(), HandlerError> {
///     match status {
///         200..=299 => Ok(()),
///         401 => Err(HandlerError::unauthenticated()),
///         404 | 410 => Err(HandlerError::obsolete()),
///         429 => Err(HandlerError::rate_limited(Duration::from_secs(1))),
///         500..=599 => Err(HandlerError::retry(format!("HTTP {status}"))),
///         _ => Err(HandlerError::permanent(format!("HTTP {status}"))),
///     }
/// }
///
/// fn parse(answer: &str) -> Result<u32, HandlerError> {
///     answer.parse::<u32>().or_permanent()
/// }
/// # assert!(classify(503).is_err() && parse("x").is_err());
/// ```
#[derive(Debug)]
#[must_use]
pub struct HandlerError {
    delivery: Delivery,
    cause: Option<BoxError>,
}

/// What the runtime does about a delivery that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// Again, after the retry schedule's delay, or after `after` where the service asked for longer.
    Retry {
        /// What the service asked for (`Retry-After`), from now.
        after: Option<Duration>,
    },
    /// Never again.
    Permanent,
    /// The row cannot be read; never again.
    Undecodable,
    /// The network is gone: nothing is sent until a probe succeeds.
    Offline,
    /// The credentials are refused: nothing of this user is sent until they were refreshed.
    Unauthenticated,
    /// The service wants a pause.
    RateLimited {
        /// For how long, from now.
        after: Duration,
    },
    /// As good as delivered.
    Obsolete,
    /// Not now.
    Snooze {
        /// For how long, from now.
        duration: Duration,
    },
    /// Nobody handles this event type here.
    NoHandler,
}

impl HandlerError {
    /// It may go better next time: a 5xx answer, a timeout, a dropped connection.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self::because(Delivery::Retry { after: None }, cause)
    }

    /// No repetition can help: the service understood and refused. The event becomes a dead letter.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self::because(Delivery::Permanent, cause)
    }

    /// There is no network. No attempt is used up while that lasts.
    pub fn offline() -> Self {
        Self::plain(Delivery::Offline)
    }

    /// The service refused the credentials (401).
    pub fn unauthenticated() -> Self {
        Self::plain(Delivery::Unauthenticated)
    }

    /// The service wants to be left alone for `after` (429, or 503 with `Retry-After`).
    ///
    /// The handler set pauses. Then one event is tried alone, and the others one after the other, until no limit was met for
    /// eight times as long as the pause was; then two at once may be under way, and so on up to
    /// [`max_concurrency`](crate::ProcessorBuilder::max_concurrency). Where `after` is zero the pause is a second; where it is
    /// zero or the same for the event that is tried alone, twice what it was, up to a minute.
    pub fn rate_limited(after: Duration) -> Self {
        Self::plain(Delivery::RateLimited { after })
    }

    /// The service does not need it any more (404 on a delete). Counts as delivered.
    pub fn obsolete() -> Self {
        Self::plain(Delivery::Obsolete)
    }

    /// Not yet: something it depends on is not there. The same event comes again after `duration`.
    pub fn snooze(duration: Duration) -> Self {
        Self::plain(Delivery::Snooze { duration })
    }

    /// For a [`retry`](Self::retry): not before `after` from now. The longer of this and the schedule's delay wins.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        if let Delivery::Retry { after: not_before } = &mut self.delivery {
            *not_before = Some(after);
        }
        self
    }

    /// What the runtime will do.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    pub(super) fn no_handler() -> Self {
        Self::plain(Delivery::NoHandler)
    }

    /// What it means for the event itself. What it means for others (a pause) is the processor's business.
    pub(crate) fn outcome(&self) -> Outcome {
        let message = || self.to_string();
        match self.delivery {
            Delivery::Obsolete => Outcome::Delivered,
            Delivery::Retry { after } => Outcome::Retry {
                message: message(),
                not_before: after,
            },
            Delivery::Permanent => Outcome::Dead {
                reason: DeadReason::Rejected,
                message: message(),
            },
            Delivery::Undecodable => Outcome::Dead {
                reason: DeadReason::Undecodable,
                message: message(),
            },
            Delivery::Snooze { duration } => Outcome::GivenBack { delay: duration },
            Delivery::Offline
            | Delivery::Unauthenticated
            | Delivery::RateLimited { .. }
            | Delivery::NoHandler => Outcome::GivenBack {
                delay: Duration::ZERO,
            },
        }
    }

    fn plain(delivery: Delivery) -> Self {
        Self {
            delivery,
            cause: None,
        }
    }

    fn because(delivery: Delivery, cause: impl Into<BoxError>) -> Self {
        Self {
            delivery,
            cause: Some(without_url(cause.into())),
        }
    }
}

impl fmt::Display for HandlerError {
    /// The cause and what it was caused by, on one line: this is what the row keeps as its error message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cause) = &self.cause else {
            return f.write_str(match self.delivery {
                Delivery::Offline => "offline",
                Delivery::Unauthenticated => "the credentials were refused",
                Delivery::RateLimited { .. } => "rate limited",
                Delivery::Obsolete => "obsolete",
                Delivery::Snooze { .. } => "snoozed",
                Delivery::NoHandler => "no handler for this event type",
                Delivery::Retry { .. } => "failed",
                Delivery::Permanent => "rejected",
                Delivery::Undecodable => "undecodable",
            });
        };
        f.write_str(&one_line(cause.as_ref()))
    }
}

impl Error for HandlerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}

/// An application's own error that says what the runtime should do about it, so that `?` works in handlers.
///
/// [Derive](derive@crate::DeliveryError) it, or implement it where the answer depends on more than the variant.
///
/// # Examples
///
/// ```
/// use std::fmt;
/// use outbox_runtime::{Delivery, DeliveryError, HandlerError};
///
/// #[derive(Debug)]
/// struct Refused {
///     status: u16,
/// }
///
/// impl fmt::Display for Refused {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "the server said {}", self.status)
///     }
/// }
///
/// impl std::error::Error for Refused {}
///
/// impl DeliveryError for Refused {
///     fn delivery(&self) -> Delivery {
///         match self.status {
///             500.. => Delivery::Retry { after: None },
///             _ => Delivery::Permanent,
///         }
///     }
/// }
///
/// async fn handler() -> Result<(), HandlerError> {
///     Err(Refused { status: 502 })?
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what to do about a failed delivery",
    label = "whether to try again is not known: choose with `.or_retry()` or `.or_permanent()`, or derive `DeliveryError`",
    note = "`HandlerResult` has `or_retry` and `or_permanent`, for any error; `DeliveryError` is for your own"
)]
pub trait DeliveryError: Error + Send + Sync + 'static {
    /// What the runtime does about this error.
    fn delivery(&self) -> Delivery;
}

impl<E: DeliveryError> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::because(error.delivery(), error)
    }
}

impl DeliveryError for DecodeError {
    fn delivery(&self) -> Delivery {
        Delivery::Undecodable
    }
}

impl<E: DeliveryError> DeliveryError for Box<E> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }
}

impl<E: DeliveryError + ?Sized> DeliveryError for Arc<E> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }
}

/// The standard library says so of a box whose error has a size.
impl Error for Box<dyn DeliveryError> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (**self).source()
    }
}

impl DeliveryError for Box<dyn DeliveryError> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }
}

/// `?` for errors that do not say what to do about them.
pub trait HandlerResult<T> {
    /// The error means: [try again](HandlerError::retry).
    ///
    /// # Errors
    ///
    /// The error itself, as a [`HandlerError`].
    fn or_retry(self) -> Result<T, HandlerError>;

    /// The error means: [never again](HandlerError::permanent).
    ///
    /// # Errors
    ///
    /// The error itself, as a [`HandlerError`].
    fn or_permanent(self) -> Result<T, HandlerError>;
}

impl<T, E: Into<BoxError>> HandlerResult<T> for Result<T, E> {
    fn or_retry(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::retry)
    }

    fn or_permanent(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::permanent)
    }
}
