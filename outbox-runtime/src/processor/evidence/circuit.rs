//! A circuit breaker (M. Nygard, *Release It!*): open while nobody gets through, then half-open, one
//! attempt wider at a time.

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

/// The pause after a circuit opened, doubled with each refused probe up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// At most so many refused children are remembered, to be probed one by one when the circuit closes.
const CHILDREN: usize = 64;

/// A circuit that is not closed.
#[derive(Debug)]
pub(super) enum Circuit {
    Open(Open),
    /// Somebody got through: at most `width` attempts at once, twice as many after each `width` passes.
    HalfOpen {
        width: usize,
        passed: usize,
    },
}

/// Why nothing is sent.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) since: DateTime<Utc>,
    /// Attempts that began earlier are no probes.
    pub(super) number: u64,
    pub(super) class: RefusalClass,
    /// What the last refusal said.
    pub(super) last_error: String,
    /// How many attempts were refused, those that opened it included.
    pub(super) refusals: u32,
    pub(super) probe_at: DateTime<Utc>,
    /// Probes that were refused.
    step: u32,
    /// Whether pauses are counted from the end of a probe, so that one that hangs takes at most half
    /// of the time of a place that others could use.
    from_end: bool,
    /// Whom the last probe was about; the next one is about somebody else where there is anybody.
    last_user: Option<String>,
    probed: Round,
    probes: u32,
    /// The parts of it that were refused.
    pub(super) children: BTreeSet<Node>,
}

impl Open {
    /// Opened by these refusals.
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
            | Node::Credentials(_) => true,
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

    /// Opened as part of a wider circuit that has just closed: nothing is known of this part alone, so
    /// it is probed at once.
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

    /// A probe begins.
    pub(super) fn begun(&mut self, facts: &Facts) {
        self.probed.begun(facts.endpoint(), self.order());
        self.probes = self.probes.wrapping_add(1);
        self.last_user = Some(facts.user().to_owned());
    }

    /// An attempt was refused.
    pub(super) fn refused(&mut self, node: &Node, by: &Refused, now: DateTime<Utc>) {
        self.refusals = self.refusals.saturating_add(1);
        self.last_error = bounded(&by.refusal.message);
        if let Some(child) = node.child_of_attempt(&by.facts)
            && self.children.len() < CHILDREN
        {
            self.children.insert(child);
        }
        if by.facts.number < self.number {
            // It was under way when the circuit opened: nothing new.
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

    /// A probe ended without telling anything about the service: the next one goes at once.
    pub(super) fn inconclusive(&mut self, number: u64, now: DateTime<Utc>) {
        if number >= self.number {
            self.probe_at = self.probe_at.min(now);
        }
    }

    /// Somebody says that it may be worth trying.
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

    /// Alternately the newest event and the one that was not tried for longest: a newcomer is probed
    /// within two probes, and no event is probed again and again.
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

    /// The endpoints that have had their turn.
    pub(super) fn probed(&self) -> &[Node] {
        self.probed.taken()
    }
}

impl Circuit {
    /// Somebody got through. `None`: it is closed.
    pub(super) fn passed(self, most: usize) -> Option<Self> {
        let (width, passed) = match self {
            Self::Open(_) => (1, 0),
            Self::HalfOpen { width, passed } if passed + 1 >= width => (width.saturating_mul(2), 0),
            Self::HalfOpen { width, passed } => (width, passed + 1),
        };
        (width < most).then_some(Self::HalfOpen { width, passed })
    }
}
