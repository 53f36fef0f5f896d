//! The only module that reads the time and waits for it to pass.

use std::time::{Duration, Instant};

/// A start time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(clippy::disallowed_methods, reason = "benchmarks measure real time")]
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// Rate at which `count` things were done since the start.
    #[must_use]
    pub fn per_second(self, count: usize) -> f64 {
        count as f64 / self.elapsed().as_secs_f64()
    }
}

/// Waits, so that a processor falls idle.
#[allow(
    clippy::disallowed_methods,
    reason = "no event signals that a processor is idle"
)]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The future's value, or `None` if it takes longer than this.
#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark ends by the real clock"
)]
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
