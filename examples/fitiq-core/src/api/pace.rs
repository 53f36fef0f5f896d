//! A self-imposed pace of calls, so that a service that allows two calls a second never gets a
//! third.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Evenly spaced calls, without bursts.
///
/// An early call does not wait here, where its handler would hold an event: the outbox learns the
/// time, and gives the next turn to the most urgent event by then.
pub struct Pace<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

/// The margin added to the distance of calls, because the network does not preserve distances.
const MARGIN: u32 = 20;

impl Pace {
    /// At most `calls` a second.
    #[must_use]
    pub fn per_second(calls: NonZeroU32) -> Self {
        Self::on(calls, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Pace<C> {
    /// The same on another clock.
    #[must_use]
    pub fn on(calls: NonZeroU32, clock: C) -> Self {
        // At least a nanosecond; below that there is no limit.
        let period = (Duration::from_secs(1) / calls.get()).max(Duration::from_nanos(1));
        let period = period + period / MARGIN;
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(calls));
        let quota = quota.allow_burst(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
        }
    }

    /// Takes a turn, or returns the time until the next one.
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
    fn two_calls_a_second_are_slightly_more_than_half_a_second_apart() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::on(NonZeroU32::new(2).unwrap(), clock.clone());
        assert_eq!(pace.take(), Ok(()));
        assert_eq!(pace.take(), Err(Duration::from_millis(525)));
        clock.advance(Duration::from_millis(200));
        assert_eq!(pace.take(), Err(Duration::from_millis(325)));
        clock.advance(Duration::from_millis(325));
        assert_eq!(pace.take(), Ok(()));
    }

    #[test]
    fn unused_turns_are_not_saved_up() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::on(NonZeroU32::new(2).unwrap(), clock.clone());
        clock.advance(Duration::from_secs(60));
        assert_eq!(pace.take(), Ok(()));
        assert!(pace.take().is_err());
    }
}
