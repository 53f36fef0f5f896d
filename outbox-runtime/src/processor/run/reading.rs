//! Clock readings: two of them show whether the clock was set in between.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{self, Clock};

/// The wall-clock time and the uptime at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) now: DateTime<Utc>,
    pub(super) uptime: Duration,
}

impl Reading {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            now: clock.now(),
            uptime: clock.uptime(),
        }
    }

    /// By how much the clock was set since `earlier`.
    pub(super) fn jump_since(&self, earlier: &Self) -> TimeDelta {
        let passed = self.uptime.saturating_sub(earlier.uptime);
        self.now - clock::after(earlier.now, passed)
    }
}
