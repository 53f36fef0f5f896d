//! Room: the claims that may be made while nodes are restricted.

use chrono::{DateTime, Utc};

use super::Evidence;
use super::circuit::Circuit;
use super::credentials::Allowed;
use super::facts::Facts;
use super::node::Node;
use crate::claim::ClaimOrder;
use crate::event::OutboxEvent;
use crate::processor::routes::HandlerIndex;

/// A node that may have fewer attempts under way than the run has places.
#[derive(Debug)]
pub(in crate::processor) struct Restriction {
    pub(in crate::processor) node: Node,
    /// The number of attempts that may begin now.
    pub(in crate::processor) room: usize,
    kind: Kind,
    order: ClaimOrder,
    avoid: Vec<String>,
    /// Parts of the node that are tried only if it has no other events.
    last_resort: Vec<Node>,
    /// Whether a claim for this node leaves out the parts of last resort altogether.
    is_elsewhere: bool,
    /// Whether all other claims go first.
    gives_way: bool,
    is_for_evidence: bool,
}

/// Why a node is restricted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its circuit is open: any attempt is its probe.
    Open,
    /// It is paused until a given time.
    Paused,
    /// One attempt at a time looks for evidence.
    InDoubt,
    /// One attempt at a time tries whether a pause was long enough.
    OnTrial,
    /// A few attempts may be under way at once.
    Narrow,
}

/// A claim that may be made.
#[derive(Debug, Clone)]
pub(in crate::processor) struct Want {
    /// The node to claim events of; `None` means all events that are not restricted.
    pub(in crate::processor) node: Option<Node>,
    pub(in crate::processor) limit: usize,
    pub(in crate::processor) order: ClaimOrder,
    pub(in crate::processor) avoid: Vec<String>,
    pub(in crate::processor) except: Vec<Node>,
    /// Whether an empty result means that the endpoint in doubt, or the user with a second chance,
    /// has no other event to try.
    pub(in crate::processor) is_for_evidence: bool,
    /// Whether the claim is made only if another claim of the same node returned too few events.
    pub(in crate::processor) is_last_resort: bool,
    /// Whether the claim includes every part of the node that may be tried later.
    pub(in crate::processor) covers_node: bool,
    /// Whether all other claims go first.
    pub(in crate::processor) gives_way: bool,
}

impl Want {
    /// Whether both claims ask for the same events.
    pub(in crate::processor) fn asks_for_the_same(&self, other: &Self) -> bool {
        self.node == other.node && self.except == other.except
    }

    /// Whether the claim may bring events of this node.
    pub(in crate::processor) fn reaches(&self, node: &Node) -> bool {
        let own = self.node.as_ref();
        !self.except.contains(node) && own.is_none_or(|own| own.overlaps(node))
    }

    /// Whether the claim is for this node, or the usual claim that includes it.
    pub(in crate::processor) fn is_for(&self, node: &Node) -> bool {
        match &self.node {
            Some(own) => own == node,
            None => !self.except.contains(node),
        }
    }
}

impl Restriction {
    /// A limit that the application set, with this many places left.
    pub(in crate::processor) fn limited(node: &Node, room: usize) -> Self {
        Self {
            room,
            ..Self::new(node, Kind::Narrow)
        }
    }

    fn is_limit(&self) -> bool {
        matches!(self.node, Node::Limited(_))
    }

    /// Whether claimed events of this node should go back to the store instead of waiting here for
    /// room.
    pub(in crate::processor) fn sends_back(&self) -> bool {
        matches!(self.kind, Kind::Open | Kind::Paused)
    }

    pub(in crate::processor) fn has(&self, set: HandlerIndex, event: &OutboxEvent) -> bool {
        self.node.has(set, event)
    }

    /// Whether an attempt is to find out something, so that a batch has just one event.
    pub(in crate::processor) fn is_probed(&self) -> bool {
        self.kind != Kind::Narrow
    }

    /// Whether a claim of up to `limit` events for this node may include events of `other`, too.
    ///
    /// The claim uses the order of the restriction with the lower rank. If two parts are tried one
    /// event at a time, one of them could otherwise be due whenever the other one is, and never be
    /// tried.
    fn may_include(&self, other: &Self, limit: usize) -> bool {
        // Where credentials were just refused, only the time of a probe keeps them from being tried
        // again.
        let may_try = !other.is_elsewhere || self.kind == Kind::Open;
        may_try && other.room >= limit && rank(self.kind) <= rank(other.kind)
    }

    /// Whether all claims of `narrower`, a part of this node, are made for this node.
    fn claims_for(&self, narrower: &Self) -> bool {
        self.kind == Kind::Open || rank(self.kind) < rank(narrower.kind)
    }

