//! The history of an event: its past attempts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// A past attempt to deliver an event, as returned by
/// [`OutboxRepository::attempts`](crate::OutboxRepository::attempts).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{OutboxRepository, PastAttempt, StoreError};
/// # async fn show(store: &dyn OutboxRepository, event_id: uuid::Uuid) -> Result<(), StoreError> {
/// let attempts: Vec<PastAttempt> = store.attempts(event_id).await?;
/// for attempt in attempts {
///     println!("{} after {:?}: {:?}", attempt.outcome, attempt.duration(), attempt.message);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastAttempt {
    /// When the event was claimed.
    pub began_at: DateTime<Utc>,
    /// When the outcome was recorded.
    pub ended_at: DateTime<Utc>,
    /// The outcome.
    pub outcome: AttemptOutcome,
    /// The error, cut to [500 bytes](Self::MAX_MESSAGE_BYTES).
    pub message: Option<String>,
}

/// The outcome of a past attempt.
///
/// # Examples
///
/// ```
/// use outbox_runtime::AttemptOutcome;
///
/// assert_eq!(AttemptOutcome::Crashed.as_str(), "crashed");
/// assert_eq!(AttemptOutcome::Failed.to_string(), "failed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The event was delivered. Kept only by a store that is set to.
    Delivered,
    /// The attempt failed.
    Failed,
    /// The event was refused while others got through.
    Deferred,
    /// The attempt was the last, and the event became a dead letter.
    Dead,
    /// The process of the handler died or stalled.
    Crashed,
}

impl PastAttempt {
    /// The number of attempts that a store keeps of each event: the last ones.
    pub const MAX_KEPT: usize = 20;

    /// The maximum length of a message, in bytes.
    pub const MAX_MESSAGE_BYTES: usize = 500;

    /// An attempt with its message, which is cut and put on one line. For stores.
    #[must_use]
    pub fn new(
        began_at: DateTime<Utc>,
        ended_at: DateTime<Utc>,
        outcome: AttemptOutcome,
        message: Option<&str>,
    ) -> Self {
        let message = message.map(|message| {
            let end = message.floor_char_boundary(Self::MAX_MESSAGE_BYTES.min(message.len()));
            message[..end].replace(['\n', '\r', '\0'], " ")
        });
        Self {
            began_at,
            ended_at,
            outcome,
            message,
        }
    }

    /// The time from the claim to the recorded outcome. Zero if the clock was set back meanwhile.
    #[must_use]
    pub fn duration(&self) -> Duration {
        (self.ended_at - self.began_at).to_std().unwrap_or_default()
    }
}

impl AttemptOutcome {
    /// The outcome as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Deferred => "deferred",
            Self::Dead => "dead",
            Self::Crashed => "crashed",
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for PastAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (began, took) = (self.began_at, self.duration());
        write!(f, "{began}: {} after {took:?}", self.outcome)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// One line: the times in microseconds, the outcome, and the message.
impl PastAttempt {
    /// The attempt as the line that a store keeps. For stores.
    #[must_use]
    pub fn to_line(&self) -> String {
        let (began, ended) = (
            self.began_at.timestamp_micros(),
            self.ended_at.timestamp_micros(),
        );
        let message = self.message.as_deref().unwrap_or_default();
        format!("{began} {ended} {} {message}", self.outcome)
    }

    /// The attempt of a line; `None` if the line is damaged. For stores.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        let mut time = || {
            let micros = i64::from_str(parts.next()?).ok()?;
            DateTime::from_timestamp_micros(micros)
        };
        let (began_at, ended_at) = (time()?, time()?);
        let outcome = match parts.next()? {
            "delivered" => AttemptOutcome::Delivered,
            "failed" => AttemptOutcome::Failed,
            "deferred" => AttemptOutcome::Deferred,
            "dead" => AttemptOutcome::Dead,
            "crashed" => AttemptOutcome::Crashed,
            _ => return None,
        };
        let message = parts.next().filter(|message| !message.is_empty());
        Some(Self::new(began_at, ended_at, outcome, message))
    }
}
