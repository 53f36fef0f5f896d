//! Ending: what an attempt brought back, what that means for its event and for others, and recording it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinError;
use tracing::{debug, error, warn};

use super::{Attempt, Done, Job, Run, TaskEnd};
use crate::claim::Claim;
use crate::clock;
use crate::error::StoreError;
use crate::event::{DeadReason, Refusal, RefusalClass};
use crate::handler::{Delivery, Scope};
use crate::outcome::{Disposition, MANY_SNOOZES, Outcome, Settled, Settlement, bounded};
use crate::processor::attempt::Ended;
use crate::processor::builder::Rejections;
use crate::processor::evidence::{Evidence, Facts, Finality, Judged, Reach, Refused, Verdict};
use crate::retry::RetryPolicy;

impl Run {
    /// Takes in what a task brought back, or what its panic left.
    pub(super) fn take_in(&mut self, done: TaskEnd) {
        self.activity += 1;
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), panic_of(error)),
        };
        match (self.jobs.remove(&id), done) {
            (Some(Job::Attempt(attempt)), Some(Done::Attempt(ended, took))) => {
                self.pace.ended(took);
                self.ended(*attempt, ended, took);
            }
            // Aborted: its lease was lost.
            (Some(Job::Attempt(attempt)), _) => {
                self.leases.remove(&attempt.facts.claim.event.id);
                self.evidence.inconclusive(&attempt.facts, self.now());
            }
            (Some(Job::Refresh { user_id, .. }), done) => {
                let result = match done {
                    Some(Done::Refresh(result)) => result,
                    Some(Done::Attempt(ended, _)) => Err(format!("{ended:?}")),
                    None => Err("aborted".to_owned()),
                };
                if let Err(message) = &result {
                    warn!(error = ?message, "the credentials could not be refreshed");
                }
                let now = self.now();
                self.evidence.refreshed(&user_id, &result, now);
            }
            (None, _) => {}
        }
    }

    /// An attempt has ended: what it means for its event, and for others.
    fn ended(&mut self, attempt: Attempt, ended: Ended, took: Duration) {
        let now = self.now();
        let event_id = attempt.facts.claim.event.id;
        if attempt.lease_lost {
            self.leases.remove(&event_id);
        }
        let mut evidence = std::mem::take(&mut self.evidence);
        let decided = if ended.is_pass() && evidence.is_empty() {
            // Nothing was refused lately, so there is nothing to be decided by it.
            Decided::outcome(attempt, Outcome::Delivered)
        } else {
            self.decide(&mut evidence, attempt, ended, took, now)
        };
        self.evidence = evidence;
        if let Some((attempt, outcome)) = decided.outcome
            && !attempt.lease_lost
        {
            self.settle(&attempt.facts.claim, outcome, &attempt.retry);
        }
        if let Some(event_type) = decided.unhandled {
            self.leave_alone(&event_type);
        }
        self.settle_judged(decided.judged);
    }

    /// What the answer says about the event, or what it is evidence of.
    fn decide(
        &self,
        evidence: &mut Evidence,
        attempt: Attempt,
        ended: Ended,
        took: Duration,
        now: DateTime<Utc>,
    ) -> Decided {
        let flight = self.flight();
        if ended.is_pass() {
            let judged = evidence.passed(&attempt.facts, &flight, now);
            return Decided {
                judged,
                ..Decided::outcome(attempt, Outcome::Delivered)
            };
        }
        if attempt.lease_lost {
            // Whoever holds the newer lease makes the next attempt, and learns the same.
            evidence.inconclusive(&attempt.facts, now);
            return Decided::default();
        }
        let (class, not_before, scope, message) = match ended {
            Ended::Delivered => return Decided::default(),
            Ended::TimedOut(timeout) => {
                let message = format!("no answer within {timeout:?}");
                (RefusalClass::Timeout, None, Scope::Destination, message)
            }
            Ended::Panicked(text) => {
                let message = format!("the handler panicked: {text}");
                (RefusalClass::Panic, None, Scope::Destination, message)
            }
            Ended::Failed {
                delivery,
                scope,
                message,
            } => {
                let (class, not_before) = match delivery {
                    Delivery::Retry { after } => (RefusalClass::Retry, after),
                    Delivery::Unavailable { after } => (RefusalClass::Unavailable, after),
                    Delivery::Offline => (RefusalClass::Offline, None),
                    Delivery::Unauthenticated => (RefusalClass::Unauthenticated, None),
                    Delivery::RateLimited { after } => (RefusalClass::RateLimited, Some(after)),
                    Delivery::Permanent => (RefusalClass::Rejected, None),
                    Delivery::Undecodable
                    | Delivery::Snooze { .. }
                    | Delivery::NoHandler
                    | Delivery::Obsolete => {
                        evidence.inconclusive(&attempt.facts, now);
                        return Decided::own(attempt, delivery, message);
                    }
                };
                (class, not_before, scope, message)
            }
        };
        let refusal = Refusal {
            class,
            message: bounded(&message),
        };
        let reach = reach(&scope, &attempt);
        if attempt.is_always_charged && class.is_charged() {
            evidence.inconclusive(&attempt.facts, now);
            let outcome = Outcome::Retry {
                message: refusal.message,
                not_before,
            };
            return Decided::outcome(attempt, outcome);
        }
        let generation = attempt.credentials;
        let refused = Refused {
            facts: attempt.facts,
            refusal,
            not_before,
            retry: attempt.retry,
            took,
        };
        let finality = match self.shared.settings.rejections {
            Rejections::Always => Finality::Always,
            Rejections::Pause if attempt.is_always_charged => Finality::OfThisOne,
            Rejections::Pause => Finality::UntilThePause,
        };
        let judged = match class {
            RefusalClass::RateLimited => evidence.rate_limited(refused, reach, now),
            RefusalClass::Unauthenticated => evidence.unauthenticated(refused, generation, now),
            RefusalClass::Rejected => evidence.rejected(refused, finality, now),
            _ => evidence.doubted(refused, reach, &flight, now),
        };
        Decided {
            judged,
            ..Decided::default()
        }
    }

    /// Settles refusals of which it is known whose fault they are.
    pub(super) fn settle_judged(&mut self, judged: Vec<Judged>) {
        for Judged { refused, verdict } in judged {
            let Refused {
                facts,
                refusal,
                not_before,
                retry,
                ..
            } = refused;
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
            self.settle(&facts.claim, outcome, &retry);
        }
    }

    /// Settles what is in doubt of these attempts as not attempted: nobody waits for evidence any more.
    pub(super) fn give_back_doubts(&mut self, which: impl Fn(&Facts) -> bool) {
        let judged = self.evidence.give_back(which);
        self.settle_judged(judged);
    }

    /// Decides what an outcome means and notes it to be recorded.
    pub(super) fn settle(&mut self, claim: &Claim, outcome: Outcome, retry: &RetryPolicy) {
        let event = &claim.event;
        let settlement = outcome.settle(claim, retry, self.now());
        match &settlement.disposition {
            Disposition::Complete => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "delivered");
            }
            Disposition::Fail {
                next_attempt_at,
                message,
            } => warn!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                next_attempt_at = %next_attempt_at, error = ?message, "failed; will be tried again"
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
                event_id = %event.id, event_type = ?event.event_type, deferrals = event.deferrals.saturating_add(1),
                next_attempt_at = %next_attempt_at, refused = refusal.class.as_str(),
                error = ?refusal.message, "refused while others pass; will be tried again"
            ),
            Disposition::Snooze { next_attempt_at }
                if event.snoozes.saturating_add(1) >= MANY_SNOOZES =>
            {
                warn!(
                    event_id = %event.id, event_type = ?event.event_type, snoozes = event.snoozes.saturating_add(1),
                    next_attempt_at = %next_attempt_at, "snoozed again and again"
                );
            }
            Disposition::Snooze { next_attempt_at } => debug!(
                event_id = %event.id, event_type = ?event.event_type,
                next_attempt_at = %next_attempt_at, "snoozed"
            ),
        }
        self.unrecorded.push(settlement);
    }

    /// Records the outcomes that are not recorded yet. On an error they are kept for the next time.
    pub(super) async fn record(&mut self) -> Result<(), StoreError> {
        // Where a lease has only ended, it is renewed first; should it end while the store is asked, once more.
        for _ in 0..2 {
            if self.unrecorded.is_empty() {
                break;
            }
            self.renew().await?;
            let repository = Arc::clone(&self.shared.repository);
            let recording = std::mem::take(&mut self.unrecorded);
            let settlements = recording.clone();
            let settled = self
                .meanwhile(async { repository.settle(settlements).await })
                .await;
            self.recorded(recording, settled)?;
        }
        Ok(())
    }

    /// Takes in what became of settlements.
    pub(super) fn recorded(
        &mut self,
        mut recording: Vec<Settlement>,
        settled: Result<Vec<Settled>, StoreError>,
    ) -> Result<(), StoreError> {
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                // Before what has ended since.
                recording.append(&mut self.unrecorded);
                self.unrecorded = recording;
                return Err(error);
            }
        };
        if recording.is_empty() {
            return Ok(());
        }
        let now = self.now();
        for (settlement, settled) in recording.iter().zip(settled) {
            let held = self.leases.remove(&settlement.lease.event_id);
            if let Some(held) =
                held.filter(|held| settled == Settled::LeaseLost && held.lease.expires_at <= now)
            {
                // It may only have ended. Renewing it tells.
                self.leases.hold(held.lease, held.duration, now);
                self.leases.renew_by(held.duration, now);
                self.unrecorded.push(settlement.clone());
            } else if settled == Settled::LeaseLost {
                warn!(event_id = %settlement.lease.event_id, "the lease was lost; the outcome is not recorded");
            } else if settlement.disposition == Disposition::Complete && self.clean_up_at.is_none()
            {
                let interval = self.shared.settings.cleanup_interval;
                self.clean_up_at = Some(clock::after(self.shared.clock.now(), interval));
            }
        }
        self.leases.forget_unheld();
        self.made_progress();
        Ok(())
    }
}

