//! The refusal: what a delivery was answered that did not count as a failure of its event.

use std::fmt;
use std::str::FromStr;

use super::word::stored_word;

/// What an attempt was answered that was then given back or deferred instead of counted: see
/// [`OutboxEvent::last_refusal`](super::OutboxEvent::last_refusal).
///
/// A store that keeps it in one column keeps its [`Display`](fmt::Display) form, `class: message`, and reads it with
/// [`Refusal::from_stored`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Refusal, RefusalClass};
///
/// let refusal = Refusal::new(RefusalClass::Unavailable, "503 Service Unavailable");
/// assert_eq!(refusal.to_string(), "unavailable: 503 Service Unavailable");
/// assert_eq!(Refusal::from_stored(&refusal.to_string()), refusal);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What kind of answer it was.
    pub class: RefusalClass,
    /// What the answer said, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal. The message is kept as it is given; whoever makes it of an answer bounds it first, as it does the text of a
    /// failure ([`MAX_MESSAGE_BYTES`](crate::store::MAX_MESSAGE_BYTES)).
    #[must_use]
    pub fn new(class: RefusalClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }

    /// Reads the form in which it is stored, `class: message`. A text without a known class, as somebody else may have written
    /// it, is the message of a [`Retry`](RefusalClass::Retry): a note that nothing is decided by must not make its row unreadable.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        let known = text.split_once(": ").and_then(|(class, message)| {
            let class = RefusalClass::from_str(class).ok()?;
            Some(Self::new(class, message))
        });
        known.unwrap_or_else(|| Self::new(RefusalClass::Retry, text))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

/// What kind of answer a [`Refusal`] was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusalClass {
    /// The service failed.
    Retry,
    /// The handler did not end in time.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The service cannot be used now.
    Unavailable,
    /// The network cannot be used now.
    Offline,
    /// The credentials of the user are not accepted.
    Unauthenticated,
    /// The service wants fewer requests.
    RateLimited,
    /// The service understood the event and refused it.
    Rejected,
}

stored_word!(RefusalClass, "refusal class", {
    Retry = "retry",
    Timeout = "timeout",
    Panic = "panic",
    Unavailable = "unavailable",
    Offline = "offline",
    Unauthenticated = "unauthenticated",
    RateLimited = "rate_limited",
    Rejected = "rejected",
});

impl RefusalClass {
    /// Whether an attempt counts that is refused so, where the event is to blame. One that does not
    /// count is a [deferral](crate::OutboxEvent::deferrals), or, where it is a rejection, final:
    /// what counts attempts has no say in it.
    pub(crate) fn is_charged(self) -> bool {
        match self {
            Self::Retry | Self::Timeout | Self::Panic => true,
            Self::Unavailable
            | Self::Offline
            | Self::Unauthenticated
            | Self::RateLimited
            | Self::Rejected => false,
        }
    }
}
