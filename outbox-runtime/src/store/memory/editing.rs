//! Manual changes and deletions, and clean-up.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::state::State;
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::Cause;
use crate::repository::DeleteUnit;
use crate::store::kit::handler_has_some;

impl State {
    /// Makes failed and dead events pending, due now, with their full number of attempts. Returns
    /// their number.
    pub(super) fn reset(&mut self, ids: &[Uuid], now: DateTime<Utc>) -> u64 {
        let mut count = 0;
        for id in ids {
            let Some(seq) = self.by_id.get(id).copied() else {
                continue;
            };
            let reset = self.transit(seq, Cause::Reset, now, |event| {
                event.next_attempt_at = now;
                event.error_message = None;
                event.dead_reason = None;
                event.deferrals = 0;
                event.deferred_since = None;
                event.last_refusal = None;
                event.crashes = 0;
                event.snoozes = 0;
                event.expires_at = event.expires_at.filter(|at| *at > now);
            });
            count += u64::from(reset.is_some());
        }
        count
    }

    /// Reassigns all events of one user to another, unless a handler has one of them.
    pub(super) fn reassign(
        &mut self,
        from: &str,
        to: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut seqs = Vec::new();
        for event in self.rows.values().filter(|event| event.user_id == from) {
            if event.status == OutboxStatus::Processing {
                return Err(handler_has_some(from));
            }
            seqs.push(event.seq);
        }
        for seq in &seqs {
            self.give_to(*seq, to, now);
        }
        self.reassign_known(from, to);
        if let Some(cleaned_up) = self.cleaned_up.remove(from) {
            *self.cleaned_up.entry(to.to_owned()).or_default() += cleaned_up;
        }
        Ok(seqs.len() as u64)
    }

    /// Deletes old completed events, and adds them to the counts of cleaned-up events.
    pub(super) fn clean_up(&mut self, older_than: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
        let is_old = |event: &&OutboxEvent| {
            event.status == OutboxStatus::Completed
                && event.completed_at.is_some_and(|at| at < older_than)
        };
        let old = self.rows.values().filter(is_old);
        let old: Vec<_> = old.map(|event| event.seq).collect();
        for seq in &old {
            self.clean_up_event(*seq, now);
        }
        old.len() as u64
    }

    /// Deletes a completed event, and adds it to the counts of cleaned-up events.
    pub(super) fn clean_up_event(&mut self, seq: i64, now: DateTime<Utc>) {
        let user_id = self.rows.get(&seq).map(|event| event.user_id.clone());
        self.remove(seq, now);
        if let Some(user_id) = user_id {
            *self.cleaned_up.entry(user_id).or_default() += 1;
        }
    }

    /// Deletes the events that are unchanged since they were seen; see
    /// [`OutboxRepository::delete_seen`](crate::OutboxRepository::delete_seen).
    pub(super) fn delete_seen(
        &mut self,
        seen: &[OutboxEvent],
        unit: DeleteUnit,
        now: DateTime<Utc>,
    ) -> u64 {
        let by_seq: HashMap<i64, &OutboxEvent> =
            seen.iter().map(|event| (event.seq, event)).collect();
        let was_seen = |event: &OutboxEvent| by_seq.get(&event.seq) == Some(&event);
        let is_deletable = |event: &&OutboxEvent| {
            let is_alone = unit == DeleteUnit::Event || !event.is_open();
            self.is_as_seen(event) && (is_alone || self.open_in_lane_of(event).all(was_seen))
        };
        let seqs: BTreeSet<i64> = seen
            .iter()
            .filter(is_deletable)
            .map(|event| event.seq)
            .collect();
        for seq in &seqs {
            self.remove(*seq, now);
        }
        seqs.len() as u64
    }
}
