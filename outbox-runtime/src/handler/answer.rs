//! What a handler may answer: not just that it failed, but what to do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, one_line, without_url};
use crate::metadata::DecodeError;

/// What a handler answers when it did not deliver: not just that it failed, but what to do about it.
///
/// `?` turns any [`DeliveryError`] into it; [`or_retry`](HandlerResult::or_retry) and
/// [`or_permanent`](HandlerResult::or_permanent) turn any other error.
///
/// | | the attempt | then |
/// |---|---|---|
/// | [`retry`](Self::retry) | counts | again, after the retry schedule's delay |
/// | [`permanent`](Self::permanent) | counts | dead letter |
/// | [`unavailable`](Self::unavailable) | is given back | the destination pauses and is probed |
/// | [`offline`](Self::offline) | is given back | the destination pauses and is probed |
/// | [`unauthenticated`](Self::unauthenticated) | is given back | the user's work pauses until credentials were refreshed |
/// | [`rate_limited`](Self::rate_limited) | is given back | the destination pauses for that long, then tries one event alone |
/// | [`obsolete`](Self::obsolete) | counts | completed: the remote service does not want it any more |
/// | [`snooze`](Self::snooze) | is given back | again after that long |
///
/// [`because`](Self::because) adds what an answer was caused by. [`for_user`](Self::for_user) and
/// [`for_destination`](Self::for_destination) tell whom `unavailable`, `offline` and `rate_limited` are about.
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
///         502..=504 => Err(HandlerError::unavailable(format!("HTTP {status}"))),
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
    scope: Scope,
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
    /// The service cannot answer for now, whatever the event is: it is given back, and the destination is probed.
    Unavailable {
        /// What the service asked for (`Retry-After`), from now.
        after: Option<Duration>,
    },
    /// There is no network: the event is given back, and the destination is probed.
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

/// Whom an answer is about that concerns more than its event: [`Unavailable`](Delivery::Unavailable),
/// [`Offline`](Delivery::Offline) and [`RateLimited`](Delivery::RateLimited). Other answers have no scope.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{HandlerError, Scope};
///
/// let wait = Duration::from_secs(30);
/// assert_eq!(*HandlerError::rate_limited(wait).scope(), Scope::Destination);
/// assert_eq!(*HandlerError::rate_limited(wait).for_user().scope(), Scope::User);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scope {
    /// Everything that goes where the event goes.
    #[default]
    Destination,
    /// The event's user alone, at the event's handler set: a quota that each user has.
    User,
    /// A destination that is not the event's own. The answer applies to this event alone, since the runtime cannot know
    /// what else goes there.
    Named(String),
}

impl HandlerError {
    /// It may go better next time: a 500 answer, an answer that cannot be read.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Retry { after: None }).because(cause)
    }

    /// No repetition can help: the service understood and refused. The event becomes a dead letter.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Permanent).because(cause)
    }

    /// The service cannot answer for now, and the event is not to blame: a 502, 503 or 504, a timeout, a connection that
    /// ended without an answer. No attempt is used up while that lasts.
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Unavailable { after: None }).because(cause)
    }

    /// There is no network. No attempt is used up while that lasts.
    pub fn offline() -> Self {
        Self::plain(Delivery::Offline)
    }

    /// The service refused the credentials (401).
    pub fn unauthenticated() -> Self {
        Self::plain(Delivery::Unauthenticated)
    }

    /// The service wants to be left alone for `after` (429).
    ///
    /// The event's destination pauses. Then one event is tried alone, and the others one after the other, until no limit was met for
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

    /// For a [`retry`](Self::retry) and for [`unavailable`](Self::unavailable): not before `after` from now. The longer
    /// of this and the delay that is due anyway wins. Other answers stay as they are.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        if let Delivery::Retry { after: not_before } | Delivery::Unavailable { after: not_before } =
            &mut self.delivery
        {
            *not_before = Some(after);
        }
        self
    }

    /// Adds what the answer was caused by, in place of what was there: the text that the row keeps and
    /// [`explain`](crate::OutboxRepository::explain) tells. The URL of a `reqwest::Error` is taken out.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::HandlerError;
    ///
    /// let error = HandlerError::offline().because("the VPN is down");
    /// assert_eq!(error.to_string(), "the VPN is down");
    /// assert_eq!(HandlerError::offline().to_string(), "offline");
    /// ```
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.cause = Some(without_url(cause.into()));
        self
    }

    /// Narrows the answer to the event's user: others go on ([`Scope::User`]).
    pub fn for_user(mut self) -> Self {
        self.scope = Scope::User;
        self
    }

    /// The answer is about another destination than the event's: others go on ([`Scope::Named`]).
    pub fn for_destination(mut self, name: impl Into<String>) -> Self {
        self.scope = Scope::Named(name.into());
        self
    }

    /// What the runtime will do.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whom the answer is about. Default: the event's destination.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn no_handler() -> Self {
        Self::plain(Delivery::NoHandler)
    }

    fn plain(delivery: Delivery) -> Self {
        Self {
            delivery,
            scope: Scope::Destination,
            cause: None,
        }
    }
}

impl fmt::Display for HandlerError {
    /// The cause and what it was caused by, on one line: this is what the row keeps as its error message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cause) = &self.cause else {
            return f.write_str(match self.delivery {
                Delivery::Unavailable { .. } => "unavailable",
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

    /// Whom the answer is about, for the classes that concern more than the event. Default: the event's destination.
    fn scope(&self) -> Scope {
        Scope::Destination
    }
}

impl<E: DeliveryError> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self {
            scope: error.scope(),
            ..Self::plain(error.delivery()).because(error)
        }
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

    fn scope(&self) -> Scope {
        (**self).scope()
    }
}

impl<E: DeliveryError + ?Sized> DeliveryError for Arc<E> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }

    fn scope(&self) -> Scope {
        (**self).scope()
    }
}

macro_rules! by_box {
    ($($error:ty),+) => {$(
        /// The standard library says so of a box whose error has a size.
        impl Error for Box<$error> {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                (**self).source()
            }
        }

        impl DeliveryError for Box<$error> {
            fn delivery(&self) -> Delivery {
                (**self).delivery()
            }

            fn scope(&self) -> Scope {
                (**self).scope()
            }
        }
    )+};
}

// Each is a type of its own, though all say the same: every `DeliveryError` is sent and shared.
by_box!(
    dyn DeliveryError,
    dyn DeliveryError + Send,
    dyn DeliveryError + Sync,
    dyn DeliveryError + Send + Sync
);

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
