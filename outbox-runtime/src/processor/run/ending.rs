//! Ending: turns the result of an attempt into an outcome for its event, and into evidence about
//! others.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::warn;

use super::Run;
use super::jobs::{Attempt, Done, Job, TaskEnd};
use crate::event::{DeadReason, Refusal, RefusalClass};
use crate::handler::{Delivery, Scope};
use crate::outcome::{Outcome, bounded};
use crate::processor::attempt::Ended;
use crate::processor::batch_attempt::BatchEnded;
use crate::processor::evidence::{Evidence, Finality, Judged, Reach, Refused};
use crate::processor::settings::Rejections;

impl Run {
    /// Handles the end of a task: its result, its panic, or that it was aborted.
    pub(super) fn on_task_end(&mut self, end: TaskEnd) {
        self.activity.note();
        match self.jobs.take(end) {
            Some((Job::Attempt(attempt), Some(Done::Batch(ended, took)))) => {
                self.pace.ended(took);
                self.batch_ended(&attempt, ended, took);
            }
            // The task of a batch panicked.
            Some((Job::Attempt(attempt), Some(Done::Attempt(ended, took))))
                if attempt.facts.is_batch() || attempt.place.is_some() =>
            {
                self.pace.ended(took);
                self.batch_ended(&attempt, BatchEnded::as_one(ended), took);
            }
            Some((Job::Attempt(attempt), Some(Done::Attempt(ended, took)))) => {
                self.pace.ended(took);
                self.ended(attempt, ended, took);
            }
            // Aborted: its lease was lost.
            Some((Job::Attempt(attempt), _)) => {
                for claim in attempt.facts.members() {
                    self.leases.release_this(&claim.lease);
                    self.promised.lost(&claim.lease);
                }
                self.part_ended(attempt.place);
                self.evidence.inconclusive(&attempt.facts, self.now());
            }
            Some((Job::Refresh { user_id }, done)) => {
                let result = match done {
                    Some(Done::Refresh(result)) => result,
                    Some(Done::Attempt(ended, _)) => Err(format!("{ended:?}")),
                    Some(Done::Batch(ended, _)) => Err(format!("{ended:?}")),
                    None => Err("aborted".to_owned()),
                };
                if let Err(message) = &result {
                    warn!(error = ?message, "the credentials could not be refreshed");
                }
                let now = self.now();
                self.evidence.refreshed(&user_id, &result, now);
            }
            None => {}
        }
        self.publish_places(false);
    }

    /// Decides what the end of an attempt means for its event and for others, and settles that.
    pub(super) fn ended(&mut self, attempt: Box<Attempt>, ended: Ended, took: Duration) {
        let now = self.now();
        let event_id = attempt.facts.claim.event.id;
        let is_delivered = ended.is_pass();
        let is_ok = matches!(ended, Ended::Delivered);
        self.meter
            .ended(&attempt.facts.claim.event, is_delivered, took);
        if attempt.lease_lost {
            self.leases.release(&event_id);
            self.promised.lost(&attempt.facts.claim.lease);
        }
        let mut evidence = std::mem::take(&mut self.evidence);
        let decided = if is_delivered && evidence.is_empty() {
            // No recent refusals, so this delivery decides nothing else.
            Decided::outcome(attempt, Outcome::Delivered)
        } else {
            self.decide(&mut evidence, attempt, ended, took, now)
        };
        self.evidence = evidence;
        self.carry_out(decided, is_ok);
    }

    /// Settles the decided outcomes. `is_ok`: the handler answered `Ok`.
    pub(super) fn carry_out(&mut self, decided: Decided, is_ok: bool) {
        if let Some((attempt, outcome)) = decided.outcome
            && !attempt.lease_lost
        {
            let claim = &attempt.facts.claim;
            let outcome = self.promised.otherwise(claim, outcome, is_ok);
            self.settle(claim, outcome, &attempt.retry);
        }
        if let Some(event_type) = decided.unhandled {
            self.unhandled.found(&event_type);
        }
        self.settle_judged(decided.judged);
    }

    /// Decides the outcome if the answer is about the event itself; otherwise passes the answer on
    /// as evidence.
    pub(super) fn decide(
        &self,
        evidence: &mut Evidence,
        attempt: Box<Attempt>,
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
            // The holder of the newer lease makes the next attempt and learns the same.
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
                        return Decided::event_only(attempt, delivery, message);
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
}

/// The decisions that follow from the end of an attempt.
#[derive(Default)]
pub(super) struct Decided {
    /// The outcome of its own event, if that does not depend on others.
    outcome: Option<(Box<Attempt>, Outcome)>,
    /// Verdicts on refused events, possibly including its own.
    pub(super) judged: Vec<Judged>,
    /// An event type that has no handler here.
    unhandled: Option<String>,
}

impl Decided {
    pub(super) fn outcome(attempt: Box<Attempt>, outcome: Outcome) -> Self {
        Self {
            outcome: Some((attempt, outcome)),
            ..Self::default()
        }
    }

    /// For an answer that says nothing about the service.
    fn event_only(attempt: Box<Attempt>, delivery: Delivery, message: String) -> Self {
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

/// The extent of a refusal: the user, the destination, or the event alone.
pub(super) fn reach(scope: &Scope, attempt: &Attempt) -> Reach {
    let event = &attempt.facts.claim.event;
    match scope {
        Scope::User => Reach::User,
        Scope::Named(name) if event.destination.as_ref() != Some(name) => {
            warn!(
                event_id = %event.id, event_type = ?event.event_type, named = ?name,
                "the handler's error names another destination than the event's; it applies to this \
                 event only"
            );
            Reach::Event
        }
        _ => Reach::Destination,
    }
}
