//! Folding, and ids that are known: what becomes of an event that is enqueued where another about its entity waits.

use chrono::{DateTime, Utc};

use super::state::State;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{Coalesce, Order};
use crate::error::EnqueueError;
use crate::event::{OutboxEvent, OutboxStatus};

/// What was enqueued under an id, and which row carries it since it was folded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folded {
    pub(super) into: i64,
    fingerprint: i64,
}

impl State {
    /// The answer to an event whose id is there: as a row, or folded into one.
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
                .filter(|_| self.was_never_told(&waiting))?,
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

    /// Whether the remote service cannot know the entity of this event, nor hear of it from another event.
    fn was_never_told(&self, event: &OutboxEvent) -> bool {
        let is_of_another = |row: &OutboxEvent| {
            row.seq != event.seq
                && row.entity_id == event.entity_id
                && row.user_id == event.user_id
                // What was cancelled out was told to nobody.
                && !(row.status == OutboxStatus::Completed && row.last_attempt_at.is_none())
        };
        let entity = (event.user_id.clone(), event.entity_id.clone());
        !self.told.contains(&entity)
            && !self.told_of_any.contains(&event.user_id)
            && !self.rows.values().any(is_of_another)
    }

    /// All events of one user became those of another: so did what the service knows.
    pub(super) fn told_becomes(&mut self, from: &str, to: &str) {
        let of_user = self.told.iter().filter(|(user, _)| user == from);
        let moved: Vec<_> = of_user
            .map(|(_, entity)| (to.to_owned(), entity.clone()))
            .collect();
        self.told.extend(moved);
        if self.told_of_any.contains(from) {
            self.told_of_any.insert(to.to_owned());
        }
        // Which of them the service knows as the first user's cannot be looked up any more.
        self.told_of_any.insert(from.to_owned());
    }
}
