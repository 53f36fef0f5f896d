//! The rows and their queues.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::folding::Folded;
use super::lanes::{Lane, Line};
use super::ready::Ready;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{EntityId, Order};
use crate::error::EnqueueError;
use crate::event::OutboxEvent;
use crate::history::PastAttempt;
use crate::outcome::{Cause, Transition};
use crate::pause::{PauseScope, Paused};
use crate::presence::Announcement;
use crate::store::kit::{Slot, Turn, slot_after};

/// A completion by a handler that has not answered yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    pub(super) at: DateTime<Utc>,
    /// The answer for the event that superseded it, if one has.
    pub(super) next: Option<Enqueued>,
}

/// The rows, and the queues for which the SQLite store has partial indices.
#[derive(Default, Clone)]
pub(super) struct State {
    pub(super) rows: BTreeMap<i64, OutboxEvent>,
    pub(super) by_id: HashMap<Uuid, i64>,
    /// At the front of their lanes, and due when last checked.
    pub(super) ready: Ready,
    /// At the front of their lanes but due later, by due time.
    pub(super) waiting: BTreeSet<(DateTime<Utc>, i64)>,
    /// Leased, by the end of the lease.
    pub(super) leased: BTreeSet<(DateTime<Utc>, i64)>,
    /// The front of each lane is in one of the queues above, or dead, or behind an elder; all other
    /// events are in no queue.
    pub(super) lanes: HashMap<Lane, Line>,
    /// The number of events of each type by order; nearly always a type has a single order.
    pub(super) orders: HashMap<String, HashMap<Order, usize>>,
    /// Ids of folded events, and of the rows that carry them.
    pub(super) folded: HashMap<Uuid, Folded>,
    /// The number of completed events of each user that clean-up deleted.
    pub(super) cleaned_up: HashMap<String, u64>,
    /// Entities, by user, that the remote service may know from an event that was deleted.
    pub(super) known_entities: HashSet<(String, EntityId)>,
    /// Users any of whose entities the remote service may know.
    pub(super) known_users: HashSet<String>,
    pub(super) pauses: BTreeMap<PauseScope, Paused>,
    pub(super) runs: HashMap<Uuid, Announcement>,
    /// The past attempts of each event.
    pub(super) attempts: HashMap<i64, VecDeque<PastAttempt>>,
    /// Whether deliveries are among them.
    pub(super) keeps_deliveries: bool,
    /// The claims, by event and token, whose handlers completed the event and have not answered
    /// yet.
    pub(super) completions: HashMap<(Uuid, Uuid), Noted>,
    /// The creations that an event waits for, by event.
    pub(super) creations: HashMap<i64, BTreeSet<i64>>,
    /// The same, by creation.
    pub(super) children: HashMap<i64, BTreeSet<i64>>,
    last_seq: i64,
}

impl State {
    /// Enqueues an event, unless its id is known or it folds into a waiting one.
    pub(super) fn enqueue(
        &mut self,
        event: NewEvent,
        now: DateTime<Utc>,
    ) -> Result<Enqueued, EnqueueError> {
        if let Some(known) = self.known(&event) {
            return known;
        }
        if let Some(enqueued) = self.fold(&event, now) {
            return Ok(enqueued);
        }
        if event.key().is_some() {
            return Ok(self.enqueue_keyed(event, now));
        }
        let id = event.id;
        self.insert(event.into_pending(now), now);
        Ok(Enqueued::New(id))
    }

    /// Inserts an event, and returns its seq.
    pub(super) fn insert(&mut self, mut event: OutboxEvent, now: DateTime<Utc>) -> i64 {
        self.last_seq += 1;
        let seq = self.last_seq;
        event.seq = seq;
        self.by_id.insert(event.id, seq);
        self.rows.insert(seq, event);
        self.find_creations(seq);
        self.change(seq, now, |_| {});
        seq
    }

