//! Event types that no handler takes: they are left alone, however many they are.
//!
//! Handlers that name their types are asked for nothing else. What one without names takes is known
//! only when it is asked, so the first event of a type that nobody takes is claimed and given back.
//! Where many such types are there, doing so one claim after the other would take long to come to
//! what lies behind them: once some were met, the store is asked for all that it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, warn};

use super::Run;

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
    fn may_be_more(&self) -> bool {
        self.met > (self.types.len() / 8).min(MOST_MET)
    }
}

impl Run {
    /// Nobody takes events of this type.
    pub(super) fn leave_alone(&mut self, event_type: &str) {
        if self.unhandled.types.insert(event_type.to_owned()) {
            self.unhandled.met += 1;
            warn!(
                ?event_type,
                "no handler takes this event type; its events wait"
            );
        }
    }

    /// Finds the other types that nobody takes, once some were met.
    pub(super) async fn look_for_unhandled(&mut self) {
        if !self.unhandled.may_be_more() || !self.shared.routes.is_any_untyped() {
            return;
        }
        self.unhandled.met = 0;
        let repository = Arc::clone(&self.shared.repository);
        let types = match self
            .meanwhile(async { repository.event_types().await })
            .await
        {
            Ok(types) => types,
            // They are met one by one, then, and looked for again.
            Err(error) => return debug!(%error, "the event types could not be listed"),
        };
        let known = self.unhandled.types.len();
        for event_type in types {
            if !self.unhandled.types.contains(&event_type)
                && !self.shared.routes.is_taken(&event_type)
            {
                self.unhandled.types.insert(event_type);
            }
        }
        let more = self.unhandled.types.len() - known;
        if more > 0 {
            warn!(
                more,
                "no handler takes these event types either; their events wait"
            );
        }
    }
}
