//! Event types that no handler takes: they are left alone, however many they are.
//!
//! Handlers that name their types are asked for nothing else. What one without names takes is known
//! only when it is asked, so the first event of a type that nobody takes is claimed and given back.
//! Where many such types are there, doing so one claim after the other would take long to come to
//! what lies behind them: once some were met, the store is asked for all that it has.

use std::collections::BTreeSet;

use tracing::warn;

/// At most so many types are met one by one before all are asked for again.
const MOST_MET: usize = 16;

/// The types that are there and that no handler takes.
#[derive(Debug, Default)]
pub(super) struct Unhandled {
    types: BTreeSet<String>,
    /// How many of them were met since all were asked for.
    met: usize,
}

impl Unhandled {
    pub(super) fn types(&self) -> &BTreeSet<String> {
        &self.types
    }

    /// Whether it is worth looking for more. Not for each that is met, as all events are looked
    /// through for it: somebody may go on making types up.
    pub(super) fn may_be_more(&self) -> bool {
        self.met > (self.types.len() / 8).min(MOST_MET)
    }

    /// No handler takes events of this type, one of which was met.
    pub(super) fn meet(&mut self, event_type: &str) {
        if self.types.insert(event_type.to_owned()) {
            self.met += 1;
            warn!(
                ?event_type,
                "no handler takes this event type; its events wait"
            );
        }
    }

    /// All types are asked for: what was met so far is among them.
    pub(super) fn begin_look(&mut self) {
        self.met = 0;
    }

    /// No handler takes these types either. Some of them may be known.
    pub(super) fn add(&mut self, event_types: impl Iterator<Item = String>) {
        let known = self.types.len();
        self.types.extend(event_types);
        let more = self.types.len() - known;
        if more > 0 {
            warn!(
                more,
                "no handler takes these event types either; their events wait"
            );
        }
    }
}
