//! A round: the endpoints of a node whose events are tried one at a time.

use super::node::Node;
use crate::claim::ClaimOrder;

/// The maximum number of endpoints that are remembered for a node or a user.
pub(super) const ENDPOINTS: usize = 64;

/// The endpoints that were tried in this round; the next attempt goes to another one, until all
/// have had their turn.
#[derive(Debug, Default)]
pub(super) struct Round(Vec<Node>);

impl Round {
    pub(super) fn taken(&self) -> &[Node] {
        &self.0
    }

    /// Records that an event at an endpoint is tried. An event that is tried as the newest does not
    /// end a round, as newcomers are tried whatever the turn: with two endpoints of which one has
    /// all newcomers, a third would never be tried.
    pub(super) fn begun(&mut self, endpoint: Node, order: ClaimOrder) {
        let had_its_turn = self.0.contains(&endpoint);
        if (had_its_turn && order != ClaimOrder::Newest) || self.0.len() >= ENDPOINTS {
            self.0.clear();
        }
        if !self.0.contains(&endpoint) {
            self.0.push(endpoint);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
