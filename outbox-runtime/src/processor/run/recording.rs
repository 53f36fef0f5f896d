//! Recording: settles attempts and writes their outcomes to the store.

use std::sync::Arc;

use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::{Run, lanes};
use crate::claim::Claim;
use crate::clock;
use crate::error::StoreError;
use crate::event::{DeadReason, OutboxEvent, RefusalClass};
use crate::outcome::{Disposition, MANY_SNOOZES, Outcome, Settled, Settlement};
use crate::processor::evidence::{Facts, Judged, Refused, Verdict};
use crate::retry::RetryPolicy;

/// Whether a verdict on a batch means that one of its events is to blame, and not the service. A
/// pause that the service asked for is meant for all of them.
fn is_of_one(verdict: Verdict, class: RefusalClass) -> bool {
    match verdict {
        Verdict::Charged { .. } | Verdict::Rejected => true,
        Verdict::Deferred { .. } => {
            matches!(class, RefusalClass::Unavailable | RefusalClass::Offline)
        }
        Verdict::GivenBack { .. } => false,
    }
}

impl Run {
    /// Settles refused events by their verdicts.
    pub(super) fn settle_judged(&mut self, judged: Vec<Judged>) {
        for Judged { refused, verdict } in judged {
            let Refused {
                facts,
                refusal,
                not_before,
                retry,
                ..
            } = refused;
            if facts.is_batch() && is_of_one(verdict, refusal.class) {
                self.split_batch(facts.members().cloned().collect(), None);
                continue;
            }
            let outcome = match verdict {
                Verdict::Charged {
                    is_conclusive: true,
                } => Outcome::Retry {
                    message: refusal.message,
                    not_before,
                },
                Verdict::Charged {
                    is_conclusive: false,
                } => Outcome::RetryUndecided {
                    message: refusal.message,
                    not_before,
                },
                Verdict::Deferred { base } => Outcome::Deferred {
                    refusal,
                    not_before,
                    base,
                },
                Verdict::Rejected => Outcome::Dead {
                    reason: DeadReason::Rejected,
                    message: refusal.message,
                },
                Verdict::GivenBack { delay } => Outcome::GivenBack {
                    delay,
                    refusal: Some(refusal),
                },
            };
            match facts.is_batch() {
                true => {
                    let members: Vec<_> = facts.members().cloned().collect();
                    self.settle_firsts(&members, &outcome, &retry);
                }
                false => self.settle(&facts.claim, outcome, &retry),
            }
        }
    }

    /// Settles the events of a batch that have one outcome together. It is that of the first event
    /// of each lane; the others follow it in a later batch.
    pub(super) fn settle_firsts(
        &mut self,
        members: &[Arc<Claim>],
        outcome: &Outcome,
        retry: &RetryPolicy,
    ) {
        let (firsts, behind) = lanes::firsts(members.iter());
        for claim in &firsts {
            self.settle(claim, outcome.clone(), retry);
        }
        self.hand_back_all(&behind);
    }

    /// Settles the events of a batch in doubt as not attempted, without the one whose lease was
    /// lost.
    pub(super) fn settle_all_but(&mut self, event_id: Uuid, judged: Judged) {
        let facts = judged.refused.facts;
        for claim in facts.members().filter(|claim| claim.event.id != event_id) {
            self.hand_back(claim);
        }
    }

    /// Settles those of these attempts that are in doubt as not attempted, without waiting for
    /// evidence.
    pub(super) fn give_back_doubts(&mut self, which: impl Fn(&Facts) -> bool) {
        let judged = self.evidence.give_back(which);
        self.settle_judged(judged);
    }

    /// Decides what an outcome means for its event, and queues it for recording.
    pub(super) fn settle(&mut self, claim: &Claim, outcome: Outcome, retry: &RetryPolicy) {
        let mut settlement = outcome.settle(claim, retry, self.now());
        let keeps_completed = !self.shared.settings.keep_completed.is_zero();
        if settlement.disposition == Disposition::Complete && !keeps_completed {
            settlement.disposition = Disposition::Remove;
        }
        let event = &claim.event;
        if self.promised.has(claim) {
            // The event may be completed already, which only the store knows. It is told then.
            self.promised.keep(event);
            self.listeners.settled(event, &Disposition::Complete);
        } else {
            self.tell(event, &settlement.disposition);
        }
        self.listeners.settled(event, &settlement.disposition);
        self.unrecorded.push(settlement);
    }

