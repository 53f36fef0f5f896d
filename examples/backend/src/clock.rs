//! What time the service has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The service's time: that of the machine, or one that tests move. Clones share it.
///
/// Tokens end, rates recover and entities are dated by it. Delays of answers take real time.
///
/// ```
/// use std::time::Duration;
/// use backend::Clock;
///
/// let clock = Clock::manual("2025-11-17T19:26:02.996263011Z".parse()?);
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now().to_rfc3339(), "2025-11-17T19:26:03.996263011+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Time>>);

#[derive(Debug)]
enum Time {
    /// The machine's time, and how much was added to it.
    System(TimeDelta),
    Manual(DateTime<Utc>),
}

impl Clock {
    /// The time of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Time::System(TimeDelta::zero()))))
    }

    /// A time that stands still but for [`advance`](Self::advance).
    #[must_use]
    pub fn manual(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Time::Manual(now))))
    }

    /// Lets time pass; on a clock of the system, beyond what really passes.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Time::System(ahead) => *ahead = ahead.checked_add(&by).unwrap_or(TimeDelta::MAX),
            Time::Manual(now) => *now = later(*now, by),
        }
    }

    /// The time that it is.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the remote service has a clock of its own; no clock of the outbox governs it"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Time::System(ahead) => later(Utc::now(), *ahead),
            Time::Manual(now) => *now,
        }
    }
}

fn later(time: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    time.checked_add_signed(by)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// As a rate limiter wants it: time since a fixed point.
impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (Clock::now(self) - DateTime::UNIX_EPOCH)
            .to_std()
            .unwrap_or_default()
    }
}
