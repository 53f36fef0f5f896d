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
//!   a time, of another lane and user, looks for evidence. One that is long in coming has another one
//!   beside it, at a place that nothing else has a use for.
//!
//! Everything here is in memory. A restart knows none of it; that costs one more refusal, and never a
//! charge. Nor does forgetting: what is known of a user, a destination or an endpoint goes when
//! nothing is left of it in the store, and what is only compared with is [kept](kept) of so many at
//! most. Nothing here remembers that a probe is out: what is under way is passed in, and counted.

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
mod credentials; // refused, refreshed, signed out
mod doubting; // a refusal whose fault is not known yet
mod endpoint; // refusals that wait for a verdict
mod explaining; // what keeps an event from being sent
mod facts; // what is known of an attempt, and what is said of one
mod kept; // of so many at most
mod limit; // destinations that want a pause
mod limiting; // a refusal that asks for a pause
mod memory; // who was refused before
mod node; // what can be paused together
mod passing; // an attempt that got through
mod refusing; // refused credentials, rejected events
mod room; // how much may be claimed, of what
mod round; // which endpoint is tried next
mod users; // users who are refused while others pass

pub(super) use self::facts::{Facts, Judged, Refused, Verdict};
pub(super) use self::node::Node;
pub(super) use self::refusing::Finality;
pub(super) use self::room::{Restriction, Want};

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
    streaks: Kept<Node, Streak>,
    records: BTreeMap<Node, Record>,
    memory: Memory,
    /// Lanes that were rejected in a row, by endpoint and by set.
    rejected: Kept<Node, BTreeSet<Lane>>,
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
        self.forget_records();
        self.number += 1;
        self.number
    }

    /// An attempt has begun: where a circuit is open it is a probe.
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
        for doubt in self.doubts.values_mut() {
            doubt.shift(jump);
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

    /// An attempt ended without telling anything about the service: the next probe goes at once.
    pub(super) fn inconclusive(&mut self, facts: &Facts, now: DateTime<Utc>) {
        for node in facts.parts() {
            if let Some(Circuit::Open(open)) = self.circuits.get_mut(&node) {
                open.inconclusive(facts.number, now);
            }
        }
    }

    /// Where a circuit is open the refusal is one more of the same. Returns whether one is.
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
            "nobody gets through; one event at a time is tried"
        );
        self.circuits.insert(node.clone(), Circuit::Open(open));
    }

    /// Takes what is in doubt of these attempts back, as if it had never been tried.
    pub(super) fn give_back(&mut self, which: impl Fn(&Facts) -> bool) -> Vec<Judged> {
        let mut judged = Vec::new();
        for doubt in self.doubts.values_mut() {
            let picked = doubt.refused.extract_if(.., |it| which(&it.refused.facts));
            judged.extend(picked.map(Waiting::unjudged));
        }
        self.doubts.retain(|_, doubt| !doubt.refused.is_empty());
        judged
    }

    /// Whether something that is part of it is in doubt.
    pub(super) fn is_in_doubt(&self, node: &Node) -> bool {
        self.doubts.keys().any(|endpoint| endpoint.overlaps(node))
    }

    /// Nothing is left of a part of all work. What is known of it is forgotten, as it may never have
    /// anything to send again; the widest parts are few. Returns whether there was anything.
    pub(super) fn forget(&mut self, node: &Node, now: DateTime<Utc>) -> bool {
        match node {
            Node::All | Node::Set(_) | Node::Destination(_, None) => false,
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
    }

    /// Forgets what nothing compares with any more, where there is much of it.
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

/// More than that is kept only of what is in use.
const RECORDS: usize = 4_096;
