//! Event types without a handler: their events are left alone, however many types there are.
//!
//! For handlers that name their types, the run claims only those. The types of an untyped handler
//! are known only by asking it, so the first event of a type without a handler is claimed and given
//! back. With many such types, finding them one claim at a time would delay the events behind them:
//! after a few, the run lists all event types of the store.

use std::collections::BTreeSet;

use tracing::warn;

/// The maximum number of types found one by one before the store's types are listed again.
const MAX_FOUND: usize = 16;

/// The known event types without a handler.
#[derive(Debug, Default)]
pub(super) struct Unhandled {
    types: BTreeSet<String>,
    /// How many of them were found one by one since the last listing.
    found: usize,
}

impl Unhandled {
    pub(super) fn types(&self) -> &BTreeSet<String> {
        &self.types
    }

    /// Whether to list the store's types now. Not after each type found: a listing reads all
    /// events, and an application may keep inventing types.
    pub(super) fn should_list(&self) -> bool {
        self.found > (self.types.len() / 8).min(MAX_FOUND)
    }

    /// Adds a type without a handler, of which an event was claimed.
    pub(super) fn found(&mut self, event_type: &str) {
        if self.types.insert(event_type.to_owned()) {
            self.found += 1;
            warn!(
                ?event_type,
                "no handler takes this event type; its events wait until one is registered"
            );
        }
    }

    /// Notes that the store's types are being listed, which includes those found so far.
    pub(super) fn begin_listing(&mut self) {
        self.found = 0;
    }

    /// Adds types without a handler. Some of them may be known already.
    pub(super) fn add(&mut self, event_types: impl Iterator<Item = String>) {
        let known = self.types.len();
        self.types.extend(event_types);
        let more = self.types.len() - known;
        if more > 0 {
            warn!(
                more,
                "more event types without a handler; their events wait until one is registered"
            );
        }
    }
}
