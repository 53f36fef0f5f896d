//! So many calls a second, of one's own accord: a service that allows two a second is not asked for the third.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Evenly spaced calls, none saved up.
///
/// Who is too early does not wait here, where a handler would hold its event meanwhile: the outbox is told when, and gives
/// the next turn to whatever is most urgent by then.
pub struct Pace<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl Pace {
    /// At most `calls` a second.
    #[must_use]
    pub fn per_second(calls: NonZeroU32) -> Self {
        Self::on(calls, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Pace<C> {
    /// The same on a clock of one's own.
    #[must_use]
    pub fn on(calls: NonZeroU32, clock: C) -> Self {
        // One second divided by any such number is no less than a fraction of a nanosecond; below one there is no limit.
        let period = (Duration::from_secs(1) / calls.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(calls));
        let quota = quota.allow_burst(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
        }
    }

    /// Takes a turn, or tells in how long there will be one.
    ///
    /// # Errors
    ///
    /// The time until the next turn.
    pub fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

impl<C: Clock> fmt::Debug for Pace<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn two_a_second_are_half_a_second_apart() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::on(NonZeroU32::new(2).unwrap(), clock.clone());
        assert_eq!(pace.take(), Ok(()));
        assert_eq!(pace.take(), Err(Duration::from_millis(500)));
        clock.advance(Duration::from_millis(200));
        assert_eq!(pace.take(), Err(Duration::from_millis(300)));
        clock.advance(Duration::from_millis(300));
        assert_eq!(pace.take(), Ok(()));
    }

    #[test]
    fn turns_that_nobody_took_are_not_saved_up() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::on(NonZeroU32::new(2).unwrap(), clock.clone());
        clock.advance(Duration::from_secs(60));
        assert_eq!(pace.take(), Ok(()));
        assert!(pace.take().is_err());
    }
}
