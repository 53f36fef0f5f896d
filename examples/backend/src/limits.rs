//! Rate limits of users.

use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::settings::Rate;

/// A token bucket for each user.
#[derive(Debug)]
pub(crate) struct Limits {
    clock: Clock,
    buckets: RateLimiter<String, HashMapStateStore<String>, Clock, NoOpMiddleware<Duration>>,
}

impl Limits {
    /// `None` if the rate is too low for an interval in nanoseconds.
    pub(crate) fn new(rate: Rate, clock: Clock) -> Option<Self> {
        let period = Duration::try_from_secs_f64(1.0 / rate.per_second).ok()?;
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))?;
        let quota = quota.allow_burst(rate.burst);
        let buckets = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Some(Self { clock, buckets })
    }

    /// Takes one call from the user's bucket, or returns the wait for the next.
    pub(crate) fn admit(&self, user: &str) -> Result<(), Duration> {
        self.buckets
            .check_key(&user.to_owned())
            .map_err(|early| early.wait_time_from(governor::clock::Clock::now(&self.clock)))
    }
}
