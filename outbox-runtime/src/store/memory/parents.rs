//! Parents: the creations that an event waits for, although they are not in its lane.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::lanes::Lane;
use super::state::State;
use crate::event::OutboxEvent;
use crate::store::kit::{creates, holds_back};

impl State {
    /// Finds the creations that this event waits for, among those enqueued before it.
    pub(super) fn find_creations(&mut self, seq: i64) {
        self.forget_creations(seq);
        let Some(child) = self.rows.get(&seq).filter(|row| !row.parents.is_empty()) else {
            return;
        };
        let is_awaited = |earlier: &&OutboxEvent| {
            let mut parents = child.parents.iter();
            parents.any(|parent| creates(earlier, parent, &child.user_id))
                && holds_back(earlier, child.on_dead)
        };
        let earlier = self.rows.range(..seq).map(|(_, row)| row);
        let creations: BTreeSet<i64> = earlier.filter(is_awaited).map(|row| row.seq).collect();
        for creation in &creations {
            self.children.entry(*creation).or_default().insert(seq);
        }
        if !creations.is_empty() {
            self.creations.insert(seq, creations);
        }
    }

    /// Lets an event wait for no creation.
    pub(super) fn forget_creations(&mut self, seq: i64) {
        for creation in self.creations.remove(&seq).unwrap_or_default() {
            if let Some(children) = self.children.get_mut(&creation) {
                children.remove(&seq);
            }
        }
    }

    /// Called when an event has changed or is gone: frees those of its children that no longer wait
    /// for it.
    pub(super) fn free_children(&mut self, seq: i64, now: DateTime<Utc>) {
        let Some(children) = self.children.remove(&seq) else {
            return;
        };
        let creation = self.rows.get(&seq);
        let waits = |child: &i64| {
            let child = self.rows.get(child);
            creation
                .zip(child)
                .is_some_and(|(creation, child)| holds_back(creation, child.on_dead))
        };
        let (waiting, freed): (BTreeSet<i64>, BTreeSet<i64>) =
            children.into_iter().partition(waits);
        if !waiting.is_empty() {
            self.children.insert(seq, waiting);
        }
        for child in freed {
            if let Some(creations) = self.creations.get_mut(&child) {
                creations.remove(&seq);
                if creations.is_empty() {
                    self.creations.remove(&child);
                }
            }
            if let Some(lane) = self.rows.get(&child).map(Lane::of) {
                self.line_up(&lane, now);
            }
        }
    }

    /// The first creation that this event waits for.
    pub(super) fn first_creation(&self, seq: i64) -> Option<&OutboxEvent> {
        self.rows.get(self.creations.get(&seq)?.first()?)
    }
}
