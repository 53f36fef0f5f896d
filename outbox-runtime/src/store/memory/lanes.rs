//! Lanes: which events wait for each other, and which one is next.
//!
//! An event waits for the events before it in its lane, and for its elders: events of the same
//! type, entity and user that were enqueued earlier under another order, and therefore are in
//! another lane. It also waits for the creations of its [parents](super::parents).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::state::State;
use crate::entity::{EntityId, Order};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::store::kit::Predecessor;

/// The key of a lane: its events wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    OfEntity(EntityId, String),
    OfUser(String),
    /// An unordered event has a lane of its own.
    Alone(i64),
}

/// The undelivered events of a lane.
#[derive(Default, Clone)]
pub(super) struct Line {
    pub(super) open: BTreeSet<i64>,
    /// The events with a handler: at most one, except in a batch that keeps the order of its lanes.
    leased: BTreeSet<i64>,
    /// The event that all others wait for: the first one, unless a handler has a later event, as
    /// when the first was retried meanwhile.
    pub(super) front: Option<i64>,
}

/// The position of an event: its lane, and its kin in other lanes.
pub(super) struct StandsIn {
    seq: i64,
    lane: Lane,
    event_type: String,
    order: Order,
    kin: Vec<i64>,
}

impl Lane {
    pub(super) fn of(event: &OutboxEvent) -> Self {
        match event.order {
            Order::Entity => Self::OfEntity(event.entity_id.clone(), event.user_id.clone()),
            Order::User => Self::OfUser(event.user_id.clone()),
            Order::None => Self::Alone(event.seq),
        }
    }
}

impl State {
    /// Adds an undelivered event to its lane; no-op if it is there already.
    pub(super) fn enter(&mut self, place: StandsIn, now: DateTime<Utc>) {
        let event = self.rows.get(&place.seq);
        let is_leased = event.is_some_and(|event| event.status == OutboxStatus::Processing);
        let line = self.lanes.entry(place.lane.clone()).or_default();
        match is_leased {
            true => line.leased.insert(place.seq),
            false => line.leased.remove(&place.seq),
        };
        if line.open.insert(place.seq) {
            let orders = self.orders.entry(place.event_type).or_default();
            *orders.entry(place.order).or_default() += 1;
        }
        self.line_up(&place.lane, now);
        if is_leased {
            // It may not be the front.
            self.queue(place.seq, now);
        }
        self.line_up_kin(place.kin, now);
    }

    /// Removes a finished or deleted event from its lane.
    pub(super) fn leave(&mut self, place: StandsIn, now: DateTime<Utc>) {
        let line = self.lanes.get_mut(&place.lane);
        let leaves = |line: &mut Line| {
            line.leased.remove(&place.seq);
            line.open.remove(&place.seq)
        };
        if line.is_some_and(leaves)
            && let Some(orders) = self.orders.get_mut(&place.event_type)
        {
            let count = orders.entry(place.order).or_default();
            *count = count.saturating_sub(1);
            orders.retain(|_, count| *count > 0);
            if orders.is_empty() {
                self.orders.remove(&place.event_type);
            }
        }
        self.line_up(&place.lane, now);
        self.line_up_kin(place.kin, now);
    }

    pub(super) fn place_of(&self, event: &OutboxEvent) -> StandsIn {
        StandsIn {
            seq: event.seq,
            lane: Lane::of(event),
            event_type: event.event_type.clone(),
            order: event.order,
            kin: self.kin(event),
        }
    }

    /// The open events of the same type, entity and user in lanes of other orders, by seq.
    pub(super) fn kin(&self, event: &OutboxEvent) -> Vec<i64> {
        let orders = self.orders.get(&event.event_type);
        let others = orders.is_some_and(|orders| orders.keys().any(|order| *order != event.order));
        if !others {
            return Vec::new();
        }
        let is_kin = |other: &&OutboxEvent| {
            other.is_open()
                && other.order != event.order
                && other.event_type == event.event_type
                && other.entity_id == event.entity_id
                && other.user_id == event.user_id
        };
        let kin = self.rows.values().filter(is_kin);
        kin.map(|other| other.seq).collect()
    }

    /// The first of those that this event waits for although they are not in its lane: they were
    /// enqueued before it, when its type had another order.
    pub(super) fn first_elder(&self, event: &OutboxEvent) -> Option<&OutboxEvent> {
        let first = self.kin(event).first().copied()?;
        self.rows.get(&first).filter(|elder| elder.seq < event.seq)
    }

    fn line_up_kin(&mut self, kin: Vec<i64>, now: DateTime<Utc>) {
        for seq in kin {
            if let Some(lane) = self.rows.get(&seq).map(Lane::of) {
                self.line_up(&lane, now);
            }
        }
    }

    /// Queues the front event of a lane according to its state and due time.
    pub(super) fn line_up(&mut self, lane: &Lane, now: DateTime<Utc>) {
        let Some(line) = self.lanes.get_mut(lane) else {
            return;
        };
        let before = line.front.filter(|before| !line.leased.contains(before));
        line.front = line.leased.first().or(line.open.first()).copied();
        let front = line.front;
        if front.is_none() {
            self.lanes.remove(lane);
        }
        if let Some(before) = before {
            self.unqueue(before);
        }
        if let Some(front) = front {
            self.queue(front, now);
        }
    }

    /// The undelivered events in the lane of this event.
    pub(super) fn open_in_lane_of(
        &self,
        event: &OutboxEvent,
    ) -> impl Iterator<Item = &OutboxEvent> {
        let line = self.lanes.get(&Lane::of(event));
        let open = line.into_iter().flat_map(|line| &line.open);
        open.filter_map(|seq| self.rows.get(seq))
    }

    /// The events that `event` waits for: each is waited for by the one before it. Follows the
    /// front of each lane, its elders, and its parents.
    pub(super) fn predecessors_of(&self, event: &OutboxEvent) -> Vec<Predecessor> {
        let mut predecessors: Vec<Predecessor> = Vec::new();
        let mut last = event;
        while predecessors.len() < Predecessor::MOST
            && let Some((next, is_parent)) = self.next_before(last)
        {
            predecessors.push(Predecessor::new(next.clone(), is_parent));
            last = next;
        }
        predecessors
    }

    /// The event that this one waits for, and whether it creates a parent.
    fn next_before(&self, event: &OutboxEvent) -> Option<(&OutboxEvent, bool)> {
        if event.status == OutboxStatus::Processing {
            return None;
        }
        let front = self.lanes.get(&Lane::of(event))?.front?;
        if front != event.seq {
            return Some((self.rows.get(&front)?, false));
        }
        if !matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed) {
            return None;
        }
        let elder = self.first_elder(event).map(|elder| (elder, false));
        elder.or_else(|| Some((self.first_creation(event.seq)?, true)))
    }
}
