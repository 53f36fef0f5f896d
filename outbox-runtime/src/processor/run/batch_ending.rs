//! The end of a batch: turns the answers for its events into outcomes, and into evidence about
//! others.
//!
//! The call of a batch is one piece of evidence. Where some of its events got through it is a pass,
//! and answers that refuse others of them are their own fault. Where the batch was refused as a
//! whole it is one refusal, which is judged as that of a single event; if one of its events is to
//! blame, its halves are tried.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::ending::reach;
use super::jobs::Attempt;
use super::lanes::Lanes;
use super::search::Place;
use super::{Run, lanes};
use crate::claim::Claim;
use crate::event::{DeadReason, OutboxEvent, Refusal, RefusalClass};
use crate::handler::{Delivery, Scope};
use crate::outcome::{Outcome, bounded};
use crate::processor::attempt::Ended;
use crate::processor::batch_attempt::BatchEnded;
use crate::processor::evidence::{Evidence, Reach};

/// The events of a batch, by how the attempt ended for each.
#[derive(Default)]
struct Sorted {
    /// Whether the handler answered `Ok`, and not merely that the event is obsolete.
    passed: Vec<(Arc<Claim>, bool)>,
    /// With an answer of their own that may be the event's fault or the service's.
    doubtful: Vec<(Arc<Claim>, Ended)>,
    /// With another answer of their own.
    refused: Vec<(Arc<Claim>, Ended)>,
    /// Refused together.
    together: Vec<Arc<Claim>>,
}

/// The lanes of a batch in which an event was not delivered.
#[derive(Default)]
struct Holding {
    /// An event had an answer of its own, or was lost, or followed such an event.
    failed: Lanes,
    /// An event was refused together with others. Those that follow it were refused as well, and it
    /// is not known which of them is to blame.
    together: Lanes,
}

impl Holding {
    /// Notes how the attempt ended for the next event of the batch. Returns whether it is held back
    /// by an earlier event of its lane.
    fn holds_back(&mut self, event: &OutboxEvent, own: Option<&Ended>, common: &Ended) -> bool {
        if self.failed.has(event) {
            return true;
        }
        if self.together.has(event) && (own.is_some() || common.is_pass()) {
            self.failed.insert(event);
            return true;
        }
        match own {
            Some(own) if !own.is_pass() => self.failed.insert(event),
            None if !common.is_pass() => self.together.insert(event),
            _ => false,
        };
        false
    }
}

impl Sorted {
    fn add(&mut self, claim: Arc<Claim>, own: Option<Ended>, common: &Ended) {
        match own {
            Some(own) if own.is_pass() => self.passed.push((claim, own.is_ok())),
            Some(own) if own.is_doubtful() => self.doubtful.push((claim, own)),
            Some(own) => self.refused.push((claim, own)),
            None if common.is_pass() => self.passed.push((claim, common.is_ok())),
            None => self.together.push(claim),
        }
    }

    fn is_empty(&self) -> bool {
        self.passed.is_empty() && self.is_all_passed()
    }

    /// Whether nothing was refused.
    fn is_all_passed(&self) -> bool {
        self.doubtful.is_empty() && self.refused.is_empty() && self.together.is_empty()
    }
}

impl Run {
    /// Decides what the end of a batch means for its events and for others, and settles that.
    pub(super) fn batch_ended(&mut self, attempt: &Attempt, ended: BatchEnded, took: Duration) {
        let decided = self.unrecorded.len();
        self.decide_batch(attempt, ended, took);
        if attempt.keeps_order {
            self.unrecorded.sort_after(decided);
        }
    }

