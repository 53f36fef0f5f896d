//! Evidence: decides whose fault a refusal is.
//!
//! The answer to a single event says little: the cause may be its content, its user, its endpoint,
//! its destination or the network. So a refusal is judged by the results of its neighbors:
//!
//! - **Own**: another lane gets through at the same *endpoint* (event type and destination). The
//!   event is charged an attempt, or deferred if attempts are not counted for such a refusal.
//! - **The world's**: no lane gets through. Attempts are given back, the [circuit](circuit) of the
//!   endpoint, destination or handler set opens, and one probe at a time, each of another event,
//!   tells when the service is back.
//! - **In doubt** until one of the two is clear: the event keeps its lease, and meanwhile one
//!   attempt at a time, of another lane and user, looks for evidence. If its answer takes long, a
//!   second attempt joins it in a place that would otherwise stay idle.
//!
//! Everything here is in memory. Losing it in a restart costs one more refusal and never charges an
//! attempt, and neither does forgetting: the state of a user, a destination or an endpoint is
//! dropped once the store has no events for it, and state that only serves for comparison is
//! [kept](kept) up to a fixed number of entries. No flag here marks a probe as in flight: the
//! attempts under way are passed in and counted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use self::circuit::{Circuit, Open};
use self::credentials::Credentials;
use self::endpoint::{Doubt, Record, Waiting};
use self::facts::Lane;
use self::kept::Kept;
use self::limit::Limit;
use self::memory::Memory;
use self::users::Streak;
use super::routes::HandlerIndex;

mod circuit; // open, half-open, closed
mod credentials; // credentials that are refused, refreshed or signed out
mod doubting; // refusals without a verdict yet
mod endpoint; // the state of an endpoint in doubt
mod explaining; // reasons why an event is not sent
mod facts; // facts about attempts, and verdicts on them
mod kept; // a map of limited size
mod limit; // the rate limit of a destination
mod limiting; // refusals that ask for a pause
mod memory; // earlier refusals of lanes
mod node; // the parts of all work that are paused together
mod passing; // attempts that got through
mod refusing; // refused credentials, rejected events
mod room; // the claims that may be made
mod round; // endpoints that take turns
mod users; // users who are refused while others pass

pub(super) use self::facts::{Facts, Judged, Refused, Verdict};
pub(super) use self::node::Node;
pub(super) use self::refusing::Finality;
pub(super) use self::room::{Restriction, Want};

/// The state of a run's services, as known from its attempts.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Counts the begins and ends of attempts.
    number: u64,
    /// The maximum number of attempts under way, without restrictions.
    most: usize,
    shares_network: bool,
    circuits: BTreeMap<Node, Circuit>,
    doubts: BTreeMap<Node, Doubt>,
    limits: BTreeMap<Node, Limit>,
    streaks: Kept<Node, Streak>,
    records: BTreeMap<Node, Record>,
    memory: Memory,
    /// Lanes that were rejected in a row, by endpoint and by set.
    rejected: Kept<Node, BTreeSet<Lane>>,
    /// Users of a set whose refreshed credentials were refused, since the last pass.
    unauthenticated: BTreeMap<HandlerIndex, BTreeSet<String>>,
    pub(super) credentials: Credentials,
}

