//! Claimable events, in claim order and by user for round-robin turns.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use chrono::{DateTime, Utc};

use crate::event::OutboxEvent;
use crate::store::kit::{ClaimKey, claim_key};

/// The same events in two orders, for which the SQLite store has two indices.
#[derive(Default, Clone)]
pub(super) struct Ready {
    in_order: BTreeSet<ClaimKey>,
    by_user: BTreeMap<String, BTreeSet<ClaimKey>>,
}

impl Ready {
    pub(super) fn insert(&mut self, event: &OutboxEvent) {
        let place = claim_key(event);
        self.in_order.insert(place);
        match self.by_user.get_mut(&event.user_id) {
            Some(of_user) => of_user.insert(place),
            None => self
                .by_user
                .entry(event.user_id.clone())
                .or_default()
                .insert(place),
        };
    }

    pub(super) fn remove(&mut self, event: &OutboxEvent) {
        let place = claim_key(event);
        if !self.in_order.remove(&place) {
            return;
        }
        if let Some(of_user) = self.by_user.get_mut(&event.user_id) {
            of_user.remove(&place);
            if of_user.is_empty() {
                self.by_user.remove(&event.user_id);
            }
        }
    }

    pub(super) fn contains(&self, event: &OutboxEvent) -> bool {
        self.in_order.contains(&claim_key(event))
    }

    /// The earliest due time, by one look per priority.
    pub(super) fn oldest_due(&self) -> Option<DateTime<Utc>> {
        let mut oldest: Option<DateTime<Utc>> = None;
        let mut first = self.in_order.first();
        while let Some((priority, due, _)) = first {
            oldest = oldest.into_iter().chain([*due]).min();
            let last = (*priority, DateTime::<Utc>::MAX_UTC, i64::MAX);
            let after = (Bound::Excluded(last), Bound::Unbounded);
            first = self.in_order.range(after).next();
        }
        oldest
    }

    /// The seqs of all events, in claim order.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &i64> {
        self.in_order.iter().map(|(_, _, seq)| seq)
    }

    /// The events of each user in claim order, in round-robin order after this user.
    pub(super) fn turns_after(
        &self,
        user_id: &str,
    ) -> impl Iterator<Item = impl Iterator<Item = &i64>> {
        let after = (Bound::Excluded(user_id), Bound::Unbounded);
        let around = (Bound::Unbounded, Bound::Included(user_id));
        let users = self.by_user.range::<str, _>(after);
        let users = users.chain(self.by_user.range::<str, _>(around));
        users.map(|(_, of_user)| of_user.iter().map(|(_, _, seq)| seq))
    }
}
