//! Pauses between looks at rows that others have locked, who tell nobody when they unlock them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

/// The first and the longest pause: an application may hold a row for the length of its
/// transaction.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);

/// A pause that doubles with each look in vain.
#[derive(Debug, Default)]
pub(crate) struct BackOff(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// When the last look was, on the steady clock.
    looked_at: Option<Duration>,
    pause: Duration,
}

impl BackOff {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last look was in vain.
    pub(crate) fn is_pausing(&self) -> bool {
        !self.state().pause.is_zero()
    }

    /// The time until the next look.
    pub(crate) fn left(&self) -> Duration {
        let state = *self.state();
        let since = |at| SystemClock.uptime().saturating_sub(at);
        state
            .looked_at
            .map_or(Duration::ZERO, |at| state.pause.saturating_sub(since(at)))
    }

    /// Begins the pause after a look; none if that was not in vain.
    pub(crate) fn looked(&self, in_vain: bool) {
        let mut state = self.state();
        *state = State {
            looked_at: Some(SystemClock.uptime()),
            pause: match in_vain {
                true => (state.pause * 2).clamp(FIRST, LONGEST),
                false => Duration::ZERO,
            },
        };
    }
}
