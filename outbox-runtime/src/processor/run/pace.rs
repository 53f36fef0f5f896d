//! Pace: how quick handlers have been lately, which decides how many events to claim ahead.

use std::time::Duration;

/// An attempt that takes longer is slow. Waiting events should start within this time.
pub(super) const QUICK: Duration = Duration::from_millis(5);
/// After this many quick attempts in a row, the next ones are expected to be quick, too.
const PROBATION: u32 = 32;

/// How quick handlers have been lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Attempts since the last slow one.
    quick: u32,
    /// The typical duration of an attempt: a moving average that gives the latest a weight of 1/8.
    typical: Duration,
}

impl Pace {
    pub(super) fn ended(&mut self, took: Duration) {
        if took > QUICK {
            *self = Self::default();
            return;
        }
        self.typical = match self.quick {
            0 => took,
            _ => (self.typical * 7 + took) / 8,
        };
        self.quick = self.quick.saturating_add(1);
    }

    /// How many events this many handlers are likely to start within [`QUICK`], at most `most`.
    pub(super) fn ahead(&self, handlers: usize, most: usize) -> usize {
        if self.quick < PROBATION {
            return 0;
        }
        let each = QUICK.as_nanos() / self.typical.as_nanos().max(1);
        let each = usize::try_from(each).unwrap_or(usize::MAX);
        handlers.saturating_mul(each).min(most)
    }
}
