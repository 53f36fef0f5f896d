//! The lanes of a batch, which may have several events of one: a later one is sent and settled as
//! delivered only with those before it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::claim::Claim;
use crate::entity::{EntityId, Order};
use crate::event::OutboxEvent;

/// A lane of the user of a batch.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Lane {
    OfEntity(EntityId),
    OfUser,
}

impl Lane {
    /// `None` for an event that waits for no other.
    fn of(event: &OutboxEvent) -> Option<Self> {
        match event.order {
            Order::Entity => Some(Self::OfEntity(event.entity_id.clone())),
            Order::User => Some(Self::OfUser),
            Order::None => None,
        }
    }
}

/// Some lanes of the user of a batch.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashSet<Lane>);

impl Lanes {
    /// Adds the lane of an event. Returns whether it is new.
    pub(super) fn insert(&mut self, event: &OutboxEvent) -> bool {
        Lane::of(event).is_none_or(|lane| self.0.insert(lane))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event waits for others of these lanes.
    pub(super) fn has(&self, event: &OutboxEvent) -> bool {
        !self.0.is_empty() && Lane::of(event).is_some_and(|lane| self.0.contains(&lane))
    }
}

/// The events of a batch that wait for no other of it, and those that do.
pub(super) fn firsts<'c>(
    claims: impl Iterator<Item = &'c Arc<Claim>>,
) -> (Vec<Arc<Claim>>, Vec<Arc<Claim>>) {
    let mut lanes = Lanes::default();
    claims
        .cloned()
        .partition(|claim| lanes.insert(&claim.event))
}

/// Two parts of a batch.
pub(super) struct Halves {
    pub(super) first: Vec<Arc<Claim>>,
    pub(super) second: Vec<Arc<Claim>>,
    /// Whether the second part is what comes after the first in their only lane. Otherwise no event
    /// of one part waits for one of the other.
    pub(super) is_in_line: bool,
}

impl Halves {
    /// Splits a batch between its lanes, or its only lane in the middle.
    pub(super) fn of(mut claims: Vec<Arc<Claim>>) -> Self {
        let half = claims.len() / 2;
        let numbers = lane_numbers(&claims);
        let lanes = numbers.iter().max().map_or(0, |last| last + 1);
        if lanes == claims.len() || lanes < 2 {
            let second = claims.split_off(half);
            return Self {
                is_in_line: lanes < 2 && !claims.is_empty(),
                first: claims,
                second,
            };
        }
        let mut sizes = vec![0; lanes];
        for number in &numbers {
            if let Some(size) = sizes.get_mut(*number) {
                *size += 1;
            }
        }
        // Whole lanes, until half of the events are reached; not the last one.
        let mut taken = 0;
        let full = sizes.iter().position(|size| {
            let is_full = taken >= half;
            taken += size;
            is_full
        });
        let end = full.unwrap_or(lanes).min(lanes - 1);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (claim, number) in claims.into_iter().zip(numbers) {
            match number < end {
                true => first.push(claim),
                false => second.push(claim),
            }
        }
        Self {
            first,
            second,
            is_in_line: false,
        }
    }
}

/// The number of the lane of each event, counted from 0 in the order of their first events.
fn lane_numbers(claims: &[Arc<Claim>]) -> Vec<usize> {
    let mut known: HashMap<Lane, usize> = HashMap::new();
    let mut next = 0;
    let mut new = || {
        next += 1;
        next - 1
    };
    let number = |claim: &Arc<Claim>| match Lane::of(&claim.event).map(|lane| known.entry(lane)) {
        Some(Entry::Occupied(known)) => *known.get(),
        Some(Entry::Vacant(unknown)) => *unknown.insert(new()),
        None => new(),
    };
    claims.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{Lease, LeaseToken};
    use crate::enqueue::NewEvent;
    use crate::event::Operation;
    use chrono::DateTime;

    /// A batch of events about these entities.
    fn batch(entities: &[i64], order: Order) -> Vec<Arc<Claim>> {
        let claim = |entity: &i64| {
            let event = NewEvent::new("note", *entity, "u1", Operation::Update).with_order(order);
            let event = event.into_pending(DateTime::UNIX_EPOCH);
            let lease = Lease {
                event_id: event.id,
                seq: event.seq,
                token: LeaseToken::random(),
                expires_at: DateTime::UNIX_EPOCH,
            };
            Arc::new(Claim { event, lease })
        };
        entities.iter().map(claim).collect()
    }

    fn entities(claims: &[Arc<Claim>]) -> Vec<i64> {
        let entity = |claim: &Arc<Claim>| claim.event.entity_id.as_integer().unwrap_or_default();
        claims.iter().map(entity).collect()
    }

    #[test]
    fn a_batch_is_split_between_its_lanes_and_one_lane_in_the_middle() {
        /// The events, the halves, and whether the second waits for the first.
        type Case = (&'static [i64], &'static [i64], &'static [i64], bool);
        let cases: [Case; 7] = [
            (&[1, 2, 3, 4, 5], &[1, 2], &[3, 4, 5], false),
            (&[1, 1, 1, 1, 1], &[1, 1], &[1, 1, 1], true),
            (&[1, 2, 1, 2, 1], &[1, 1, 1], &[2, 2], false),
            (&[1, 1, 1, 2], &[1, 1, 1], &[2], false),
            (&[1, 2, 2, 2], &[1], &[2, 2, 2], false),
            (&[1, 2, 3, 3, 3, 3], &[1, 2], &[3, 3, 3, 3], false),
            (&[1], &[], &[1], false),
        ];
        for (all, first, second, is_in_line) in cases {
            let halves = Halves::of(batch(all, Order::Entity));
            let found = (entities(&halves.first), entities(&halves.second));
            assert_eq!(found, (first.to_vec(), second.to_vec()), "{all:?}");
            assert_eq!(halves.is_in_line, is_in_line, "{all:?}");
        }
        let of_user = Halves::of(batch(&[1, 2, 3, 4], Order::User));
        assert_eq!(entities(&of_user.first), [1, 2]);
        assert!(of_user.is_in_line);
        assert!(!Halves::of(batch(&[1, 1], Order::None)).is_in_line);
    }
}