    /// Tells logs and metrics what becomes of an event.
    fn tell(&mut self, event: &OutboxEvent, disposition: &Disposition) {
        match disposition {
            Disposition::Complete | Disposition::Remove => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "delivered");
            }
            Disposition::Drop => {
                info!(event_id = %event.id, event_type = ?event.event_type, "expired; dropped");
            }
            Disposition::Fail {
                next_attempt_at,
                message,
            } => warn!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                next_attempt_at = %next_attempt_at, error = ?message,
                "attempt failed; will be retried"
            ),
            Disposition::Bury { reason, message } => error!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                reason = %reason, error = ?message, "dead letter"
            ),
            Disposition::GiveBack { .. } => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "given back");
            }
            Disposition::Defer {
                next_attempt_at,
                refusal,
            } => warn!(
                event_id = %event.id, event_type = ?event.event_type,
                deferrals = event.deferrals.saturating_add(1),
                next_attempt_at = %next_attempt_at, refused = refusal.class.as_str(),
                error = ?refusal.message, "refused while other events get through; will be retried"
            ),
            Disposition::Snooze { next_attempt_at }
                if event.snoozes.saturating_add(1) >= MANY_SNOOZES =>
            {
                warn!(
                    event_id = %event.id, event_type = ?event.event_type,
                    snoozes = event.snoozes.saturating_add(1),
                    next_attempt_at = %next_attempt_at, "snoozed many times"
                );
            }
            Disposition::Snooze { next_attempt_at } => debug!(
                event_id = %event.id, event_type = ?event.event_type,
                next_attempt_at = %next_attempt_at, "snoozed"
            ),
        }
        self.meter.settled(event, disposition);
    }

    /// Records the unrecorded outcomes. On an error they are kept for the next time.
    pub(super) async fn record(&mut self) -> Result<(), StoreError> {
        // Renew first, in case a lease has only expired; try twice, in case one expires meanwhile.
        for _ in 0..2 {
            if self.unrecorded.is_empty() {
                break;
            }
            self.renew().await?;
            let queue = Arc::clone(&self.shared.queue);
            let recording = self.unrecorded.take();
            let settlements = recording.clone();
            let settled = self
                .await_store(async { queue.settle(settlements).await })
                .await;
            self.recorded(recording, settled)?;
        }
        Ok(())
    }

    /// Applies the store's answer to settlements.
    pub(super) fn recorded(
        &mut self,
        recording: Vec<Settlement>,
        settled: Result<Vec<Settled>, StoreError>,
    ) -> Result<(), StoreError> {
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                self.unrecorded.put_back(recording);
                return Err(error);
            }
        };
        if recording.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut locked = Vec::new();
        for (mut settlement, settled) in recording.into_iter().zip(settled) {
            let event_id = settlement.lease.event_id;
            match settled {
                Settled::Recorded | Settled::AlreadyCompleted => {
                    self.leases.release(&event_id);
                    if settled == Settled::AlreadyCompleted {
                        settlement.disposition = Disposition::Complete;
                    }
                    if let Some(event) = self.promised.take(&settlement.lease) {
                        self.tell(&event, &settlement.disposition);
                    }
                    if settlement.disposition == Disposition::Complete {
                        let interval = self.shared.settings.cleanup_interval;
                        self.alarms.clean_up_by(clock::after(now, interval));
                    }
                    self.listeners.recorded(settlement, now);
                }
                Settled::Locked => {
                    debug!(%event_id, "the event is locked; its outcome is recorded later");
                    locked.push(settlement);
                }
                Settled::LeaseLost if self.leases.keep_if_only_ended(&event_id, now) => {
                    self.unrecorded.push(settlement);
                }
                Settled::LeaseLost => {
                    self.listeners.lost(&event_id);
                    self.promised.lost(&settlement.lease);
                    warn!(%event_id, "the lease was lost; the outcome is discarded");
                }
            }
        }
        self.unrecorded.postpone(locked, now);
        self.leases.forget_unheld();
        self.activity.made_progress();
        Ok(())
    }
}
