//! The refusal: an answer that did not count as an attempt of the event.

use std::fmt;
use std::str::FromStr;

use super::word::stored_word;

/// The answer to an attempt that was given back or deferred instead of counted: see
/// [`OutboxEvent::last_refusal`](super::OutboxEvent::last_refusal).
///
/// A store with a single column for it stores the [`Display`](fmt::Display) form, `class: message`,
/// and reads it with [`Refusal::from_stored`].
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
    /// The class of the answer.
    pub class: RefusalClass,
    /// The message, for people.
    pub message: String,
}

impl Refusal {
    /// Creates a refusal. The message is kept as given; the caller bounds it first, like the
    /// message of a failure ([`MAX_MESSAGE_BYTES`](crate::store::MAX_MESSAGE_BYTES)).
    #[must_use]
    pub fn new(class: RefusalClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }

    /// Parses the stored form, `class: message`. A text without a known class, which another
    /// program may have written, becomes the message of a [`Retry`](RefusalClass::Retry): the
    /// refusal is informational and must not make its row unreadable.
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

/// The class of a [`Refusal`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::RefusalClass;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let class: RefusalClass = "rate_limited".parse()?; // the word in the row
/// assert_eq!(class, RefusalClass::RateLimited);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusalClass {
    /// The service failed.
    Retry,
    /// The handler timed out.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The service is unavailable.
    Unavailable,
    /// The network is unavailable.
    Offline,
    /// The service does not accept the user's credentials.
    Unauthenticated,
    /// The service asks for fewer requests.
    RateLimited,
    /// The service understood and rejected the event.
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
    /// Whether such an attempt counts if the event is to blame. If not, it is a
    /// [deferral](crate::OutboxEvent::deferrals), or, for a rejection, final whatever the attempt
    /// count.
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
