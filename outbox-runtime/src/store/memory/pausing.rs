//! Pauses: events that claims leave out.

use chrono::{DateTime, Utc};

use super::state::State;
use crate::pause::{PauseScope, Paused};
use crate::store::kit::Pauses;

impl State {
    /// Records a pause, and forgets those that have ended.
    pub(super) fn pause(&mut self, paused: Paused, now: DateTime<Utc>) {
        self.pauses.retain(|_, paused| paused.is_in_effect(now));
        self.pauses.insert(paused.scope.clone(), paused);
    }

    /// Lifts a pause. Returns whether it was in effect.
    pub(super) fn unpause(&mut self, scope: &PauseScope, now: DateTime<Utc>) -> bool {
        let lifted = self.pauses.remove(scope);
        lifted.is_some_and(|paused| paused.is_in_effect(now))
    }

    pub(super) fn pauses(&self) -> Pauses {
        Pauses::new(self.pauses.values().cloned().collect())
    }
}
