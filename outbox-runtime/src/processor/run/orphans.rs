//! Orphans: whether the run has looked for stored event types that nobody handles.

use tokio::sync::watch;

use crate::processor::unhandled_types::Looked;

/// How often a look is tried.
const TRIES: u8 = 3;

/// The look at the store's types.
#[derive(Debug)]
pub(super) struct Orphans {
    found: watch::Sender<Option<Looked>>,
    tries_left: u8,
}

impl Orphans {
    pub(super) fn new(found: watch::Sender<Option<Looked>>) -> Self {
        Self {
            found,
            tries_left: TRIES,
        }
    }

    /// Whether to look now. Counts that as a try.
    pub(super) fn take_try(&mut self) -> bool {
        let has_any = self.tries_left > 0;
        self.tries_left = self.tries_left.saturating_sub(1);
        has_any
    }

    /// Notes the result of a try. An error is told once no try is left.
    pub(super) fn looked(&mut self, looked: Looked) {
        if looked.is_ok() {
            self.tries_left = 0;
        }
        if self.tries_left == 0 {
            self.found.send_replace(Some(looked));
        }
    }
}
