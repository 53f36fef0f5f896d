//! Refusals with a clear cause: credentials that are not accepted, and events that are understood
//! and rejected.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::circuit::Circuit;
use super::facts::{Facts, Judged, Refused};
use super::{Evidence, Node, credentials};
use crate::event::RefusalClass;
use crate::outcome::bounded;

/// This many rejections of different lanes in a row, without a pass, are the fault of this program
/// or of the service rather than of each event.
const REJECTIONS: usize = 20;

/// This many users in a row whose refreshed credentials were refused are the fault of the service.
const USERS: usize = 3;

/// When a rejection makes its event a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::processor) enum Finality {
    /// Unless all events are rejected.
    UntilThePause,
    /// Also while all events are rejected: each failure of this event counts, so the event is not
    /// sent again for lack of evidence. The rejection is evidence about other events like any
    /// other.
    OfThisOne,
    /// In any case, and so for every rejected event, however many there are.
    Always,
}

impl Evidence {
    /// Records that the credentials of the event's user were refused.
    ///
    /// The credentials are good if other events of the user get through. Then the refusal is the
    /// event's own fault if other lanes get through at its endpoint, too, and the endpoint's if
    /// none does.
    pub(in crate::processor) fn unauthenticated(
        &mut self,
        refused: Refused,
        generation: u64,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        let user_id = refused.facts.user().to_owned();
        let set = Node::Set(refused.facts.set);
        let endpoint = refused.facts.endpoint();
        let node = Node::Credentials(user_id.clone());
        let lane = refused.facts.first_lane();
        self.records.entry(set.clone()).or_default();
        let is_good = self.tells_apart(&node, &lane);
        let is_own = is_good && self.tells_apart(&endpoint, &lane);
        let is_silent = self.memory.passes(&endpoint, &lane) == Some(self.passes(&endpoint));
        self.note(&[&node, &endpoint], &refused.facts, &lane);
        let is_probe = self.refused_as_probe(&refused, now);
        if is_own && !is_probe {
            return vec![Judged::deferred(refused)];
        }
        if is_good && is_silent && !is_probe {
            self.open(&endpoint, &refused, 1, now);
            let mut judged = self.give_back(|facts| endpoint.has_attempt(facts));
            judged.push(Judged::given_back(refused, Duration::ZERO));
            return judged;
        }
        let refusal = credentials::Refusal {
            number: self.number,
            generation,
            endpoint,
            error: bounded(&refused.refusal.message),
            is_urgent: is_probe,
        };
        let in_vain = self.credentials.refused(&user_id, refusal, now);
        if is_probe {
            return vec![Judged::given_back(refused, Duration::ZERO)];
        }
        let makes_way = self.credentials.makes_way(&user_id, now);
        // Refusals of this user in doubt would otherwise wait for the refresh.
        let mut judged = self.give_back(|facts| facts.user() == user_id);
        let users = self.unauthenticated.entry(refused.facts.set).or_default();
        if in_vain > 0 {
            users.insert(user_id);
        }
        if users.len() >= USERS {
            users.clear();
            self.open(&set, &refused, 3, now);
            judged.append(&mut self.give_back(|facts| set.has_attempt(facts)));
        }
        judged.push(Judged::given_back(refused, makes_way));
        judged
    }

    /// Records that the service understood the event and rejected it, for good unless it rejects
    /// all events.
    pub(in crate::processor) fn rejected(
        &mut self,
        refused: Refused,
        finality: Finality,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        if finality == Finality::Always {
            self.inconclusive(&refused.facts, now);
            return vec![Judged::rejected(refused)];
        }
        if self.is_open_for_rejections(&refused.facts) {
            self.refused_as_probe(&refused, now);
            return vec![if finality == Finality::UntilThePause {
                Judged::given_back(refused, Duration::ZERO)
            } else {
                Judged::rejected(refused)
            }];
        }
        self.inconclusive(&refused.facts, now);
        let mut judged = Vec::new();
        for node in [refused.facts.endpoint(), Node::Set(refused.facts.set)] {
            let lanes = self.rejected.refused(node.clone());
            lanes.insert(refused.facts.first_lane());
            if lanes.len() < REJECTIONS {
                continue;
            }
            self.rejected.remove(&node);
            self.open(&node, &refused, REJECTIONS, now);
            judged.append(&mut self.give_back(|facts| node.has_attempt(facts)));
        }
        judged.push(Judged::rejected(refused));
        judged
    }

    /// Whether delivery pauses because everything is rejected.
    pub(in crate::processor) fn is_open_for_rejections(&self, facts: &Facts) -> bool {
        facts.path().iter().any(|node| {
            let circuit = self.circuits.get(node);
            matches!(circuit, Some(Circuit::Open(open)) if open.class == RefusalClass::Rejected)
        })
    }
}
