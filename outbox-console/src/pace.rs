//! The rate of deliveries, from the counts of two looks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The time over which the rate is taken.
const SPAN: Duration = Duration::from_secs(60);
/// Looks within this time of another add nothing.
const STEP: Duration = Duration::from_millis(500);

/// The deliveries in all, look by look, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<VecDeque<(Duration, u64)>>);

/// Deliveries per second, and over which time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) span: Duration,
}

impl Pace {
    /// Takes a count in, and returns the rate since the oldest look of the last minute.
    pub(crate) fn look(&self, now: Duration, delivered: u64) -> Option<Rate> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while looks
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > SPAN)
        {
            looks.pop_front();
        }
        let last = looks.back().map(|(at, _)| *at);
        if last.is_none_or(|at| now.saturating_sub(at) >= STEP) {
            looks.push_back((now, delivered));
        }
        let (at, before) = *looks.front()?;
        let span = now.saturating_sub(at);
        (span >= STEP).then(|| Rate {
            per_second: delivered.saturating_sub(before) as f64 / span.as_secs_f64(),
            span,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let pace = Pace::default();
        let second = Duration::from_secs(1);
        assert_eq!(pace.look(second, 100), None);
        assert_eq!(pace.look(second * 11, 150).unwrap().per_second, 5.0);
        let later = pace.look(second * 100, 150);
        assert_eq!(later, None, "the looks before are too old");
    }
}
