//! The service's clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The service's clock: the machine's, or one that tests move. Clones share it.
///
/// It dates entities, expires tokens and refills rates. Delays of answers take real time.
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
    /// The machine's time plus an offset.
    System(TimeDelta),
    Manual(DateTime<Utc>),
}

impl Clock {
    /// The machine's time.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Time::System(TimeDelta::zero()))))
    }

    /// A clock that only [`advance`](Self::advance) moves.
    #[must_use]
    pub fn manual(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Time::Manual(now))))
    }

    /// Advances time; on a system clock, in addition to real time.
    pub fn advance(&self, by: Duration) {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Time::System(ahead) => *ahead = ahead.checked_add(&by).unwrap_or(TimeDelta::MAX),
            Time::Manual(now) => *now = later(*now, by),
        }
    }

    /// The current time.
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

/// For the rate limiter: the time since a fixed point.
impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (Clock::now(self) - DateTime::UNIX_EPOCH)
            .to_std()
            .unwrap_or_default()
    }
}
