//! Memory: the number of passes at a node when a lane was last refused there.

use std::collections::{BTreeMap, VecDeque};

use super::facts::Lane;
use super::node::Node;

/// The maximum number of remembered lanes. Forgetting one costs one more refusal and never charges
/// an attempt.
const LANES: usize = 1_024;

/// The passes of each node when each of its lanes was last refused. The oldest refusal is forgotten
/// first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    refused: BTreeMap<(Node, Lane), Entry>,
    /// The refusals in their order, some of which may be out of date.
    order: VecDeque<(Node, Lane, u64)>,
    count: u64,
    /// The number of remembered lanes of each node.
    nodes: BTreeMap<Node, usize>,
}

#[derive(Debug)]
struct Entry {
    passes: u64,
    count: u64,
}

impl Memory {
    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    /// Returns the passes of the node when this lane was last refused there.
    pub(super) fn passes(&self, node: &Node, lane: &Lane) -> Option<u64> {
        let entry = self.refused.get(&(node.clone(), lane.clone()))?;
        Some(entry.passes)
    }

    /// Whether any lane of the node is remembered.
    pub(super) fn has(&self, node: &Node) -> bool {
        self.nodes.contains_key(node)
    }

    pub(super) fn note(&mut self, node: Node, lane: Lane, passes: u64) {
        self.count += 1;
        let count = self.count;
        self.order.push_back((node.clone(), lane.clone(), count));
        let entry = Entry { passes, count };
        if self.refused.insert((node.clone(), lane), entry).is_none() {
            *self.nodes.entry(node).or_default() += 1;
        }
        while self.refused.len() > LANES || self.order.len() > 2 * LANES {
            let Some((node, lane, count)) = self.order.pop_front() else {
                return;
            };
            let key = (node, lane);
            if self.refused.get(&key).is_some_and(|it| it.count == count) {
                self.remove(&key);
            }
        }
    }

    /// Updates a remembered lane that was refused again for a reason that is not judged at this
    /// node.
    pub(super) fn renew(&mut self, node: &Node, lane: &Lane, passes: u64) {
        let key = (node.clone(), lane.clone());
        if let Some(entry) = self.refused.get_mut(&key) {
            entry.passes = passes;
        }
    }

    pub(super) fn forget(&mut self, node: Node, lane: Lane) {
        if !self.refused.is_empty() {
            self.remove(&(node, lane));
        }
        if self.refused.is_empty() {
            self.order.clear();
        }
    }

    fn remove(&mut self, key: &(Node, Lane)) {
        if self.refused.remove(key).is_none() {
            return;
        }
        if let Some(lanes) = self.nodes.get_mut(&key.0) {
            *lanes -= 1;
            if *lanes == 0 {
                self.nodes.remove(&key.0);
            }
        }
    }
}
