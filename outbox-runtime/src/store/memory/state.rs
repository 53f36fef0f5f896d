//! The rows, and the queues that they stand in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::{Claim, Lease, LeaseToken};
use crate::clock;
use crate::entity::EntityId;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};
use crate::outcome::{Disposition, LEASE_EXPIRED, Settled, Settlement};
use crate::repository::Rescued;
use crate::store::rules::{ClaimOrder, claim_order};

/// The key of delivery order.
type EntityKey = (EntityId, String);

/// The rows, and beside them the same queues that the SQLite store has as partial indices.
#[derive(Default)]
pub(super) struct State {
    pub(super) rows: BTreeMap<i64, OutboxEvent>,
    pub(super) by_id: HashMap<Uuid, i64>,
    /// Due (as far as was looked) and first of their entity, in claim order.
    pub(super) ready: BTreeSet<ClaimOrder>,
    /// First of their entity, by due time.
    pub(super) waiting: BTreeSet<(DateTime<Utc>, i64)>,
    /// With a handler, by the end of the lease.
    pub(super) leased: BTreeSet<(DateTime<Utc>, i64)>,
    /// Undelivered events of each entity. The first is in one of the above, or dead; the others are in none.
    open: HashMap<EntityKey, BTreeSet<i64>>,
    last_seq: i64,
}

impl State {
    pub(super) fn insert(&mut self, mut event: OutboxEvent, now: DateTime<Utc>) {
        self.last_seq += 1;
        event.seq = self.last_seq;
        self.by_id.insert(event.id, event.seq);
        let key = key(&event);
        self.open.entry(key.clone()).or_default().insert(event.seq);
        self.rows.insert(event.seq, event);
        self.queue_first(&key, now);
    }

    pub(super) fn remove(&mut self, seq: i64, now: DateTime<Utc>) {
        self.unqueue(seq);
        if let Some(event) = self.rows.remove(&seq) {
            self.by_id.remove(&event.id);
            self.finish(&key(&event), seq, now);
        }
    }

    /// The event is no longer open: the next of its entity may go.
    fn finish(&mut self, key: &EntityKey, seq: i64, now: DateTime<Utc>) {
        if let Some(open) = self.open.get_mut(key) {
            open.remove(&seq);
            if open.is_empty() {
                self.open.remove(key);
            }
        }
        self.queue_first(key, now);
    }

    /// Puts the first open event of an entity into the queue that its state and due time call for.
    fn queue_first(&mut self, key: &EntityKey, now: DateTime<Utc>) {
        let first = self.open.get(key).and_then(|open| open.first()).copied();
        let Some(event) = first.and_then(|seq| self.rows.get(&seq)) else {
            return;
        };
        match event.status {
            OutboxStatus::Pending | OutboxStatus::Failed if event.next_attempt_at > now => {
                self.waiting.insert((event.next_attempt_at, event.seq));
            }
            OutboxStatus::Pending | OutboxStatus::Failed => {
                self.ready.insert(claim_order(event));
            }
            OutboxStatus::Processing => {
                let ends = event.lease_expires_at.unwrap_or(now);
                self.leased.insert((ends, event.seq));
            }
            OutboxStatus::Completed | OutboxStatus::Dead => {}
        }
    }

    fn unqueue(&mut self, seq: i64) {
        if let Some(event) = self.rows.get(&seq) {
            self.ready.remove(&claim_order(event));
            self.waiting.remove(&(event.next_attempt_at, seq));
            if let Some(ends) = event.lease_expires_at {
                self.leased.remove(&(ends, seq));
            }
        }
    }

    /// Changes one event and puts it, or what it lets go, into the right queue.
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
        let key = key(event);
        if event.status == OutboxStatus::Completed {
            self.finish(&key, seq, now);
        } else {
            self.queue_first(&key, now);
        }
    }

    pub(super) fn promote(&mut self, now: DateTime<Utc>) {
        while let Some(&(due, seq)) = self.waiting.first()
            && due <= now
        {
            self.waiting.pop_first();
            if let Some(event) = self.rows.get(&seq) {
                self.ready.insert(claim_order(event));
            }
        }
    }

    pub(super) fn take(&mut self, seq: i64, now: DateTime<Utc>, lease: Duration) -> Option<Claim> {
        let token = LeaseToken::random();
        let expires_at = clock::after(now, lease);
        self.change(seq, now, |event| {
            event.status = OutboxStatus::Processing;
            event.attempt_count = event.attempt_count.saturating_add(1);
            event.last_attempt_at = Some(now);
            event.lease_token = Some(token.as_uuid());
            event.lease_expires_at = Some(expires_at);
        });
        let event = self.rows.get(&seq)?.clone();
        Some(Claim {
            lease: Lease {
                event_id: event.id,
                token,
                expires_at,
            },
            event,
        })
    }

    /// The event that is held under this very lease, if that has not ended.
    pub(super) fn held(&self, lease: &Lease, now: DateTime<Utc>) -> Option<i64> {
        let event = self.rows.get(self.by_id.get(&lease.event_id)?)?;
        let holds = event.lease_token == Some(lease.token.as_uuid())
            && event.lease_expires_at.is_some_and(|ends| ends > now);
        holds.then_some(event.seq)
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now: DateTime<Utc>) -> Settled {
        let Some(seq) = self.held(&settlement.lease, now) else {
            return Settled::LeaseLost;
        };
        self.change(seq, now, |event| {
            event.lease_token = None;
            event.lease_expires_at = None;
            match settlement.disposition {
                Disposition::Complete => {
                    event.status = OutboxStatus::Completed;
                    event.completed_at = Some(now);
                    event.error_message = None;
                }
                Disposition::Fail {
                    next_attempt_at,
                    message,
                } => {
                    event.status = OutboxStatus::Failed;
                    event.next_attempt_at = next_attempt_at;
                    event.error_message = Some(message);
                }
                Disposition::Bury { reason, message } => {
                    event.status = OutboxStatus::Dead;
                    event.dead_reason = Some(reason);
                    event.error_message = Some(message);
                }
                Disposition::GiveBack { next_attempt_at } => {
                    event.attempt_count = event.attempt_count.saturating_sub(1);
                    event.status = if event.attempt_count > 0 {
                        OutboxStatus::Failed
                    } else {
                        OutboxStatus::Pending
                    };
                    event.next_attempt_at = next_attempt_at.unwrap_or(event.next_attempt_at);
                }
            }
        });
        Settled::Recorded
    }

    pub(super) fn rescue(&mut self, now: DateTime<Utc>) -> Rescued {
        let mut rescued = Rescued::default();
        while let Some(&(ends, seq)) = self.leased.first()
            && ends <= now
        {
            self.leased.pop_first();
            self.change(seq, now, |event| {
                event.lease_token = None;
                event.lease_expires_at = None;
                event.next_attempt_at = now;
                event.error_message = Some(LEASE_EXPIRED.to_owned());
                if event.attempt_count >= event.max_attempts {
                    event.status = OutboxStatus::Dead;
                    event.dead_reason = Some(DeadReason::AttemptsExhausted);
                    rescued.buried += 1;
                } else {
                    event.status = OutboxStatus::Failed;
                    rescued.requeued += 1;
                }
            });
        }
        rescued
    }
}

fn key(event: &OutboxEvent) -> EntityKey {
    (event.entity_id.clone(), event.user_id.clone())
}
