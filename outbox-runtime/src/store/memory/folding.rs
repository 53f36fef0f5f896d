//! Folding, and known ids: enqueueing an event that is stored already, or whose entity has a
//! waiting event.

use chrono::{DateTime, Utc};

use super::state::State;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{Coalesce, Order};
use crate::error::EnqueueError;
use crate::event::{OutboxEvent, OutboxStatus};

/// A folded event: the fingerprint of its content, and the row that carries it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folded {
    pub(super) into: i64,
    pub(super) fingerprint: i64,
}

impl State {
    /// The answer for an event whose id is known, as a row or as folded into one.
    pub(super) fn known(&self, event: &NewEvent) -> Option<Result<Enqueued, EnqueueError>> {
        let folded = self.folded.get(&event.id);
        let seq = folded.map(|folded| folded.into);
        let carrier = self
            .rows
            .get(&seq.or_else(|| self.by_id.get(&event.id).copied())?)?;
        let same = match folded {
            Some(folded) => folded.fingerprint == event.fingerprint(),
            None => event.is_same_event(carrier),
        };
        Some(if same {
            Ok(Enqueued::carried(event, carrier))
        } else {
            Err(EnqueueError::Conflict { event_id: event.id })
        })
    }

    pub(super) fn fold(&mut self, event: &NewEvent, now: DateTime<Utc>) -> Option<Enqueued> {
        if event.coalesce == Coalesce::Never {
            return None;
        }
        let newest = self.rows.values().rev().find(|row| {
            row.is_open()
                && row.order == event.order
                && row.user_id == event.user_id
                && (row.order == Order::User || row.entity_id == event.entity_id)
        });
        let waiting = newest?.clone();
        let kin = self.kin(&waiting);
        if kin.into_iter().any(|junior| junior > waiting.seq) {
            return None;
        }
        let folded = match event.folded_into(&waiting, now) {
            Some(folded) => folded,
            None => event
                .cancels(&waiting, now)
                .filter(|_| self.is_unknown_to_service(&waiting))?,
        };
        for (id, fingerprint) in [
            (waiting.id, waiting.fingerprint()),
            (event.id, event.fingerprint()),
        ] {
            let into = waiting.seq;
            self.folded
                .entry(id)
                .or_insert(Folded { into, fingerprint });
        }
        let enqueued = Enqueued::carried(event, &folded);
        self.change(waiting.seq, now, |row| *row = folded);
        Some(enqueued)
    }

    /// Whether the remote service neither knows the entity of this event, nor will learn of it from
    /// another event.
    fn is_unknown_to_service(&self, event: &OutboxEvent) -> bool {
        let may_announce = |row: &OutboxEvent| {
            row.seq != event.seq
                && row.entity_id == event.entity_id
                && row.user_id == event.user_id
                // Canceled pairs were never sent.
                && !(row.status == OutboxStatus::Completed && row.last_attempt_at.is_none())
        };
        let entity = (event.user_id.clone(), event.entity_id.clone());
        !self.known_entities.contains(&entity)
            && !self.known_users.contains(&event.user_id)
            && !self.rows.values().any(may_announce)
    }

    /// Moves the record of known entities from one user to another, along with the events.
    pub(super) fn reassign_known(&mut self, from: &str, to: &str) {
        let of_user = self.known_entities.iter().filter(|(user, _)| user == from);
        let moved: Vec<_> = of_user
            .map(|(_, entity)| (to.to_owned(), entity.clone()))
            .collect();
        self.known_entities.extend(moved);
        if self.known_users.contains(from) {
            self.known_users.insert(to.to_owned());
        }
        // The record no longer tells which entities the service knows under the first user.
        self.known_users.insert(from.to_owned());
    }
}
