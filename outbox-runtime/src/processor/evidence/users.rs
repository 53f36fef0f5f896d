//! A user whose events are refused while those of others pass, because of a quota or a locked
//! account.

use std::collections::BTreeSet;

use super::facts::Lane;

/// The number of refused lanes of one user that opens the user's circuit.
const LANES: usize = 2;

/// The refusals of one user at a handler set.
#[derive(Debug, Default)]
pub(super) struct Streak {
    lanes: BTreeSet<Lane>,
    /// The passes of other users when the first of these lanes was refused.
    others: u64,
}

impl Streak {
    /// Records that a lane of the user was refused after `others` passes of other users. Returns
    /// whether the user's lanes are refused while others pass.
    pub(super) fn refused(&mut self, lane: Lane, others: u64) -> bool {
        if self.lanes.is_empty() {
            self.others = others;
        }
        if self.lanes.len() < LANES {
            self.lanes.insert(lane);
        }
        self.lanes.len() >= LANES && others > self.others
    }

    /// The refused lanes other than this one.
    pub(super) fn other_lanes<'a>(&'a self, lane: &'a Lane) -> impl Iterator<Item = &'a Lane> {
        self.lanes.iter().filter(move |other| *other != lane)
    }
}