/// The extent of a refusal, as its answer states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The destination of the event.
    Destination,
    /// The event's user.
    User,
    /// This event alone.
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

    /// Whether nothing was refused lately, so that there is no evidence to consider.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.circuits.is_empty()
            && self.limits.is_empty()
            && self.rejected.is_empty()
            && self.credentials.is_empty()
    }

    /// The number of an attempt that begins now.
    pub(super) fn begin(&mut self) -> u64 {
        self.forget_records();
        self.number += 1;
        self.number
    }

    /// Records that an attempt has begun, which is a probe where a circuit is open.
    pub(super) fn begun(&mut self, facts: &Facts) {
        if !self.credentials.is_empty() {
            self.credentials.begun(facts.user(), facts.endpoint());
        }
        for node in facts.parts() {
            if let Some(Circuit::Open(open)) = self.circuits.get_mut(&node) {
                open.begun(facts);
            }
        }
    }

    /// Records the result of a refresh of a user's credentials.
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

    /// Adapts to a clock that was set: every pause keeps its remaining duration.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for circuit in self.circuits.values_mut() {
            if let Circuit::Open(open) = circuit {
                open.shift(jump);
            }
        }
        for limit in self.limits.values_mut() {
            limit.shift(jump);
        }
        for doubt in self.doubts.values_mut() {
            doubt.shift(jump);
        }
        self.credentials.shift(jump);
    }

    /// Makes every probe due now. If there is news, such as a network that is back, pauses start
    /// again from the shortest.
    pub(super) fn probe_now(&mut self, is_news: bool, now: DateTime<Utc>) {
        for circuit in self.circuits.values_mut() {
            if let Circuit::Open(open) = circuit {
                open.probe_now(is_news, now);
            }
        }
    }

    /// Records that an attempt ended without evidence about the service: the next probe starts at
    /// once.
    pub(super) fn inconclusive(&mut self, facts: &Facts, now: DateTime<Utc>) {
        for node in facts.parts() {
            if let Some(Circuit::Open(open)) = self.circuits.get_mut(&node) {
                open.inconclusive(facts.number, now);
            }
        }
    }

    /// Adds a refusal to every open circuit that it is part of. Returns whether there is one.
    pub(super) fn refused_as_probe(&mut self, refused: &Refused, now: DateTime<Utc>) -> bool {
        let mut is_probe = false;
        for node in refused.facts.parts() {
            if let Some(Circuit::Open(open)) = self.circuits.get_mut(&node) {
                open.refused(&node, refused, now);
                is_probe = true;
            }
        }
        is_probe
    }

    pub(super) fn open(&mut self, node: &Node, by: &Refused, refusals: usize, now: DateTime<Utc>) {
        self.number += 1;
        let refusals = u32::try_from(refusals).unwrap_or(u32::MAX);
        let open = Open::new(node, by, refusals, self.number, now);
        warn!(
            node = %node.label(), refused = by.refusal.class.as_str(), error = ?open.last_error,
            "no event gets through; the circuit opens and probes one event at a time"
        );
        self.circuits.insert(node.clone(), Circuit::Open(open));
    }

    /// Gives back those of these attempts that are in doubt, as if they had never begun.
    pub(super) fn give_back(&mut self, which: impl Fn(&Facts) -> bool) -> Vec<Judged> {
        let mut judged = Vec::new();
        for doubt in self.doubts.values_mut() {
            let picked = doubt.refused.extract_if(.., |it| which(&it.refused.facts));
            judged.extend(picked.map(Waiting::unjudged));
        }
        self.doubts.retain(|_, doubt| !doubt.refused.is_empty());
        judged
    }

    /// Whether an endpoint that overlaps the node is in doubt.
    pub(super) fn is_in_doubt(&self, node: &Node) -> bool {
        self.doubts.keys().any(|endpoint| endpoint.overlaps(node))
    }

    /// Forgets the state of a node that has no events left, as it may never have any again. The
    /// widest nodes are few and stay. Returns whether anything was forgotten.
    pub(super) fn forget(&mut self, node: &Node, now: DateTime<Utc>) -> bool {
        match node {
            Node::All | Node::Set(_) | Node::Destination(_, None) | Node::Limited(_) => false,
            Node::Credentials(user) => self.credentials.forget(user),
            Node::Destination(_, Some(_)) | Node::Endpoint(..) | Node::User(..) => {
                self.streaks.remove(node);
                self.rejected.remove(node);
                let circuit = self.circuits.remove(node);
                let limit = self.limits.get(node);
                let is_old = limit.is_some_and(|limit| limit.is_old(now));
                if is_old {
                    self.limits.remove(node);
                }
                circuit.is_some() || is_old
            }
        }
    }

    /// Drops an event whose lease was lost: the holder of the newer lease decides. Returns the
    /// other events of its batch, which go back.
    pub(super) fn lost(&mut self, event_id: uuid::Uuid) -> Vec<Judged> {
        let mut judged = self.give_back(|facts| facts.covers(event_id));
        judged.retain(|judged| judged.refused.facts.is_batch());
        judged
    }

    /// Clears the records once nothing depends on them, so that the usual case costs nothing.
    fn prune(&mut self) {
        let is_idle = self.memory.is_empty()
            && self.circuits.is_empty()
            && self.doubts.is_empty()
            && self.limits.is_empty();
        if is_idle && self.unauthenticated.is_empty() && self.streaks.is_empty() {
            self.records.clear();
        }
    }

    /// Forgets records that nothing compares with any more, if there are many.
    fn forget_records(&mut self) {
        if self.records.len() <= RECORDS {
            return;
        }
        let Self {
            memory,
            circuits,
            streaks,
            doubts,
            ..
        } = self;
        self.records.retain(|node, _| {
            let is_wide = matches!(node, Node::All | Node::Set(_));
            let is_refused = memory.has(node) || streaks.has(node);
            is_wide || is_refused || circuits.contains_key(node) || doubts.contains_key(node)
        });
    }
}

/// Above this number of records, only those in use are kept.
const RECORDS: usize = 4_096;