    pub(super) fn remove(&mut self, seq: i64, now: DateTime<Utc>) {
        self.unqueue(seq);
        if let Some(event) = self.rows.remove(&seq) {
            self.by_id.remove(&event.id);
            self.attempts.remove(&seq);
            if !event.was_never_attempted() {
                let entity = (event.user_id.clone(), event.entity_id.clone());
                self.known_entities.insert(entity);
            }
            self.folded.retain(|_, folded| folded.into != seq);
            self.forget_creations(seq);
            self.leave(self.place_of(&event), now);
            self.free_children(seq, now);
        }
    }

    /// Reassigns an event that no handler has to another user, and moves it to its new lane.
    pub(super) fn give_to(&mut self, seq: i64, user_id: &str, now: DateTime<Utc>) {
        self.unqueue(seq);
        let Some(place) = self.rows.get(&seq).map(|event| self.place_of(event)) else {
            return;
        };
        if let Some(event) = self.rows.get_mut(&seq) {
            event.user_id = user_id.to_owned();
        }
        self.find_creations(seq);
        self.leave(place, now);
        self.change(seq, now, |_| {});
    }

    /// Changes one event, and updates the front of its lane.
    pub(super) fn change(
        &mut self,
        seq: i64,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut OutboxEvent),
    ) {
        self.unqueue(seq);
        let Some(event) = self.rows.get_mut(&seq) else {
            return;
        };
        change(event);
        let is_open = event.is_open();
        let Some(place) = self.rows.get(&seq).map(|event| self.place_of(event)) else {
            return;
        };
        match is_open {
            true => self.enter(place, now),
            false => self.leave(place, now),
        }
        self.free_children(seq, now);
    }

    pub(super) fn queue(&mut self, seq: i64, now: DateTime<Utc>) {
        let Some(event) = self.rows.get(&seq) else {
            return;
        };
        let is_behind = self.creations.contains_key(&seq) || self.first_elder(event).is_some();
        let turn = Turn::of(event, now, is_behind);
        match slot_after(event.status, event.on_dead_now(), turn) {
            Some(Slot::Waiting) => {
                self.waiting.insert((event.next_attempt_at, seq));
            }
            Some(Slot::Ready) => {
                self.ready.insert(event);
            }
            Some(Slot::Parked) => {
                let ends = event.lease_expires_at.unwrap_or(now);
                self.leased.insert((ends, seq));
            }
            Some(Slot::Blocked | Slot::Holding) | None => {}
        }
    }

    pub(super) fn unqueue(&mut self, seq: i64) {
        if let Some(event) = self.rows.get(&seq) {
            self.ready.remove(event);
            self.waiting.remove(&(event.next_attempt_at, seq));
            if let Some(ends) = event.lease_expires_at {
                self.leased.remove(&(ends, seq));
            }
        }
    }

    /// Adds a past attempt to the history of an event.
    pub(super) fn remember(&mut self, seq: i64, attempt: PastAttempt) {
        let history = self.attempts.entry(seq).or_default();
        if history.len() >= PastAttempt::MAX_KEPT {
            history.pop_front();
        }
        history.push_back(attempt);
    }

    /// Whether an event is unchanged since it was seen.
    pub(super) fn is_as_seen(&self, seen: &OutboxEvent) -> bool {
        self.rows.get(&seen.seq) == Some(seen)
    }

    pub(super) fn promote(&mut self, now: DateTime<Utc>) {
        while let Some(&(due, seq)) = self.waiting.first()
            && due <= now
        {
            self.waiting.pop_first();
            if let Some(event) = self.rows.get(&seq) {
                self.ready.insert(event);
            }
        }
    }

    /// Applies the transition for `cause`, then `write`, to one event. Returns `None`, and changes
    /// nothing, if the table has no such transition.
    pub(super) fn transit(
        &mut self,
        seq: i64,
        cause: Cause,
        now: DateTime<Utc>,
        write: impl FnOnce(&mut OutboxEvent),
    ) -> Option<&'static Transition> {
        let transition = Transition::of(self.rows.get(&seq)?, cause)?;
        self.change(seq, now, |event| {
            transition.apply(event);
            write(event);
        });
        Some(transition)
    }
}
