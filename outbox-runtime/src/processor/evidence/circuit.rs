//! A circuit breaker (M. Nygard, *Release It!*): open while no attempt gets through, then half-open
//! and wider step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::facts::{Facts, Refused};
use super::node::Node;
use super::round::Round;
use crate::claim::ClaimOrder;
use crate::clock;
use crate::event::RefusalClass;
use crate::outcome::bounded;

/// The pause after a circuit opens, doubled with each refused probe, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The maximum number of refused children that are remembered, to be probed one at a time when the
/// circuit closes.
const CHILDREN: usize = 64;

/// A circuit that is not closed.
#[derive(Debug)]
pub(super) enum Circuit {
    Open(Open),
    /// After a pass: at most `width` attempts at once, doubled after each `width` passes.
    HalfOpen {
        width: usize,
        passed: usize,
    },
}

/// An open circuit: only probes are sent.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) since: DateTime<Utc>,
    /// Attempts with a lower number began earlier and are not probes.
    pub(super) number: u64,
    pub(super) class: RefusalClass,
    /// The message of the last refusal.
    pub(super) last_error: String,
    /// The number of refused attempts, including those that opened the circuit.
    pub(super) refusals: u32,
    pub(super) probe_at: DateTime<Utc>,
    /// The number of refused probes.
    step: u32,
    /// Whether pauses are counted from the end of a probe, so that a probe that hangs takes at most
    /// half of the time of a place that others could use.
    from_end: bool,
    /// The user of the last probe; the next one is of another user, if there is one.
    last_user: Option<String>,
    probed: Round,
    probes: u32,
    /// The child nodes that were refused.
    pub(super) children: BTreeSet<Node>,
}

impl Open {
    /// A circuit opened by these refusals.
    pub(super) fn new(
        node: &Node,
        by: &Refused,
        refusals: u32,
        number: u64,
        now: DateTime<Utc>,
    ) -> Self {
        let from_end = match node {
            Node::All | Node::Set(_) | Node::Destination(_, None) => false,
            Node::Destination(_, Some(_))
            | Node::Endpoint(..)
            | Node::User(..)
            | Node::Credentials(_)
            | Node::Limited(_) => true,
        };
        let mut open = Self {
            since: now,
            number,
            class: by.refusal.class,
            last_error: bounded(&by.refusal.message),
            refusals,
            probe_at: now,
            step: 0,
            from_end,
            last_user: Some(by.facts.user().to_owned()),
            probed: Round::default(),
            probes: 0,
            children: node.child_of_attempt(&by.facts).into_iter().collect(),
        };
        let took = if from_end { by.took } else { Duration::ZERO };
        let asked = by.not_before.unwrap_or_default();
        open.probe_at = clock::after(now, open.pause().max(took).max(asked));
        open
    }

    /// A circuit for a child of this one, which has just closed: nothing is known about the child
    /// alone, so it is probed at once.
    pub(super) fn inherited(&self, now: DateTime<Utc>) -> Self {
        Self {
            since: self.since,
            number: self.number,
            class: self.class,
            last_error: self.last_error.clone(),
            refusals: 0,
            probe_at: now,
            step: 0,
            from_end: true,
            last_user: None,
            probed: Round::default(),
            probes: 0,
            children: BTreeSet::new(),
        }
    }

    fn pause(&self) -> Duration {
        if self.class == RefusalClass::Rejected {
            return LONGEST_PAUSE;
        }
        let doubled = 2_u32.saturating_pow(self.step);
        FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
    }

    /// Records that a probe begins.
    pub(super) fn begun(&mut self, facts: &Facts) {
        self.probed.begun(facts.endpoint(), self.order());
        self.probes = self.probes.wrapping_add(1);
        self.last_user = Some(facts.user().to_owned());
    }

    /// Records that an attempt was refused.
    pub(super) fn refused(&mut self, node: &Node, by: &Refused, now: DateTime<Utc>) {
        self.refusals = self.refusals.saturating_add(1);
        self.last_error = bounded(&by.refusal.message);
        if let Some(child) = node.child_of_attempt(&by.facts)
            && self.children.len() < CHILDREN
        {
            self.children.insert(child);
        }
        if by.facts.number < self.number {
            // It was under way when the circuit opened, so it is not a probe.
            return;
        }
        if self.class != RefusalClass::Rejected {
            self.class = by.refusal.class;
        }
        self.step = self.step.saturating_add(1);
        let pause = self.pause();
        let next = if self.from_end {
            clock::after(now, pause.max(by.took))
        } else {
            clock::after(by.facts.began_at, pause).max(now)
        };
        self.probe_at = next.max(clock::after(now, by.not_before.unwrap_or_default()));
    }

    /// Records that a probe ended without evidence about the service: the next one starts at once.
    pub(super) fn inconclusive(&mut self, number: u64, now: DateTime<Utc>) {
        if number >= self.number {
            self.probe_at = self.probe_at.min(now);
        }
    }

    /// Makes the next probe due now. With `is_news`, the pauses start again from the shortest.
    pub(super) fn probe_now(&mut self, is_news: bool, now: DateTime<Utc>) {
        self.probe_at = now;
        if is_news {
            self.step = 0;
        }
    }

    pub(super) fn shift(&mut self, jump: TimeDelta) {
        self.since = clock::shifted(self.since, jump);
        self.probe_at = clock::shifted(self.probe_at, jump);
    }

    /// The order of the probes: alternately the newest event and the least recently tried one, so
    /// that a newcomer is among the next two probes and no event is probed again and again.
    pub(super) fn order(&self) -> ClaimOrder {
        if self.probes.is_multiple_of(2) {
            ClaimOrder::Newest
        } else {
            ClaimOrder::LeastRecent
        }
    }

    pub(super) fn last_user(&self) -> Option<&str> {
        self.last_user.as_deref()
    }

    /// The endpoints that have had their turn in this round.
    pub(super) fn probed(&self) -> &[Node] {
        self.probed.taken()
    }
}

impl Circuit {
    /// Returns the circuit after a pass, or `None` if it is closed.
    pub(super) fn passed(self, most: usize) -> Option<Self> {
        let (width, passed) = match self {
            Self::Open(_) => (1, 0),
            Self::HalfOpen { width, passed } if passed + 1 >= width => (width.saturating_mul(2), 0),
            Self::HalfOpen { width, passed } => (width, passed + 1),
        };
        (width < most).then_some(Self::HalfOpen { width, passed })
    }
}
