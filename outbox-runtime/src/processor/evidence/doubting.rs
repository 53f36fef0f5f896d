//! Doubt: refusals that may be the event's own fault or the world's, until one of the two is clear.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::circuit::Circuit;
use super::endpoint::{Doubt, Waiting};
use super::facts::{Facts, Judged, Refused};
use super::{Evidence, Node, Reach};
use crate::event::RefusalClass;

/// This many destinations of a set that are down at once are the fault of the network.
const DESTINATIONS: usize = 3;

impl Evidence {
    /// Records a refusal whose cause may be the event or the world. Returns the refusals that this
    /// decides; if this refusal is not among them, it is in doubt.
    pub(in crate::processor) fn doubted(
        &mut self,
        refused: Refused,
        reach: Reach,
        flight: &[&Facts],
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        match reach {
            Reach::Destination => {}
            Reach::User => return vec![self.user_refused(refused, Duration::ZERO, now)],
            Reach::Event => return vec![Judged::deferred(refused)],
        }
        let endpoint = refused.facts.endpoint();
        for node in refused.facts.path() {
            self.records.entry(node).or_default();
        }
        let lane = refused.facts.lane();
        let tells_apart = self.tells_apart(&endpoint, &lane);
        self.note(&[&endpoint], &refused.facts, &lane);
        if self.refused_as_probe(&refused, now) {
            return vec![Judged::given_back(refused, Duration::ZERO)];
        }
        let would_bury = refused.would_bury();
        if tells_apart && !would_bury {
            return vec![self.as_own(refused, false, now)];
        }
        let number = self.number;
        let doubt = self.doubts.entry(endpoint.clone());
        let doubt = doubt.or_insert_with(|| Doubt::new(number, now));
        doubt.add(refused, tells_apart, number, now);
        let under_way = flight.iter().copied();
        if doubt.is_outage(under_way.filter(|facts| endpoint.has_attempt(facts))) {
            return self.decide_as_outage(&endpoint, false, now);
        }
        Vec::new()
    }

    /// Decides that an endpoint in doubt has an outage, as it has no other event to try, unless an
    /// attempt is under way there.
    pub(in crate::processor) fn nothing_else(
        &mut self,
        endpoint: &Node,
        flight: &[&Facts],
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        if flight.iter().any(|facts| endpoint.has_attempt(facts)) {
            return Vec::new();
        }
        self.decide_as_outage(endpoint, true, now)
    }

    /// Decides that there is an outage: opens a circuit and gives back all refusals in doubt within
    /// it.
    ///
    /// If the reason is that no other event was left to try, refusals that are the event's own by
    /// the interval rule still count as such.
    fn decide_as_outage(
        &mut self,
        endpoint: &Node,
        has_no_others: bool,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        let Some(doubt) = self.doubts.remove(endpoint) else {
            return Vec::new();
        };
        let first = doubt.first;
        let is_own = |it: &Waiting| it.is_own && has_no_others;
        let (own, rest): (Vec<_>, Vec<_>) = doubt.refused.into_iter().partition(is_own);
        let own = own
            .into_iter()
            .map(|it| self.as_own(it.refused, false, now));
        let mut judged: Vec<Judged> = own.collect();
        if let Some(last) = rest.last() {
            let node = self.extent(&last.refused, first);
            self.open(&node, &last.refused, rest.len(), now);
            if let Some(Circuit::Open(open)) = self.circuits.get_mut(&node) {
                let facts = rest.iter().map(|waiting| &waiting.refused.facts);
                open.children
                    .extend(facts.filter_map(|facts| node.child_of_attempt(facts)));
            }
            judged.extend(rest.into_iter().map(Waiting::unjudged));
            judged.append(&mut self.give_back(|facts| node.has_attempt(facts)));
        }
        judged
    }

    /// Returns the extent of an outage: the widest node without a pass since the first refusal in
    /// doubt, as far as this class of refusal allows.
    fn extent(&self, refused: &Refused, first: u64) -> Node {
        let [all, set, destination, endpoint] = refused.facts.path();
        if !self.is_silent_since(&destination, first) {
            return endpoint;
        }
        let is_offline = refused.refusal.class == RefusalClass::Offline;
        if is_offline && self.shares_network && self.is_silent_since(&all, first) {
            return all;
        }
        if !self.is_silent_since(&set, first) {
            return destination;
        }
        let is_down = |(node, circuit): &(&Node, &Circuit)| {
            matches!(node, Node::Destination(..))
                && set.contains(node)
                && **node != destination
                && matches!(circuit, Circuit::Open(open) if self.is_silent_since(&set, open.number))
        };
        if is_offline || self.circuits.iter().filter(is_down).count() + 1 >= DESTINATIONS {
            return set;
        }
        destination
    }

    /// Whether no attempt has got through at a node since `number`.
    fn is_silent_since(&self, node: &Node, number: u64) -> bool {
        let record = self.records.get(node);
        record.is_none_or(|record| record.last_pass < number)
    }
}