/// What an ended attempt means.
#[derive(Default)]
struct Decided {
    /// For its own event, where that does not depend on others.
    outcome: Option<(Attempt, Outcome)>,
    /// For refused events, its own perhaps among them.
    judged: Vec<Judged>,
    /// An event type that nobody handles here.
    unhandled: Option<String>,
}

impl Decided {
    fn outcome(attempt: Attempt, outcome: Outcome) -> Self {
        Self {
            outcome: Some((attempt, outcome)),
            ..Self::default()
        }
    }

    /// An answer that says nothing about the service.
    fn own(attempt: Attempt, delivery: Delivery, message: String) -> Self {
        let outcome = match delivery {
            Delivery::Undecodable => Outcome::Dead {
                reason: DeadReason::Undecodable,
                message,
            },
            Delivery::Snooze { duration } => Outcome::Snoozed {
                delay: duration,
                bound: attempt.max_snoozes,
            },
            _ => Outcome::GivenBack {
                delay: Duration::ZERO,
                refusal: None,
            },
        };
        let event_type = &attempt.facts.claim.event.event_type;
        let unhandled = (delivery == Delivery::NoHandler).then(|| event_type.clone());
        Self {
            unhandled,
            ..Self::outcome(attempt, outcome)
        }
    }
}

/// Whom a refusal is about.
fn reach(scope: &Scope, attempt: &Attempt) -> Reach {
    let event = &attempt.facts.claim.event;
    match scope {
        Scope::User => Reach::User,
        Scope::Named(name) if event.destination.as_ref() != Some(name) => {
            warn!(
                event_id = %event.id, event_type = ?event.event_type, named = ?name,
                "the answer is about another destination than the event's; it applies to this event alone"
            );
            Reach::Event
        }
        _ => Reach::Destination,
    }
}

/// What a task's panic says; `None` where it was aborted.
fn panic_of(error: JoinError) -> Option<Done> {
    let payload = error.try_into_panic().ok()?;
    // How long it took, nobody knows: not quick.
    let took = Duration::MAX;
    Some(Done::Attempt(Ended::panicked(payload), took))
}
