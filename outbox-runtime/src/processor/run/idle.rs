//! Idleness: a round that changed nothing is not repeated at once, whatever it was called for.
//!
//! Nothing should ever call for one. Should a store and a run disagree about what is due, or an
//! application answer one thing now and another then, the run asks ever less often instead of
//! spinning.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::clock;

/// So many in a row are let pass: a store may take some rounds to find out what is due.
const FREE: u32 = 64;
/// Then they are delayed, ever longer.
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// How often in a row the run was called at once and found nothing to do.
#[derive(Debug, Default)]
pub(super) struct Idle {
    rounds: u32,
}

impl Idle {
    /// Whether to go on at once, and if not, until when to sleep.
    pub(super) fn delayed(
        &mut self,
        is_busy: bool,
        alarm: Option<DateTime<Utc>>,
        has_changed: bool,
        now: DateTime<Utc>,
    ) -> (bool, Option<DateTime<Utc>>) {
        let is_called_at_once = is_busy || alarm.is_some_and(|alarm| alarm <= now);
        if has_changed || !is_called_at_once {
            self.rounds = 0;
            return (is_busy, alarm);
        }
        self.rounds = self.rounds.saturating_add(1);
        let Some(over) = self.rounds.checked_sub(FREE + 1) else {
            return (is_busy, alarm);
        };
        if over == 0 {
            warn!("rounds that change nothing are called for at once; they are delayed");
        }
        let delay = FIRST_DELAY.saturating_mul(1 << over.min(16));
        (false, Some(clock::after(now, delay.min(LONGEST_DELAY))))
    }
}
