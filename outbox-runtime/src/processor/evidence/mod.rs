//! Evidence: whose fault a refusal is.
//!
//! What one event is answered says little: its own content may be to blame, or its user, its endpoint,
//! its destination, the network. So a refusal is judged by what becomes of its neighbors:
//!
//! - **Own**: another lane gets through at the same *endpoint* (event type and destination). The event
//!   is charged an attempt, or deferred where the refusal is none that attempts are counted for.
//! - **The world's**: nobody gets through. Attempts are given back, the [circuit](circuit) of the
//!   endpoint, destination or handler set opens, and one probe at a time, each of another event, tells
//!   when the service is back.
//! - **In doubt** until one of the two is clear: the event keeps its lease, and meanwhile one attempt at
//!   a time, of another lane and user, looks for evidence.
//!
//! Everything here is in memory. A restart knows none of it; that costs one more refusal, and never a
//! charge. Nothing here remembers that a probe is out: what is under way is passed in, and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use self::circuit::{Circuit, Open};
use self::credentials::Credentials;
use self::endpoint::{Doubt, Record, Waiting};
use self::facts::Lane;
use self::limit::Limit;
use self::memory::Memory;
use self::users::Streak;
use super::routes::HandlerIndex;
use crate::event::RefusalClass;
use crate::outcome::bounded;

mod circuit; // open, half-open, closed
mod credentials; // refused, refreshed, signed out
mod endpoint; // refusals that wait for a verdict
mod explaining; // what keeps an event from being sent
mod facts; // what is known of an attempt, and what is said of one
mod limit; // destinations that want a pause
mod memory; // who was refused before
mod node; // what can be paused together
mod room; // how much may be claimed, of what
mod round; // which endpoint is tried next

mod users; // users who are refused while others pass

pub(super) use self::facts::{Facts, Judged, Refused, Verdict};
pub(super) use self::node::Node;
pub(super) use self::room::{Restriction, Want};

/// So many rejections of different lanes in a row, without a pass, are a fault of this program or of
/// the service rather than of each event.
const REJECTIONS: usize = 20;

/// So many users in a row whose refreshed credentials were refused are a fault of the service.
const USERS: usize = 3;

/// So many destinations of a set that are down at once are a fault of the network.
const DESTINATIONS: usize = 3;

/// What a run knows about the services that it sends to.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Counts the begins and ends of attempts.
    number: u64,
    /// How many attempts may be under way where nothing speaks against it.
    most: usize,
    shares_network: bool,
    circuits: BTreeMap<Node, Circuit>,
    doubts: BTreeMap<Node, Doubt>,
    limits: BTreeMap<Node, Limit>,
    streaks: BTreeMap<Node, Streak>,
    records: BTreeMap<Node, Record>,
    memory: Memory,
    /// Lanes that were rejected in a row, by endpoint and by set.
    rejected: BTreeMap<Node, BTreeSet<Lane>>,
    /// Users of a set whose refreshed credentials were refused in a row.
    unauthenticated: BTreeMap<HandlerIndex, BTreeSet<String>>,
    pub(super) credentials: Credentials,
}

/// What an attempt was refused for, beyond the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The destination of the event.
    Destination,
    /// The event's user.
    User,
    /// Somewhere else: it concerns this event alone.
    Event,
}

impl Evidence {
    pub(super) fn new(most: usize, shares_network: bool) -> Self {
        Self {
            most,
            shares_network,
            ..Self::default()
        }
    }

