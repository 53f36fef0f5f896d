//! A handler's answer to a failed delivery: what the runtime does about it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::error::{BoxError, one_line, without_url};

/// A handler's answer to a delivery that did not succeed: what the runtime does about it.
///
/// `?` converts any [`DeliveryError`](trait@crate::DeliveryError) into it;
/// [`or_retry`](crate::HandlerResult::or_retry) and
/// [`or_permanent`](crate::HandlerResult::or_permanent) convert any other error.
///
/// | | the attempt | then |
/// |---|---|---|
/// | [`retry`] | counts | retried after the delay of the retry schedule |
/// | [`permanent`] | counts | dead letter |
/// | [`unavailable`] | is given back | the destination pauses and is probed |
/// | [`offline`] | is given back | the destination pauses and is probed |
/// | [`unauthenticated`] | is given back | the user's work pauses until credentials are refreshed |
/// | [`rate_limited`] | is given back | the destination pauses, then sends one event as a probe |
/// | [`obsolete`] | counts | completed: the remote service no longer wants the event |
/// | [`snooze`] | is given back | attempted again after the given time |
///
/// [`because`](Self::because) adds a cause. [`for_user`](Self::for_user) and
/// [`for_destination`](Self::for_destination) set the scope of `unavailable`, `offline` and
/// `rate_limited`.
///
/// [`retry`]: Self::retry
/// [`permanent`]: Self::permanent
/// [`unavailable`]: Self::unavailable
/// [`offline`]: Self::offline
/// [`unauthenticated`]: Self::unauthenticated
/// [`rate_limited`]: Self::rate_limited
/// [`obsolete`]: Self::obsolete
/// [`snooze`]: Self::snooze
///
/// The guide: [outages](https://docs.rs/outbox-guide/latest/outbox_guide/outages/).
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
///
/// What each of the others means to the runtime:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Delivery, HandlerError, Scope};
///
/// // No network at all; the event is not to blame.
/// let error = HandlerError::offline().because("airplane mode");
/// assert_eq!(error.delivery(), Delivery::Offline);
///
/// // Not yet: the photo that belongs to it is still being written.
/// let error = HandlerError::snooze(Duration::from_secs(30));
/// assert_eq!(error.delivery(), Delivery::Snooze { duration: Duration::from_secs(30) });
///
/// // The service said when to come back.
/// let after = Some(Duration::from_secs(120));
/// let error = HandlerError::unavailable("HTTP 503").with_retry_after(Duration::from_secs(120));
/// assert_eq!(error.delivery(), Delivery::Unavailable { after });
///
/// // A quota of this user; then a host that only the answer names.
/// let error = HandlerError::rate_limited(Duration::from_secs(60)).for_user();
/// assert_eq!(*error.scope(), Scope::User);
/// let error = HandlerError::unavailable("HTTP 503").for_destination("cdn.example.com");
/// assert_eq!(*error.scope(), Scope::Named("cdn.example.com".to_owned()));
/// ```
#[derive(Debug)]
#[must_use]
pub struct HandlerError {
    delivery: Delivery,
    scope: Scope,
    cause: Option<BoxError>,
}

/// The runtime's reaction to a failed delivery.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Delivery, HandlerError};
///
/// assert_eq!(HandlerError::retry("HTTP 500").delivery(), Delivery::Retry { after: None });
/// assert_eq!(HandlerError::offline().delivery(), Delivery::Offline);
/// let after = Duration::from_secs(30);
/// assert_eq!(HandlerError::rate_limited(after).delivery(), Delivery::RateLimited { after });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// Retry after the delay of the retry schedule, or after `after` if that is longer.
    Retry {
        /// The delay that the service asked for (`Retry-After`), from now.
        after: Option<Duration>,
    },
    /// Do not retry.
    Permanent,
    /// The row cannot be decoded; do not retry.
    Undecodable,
    /// The service is unavailable, whatever the event: the event is given back, and the destination
    /// is probed.
    Unavailable {
        /// The delay that the service asked for (`Retry-After`), from now.
        after: Option<Duration>,
    },
    /// The network is unavailable: the event is given back, and the destination is probed.
    Offline,
    /// The credentials were refused: nothing is sent for this user until they are refreshed.
    Unauthenticated,
    /// The service asks for a pause.
    RateLimited {
        /// The length of the pause, from now.
        after: Duration,
    },
    /// Treat the event as delivered.
    Obsolete,
    /// Attempt the event again later.
    Snooze {
        /// The delay, from now.
        duration: Duration,
    },
    /// No handler is registered for this event type.
    NoHandler,
}

