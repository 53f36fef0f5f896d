//! State about refusals that is kept for comparison, in a map of limited size, as the refused may
//! never come back.

use std::collections::BTreeMap;

/// The maximum number of entries. Forgetting one costs one more refusal and never charges an
/// attempt.
const CAPACITY: usize = 1_024;

/// A map of at most [`CAPACITY`] entries: another one replaces the least recently refused.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    values: BTreeMap<K, Numbered<V>>,
    /// The keys, in the order of their last refusals.
    order: BTreeMap<u64, K>,
    /// Counts refusals.
    count: u64,
}

#[derive(Debug, Default)]
struct Numbered<V> {
    number: u64,
    value: V,
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            order: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<K: Ord + Clone, V: Default> Kept<K, V> {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|numbered| &numbered.value)
    }

    /// Records a refusal of this key and returns its value.
    pub(super) fn refused(&mut self, key: K) -> &mut V {
        if let Some(known) = self.values.get(&key) {
            self.order.remove(&known.number);
        } else if self.values.len() >= CAPACITY
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.count += 1;
        self.order.insert(self.count, key.clone());
        let numbered = self.values.entry(key).or_default();
        numbered.number = self.count;
        &mut numbered.value
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(known) = self.values.remove(key) {
            self.order.remove(&known.number);
        }
    }
}