    /// Whether a claim that returned nothing would have returned the events of this node.
    pub(in crate::processor) fn is_asked_for(
        &self,
        all: &[Self],
        was_asked: impl Fn(&Node) -> bool,
    ) -> bool {
        let is_claimed_by = |wider: &Self| {
            wider.node.contains(&self.node) && wider.claims_for(self) && was_asked(&wider.node)
        };
        // A node that is tried elsewhere only may have due events that are not claimed, as the end
        // of the pause is near.
        let is_open_to_all = self.room > 0 && !self.is_elsewhere;
        is_open_to_all && (was_asked(&self.node) || all.iter().any(is_claimed_by))
    }

    /// Returns the claims for this node, if it may be claimed on its own: not if it is part of
    /// another restricted node that has no room or is probed as a whole.
    fn wants<'a>(&'a self, all: &'a [Self]) -> impl Iterator<Item = Want> + 'a {
        let mut limit = self.room;
        for wider in all {
            if wider.node != self.node && wider.node.contains(&self.node) {
                limit = match wider.claims_for(self) {
                    true => 0,
                    false => limit.min(wider.room),
                };
            }
        }
        let narrower = all.iter().filter(|other| {
            other.node != self.node
                && !other.node.contains(&self.node)
                && other.node.overlaps(&self.node)
                && !self.may_include(other, limit)
        });
        let except: Vec<Node> = narrower.map(|other| other.node.clone()).collect();
        let want = move |but: &[Node]| Want {
            node: Some(self.node.clone()),
            limit,
            order: self.order,
            avoid: self.avoid.clone(),
            except: except.iter().chain(but).cloned().collect(),
            is_for_evidence: false,
            is_last_resort: false,
            covers_node: false,
            gives_way: self.gives_way,
        };
        let is_forgettable = !self.is_limit();
        let mut wants = Vec::new();
        if !self.last_resort.is_empty() {
            wants.push(want(&self.last_resort));
        }
        if !self.is_elsewhere {
            wants.push(Want {
                is_for_evidence: self.is_for_evidence,
                is_last_resort: !wants.is_empty(),
                covers_node: is_forgettable,
                ..want(&[])
            });
        }
        wants.into_iter().filter(|want| want.limit > 0)
    }

    /// Sets the order of the events that are tried. The newest event is tried regardless of earlier
    /// refusals; only in other orders are users and parts that were just tried avoided.
    fn try_in(&mut self, order: ClaimOrder, avoid: Option<&str>, last_resort: &[Node]) {
        self.order = order;
        if order != ClaimOrder::Newest {
            self.avoid = avoid.into_iter().map(str::to_owned).collect();
            self.last_resort = last_resort.to_vec();
        }
    }
}

impl Evidence {
    /// Returns all restrictions as of now; `flight` has the attempts under way.
    pub(in crate::processor) fn restrictions(
        &self,
        flight: &[&Facts],
        now: DateTime<Utc>,
    ) -> Vec<Restriction> {
        if self.is_empty() {
            return Vec::new();
        }
        let under_way = |node: &Node| {
            flight
                .iter()
                .filter(|facts| node.has_attempt(facts))
                .count()
        };
        let mut all: Vec<Restriction> = Vec::new();
        for (node, circuit) in &self.circuits {
            let mut restriction = Restriction::new(node, Kind::Narrow);
            match circuit {
                Circuit::Open(open) => {
                    let may_probe = open.probe_at <= now && under_way(node) == 0;
                    restriction.room = usize::from(may_probe);
                    restriction.kind = Kind::Open;
                    restriction.try_in(open.order(), open.last_user(), open.probed());
                }
                Circuit::HalfOpen { width, .. } => {
                    restriction.room = width.saturating_sub(under_way(node));
                }
            }
            all.push(restriction);
        }
        for (node, doubt) in &self.doubts {
            let search = doubt.search(attempts_of(node, flight), now);
            let search = search.filter(|search| search.from <= now);
            let mut restriction = Restriction::new(node, Kind::InDoubt);
            restriction.room = usize::from(search.is_some());
            restriction.is_for_evidence = true;
            restriction.gives_way = search.is_some_and(|search| search.gives_way);
            restriction.order = ClaimOrder::LeastRecent;
            restriction.avoid = doubt.users.iter().cloned().collect();
            all.push(restriction);
        }
        for (node, limit) in &self.limits {
            let heeds = |facts: &&&Facts| facts.number >= limit.number && node.has_attempt(facts);
            let taken = flight.iter().filter(heeds).count();
            let kind = if limit.until > now {
                Kind::Paused
            } else if limit.is_on_trial() {
                Kind::OnTrial
            } else {
                Kind::Narrow
            };
            let mut restriction = Restriction::new(node, kind);
            restriction.room = limit.most(now).saturating_sub(taken);
            if limit.is_on_trial() {
                restriction.try_in(limit.order(), Some(&limit.last_user), &[]);
            }
            all.push(restriction);
        }
        for restricted in self.credentials.restricted(now) {
            let node = Node::Credentials(restricted.user.to_owned());
            let (kind, most) = match restricted.allowed {
                Allowed::Nothing => (Kind::Paused, 0),
                Allowed::OneAttempt | Allowed::Elsewhere => (Kind::OnTrial, 1_usize),
            };
            let heeds =
                |facts: &&&Facts| facts.number >= restricted.number && node.has_attempt(facts);
            let taken = flight.iter().filter(heeds).count();
            let mut restriction = Restriction::new(&node, kind);
            restriction.room = most.saturating_sub(taken);
            restriction.is_for_evidence = restricted.has_second_chance;
            restriction.try_in(restricted.order, None, restricted.last_resort);
            if restricted.allowed == Allowed::Elsewhere {
                restriction.last_resort = restricted.last_resort.to_vec();
                restriction.is_elsewhere = true;
            }
            all.push(restriction);
        }
        merged(all)
    }

