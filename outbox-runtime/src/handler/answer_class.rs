//! The answer of an attempt as layers see it, with its class.

use std::fmt;

use super::answer::{Delivery, HandlerError};

/// The answer of an attempt, as a [`Layer`](crate::Layer) sees it.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Answer, AnswerClass, HandlerError};
///
/// let answer = Answer::from(HandlerError::permanent("422 Unprocessable Content"));
/// assert_eq!(answer.class(), AnswerClass::Rejected);
/// assert_eq!(answer.class().to_string(), "rejected");
/// assert!(Answer::Delivered.is_delivered());
///
/// let cause = answer.error().map(ToString::to_string);
/// assert_eq!(cause.as_deref(), Some("422 Unprocessable Content"));
/// assert!(answer.into_result().is_err()); // what the handler returned
/// ```
#[derive(Debug)]
#[must_use = "return the answer: it decides what happens to the event"]
pub enum Answer {
    /// The event is delivered. Of a batch: the events without an answer of their own.
    Delivered,
    /// Anything else, including [`obsolete`](HandlerError::obsolete).
    Failed(HandlerError),
}

/// The class of an [`Answer`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Answer, AnswerClass, HandlerError};
///
/// let class = Answer::from(HandlerError::obsolete()).class();
/// assert_eq!(class, AnswerClass::Obsolete);
/// assert!(class.is_delivered()); // there is nothing left to do
/// assert_eq!(class.as_str(), "obsolete");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AnswerClass {
    /// The event is delivered.
    Delivered,
    /// The service no longer needs the event, which counts as delivered.
    Obsolete,
    /// A later attempt may succeed.
    Retry,
    /// The service is unavailable.
    Unavailable,
    /// The network is unavailable.
    Offline,
    /// The service does not accept the user's credentials.
    Unauthenticated,
    /// The service asks for fewer requests.
    RateLimited,
    /// No later attempt can succeed.
    Rejected,
    /// The event cannot be decoded.
    Undecodable,
    /// The event is attempted again later, because something that it needs is missing.
    Snoozed,
    /// No handler takes the event.
    NoHandler,
}

impl Answer {
    /// The class of the answer.
    #[must_use]
    pub fn class(&self) -> AnswerClass {
        match self {
            Self::Delivered => AnswerClass::Delivered,
            Self::Failed(error) => AnswerClass::of(error),
        }
    }

    /// Whether the event counts as delivered: the answer is
    /// [`Delivered`](AnswerClass::Delivered) or [`Obsolete`](AnswerClass::Obsolete).
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        self.class().is_delivered()
    }

    /// The error, if any.
    #[must_use]
    pub fn error(&self) -> Option<&HandlerError> {
        match self {
            Self::Delivered => None,
            Self::Failed(error) => Some(error),
        }
    }

    /// The answer as a handler gives it.
    ///
    /// # Errors
    ///
    /// The error of the answer.
    pub fn into_result(self) -> Result<(), HandlerError> {
        match self {
            Self::Delivered => Ok(()),
            Self::Failed(error) => Err(error),
        }
    }
}

impl AnswerClass {
    pub(super) fn of(error: &HandlerError) -> Self {
        match error.delivery() {
            Delivery::Retry { .. } => Self::Retry,
            Delivery::Permanent => Self::Rejected,
            Delivery::Undecodable => Self::Undecodable,
            Delivery::Unavailable { .. } => Self::Unavailable,
            Delivery::Offline => Self::Offline,
            Delivery::Unauthenticated => Self::Unauthenticated,
            Delivery::RateLimited { .. } => Self::RateLimited,
            Delivery::Obsolete => Self::Obsolete,
            Delivery::Snooze { .. } => Self::Snoozed,
            Delivery::NoHandler => Self::NoHandler,
        }
    }

    /// Whether the event counts as delivered.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered | Self::Obsolete)
    }

    /// The class as one word, such as the label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Obsolete => "obsolete",
            Self::Retry => "retry",
            Self::Unavailable => "unavailable",
            Self::Offline => "offline",
            Self::Unauthenticated => "unauthenticated",
            Self::RateLimited => "rate_limited",
            Self::Rejected => "rejected",
            Self::Undecodable => "undecodable",
            Self::Snoozed => "snoozed",
            Self::NoHandler => "no_handler",
        }
    }
}

impl fmt::Display for AnswerClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Result<(), HandlerError>> for Answer {
    fn from(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Delivered,
            Err(error) => Self::Failed(error),
        }
    }
}

impl From<HandlerError> for Answer {
    fn from(error: HandlerError) -> Self {
        Self::Failed(error)
    }
}
