//! Leases, and the outcomes recorded under them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::completing::key;
use super::state::State;
use crate::claim::{Claim, Lease, LeaseToken};
use crate::clock;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Disposition, LEASE_EXPIRED, Place, Settled, Settlement};
use crate::repository::Rescued;
use crate::store::kit::{crashed_attempt, past_attempt};

impl State {
    pub(super) fn take(&mut self, seq: i64, now: DateTime<Utc>, lease: Duration) -> Option<Claim> {
        self.lease(seq, now, LeaseToken::random(), clock::after(now, lease))
    }

    /// Leases an event under this token.
    pub(super) fn lease(
        &mut self,
        seq: i64,
        now: DateTime<Utc>,
        token: LeaseToken,
        expires_at: DateTime<Utc>,
    ) -> Option<Claim> {
        self.transit(seq, Cause::Claim, now, |event| {
            event.last_attempt_at = Some(now);
            event.lease_token = Some(token.as_uuid());
            event.lease_expires_at = Some(expires_at);
        })?;
        let event = self.rows.get(&seq)?.clone();
        Some(Claim {
            lease: Lease {
                event_id: event.id,
                seq,
                token,
                expires_at,
            },
            event,
        })
    }

    /// The event with exactly this lease, whether the lease has ended or not.
    pub(super) fn taken(&self, lease: &Lease) -> Option<&OutboxEvent> {
        let event = self.rows.get(self.by_id.get(&lease.event_id)?)?;
        (event.lease_token == Some(lease.token.as_uuid())).then_some(event)
    }

    /// The seq of the event, if it has exactly this lease and the lease has not ended.
    pub(super) fn held(&self, lease: &Lease, now: DateTime<Utc>) -> Option<i64> {
        let event = self.taken(lease)?;
        let holds = event.lease_expires_at.is_some_and(|ends| ends > now);
        holds.then_some(event.seq)
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now: DateTime<Utc>) -> Settled {
        let Some(seq) = self.held(&settlement.lease, now) else {
            return match self.completions.remove(&key(&settlement.lease)) {
                Some(_) => Settled::AlreadyCompleted,
                None => Settled::LeaseLost,
            };
        };
        let began = self.rows.get(&seq).and_then(|event| event.last_attempt_at);
        let began = began.unwrap_or(now);
        let keeps_deliveries = self.keeps_deliveries;
        let attempt = past_attempt(&settlement.disposition, began, now, keeps_deliveries);
        let cause = settlement.disposition.cause();
        let is_kept = settlement.disposition.keeps_the_event();
        let settled = self.transit(seq, cause, now, |event| {
            event.crashes = 0;
            match settlement.disposition {
                Disposition::Complete | Disposition::Remove | Disposition::Drop => {
                    event.completed_at = Some(now);
                    event.error_message = None;
                }
                Disposition::Fail {
                    next_attempt_at,
                    message,
                } => {
                    event.next_attempt_at = next_attempt_at;
                    event.error_message = Some(message);
                }
                Disposition::Bury { reason, message } => {
                    event.dead_reason = Some(reason);
                    event.error_message = Some(message);
                }
                Disposition::GiveBack {
                    next_attempt_at,
                    refusal,
                } => {
                    let as_before = event.next_attempt_at.min(now);
                    event.next_attempt_at = next_attempt_at.unwrap_or(as_before);
                    event.last_refusal = refusal.or(event.last_refusal.take());
                }
                Disposition::Defer {
                    next_attempt_at,
                    refusal,
                } => {
                    event.next_attempt_at = next_attempt_at;
                    event.deferrals = event.deferrals.saturating_add(1);
                    event.deferred_since.get_or_insert(now);
                    event.last_refusal = Some(refusal);
                }
                Disposition::Snooze { next_attempt_at } => {
                    event.next_attempt_at = next_attempt_at;
                    event.snoozes = event.snoozes.saturating_add(1);
                }
            }
        });
        if settled.is_none() {
            return Settled::LeaseLost;
        }
        if let Some(attempt) = attempt {
            self.remember(seq, attempt);
        }
        if !is_kept {
            self.clean_up_event(seq, now);
        }
        Settled::Recorded
    }

    /// Extends a lease that no one else has taken, whether it has ended or not.
    pub(super) fn extend(
        &mut self,
        held: &Lease,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Option<Lease> {
        let expires_at = clock::after(now, lease);
        if self.completions.contains_key(&key(held)) {
            return Some(Lease {
                expires_at,
                ..*held
            });
        }
        let seq = self.taken(held)?.seq;
        self.change(seq, now, |event| {
            event.lease_expires_at = Some(expires_at);
            // A lease renewed after the clock was set back counts from the new time, so
            // `follow_clock` has nothing left to correct.
            event.last_attempt_at = event.last_attempt_at.min(Some(now));
        });
        Some(Lease {
            expires_at,
            ..*held
        })
    }

    pub(super) fn rescue(&mut self, now: DateTime<Utc>) -> Rescued {
        self.rescue_ended_by(now, now)
    }

    /// Rescues only the events of these leases, if each has ended and is unchanged.
    pub(super) fn rescue_only(&mut self, now: DateTime<Utc>, leases: &[Lease]) -> Rescued {
        let long_ago = DateTime::<Utc>::MIN_UTC;
        for lease in leases.iter().filter(|lease| lease.expires_at <= now) {
            let taken = self.taken(lease);
            let same = taken.filter(|event| event.lease_expires_at == Some(lease.expires_at));
            if let Some(seq) = same.map(|event| event.seq) {
                self.change(seq, now, |event| event.lease_expires_at = Some(long_ago));
            }
        }
        self.rescue_ended_by(now, long_ago)
    }

    fn rescue_ended_by(&mut self, now: DateTime<Utc>, ended_by: DateTime<Utc>) -> Rescued {
        self.follow_clock(now);
        self.forget_completions(now);
        let mut rescued = Rescued::default();
        while let Some(&(ends, seq)) = self.leased.first()
            && ends <= ended_by
        {
            self.leased.pop_first();
            let began = self.rows.get(&seq).and_then(|event| event.last_attempt_at);
            let taken_back = self.transit(seq, Cause::Rescue, now, |event| {
                event.next_attempt_at = now;
                event.error_message = Some(LEASE_EXPIRED.to_owned());
                event.crashes = event.crashes.saturating_add(1);
                if event.status == OutboxStatus::Dead {
                    event.dead_reason = Some(DeadReason::CrashLoop);
                }
            });
            if taken_back.is_some() {
                self.remember(seq, crashed_attempt(began.unwrap_or(now), now));
            }
            match taken_back.map(|row| row.place) {
                Some(Place::Dead) => rescued.buried += 1,
                Some(_) => rescued.requeued += 1,
                None => {}
            }
        }
        rescued
    }

    /// Shortens leases that begin in the future: they were taken before the clock was set back, and
    /// would otherwise last longer by the same amount.
    fn follow_clock(&mut self, now: DateTime<Utc>) {
        let began_later = |seq: &i64| {
            let began = self.rows.get(seq)?.last_attempt_at?;
            (began > now).then_some((*seq, began - now))
        };
        let began_later: Vec<_> = self
            .leased
            .iter()
            .filter_map(|(_, seq)| began_later(seq))
            .collect();
        for (seq, set_back) in began_later {
            self.change(seq, now, |event| {
                event.last_attempt_at = Some(now);
                event.lease_expires_at = event
                    .lease_expires_at
                    .map(|ends| clock::shifted(ends, -set_back));
            });
        }
    }
}