    /// Returns the claims that may be made with `free` idle places, where `ahead` more events may
    /// wait for a place.
    pub(in crate::processor) fn wants(
        restrictions: &[Restriction],
        free: usize,
        ahead: usize,
    ) -> Vec<Want> {
        let is_total = |restriction: &Restriction| restriction.node == Node::All;
        let has_usual = free + ahead > 0 && !restrictions.iter().any(is_total);
        // A limit that is not reached even if all events of the usual claim are of its destination
        // needs no claim of its own.
        let is_apart = |it: &&Restriction| !(has_usual && it.is_limit() && it.room >= free + ahead);
        // Most restrictions have no room, and each of the others is compared with all of them.
        let with_room = restrictions.iter().filter(|it| it.room > 0 && is_apart(it));
        let mut wants: Vec<Want> = with_room
            .flat_map(|restriction| restriction.wants(restrictions))
            .map(|want| Want {
                limit: want.limit.min(free),
                ..want
            })
            .filter(|want| want.limit > 0)
            .collect();
        if has_usual {
            let apart = restrictions.iter().filter(is_apart);
            wants.push(Want {
                node: None,
                limit: free + ahead,
                order: ClaimOrder::Usual,
                avoid: Vec::new(),
                except: apart.map(|it| it.node.clone()).collect(),
                is_for_evidence: false,
                is_last_resort: false,
                covers_node: false,
                gives_way: false,
            });
        }
        wants
    }

    /// Returns when the next pause ends after `since`; `flight` has the attempts under way.
    pub(in crate::processor) fn next_pause_end(
        &self,
        flight: &[&Facts],
        since: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let probes = self.circuits.values().filter_map(|circuit| match circuit {
            Circuit::Open(open) => Some(open.probe_at),
            Circuit::HalfOpen { .. } => None,
        });
        let limits = self.limits.values().map(|limit| limit.until);
        let has_place = flight.len() < self.most;
        let doubts = self.doubts.iter().filter(|_| has_place);
        let searches = doubts.filter_map(|(node, doubt)| {
            let search = doubt.search(attempts_of(node, flight), since)?;
            Some(search.from)
        });
        probes
            .chain(limits)
            .chain(searches)
            .chain(self.credentials.refresh_times())
            .filter(|end| *end > since)
            .min()
    }
}

impl Restriction {
    fn new(node: &Node, kind: Kind) -> Self {
        Self {
            node: node.clone(),
            room: 0,
            kind,
            order: ClaimOrder::Usual,
            avoid: Vec::new(),
            last_resort: Vec::new(),
            is_elsewhere: false,
            gives_way: false,
            is_for_evidence: false,
        }
    }
}

/// The attempts under way that are part of a node.
fn attempts_of<'a>(node: &Node, flight: &[&'a Facts]) -> impl Iterator<Item = &'a Facts> {
    let attempts = flight.iter().copied();
    attempts.filter(move |facts| node.has_attempt(facts))
}

/// Merges the restrictions of each node into one, with the least room of all and the rest from the
/// restriction with the lowest rank.
fn merged(mut all: Vec<Restriction>) -> Vec<Restriction> {
    all.sort_by(|one, other| one.node.cmp(&other.node));
    let mut merged: Vec<Restriction> = Vec::with_capacity(all.len());
    for restriction in all {
        match merged.last_mut() {
            Some(last) if last.node == restriction.node => {
                last.room = last.room.min(restriction.room);
                if rank(restriction.kind) < rank(last.kind) {
                    let room = last.room;
                    *last = Restriction {
                        room,
                        ..restriction
                    };
                }
            }
            _ => merged.push(restriction),
        }
    }
    merged
}

/// The rank of a kind: of two kinds, the one with the lower rank determines how a node is tried.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Open => 0,
        Kind::Paused => 1,
        Kind::InDoubt => 2,
        Kind::OnTrial => 3,
        Kind::Narrow => 4,
    }
}
