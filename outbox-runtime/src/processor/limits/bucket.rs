//! The rate limiter of a paced destination: `governor`, which has the algorithm (GCRA), on a time
//! and a state of ours.
//!
//! A run has to know how many calls may begin *before* it claims events for them, and most claims
//! bring fewer than that. `governor` only answers whether one call may begin and takes it in the
//! same step, without a way to return it. Its two seams help: the state is kept here, so that a
//! look leaves it as it was, and the time is that of the store's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, Reference};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};

use super::pace::Pace;

/// How far a manual clock may go back behind the time at which the bucket was made: 100 years.
const BACK: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The calls that may begin at a paced destination.
pub(super) struct Bucket {
    limiter: RateLimiter<NotKeyed, Kept, Time, StateInformationMiddleware>,
    kept: Kept,
    time: Time,
    /// The uptime at which the limiter's time is zero.
    since: Duration,
    /// How far ahead of the time the next call is expected at most, in nanoseconds.
    ahead: u64,
}

/// The limiter's time, in nanoseconds.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Clock for Time {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// The limiter's state: the time at which the next call is expected, if calls are equally spaced.
#[derive(Clone, Default)]
struct Kept {
    /// One more than the time in nanoseconds; zero before the first call.
    expected: Arc<AtomicU64>,
    /// Whether a call that may begin does.
    takes: Arc<AtomicBool>,
}

impl StateStore for Kept {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Every access is under the lock of the limits.
        let expected = self.expected.load(Ordering::Relaxed);
        let (answer, next) = decide(expected.checked_sub(1).map(Nanos::from))?;
        if self.takes.load(Ordering::Relaxed) {
            let next = next.as_u64().saturating_add(1);
            self.expected.store(next, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

impl Bucket {
    /// A full bucket; `None` for a pace with a fault.
    pub(super) fn new(pace: &Pace, now: Duration) -> Option<Self> {
        let (kept, time) = (Kept::default(), Time::default());
        let ahead = pace.distance().as_nanos() * u128::from(pace.burst_size());
        Some(Self {
            ahead: u64::try_from(ahead).unwrap_or(u64::MAX),
            limiter: RateLimiter::new(pace.quota()?, kept.clone(), time.clone()),
            kept,
            time,
            since: now.saturating_sub(BACK),
        })
    }

    /// How many calls may begin at this time. If none: when the next one may.
    pub(super) fn look(&self, now: Duration) -> Result<usize, Duration> {
        self.ask(now, false)
    }

    /// Takes the call that begins now. Returns whether it may.
    pub(super) fn take(&self, now: Duration) -> bool {
        self.ask(now, true).is_ok()
    }

    fn ask(&self, now: Duration, takes: bool) -> Result<usize, Duration> {
        let nanos = now.saturating_sub(self.since).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX / 2);
        self.time.0.store(nanos, Ordering::Relaxed);
        self.kept.takes.store(takes, Ordering::Relaxed);
        // A manual clock may go back, and would stop all calls until it is where it was.
        let most = nanos.saturating_add(self.ahead).saturating_add(1);
        self.kept.expected.fetch_min(most, Ordering::Relaxed);
        match self.limiter.check() {
            Ok(others) => {
                let others = usize::try_from(others.remaining_burst_capacity());
                Ok(others.unwrap_or(usize::MAX).saturating_add(1))
            }
            Err(refused) => {
                let at = refused.earliest_possible().duration_since(Nanos::default());
                Err(self.since.saturating_add(at.into()))
            }
        }
    }
}
