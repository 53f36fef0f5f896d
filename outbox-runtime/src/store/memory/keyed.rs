//! Keys: enqueueing an event in the place of a waiting one with the same key, and canceling.

use chrono::{DateTime, Utc};

use super::folding::Folded;
use super::state::State;
use crate::cancellation::{Cancel, Canceled};
use crate::enqueue::{Enqueued, NewEvent, OnSameKey};
use crate::store::kit::takes_place;

impl State {
    /// Enqueues an event that has a key, and whose id is not known.
    pub(super) fn enqueue_keyed(&mut self, event: NewEvent, now: DateTime<Utc>) -> Enqueued {
        let waiting = self.rows.values().filter(|row| {
            row.dedup_key.as_deref() == event.key()
                && row.user_id == event.user_id
                && row.was_never_attempted()
        });
        let waiting: Vec<i64> = waiting.map(|row| row.seq).collect();
        let newest = waiting.last().and_then(|seq| self.rows.get(seq));
        let newest = newest.map(|row| (row.seq, row.id));
        let event_id = event.id;
        let fingerprint = event.fingerprint();
        if let (OnSameKey::Keep, Some((into, kept))) = (event.on_same_key(), newest) {
            self.folded.insert(event_id, Folded { into, fingerprint });
            return Enqueued::Kept { event_id, kept };
        }
        let is_place = |seq: &&i64| {
            self.rows
                .get(*seq)
                .is_some_and(|old| takes_place(&event, old))
        };
        let place = waiting.iter().find(is_place).copied();
        let into = match place {
            Some(place) => self.take_place(place, event, now),
            None => self.insert(event.into_pending(now), now),
        };
        for seq in waiting.into_iter().filter(|seq| place != Some(*seq)) {
            self.carry_over(seq, into);
            self.remove(seq, now);
        }
        match newest {
            Some((_, replaced)) => Enqueued::Replaced { event_id, replaced },
            None => Enqueued::New(event_id),
        }
    }

    /// Puts an event in the place of another one, and lets it carry that one. Returns its seq.
    fn take_place(&mut self, seq: i64, event: NewEvent, now: DateTime<Utc>) -> i64 {
        let Some(old) = self.rows.get(&seq) else {
            return self.insert(event.into_pending(now), now);
        };
        let (old_id, created_at) = (old.id, old.created_at);
        self.carry_over(seq, seq);
        self.by_id.remove(&old_id);
        self.by_id.insert(event.id, seq);
        let mut new = event.into_pending(now);
        if new.next_attempt_at <= new.created_at {
            new.next_attempt_at = created_at;
        }
        new.created_at = created_at;
        new.seq = seq;
        self.change(seq, now, |row| *row = new);
        seq
    }

    /// Lets the event `into` carry the event `seq`, and whatever that one carries.
    fn carry_over(&mut self, seq: i64, into: i64) {
        for folded in self.folded.values_mut().filter(|it| it.into == seq) {
            folded.into = into;
        }
        if let Some(row) = self.rows.get(&seq) {
            let fingerprint = row.fingerprint();
            self.folded
                .entry(row.id)
                .or_insert(Folded { into, fingerprint });
        }
    }

    /// Deletes the unclaimed ones among the events that `cancel` selects.
    pub(super) fn cancel(&mut self, cancel: &Cancel, now: DateTime<Utc>) -> Canceled {
        let mut canceled = Canceled::default();
        let mut seqs = Vec::new();
        for row in self.rows.values().filter(|row| cancel.selects(row)) {
            if canceled.add(row) {
                seqs.push(row.seq);
            }
        }
        for seq in seqs {
            self.remove(seq, now);
        }
        canceled
    }
}