/// The scope of an answer that concerns more than its event:
/// [`Unavailable`](Delivery::Unavailable), [`Offline`](Delivery::Offline) and
/// [`RateLimited`](Delivery::RateLimited). Other answers have no scope.
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
    /// Everything sent to the event's destination.
    #[default]
    Destination,
    /// Only the event's user, at the event's handler set, such as a quota per user.
    User,
    /// A destination other than the event's. The answer applies to this event only, because the
    /// runtime does not know which other events are sent there.
    Named(String),
}

impl HandlerError {
    /// A later attempt may succeed: a 500 response, a response that cannot be read.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Retry { after: None }).because(cause)
    }

    /// No later attempt can succeed: the service understood and rejected the event. It becomes a
    /// dead letter.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Permanent).because(cause)
    }

    /// The service is unavailable and the event is not to blame: a 502, 503 or 504, a timeout, a
    /// connection that ended without a response. No attempt is used up during an outage.
    pub fn unavailable(cause: impl Into<BoxError>) -> Self {
        Self::plain(Delivery::Unavailable { after: None }).because(cause)
    }

    /// The network is unavailable. No attempt is used up during an outage.
    pub fn offline() -> Self {
        Self::plain(Delivery::Offline)
    }

    /// The service refused the credentials (401).
    pub fn unauthenticated() -> Self {
        Self::plain(Delivery::Unauthenticated)
    }

    /// The service asks for a pause of `after` (429).
    ///
    /// The event's destination pauses. After the pause, one event is sent as a probe, and then
    /// events are sent one at a time until no limit was met for eight times the length of the
    /// pause. Then two may be in flight, and so on up to
    /// [`max_concurrency`](crate::ProcessorBuilder::max_concurrency). If `after` is zero, the pause
    /// is one second. If the probe is answered with zero or the same pause, the pause doubles, up
    /// to a minute.
    pub fn rate_limited(after: Duration) -> Self {
        Self::plain(Delivery::RateLimited { after })
    }

    /// The service no longer needs the event (404 on a delete). Counts as delivered.
    pub fn obsolete() -> Self {
        Self::plain(Delivery::Obsolete)
    }

    /// Not yet: a dependency of the event is missing. The event is attempted again after
    /// `duration`.
    pub fn snooze(duration: Duration) -> Self {
        Self::plain(Delivery::Snooze { duration })
    }

    /// Sets the earliest time of the next attempt, from now, for [`retry`](Self::retry) and
    /// [`unavailable`](Self::unavailable). The longer of this and the regular delay applies. Other
    /// answers are unchanged.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        if let Delivery::Retry { after: not_before } | Delivery::Unavailable { after: not_before } =
            &mut self.delivery
        {
            *not_before = Some(after);
        }
        self
    }

    /// Sets the cause, replacing an earlier one. Its text is stored in the row and reported by
    /// [`explain`](crate::OutboxRepository::explain). The URL of a `reqwest::Error` is removed.
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

    /// Limits the answer to the event's user; the events of others proceed ([`Scope::User`]).
    pub fn for_user(mut self) -> Self {
        self.scope = Scope::User;
        self
    }

    /// Attributes the answer to a destination other than the event's; other events proceed
    /// ([`Scope::Named`]).
    pub fn for_destination(mut self, name: impl Into<String>) -> Self {
        self.scope = Scope::Named(name.into());
        self
    }

    /// The runtime's reaction.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The scope of the answer. Default: the event's destination.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn no_handler() -> Self {
        Self::plain(Delivery::NoHandler)
    }

    fn plain(delivery: Delivery) -> Self {
        Self::new(delivery, Scope::Destination)
    }

    pub(super) fn new(delivery: Delivery, scope: Scope) -> Self {
        Self {
            delivery,
            scope,
            cause: None,
        }
    }
}

impl fmt::Display for HandlerError {
    /// The cause and its sources on one line, as stored in the row's error message.
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
