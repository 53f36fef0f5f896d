//! Idleness: after many rounds in a row that change nothing, the next ones are delayed, whatever
//! called for them.
//!
//! Such rounds should not happen. But if a store and a run disagree about what is due, or an
//! application's answers are inconsistent, the run asks less and less often instead of spinning.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::clock;

/// The number of such rounds that are not delayed: a store may need some rounds to find out what is
/// due.
const FREE_ROUNDS: u32 = 64;
/// The delay of the first round after those. It doubles up to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(10);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Counts the rounds in a row that were due at once and changed nothing.
#[derive(Debug, Default)]
pub(super) struct Idle {
    rounds: u32,
}

impl Idle {
    /// Decides whether to go on at once and, if not, until when to sleep.
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
        let Some(over) = self.rounds.checked_sub(FREE_ROUNDS + 1) else {
            return (is_busy, alarm);
        };
        if over == 0 {
            warn!("the run wakes again and again without any change; its next rounds are delayed");
        }
        let delay = FIRST_DELAY.saturating_mul(1 << over.min(16));
        (false, Some(clock::after(now, delay.min(LONGEST_DELAY))))
    }
}