    fn decide_batch(&mut self, attempt: &Attempt, ended: BatchEnded, took: Duration) {
        let now = self.now();
        let BatchEnded { own, common } = ended;
        let mut own = own.into_iter();
        let mut sorted = Sorted::default();
        let mut holding = Holding::default();
        // Behind an event of their lane that was not delivered, whatever their own answers.
        let mut held_back = Vec::new();
        let members: Vec<Arc<Claim>> = attempt.facts.members().cloned().collect();
        for claim in members {
            let own = own.next().flatten();
            if attempt.keeps_order
                && holding.holds_back(&claim.event, own.as_ref(), &common)
                && !attempt.has_lost(&claim.event.id)
            {
                held_back.push(claim);
            } else if attempt.has_lost(&claim.event.id) {
                // The holder of the newer lease makes the next attempt and learns the same.
                self.leases.release_this(&claim.lease);
                self.promised.lost(&claim.lease);
                holding.failed.insert(&claim.event);
            } else if own.is_none() && !common.is_pass() && self.promised.has(&claim) {
                // Its completion may be committed and the next event of its lane sent, so it is not
                // sent again in a part of the batch. The store knows whether it is completed.
                let outcome = self.promised.otherwise(&claim, Outcome::Delivered, true);
                self.settle(&claim, outcome, &attempt.retry);
                holding.failed.insert(&claim.event);
            } else {
                sorted.add(claim, own, &common);
            }
        }
        self.hand_back_all(&held_back);
        let place = attempt.place;
        if sorted.is_empty() {
            self.evidence.inconclusive(&attempt.facts, now);
            return self.part_ended(place);
        }
        let first = &attempt.facts.claim.event;
        self.meter.ended(first, sorted.is_all_passed(), took);
        if sorted.is_all_passed() {
            // Without each of its events it says nothing of what comes after it in a lane.
            let is_whole = !attempt.keeps_order || holding.failed.is_empty();
            match place {
                Some(place) if is_whole => self.batches.passed(place),
                _ => self.part_ended(place),
            }
            return self.batch_passed(attempt, &sorted.passed, false, now);
        }
        let has_passed = !sorted.passed.is_empty();
        let has_doubtful = !sorted.doubtful.is_empty();
        for (claim, ended) in sorted.doubtful {
            self.event_ended(attempt.of_one(claim), ended, took, now);
        }
        if has_passed {
            self.batch_passed(attempt, &sorted.passed, has_doubtful, now);
        }
        for (claim, ended) in sorted.refused {
            match ended {
                // Others of the same call got through, so this is no deployment that went wrong.
                Ended::Failed {
                    delivery: Delivery::Permanent,
                    message,
                    ..
                } if has_passed => {
                    let reason = DeadReason::Rejected;
                    let outcome = Outcome::Dead { reason, message };
                    self.settle(&claim, outcome, &attempt.retry);
                }
                ended => self.event_ended(attempt.of_one(claim), ended, took, now),
            }
        }
        if sorted.together.is_empty() {
            self.part_ended(place);
        } else {
            let together = attempt.of_some(sorted.together);
            self.refused_together(together, common, took, now);
        }
    }

    /// Settles events that got through in one call, which is one pass.
    fn batch_passed(
        &mut self,
        attempt: &Attempt,
        passed: &[(Arc<Claim>, bool)],
        is_conclusive: bool,
        now: DateTime<Utc>,
    ) {
        let retry = &attempt.retry;
        let mut judged = Vec::new();
        if !self.evidence.is_empty() {
            let mut evidence = std::mem::take(&mut self.evidence);
            let mut facts = attempt
                .facts
                .of(passed.iter().map(|(claim, _)| Arc::clone(claim)).collect());
            if is_conclusive {
                // The answer that refused some of the events accepted these, so the service was
                // there for both.
                facts.number = evidence.begin();
            }
            judged = evidence.passed(&facts, &self.flight(), now);
            self.evidence = evidence;
        }
        for (claim, is_ok) in passed {
            let outcome = self.promised.otherwise(claim, Outcome::Delivered, *is_ok);
            self.settle(claim, outcome, retry);
        }
        self.settle_judged(judged);
    }

    /// Decides and settles the answer for one event of a batch.
    fn event_ended(&mut self, attempt: Attempt, ended: Ended, took: Duration, now: DateTime<Utc>) {
        let mut evidence = std::mem::take(&mut self.evidence);
        let decided = self.decide(&mut evidence, Box::new(attempt), ended, took, now);
        self.evidence = evidence;
        self.carry_out(decided, false);
    }

