//! A pass: what an attempt that got through says about its neighbors.

use chrono::{DateTime, Utc};
use tracing::info;

use super::circuit::Circuit;
use super::facts::{Facts, Judged, Lane, Refused, Verdict};
use super::{Evidence, Node};

impl Evidence {
    /// The service took an event, or has no need of it. Returns the refusals that this decides.
    pub(in crate::processor) fn passed(
        &mut self,
        facts: &Facts,
        flight: &[&Facts],
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        if self.is_empty() {
            return Vec::new();
        }
        let number = self.number;
        let endpoint = facts.endpoint();
        let credentials = Node::Credentials(facts.user().to_owned());
        let lane = facts.lane();
        let user = facts.user_node();
        let [all, set, destination, _] = facts.path();
        for node in [&all, &set, &destination, &endpoint, &user, &credentials] {
            if let Some(record) = self.records.get_mut(node) {
                record.passed(number);
            }
            self.memory.forget(node.clone(), lane.clone());
            self.rejected.remove(node);
        }
        self.unauthenticated.remove(&facts.set);
        self.streaks.remove(&user);
        self.streaks.remove(&endpoint);
        for node in [&user, &all, &set, &destination, &endpoint] {
            self.close(node, facts, now);
        }
        if let Some(limit) = self.limits.get_mut(&destination)
            && limit.passed(facts.number, self.most, now)
        {
            self.limits.remove(&destination);
        }
        let is_last = !flight.iter().any(|other| other.user() == facts.user());
        let credentials = &mut self.credentials;
        credentials.granted(facts.user(), facts.number, is_last);
        let judged = self.decide_as_own(&endpoint, facts.number, now);
        self.prune();
        judged
    }

    /// The refusals that were in doubt are the events' own, as an attempt that began as `number`
    /// passed.
    ///
    /// One that would bury its event is made once more where the event was not told apart before:
    /// that others get through now says nothing about then, as the service may just have come back.
    /// It waits on where that attempt had begun before it failed, as the service may have gone down
    /// in between.
    fn decide_as_own(&mut self, endpoint: &Node, number: u64, now: DateTime<Utc>) -> Vec<Judged> {
        let Some(mut doubt) = self.doubts.remove(endpoint) else {
            return Vec::new();
        };
        let mut judged = Vec::new();
        for waiting in std::mem::take(&mut doubt.refused) {
            let is_conclusive = number > waiting.number;
            if !waiting.refused.would_bury() {
                judged.push(self.as_own(waiting.refused, is_conclusive, now));
            } else if !waiting.is_own {
                judged.push(waiting.unjudged());
            } else if is_conclusive {
                judged.push(self.as_own(waiting.refused, true, now));
            } else {
                doubt.refused.push(waiting);
            }
        }
        if !doubt.refused.is_empty() {
            doubt.begin_anew();
            self.doubts.insert(endpoint.clone(), doubt);
        }
        judged
    }

    /// The refusal is the event's own, or its user's.
    pub(super) fn as_own(
        &mut self,
        refused: Refused,
        is_conclusive: bool,
        now: DateTime<Utc>,
    ) -> Judged {
        let verdict = if refused.refusal.class.is_charged() {
            Verdict::Charged { is_conclusive }
        } else {
            Verdict::Deferred { base: None }
        };
        let user = refused.facts.user_node();
        if self.is_refused_alone(&refused.facts) {
            self.open(&user, &refused, 1, now);
        }
        Judged { refused, verdict }
    }

    /// Notes a refusal of a user whose neighbors pass. `true`: it is the user who is refused.
    pub(super) fn is_refused_alone(&mut self, facts: &Facts) -> bool {
        let user = facts.user_node();
        let set = self.passes(&Node::Set(facts.set));
        let own = self.passes(&user);
        self.records.entry(user.clone()).or_default();
        let streak = self.streaks.refused(user.clone());
        streak.refused(facts.lane(), set.saturating_sub(own)) && !self.circuits.contains_key(&user)
    }

    /// Notes a rate limit of an endpoint. `true`: it is the endpoint that has one, as two lanes met
    /// it while others passed at the same destination.
    pub(super) fn is_limited_alone(&mut self, facts: &Facts) -> bool {
        let endpoint = facts.endpoint();
        let all = self.passes(&facts.destination());
        let own = self.passes(&endpoint);
        let streak = self.streaks.refused(endpoint.clone());
        streak.refused(facts.lane(), all.saturating_sub(own))
            && !self.circuits.contains_key(&endpoint)
    }

    /// Whether a refusal is the lane's own by the interval rule, as far as this node can tell.
    pub(super) fn tells_apart(&self, node: &Node, lane: &Lane) -> bool {
        let before = self.memory.passes(node, lane);
        let record = self.records.get(node);
        record.is_some_and(|record| record.tells_apart(lane, before))
    }

    /// Notes a refusal at the nodes that it is judged at.
    ///
    /// It is the lane's last one at every other node, too, where one of another class is judged:
    /// who got through before it says nothing about the next.
    pub(super) fn note(&mut self, nodes: &[&Node], facts: &Facts) {
        let lane = facts.lane();
        for node in nodes {
            let passes = self.passes(node);
            self.memory.note((*node).clone(), lane.clone(), passes);
        }
        for part in [
            facts.endpoint(),
            facts.destination(),
            facts.user_node(),
            Node::Credentials(facts.user().to_owned()),
        ] {
            if let Some(record) = self.records.get_mut(&part) {
                record.refused(lane.clone());
                self.memory.renew(&part, &lane, record.passes);
            }
        }
    }

    pub(super) fn passes(&mut self, node: &Node) -> u64 {
        self.records.entry(node.clone()).or_default().passes
    }

    /// Somebody got through at a node.
    fn close(&mut self, node: &Node, facts: &Facts, now: DateTime<Utc>) {
        let Some(circuit) = self.circuits.remove(node) else {
            return;
        };
        if let Circuit::Open(open) = &circuit {
            info!(node = %node.label(), refusals = open.refusals, "somebody gets through again");
            let passed = node.child_of_attempt(facts);
            for child in open
                .children
                .iter()
                .filter(|child| Some(*child) != passed.as_ref())
            {
                let inherited = || Circuit::Open(open.inherited(now));
                match self.circuits.get_mut(child) {
                    Some(Circuit::Open(own)) => own.probe_now(true, now),
                    _ => {
                        self.circuits.insert(child.clone(), inherited());
                    }
                }
            }
            self.credentials.refresh_all(now);
        }
        let is_user = matches!(node, Node::User(..));
        if let Some(circuit) = circuit.passed(self.most).filter(|_| !is_user) {
            self.circuits.insert(node.clone(), circuit);
        }
    }
}
