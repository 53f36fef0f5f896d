//! Pace: how quick the handlers were lately, which tells how many events may wait here for them.

use std::time::Duration;

/// What takes longer is not quick; what waits should have begun by then.
const QUICK: Duration = Duration::from_millis(5);
/// After so many quick attempts in a row it is taken that the next ones are quick, too.
const PROBATION: u32 = 32;

/// How quick the handlers were lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Attempts since the last one that was not quick.
    quick: u32,
    /// How long one takes: an average in which the latest counts for an eighth.
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

    /// How many events so many handlers are likely to start within [`QUICK`], at most `most`.
    pub(super) fn ahead(&self, handlers: usize, most: usize) -> usize {
        if self.quick < PROBATION {
            return 0;
        }
        let each = QUICK.as_nanos() / self.typical.as_nanos().max(1);
        let each = usize::try_from(each).unwrap_or(usize::MAX);
        handlers.saturating_mul(each).min(most)
    }
}