    /// Decides and settles a refusal of several events at once, or of the last one of a search.
    fn refused_together(
        &mut self,
        attempt: Attempt,
        ended: Ended,
        took: Duration,
        now: DateTime<Utc>,
    ) {
        let place = attempt.place;
        if !attempt.facts.is_batch() {
            self.part_ended(place);
            return self.event_ended(attempt, ended, took, now);
        }
        let members: Vec<Arc<Claim>> = attempt.facts.members().cloned().collect();
        let mut evidence = std::mem::take(&mut self.evidence);
        let reaction = Self::react(&mut evidence, &attempt, &ended, now);
        self.evidence = evidence;
        match reaction {
            Reaction::Split => return self.split_batch(members, place),
            Reaction::Each => {
                let (firsts, behind) = lanes::firsts(members.iter());
                for claim in firsts {
                    self.event_ended(attempt.of_one(claim), ended.clone(), took, now);
                }
                self.hand_back_all(&behind);
            }
            Reaction::Outcome(outcome) => self.settle_firsts(&members, &outcome, &attempt.retry),
            Reaction::Judge => self.event_ended(attempt, ended, took, now),
        }
        self.part_ended(place);
    }

    /// Notes that a part of a refused batch did not get through as a whole. What comes after it in
    /// its lane goes back.
    pub(super) fn part_ended(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            let behind = self.batches.ended(place);
            self.hand_back_all(&behind);
        }
    }

    /// The reaction to a refusal of several events at once.
    fn react(
        evidence: &mut Evidence,
        attempt: &Attempt,
        ended: &Ended,
        now: DateTime<Utc>,
    ) -> Reaction {
        let (class, message) = match ended {
            Ended::Failed {
                delivery: Delivery::Snooze { .. } | Delivery::NoHandler,
                ..
            } => return Reaction::Each,
            Ended::Failed {
                delivery: Delivery::Permanent | Delivery::Undecodable,
                ..
            } if !evidence.is_open_for_rejections(&attempt.facts) => {
                evidence.inconclusive(&attempt.facts, now);
                return Reaction::Split;
            }
            Ended::Failed {
                delivery: Delivery::Unavailable { .. },
                message,
                ..
            } => (RefusalClass::Unavailable, message),
            Ended::Failed {
                delivery: Delivery::RateLimited { .. },
                message,
                ..
            } => (RefusalClass::RateLimited, message),
            Ended::Failed { delivery, .. } if !matches!(delivery, Delivery::Retry { .. }) => {
                return Reaction::Judge;
            }
            // The batch may have had its effect, so it counts for each of its events.
            _ if attempt.is_always_charged => return Reaction::Each,
            _ => return Reaction::Judge,
        };
        if let Ended::Failed {
            scope: scope @ Scope::Named(_),
            delivery,
            ..
        } = ended
            && reach(scope, attempt) == Reach::Event
        {
            let not_before = match *delivery {
                Delivery::Unavailable { after } => after,
                Delivery::RateLimited { after } => Some(after),
                _ => None,
            };
            evidence.inconclusive(&attempt.facts, now);
            return Reaction::Outcome(Outcome::Deferred {
                refusal: Refusal {
                    class,
                    message: bounded(message),
                },
                not_before,
                base: None,
            });
        }
        Reaction::Judge
    }

    /// Tries the halves of a batch of which one event is to blame.
    pub(super) fn split_batch(&mut self, claims: Vec<Arc<Claim>>, place: Option<Place>) {
        let event_type = claims.first().map(|claim| &*claim.event.event_type);
        info!(
            ?event_type,
            events = claims.len(),
            "a batch was refused because of one of its events; its halves are tried"
        );
        let behind = self.batches.split(claims, place);
        self.hand_back_all(&behind);
    }
}

/// The reaction to a refusal of several events at once.
enum Reaction {
    /// The refusal is judged as one.
    Judge,
    /// The halves are tried.
    Split,
    /// Each event is treated as if it had been sent alone.
    Each,
    /// All events have this outcome.
    Outcome(Outcome),
}

impl Attempt {
    /// The attempt of one event of the batch.
    fn of_one(&self, claim: Arc<Claim>) -> Self {
        self.of_some(vec![claim])
    }

    /// The attempt of some events of the batch.
    fn of_some(&self, claims: Vec<Arc<Claim>>) -> Self {
        let is_single_attempt = |claim: &Arc<Claim>| claim.event.max_attempts == 1;
        Self {
            // An event with a single attempt is not attempted again for lack of evidence.
            is_always_charged: self.is_always_charged || claims.iter().any(is_single_attempt),
            facts: self.facts.of(claims),
            retry: self.retry.clone(),
            max_snoozes: self.max_snoozes,
            credentials: self.credentials,
            lease_lost: false,
            lost: Vec::new(),
            place: self.place,
            keeps_order: self.keeps_order,
        }
    }
}
