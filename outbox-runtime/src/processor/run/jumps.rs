//! Jumps: the clock was set while the run was at work, or the machine was suspended.
//!
//! Leases stand in the store as wall-clock times, for everybody to see. A run judges its own by the time that has really passed:
//! after a jump it renews them before anything else, and takes nothing from others until they had the time to do the same.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::Run;
use crate::clock::{self, Clock};

/// What the clock tells at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    now: DateTime<Utc>,
    uptime: Duration,
}

impl Reading {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            now: clock.now(),
            uptime: clock.uptime(),
        }
    }

    /// By how much the clock was set since `earlier`.
    fn jump_since(&self, earlier: &Self) -> TimeDelta {
        let passed = self.uptime.saturating_sub(earlier.uptime);
        self.now - clock::after(earlier.now, passed)
    }
}

impl Run {
    /// Whether the clock was set since the last look, and by how much. What the run waits for moves along.
    ///
    /// A jump that is shorter than the third of a lease by which renewals are ahead does no harm, and is none.
    pub(super) fn follow_clock(&mut self) -> TimeDelta {
        let reading = Reading::of(self.shared.clock.as_ref());
        let jump = reading.jump_since(&self.reading);
        self.reading = reading;
        let lease = self.shared.settings.lease;
        let own_leases = self.shared.routes.own_leases().map(|(_, lease)| lease);
        let (shortest, longest) = own_leases.fold((lease, lease), |(shortest, longest), lease| {
            (shortest.min(lease), longest.max(lease))
        });
        if jump.abs().to_std().unwrap_or_default() < shortest / 3 {
            return TimeDelta::zero();
        }
        warn!(
            seconds = jump.num_seconds(),
            "the clock was set, or the machine was suspended"
        );
        if let Some(back_off) = &mut self.back_off {
            back_off.until = clock::shifted(back_off.until, jump);
        }
        self.pauses.shift(jump);
        self.waiting.shift(jump);
        // What the store has due is due by the wall clock: it is asked again.
        self.due_at = Some(reading.now);
        for renewal in self.renew_at.values_mut() {
            *renewal = reading.now;
        }
        self.rescue_from = Some(clock::after(reading.now, longest));
        jump
    }

    /// Whether it is time to look for work of those who died.
    pub(super) fn is_rescue_due(&mut self) -> bool {
        let now = self.now();
        match self.rescue_from {
            Some(from) if from > now => false,
            Some(_) => {
                self.rescue_from = None;
                true
            }
            None => self.due_at.is_some_and(|due| due <= now),
        }
    }

    /// What is due although nothing could be claimed is a lease that has ended, which is left alone for a while after a jump.
    pub(super) fn when_it_may_be_taken(&self, due: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let now = self.now();
        match self.rescue_from {
            Some(from) if due.is_some_and(|due| due <= now) => due.max(Some(from)),
            _ => due,
        }
    }
}