    /// Whether nothing was refused lately, so that there is nothing to go by.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.circuits.is_empty()
            && self.limits.is_empty()
            && self.rejected.is_empty()
            && self.credentials.is_empty()
    }

    /// The number of an attempt that begins now.
    pub(super) fn begin(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// An attempt has begun: where a circuit is open it is a probe.
    pub(super) fn begun(&mut self, facts: &Facts) {
        if !self.credentials.is_empty() {
            self.credentials.begun(facts.user(), facts.endpoint());
        }
        for (node, circuit) in &mut self.circuits {
            if let Circuit::Open(open) = circuit
                && node.has_attempt(facts)
            {
                open.begun(facts);
            }
        }
    }

    /// What came of a refresh of a user's credentials.
    pub(super) fn refreshed(
        &mut self,
        user_id: &str,
        result: &Result<(), String>,
        now: DateTime<Utc>,
    ) {
        self.number += 1;
        let number = self.number;
        self.credentials.refreshed(user_id, result, number, now);
    }

    /// The clock was set: what was to end in a while ends in that while all the same.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for circuit in self.circuits.values_mut() {
            if let Circuit::Open(open) = circuit {
                open.shift(jump);
            }
        }
        for limit in self.limits.values_mut() {
            limit.shift(jump);
        }
        self.credentials.shift(jump);
    }

    /// Makes every probe due now. Where there is news, such as that the network is back, pauses begin
    /// to grow anew.
    pub(super) fn probe_now(&mut self, is_news: bool, now: DateTime<Utc>) {
        for circuit in self.circuits.values_mut() {
            if let Circuit::Open(open) = circuit {
                open.probe_now(is_news, now);
            }
        }
    }

    /// The service took an event, or has no need of it. Returns the refusals that this decides.
    pub(super) fn passed(
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

    /// The refusals that were in doubt are the events' own, as an attempt that began as `number` passed.
    ///
    /// One that would bury its event is made once more where the event was not told apart before: that
    /// others get through now says nothing about then, as the service may just have come back. It waits on
    /// where that attempt had begun before it failed, as the service may have gone down in between.
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
                judged.push(unjudged(waiting));
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
    fn as_own(&mut self, refused: Refused, is_conclusive: bool, now: DateTime<Utc>) -> Judged {
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
    fn is_refused_alone(&mut self, facts: &Facts) -> bool {
        let user = facts.user_node();
        let set = self.passes(&Node::Set(facts.set));
        let own = self.passes(&user);
        self.records.entry(user.clone()).or_default();
        let streak = self.streaks.entry(user.clone()).or_default();
        streak.refused(facts.lane(), set.saturating_sub(own)) && !self.circuits.contains_key(&user)
    }

    /// Notes a rate limit of an endpoint. `true`: it is the endpoint that has one, as two lanes met it while
    /// others passed at the same destination.
    fn is_limited_alone(&mut self, facts: &Facts) -> bool {
        let endpoint = facts.endpoint();
        let all = self.passes(&facts.destination());
        let own = self.passes(&endpoint);
        let streak = self.streaks.entry(endpoint.clone()).or_default();
        streak.refused(facts.lane(), all.saturating_sub(own))
            && !self.circuits.contains_key(&endpoint)
    }

    /// Whether a refusal is the lane's own by the interval rule, as far as this node can tell.
    fn tells_apart(&self, node: &Node, lane: &Lane) -> bool {
        let before = self.memory.passes(node, lane);
        let record = self.records.get(node);
        record.is_some_and(|record| record.tells_apart(lane, before))
    }

    /// Notes a refusal at the nodes that it is judged at.
    ///
    /// It is the lane's last one at every other node, too, where one of another class is judged: who got
    /// through before it says nothing about the next.
    fn note(&mut self, nodes: &[&Node], facts: &Facts) {
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

    fn passes(&mut self, node: &Node) -> u64 {
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

    /// An attempt was refused for a reason that may be the event's or the world's. Returns the refusals
    /// that this decides; where it is not among them, it is in doubt.
    pub(super) fn doubted(
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
            Reach::Event => return vec![deferred(refused)],
        }
        let endpoint = refused.facts.endpoint();
        for node in refused.facts.path() {
            self.records.entry(node).or_default();
        }
        let tells_apart = self.tells_apart(&endpoint, &refused.facts.lane());
        self.note(&[&endpoint], &refused.facts);
        if self.refused_as_probe(&refused, now) {
            return vec![given_back(refused, Duration::ZERO)];
        }
        let would_bury = refused.would_bury();
        if tells_apart && !would_bury {
            return vec![self.as_own(refused, false, now)];
        }
        let number = self.number;
        let doubt = self.doubts.entry(endpoint.clone());
        let doubt = doubt.or_insert_with(|| Doubt::new(number));
        doubt.add(refused, tells_apart, number);
        let under_way = flight.iter().copied();
        if doubt.is_outage(under_way.filter(|facts| endpoint.has_attempt(facts))) {
            return self.decide_as_outage(&endpoint, false, now);
        }
        Vec::new()
    }

    /// There is nothing else to be tried at an endpoint in doubt: where nothing is under way there
    /// either, it is taken for an outage.
    pub(super) fn nothing_else(
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

    /// Nobody gets through: a circuit opens, and everything in it that is in doubt is given back.
    ///
    /// Where there was nobody else to be tried, what was told apart before is its own fault all the same.
    fn decide_as_outage(
        &mut self,
        endpoint: &Node,
        is_for_want_of_others: bool,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        let Some(doubt) = self.doubts.remove(endpoint) else {
            return Vec::new();
        };
        let first = doubt.first;
        let is_own = |it: &Waiting| it.is_own && is_for_want_of_others;
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
            judged.extend(rest.into_iter().map(unjudged));
            judged.append(&mut self.give_back(|facts| node.has_attempt(facts)));
        }
        judged
    }

    /// How much is down: as much as nobody got through at since the first refusal in doubt.
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

    /// Whether nobody has got through at a node since then.
    fn is_silent_since(&self, node: &Node, number: u64) -> bool {
        let record = self.records.get(node);
        record.is_none_or(|record| record.last_pass < number)
    }

    /// The service wants a pause.
    pub(super) fn rate_limited(
        &mut self,
        refused: Refused,
        reach: Reach,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        let after = refused.not_before.unwrap_or_default();
        match reach {
            Reach::Destination => {}
            Reach::User => return vec![self.user_refused(refused, after, now)],
            Reach::Event => return vec![deferred(refused)],
        }
        let destination = refused.facts.destination();
        let lane = refused.facts.lane();
        let user = refused.facts.user_node();
        self.records
            .entry(Node::Set(refused.facts.set))
            .or_default();
        let tells_apart = self.tells_apart(&destination, &lane);
        self.note(&[&destination], &refused.facts);
        let passes = self.passes(&destination);
        let is_of_endpoint = self.is_limited_alone(&refused.facts);
        let is_of_user = self.streaks.get(&user).is_some_and(|streak| {
            let mut others = streak.other_lanes(&lane).peekable();
            others.peek().is_some()
                && others.all(|other| {
                    let before = self.memory.passes(&destination, other);
                    before.is_some_and(|before| passes > before)
                })
        });
        if self.refused_as_probe(&refused, now) {
            return vec![given_back(refused, after)];
        }
        let is_limited = self.limits.contains_key(&destination);
        if tells_apart && !is_limited {
            return vec![deferred(refused)];
        }
        self.is_refused_alone(&refused.facts);
        let part = match (is_of_user, is_of_endpoint) {
            _ if tells_apart => None,
            (_, true) => Some(refused.facts.endpoint()),
            (true, false) => Some(user),
            (false, false) => None,
        };
        if let Some(part) = part {
            self.open(&part, &refused, 1, now);
            return vec![given_back(refused, after)];
        }
        let facts = &refused.facts;
        match self.limits.get_mut(&destination) {
            Some(limit) if facts.number < limit.number => limit.met_again(after, now),
            _ => {
                self.number += 1;
                let error = bounded(&refused.refusal.message);
                let earlier = self.limits.get(&destination);
                let limit = Limit::met(earlier, after, self.number, facts.user(), error, now);
                self.limits.insert(destination.clone(), limit);
            }
        }
        // Nobody can tell whose fault an earlier refusal was while nothing is sent.
        let mut judged = self.give_back(|facts| destination.has_attempt(facts));
        judged.push(if tells_apart {
            // One that is refused whenever it comes up makes way for others more and more, though not as
            // fast as one that no limit was in force for: it may just be unlucky.
            let pause = self.limits.get(&destination).map(|limit| limit.pause);
            let verdict = Verdict::Deferred { base: pause };
            Judged { refused, verdict }
        } else {
            given_back(refused, after)
        });
        judged
    }

    /// The answer says that it concerns the event's user.
    fn user_refused(&mut self, refused: Refused, after: Duration, now: DateTime<Utc>) -> Judged {
        let user = refused.facts.user_node();
        let tells_apart = self.tells_apart(&user, &refused.facts.lane());
        self.note(&[&user], &refused.facts);
        if self.refused_as_probe(&refused, now) {
            return given_back(refused, after);
        }
        if tells_apart {
            return deferred(refused);
        }
        self.open(&user, &refused, 1, now);
        given_back(refused, after)
    }

    /// The credentials of the event's user were refused.
    ///
    /// They are good where others of the user's events get through. Then it is the event's own fault if others
    /// do at its endpoint, too, and the endpoint's if nobody does.
    pub(super) fn unauthenticated(
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
        let lane = refused.facts.lane();
        self.records.entry(set.clone()).or_default();
        let is_good = self.tells_apart(&node, &lane);
        let is_own = is_good && self.tells_apart(&endpoint, &lane);
        let is_silent = self.memory.passes(&endpoint, &lane) == Some(self.passes(&endpoint));
        self.note(&[&node, &endpoint], &refused.facts);
        let is_probe = self.refused_as_probe(&refused, now);
        if is_own && !is_probe {
            return vec![deferred(refused)];
        }
        if is_good && is_silent && !is_probe {
            self.open(&endpoint, &refused, 1, now);
            let mut judged = self.give_back(|facts| endpoint.has_attempt(facts));
            judged.push(given_back(refused, Duration::ZERO));
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
            return vec![given_back(refused, Duration::ZERO)];
        }
        // What is in doubt of this user would otherwise wait for the refresh.
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
        judged.push(given_back(refused, Duration::ZERO));
        judged
    }

    /// The service understood the event and refused it, for good unless it refuses everybody's.
    pub(super) fn rejected(
        &mut self,
        refused: Refused,
        are_always_final: bool,
        now: DateTime<Utc>,
    ) -> Vec<Judged> {
        self.number += 1;
        if !are_always_final && self.is_open_for_rejections(&refused.facts) {
            self.refused_as_probe(&refused, now);
            return vec![given_back(refused, Duration::ZERO)];
        }
        self.inconclusive(&refused.facts, now);
        let mut judged = Vec::new();
        for node in [refused.facts.endpoint(), Node::Set(refused.facts.set)] {
            let lanes = self.rejected.entry(node.clone()).or_default();
            lanes.insert(refused.facts.lane());
            if are_always_final || lanes.len() < REJECTIONS {
                continue;
            }
            self.rejected.remove(&node);
            self.open(&node, &refused, REJECTIONS, now);
            judged.append(&mut self.give_back(|facts| node.has_attempt(facts)));
        }
        if are_always_final {
            self.rejected.clear();
        }
        let verdict = Verdict::Rejected;
        judged.push(Judged { refused, verdict });
        judged
    }

    fn is_open_for_rejections(&self, facts: &Facts) -> bool {
        facts.path().iter().any(|node| {
            let circuit = self.circuits.get(node);
            matches!(circuit, Some(Circuit::Open(open)) if open.class == RefusalClass::Rejected)
        })
    }

    /// An attempt ended without telling anything about the service: the next probe goes at once.
    pub(super) fn inconclusive(&mut self, facts: &Facts, now: DateTime<Utc>) {
        for (node, circuit) in &mut self.circuits {
            if let Circuit::Open(open) = circuit
                && node.has_attempt(facts)
            {
                open.inconclusive(facts.number, now);
            }
        }
    }

    /// Where a circuit is open the refusal is one more of the same. Returns whether one is.
    fn refused_as_probe(&mut self, refused: &Refused, now: DateTime<Utc>) -> bool {
        let mut is_probe = false;
        for (node, circuit) in &mut self.circuits {
            if let Circuit::Open(open) = circuit
                && node.has_attempt(&refused.facts)
            {
                open.refused(node, refused, now);
                is_probe = true;
            }
        }
        is_probe
    }

    fn open(&mut self, node: &Node, by: &Refused, refusals: usize, now: DateTime<Utc>) {
        self.number += 1;
        let refusals = u32::try_from(refusals).unwrap_or(u32::MAX);
        let open = Open::new(node, by, refusals, self.number, now);
        warn!(
            node = %node.label(), refused = by.refusal.class.as_str(), error = ?open.last_error,
            "nobody gets through; one event at a time is tried"
        );
        self.circuits.insert(node.clone(), Circuit::Open(open));
    }

    /// Takes what is in doubt of these attempts back, as if it had never been tried.
    pub(super) fn give_back(&mut self, which: impl Fn(&Facts) -> bool) -> Vec<Judged> {
        let mut judged = Vec::new();
        for doubt in self.doubts.values_mut() {
            let picked = doubt.refused.extract_if(.., |it| which(&it.refused.facts));
            judged.extend(picked.map(unjudged));
        }
        self.doubts.retain(|_, doubt| !doubt.refused.is_empty());
        judged
    }

    /// The lease of an event was lost: whoever holds the newer one decides.
    pub(super) fn lost(&mut self, event_id: uuid::Uuid) {
        self.give_back(|facts| facts.event().id == event_id);
    }

    /// Forgets what nothing depends on any more, so that the usual case costs nothing.
    fn prune(&mut self) {
        let is_idle = self.memory.is_empty()
            && self.circuits.is_empty()
            && self.doubts.is_empty()
            && self.limits.is_empty();
        if is_idle && self.unauthenticated.is_empty() && self.streaks.is_empty() {
            self.records.clear();
        }
        if self.records.len() > RECORDS {
            let (memory, circuits, doubts) = (&self.memory, &self.circuits, &self.doubts);
            self.records.retain(|node, _| {
                memory.has(node) || circuits.contains_key(node) || doubts.contains_key(node)
            });
        }
    }
}

/// More than that is kept only of what is in use.
const RECORDS: usize = 4_096;

fn unjudged(waiting: Waiting) -> Judged {
    given_back(waiting.refused, Duration::ZERO)
}

fn given_back(refused: Refused, delay: Duration) -> Judged {
    Judged {
        refused,
        verdict: Verdict::GivenBack { delay },
    }
}

fn deferred(refused: Refused) -> Judged {
    Judged {
        refused,
        verdict: Verdict::Deferred { base: None },
    }
}
