//! The pace of a destination: how often a call may begin.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

/// How often a call to a destination may begin, for
/// [`ProcessorBuilder::pace`](crate::ProcessorBuilder::pace).
///
/// Calls begin at equal distances: with 10 per second, one every 100 ms at the earliest. So no
/// second, wherever it starts, has more than 10 of them. With a [burst](Self::burst) of `n`, calls
/// that were not made are made up for, up to `n` at once, and a second may have up to `n - 1` more.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::Pace;
///
/// const GENTLE: Pace = Pace::per_minute(30);
/// assert_eq!(GENTLE.distance(), Duration::from_secs(2));
/// assert_eq!(Pace::per_hour(1800), Pace::new(1800, Duration::from_secs(3600)));
/// assert_eq!(Pace::per_second(10).distance(), Duration::from_millis(100));
///
/// let pace = Pace::new(1000, Duration::from_secs(24 * 60 * 60)).burst(20);
/// assert_eq!(pace.distance(), Duration::from_millis(86_400));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Pace {
    calls: u32,
    period: Duration,
    burst: u32,
}

impl Pace {
    /// The largest [burst](Self::burst): 10,000.
    pub const MOST_BURST: u32 = 10_000;

    /// The longest [distance](Self::distance) of two calls: 24 h.
    pub const LONGEST_DISTANCE: Duration = Duration::from_secs(24 * 60 * 60);

    /// This many calls in each period, at least 1 and at least one a day.
    /// [`build`](crate::ProcessorBuilder::build) refuses others.
    pub const fn new(calls: u32, period: Duration) -> Self {
        Self {
            calls,
            period,
            burst: 1,
        }
    }

    /// This many calls per second, at least 1.
    pub const fn per_second(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(1))
    }

    /// This many calls per minute, at least 1.
    pub const fn per_minute(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(60))
    }

    /// This many calls per hour, at least 1.
    pub const fn per_hour(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(60 * 60))
    }

    /// Sets how many calls may begin at once after none was made for a while, from 1 to
    /// [`MOST_BURST`](Self::MOST_BURST). Default: 1.
    ///
    /// A burst makes sense for a service that counts calls per minute or hour, and for a pace of
    /// some hundred calls per second, whose distance is shorter than a commit takes.
    pub const fn burst(mut self, calls: u32) -> Self {
        self.burst = calls;
        self
    }

    /// The shortest time between the beginnings of two calls, apart from bursts, rounded up to a
    /// nanosecond. Zero if the pace has no calls.
    #[must_use]
    pub const fn distance(&self) -> Duration {
        if self.calls == 0 {
            return Duration::ZERO;
        }
        let nanos = self.period.as_nanos().div_ceil(self.calls as u128);
        let (secs, rest) = (nanos / NANOS, nanos % NANOS);
        // The period is a `Duration`, and this is not longer.
        Duration::new(secs as u64, rest as u32)
    }

    /// How many calls may begin at once after none was made for a while.
    #[must_use]
    pub const fn burst_size(&self) -> u32 {
        self.burst
    }

    /// The first rule that the pace violates, if any.
    pub(in crate::processor) const fn fault(&self) -> Option<&'static str> {
        if self.calls == 0 {
            return Some("a pace needs at least 1 call");
        }
        if self.period.is_zero() {
            return Some("the period of a pace is longer than zero");
        }
        if self.distance().as_nanos() > Self::LONGEST_DISTANCE.as_nanos() {
            return Some("a pace has at least one call a day");
        }
        if self.burst == 0 {
            return Some("a burst has at least 1 call");
        }
        if self.burst > Self::MOST_BURST {
            return Some("a burst has at most 10,000 calls");
        }
        None
    }

    /// The same for the rate limiter; `None` for a pace with a fault.
    pub(super) fn quota(&self) -> Option<Quota> {
        let quota = Quota::with_period(self.distance())?;
        Some(quota.allow_burst(NonZeroU32::new(self.burst)?))
    }
}

/// The nanoseconds of a second.
const NANOS: u128 = 1_000_000_000;
