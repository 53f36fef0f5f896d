//! Memory: how many neighbors had passed when a lane was last refused.

use std::collections::{BTreeMap, VecDeque};

use super::facts::Lane;
use super::node::Node;

/// At most so many lanes are remembered. One that is forgotten costs one more refusal, and never a
/// charge.
const LANES: usize = 1_024;

/// The passes of a node when each lane in it was last refused. The oldest refusal is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    refused: BTreeMap<(Node, Lane), Entry>,
    /// In the order of the refusals, some of which may be out of date.
    order: VecDeque<(Node, Lane, u64)>,
    count: u64,
    /// How many lanes of each node.
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

    /// The passes of the node when this lane was last refused there.
    pub(super) fn passes(&self, node: &Node, lane: &Lane) -> Option<u64> {
        let entry = self.refused.get(&(node.clone(), lane.clone()))?;
        Some(entry.passes)
    }

    /// Whether a lane of the node is remembered.
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

    /// Where the lane is remembered it was refused again, for a reason that is not judged at this
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
