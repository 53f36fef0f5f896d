//! `retry` and `discard`: of ids, or of all events that a filter selects.

use std::fmt;

use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository, OutboxStatus, StoreError};
use uuid::Uuid;

/// An act on events that are dead, or that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Makes them pending again, with all their attempts.
    Retry,
    /// Deletes dead letters for good.
    Discard,
}

/// A filter asks for events that the deed cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongState {
    deed: Deed,
    state: OutboxStatus,
}

impl Deed {
    /// The states of events that the deed can change.
    #[must_use]
    pub fn states(self) -> &'static [OutboxStatus] {
        match self {
            Self::Retry => &[OutboxStatus::Failed, OutboxStatus::Dead],
            Self::Discard => &[OutboxStatus::Dead],
        }
    }

    /// The verb: `retry`.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }

    /// The participle: `retried`.
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Discard => "discarded",
        }
    }

    /// Restricts a filter to the states that the deed can change: to dead letters, unless it names
    /// others.
    ///
    /// # Errors
    ///
    /// [`WrongState`] if the filter names a state that the deed cannot change.
    pub fn restrict(self, filter: &mut EventFilter) -> Result<(), WrongState> {
        let mut states = filter.statuses.iter();
        if let Some(state) = states.find(|state| !self.states().contains(state)) {
            return Err(WrongState {
                deed: self,
                state: *state,
            });
        }
        if filter.statuses.is_empty() {
            // An event that failed is tried again anyway, so its retry has to be asked for.
            filter.statuses = vec![OutboxStatus::Dead];
        }
        Ok(())
    }

    /// Does it to those of the events that are in the right state, and returns their number.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub async fn on(self, store: &dyn OutboxRepository, ids: &[Uuid]) -> Result<u64, StoreError> {
        match self {
            Self::Retry => store.reset_for_retry(ids).await,
            Self::Discard => store.discard(ids).await,
        }
    }
}

impl fmt::Display for WrongState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<&str> = self.deed.states().iter().map(|it| it.as_str()).collect();
        let (state, done, states) = (self.state, self.deed.done(), states.join(" or "));
        write!(
            f,
            "an event that is {state} cannot be {done}, only one that is {states}"
        )
    }
}

/// Why the event is dead, or else its state.
#[must_use]
pub fn reason_or_state(event: &OutboxEvent) -> &'static str {
    match event.dead_reason {
        Some(reason) => reason.as_str(),
        None => event.status.as_str(),
    }
}
