//! A round: the endpoints of a part that is tried one event after the other.

use super::node::Node;
use crate::claim::ClaimOrder;

/// At most so many endpoints are remembered of whatever is tried at several.
pub(super) const ENDPOINTS: usize = 64;

/// The endpoints that were tried in this round; another one is tried next, until all had their
/// turn.
#[derive(Debug, Default)]
pub(super) struct Round(Vec<Node>);

impl Round {
    pub(super) fn taken(&self) -> &[Node] {
        &self.0
    }

    /// An event at an endpoint is tried. The newest one is whoever's turn it is, so it ends no
    /// round: with two endpoints of which one has all newcomers, a third would never be tried.
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
