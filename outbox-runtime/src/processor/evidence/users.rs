//! A user whose events are refused while others pass: a quota of theirs, an account that is locked.

use std::collections::BTreeSet;

use super::facts::Lane;

/// So many lanes of one user open that user's circuit.
const LANES: usize = 2;

/// The refusals of one user at a handler set.
#[derive(Debug, Default)]
pub(super) struct Streak {
    lanes: BTreeSet<Lane>,
    /// Passes of other users when the first of these lanes was refused.
    others: u64,
}

impl Streak {
    /// A lane of the user was refused after `others` passes of other users. `true`: theirs are refused
    /// while others pass.
    pub(super) fn refused(&mut self, lane: Lane, others: u64) -> bool {
        if self.lanes.is_empty() {
            self.others = others;
        }
        if self.lanes.len() < LANES {
            self.lanes.insert(lane);
        }
        self.lanes.len() >= LANES && others > self.others
    }

    /// The lanes that were refused, but for this one.
    pub(super) fn other_lanes<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = &'a Lane> {
        self.lanes.iter().filter(move |other| *other != lane)
    }
}
