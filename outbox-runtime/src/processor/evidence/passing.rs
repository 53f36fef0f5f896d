//! A pass: the verdicts that follow from an attempt that got through.

use chrono::{DateTime, Utc};
use tracing::info;

use super::circuit::Circuit;
use super::facts::{Facts, Judged, Lane, Refused, Verdict};
use super::{Evidence, Node};

impl Evidence {
    /// Records that the service accepted an event, or does not need it. Returns the refusals that
    /// this decides.
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
            if facts.is_batch() && !self.memory.is_empty() {
                for claim in facts.members() {
                    self.memory.forget(node.clone(), Lane::of(&claim.event));
                }
            }
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

    /// Decides the refusals in doubt as the events' own, as an attempt that began under `number`
    /// passed.
    ///
    /// An attempt that would bury its event is repeated if the interval rule did not apply to the
    /// event: others get through now, but did not have to then, as the service may just have come
    /// back. The refusal keeps waiting if the passing attempt began before the refused one failed,
    /// as the service may have gone down in between.
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
            doubt.restart();
            self.doubts.insert(endpoint.clone(), doubt);
        }
        judged
    }

    /// Judges a refusal as the event's own, or as its user's.
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

    /// Notes a refusal of a user. Returns whether the user is refused while others pass.
    pub(super) fn is_refused_alone(&mut self, facts: &Facts) -> bool {
        let user = facts.user_node();
        let set = self.passes(&Node::Set(facts.set));
        let own = self.passes(&user);
        self.records.entry(user.clone()).or_default();
        let streak = self.streaks.refused(user.clone());
        streak.refused(facts.first_lane(), set.saturating_sub(own))
            && !self.circuits.contains_key(&user)
    }

    /// Notes a rate limit of an endpoint. Returns whether the limit is the endpoint's own, as two
    /// lanes met it while others passed at the same destination.
    pub(super) fn is_limited_alone(&mut self, facts: &Facts) -> bool {
        let endpoint = facts.endpoint();
        let all = self.passes(&facts.destination());
        let own = self.passes(&endpoint);
        let streak = self.streaks.refused(endpoint.clone());
        streak.refused(facts.first_lane(), all.saturating_sub(own))
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
    /// It is the lane's last one at every other node, too, where refusals of other classes are
    /// judged: the passes before it say nothing about the next refusal.
    pub(super) fn note(&mut self, nodes: &[&Node], facts: &Facts, lane: &Lane) {
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
                self.memory.renew(&part, lane, record.passes);
            }
        }
    }

    pub(super) fn passes(&mut self, node: &Node) -> u64 {
        self.records.entry(node.clone()).or_default().passes
    }

    /// Closes the circuit of a node after a pass, or makes it half-open.
    fn close(&mut self, node: &Node, facts: &Facts, now: DateTime<Utc>) {
        let Some(circuit) = self.circuits.remove(node) else {
            return;
        };
        if let Circuit::Open(open) = &circuit {
            info!(node = %node.label(), refusals = open.refusals, "an event got through; the circuit closes");
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
