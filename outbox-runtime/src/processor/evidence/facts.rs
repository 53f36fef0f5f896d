//! The facts that the evidence rule knows about an attempt, and its verdicts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::node::Node;
use crate::claim::Claim;
use crate::entity::{EntityId, Order};
use crate::event::{OutboxEvent, Refusal};
use crate::processor::routes::HandlerIndex;
use crate::retry::RetryPolicy;

/// The facts about one attempt that matter as evidence.
#[derive(Debug, Clone)]
pub(in crate::processor) struct Facts {
    pub(in crate::processor) claim: Arc<Claim>,
    /// The other events of a batch, which share its answer.
    pub(in crate::processor) with: Option<Arc<[Arc<Claim>]>>,
    /// The handler set.
    pub(in crate::processor) set: HandlerIndex,
    /// Its place among all begins and ends of attempts of this run, which orders them even if the
    /// clock is set meanwhile.
    pub(in crate::processor) number: u64,
    pub(in crate::processor) began_at: DateTime<Utc>,
}

impl Facts {
    pub(super) fn event(&self) -> &OutboxEvent {
        &self.claim.event
    }

    pub(super) fn user(&self) -> &str {
        &self.claim.event.user_id
    }

    /// The lane of the attempt. All batches of a user are one, because the refusal of a batch says
    /// nothing about any of its events.
    pub(super) fn lane(&self) -> Lane {
        match self.with {
            Some(_) => Lane::Batch(self.user().to_owned()),
            None => Lane::of(self.event()),
        }
    }

    /// The lane of the attempt's only or first event.
    pub(super) fn first_lane(&self) -> Lane {
        Lane::of(self.event())
    }

    /// All events of the attempt.
    pub(in crate::processor) fn members(&self) -> impl Iterator<Item = &Arc<Claim>> {
        std::iter::once(&self.claim).chain(self.with.iter().flat_map(|with| with.iter()))
    }

    /// The attempt of some of its events; of the same ones if there are none.
    pub(in crate::processor) fn of(&self, claims: Vec<Arc<Claim>>) -> Self {
        let mut claims = claims.into_iter();
        let Some(claim) = claims.next() else {
            return self.clone();
        };
        let others: Arc<[Arc<Claim>]> = claims.collect();
        Self {
            claim,
            with: Some(others).filter(|others| !others.is_empty()),
            set: self.set,
            number: self.number,
            began_at: self.began_at,
        }
    }

    /// Whether this event is one of the attempt's.
    pub(in crate::processor) fn covers(&self, event_id: Uuid) -> bool {
        self.members().any(|claim| claim.event.id == event_id)
    }

    /// Whether several events share the answer.
    pub(in crate::processor) fn is_batch(&self) -> bool {
        self.with.is_some()
    }

    /// The nodes that this attempt belongs to regardless of its user, from the widest to the
    /// narrowest.
    pub(super) fn path(&self) -> [Node; 4] {
        Node::path(self.set, self.event())
    }

    /// All nodes with a circuit that this attempt can be part of.
    pub(super) fn parts(&self) -> [Node; 5] {
        let [all, set, destination, endpoint] = self.path();
        [all, set, destination, endpoint, self.user_node()]
    }

    pub(super) fn endpoint(&self) -> Node {
        Node::endpoint(self.set, self.event())
    }

    pub(super) fn destination(&self) -> Node {
        Node::Destination(self.set, self.event().destination.clone())
    }

    pub(super) fn user_node(&self) -> Node {
        Node::User(self.set, self.user().to_owned())
    }
}

impl Node {
    pub(in crate::processor) fn has_attempt(&self, facts: &Facts) -> bool {
        self.has(facts.set, facts.event())
    }

    /// The child of this node that an attempt belongs to, if the node has children.
    pub(super) fn child_of_attempt(&self, facts: &Facts) -> Option<Self> {
        match self {
            Self::All => Some(Self::Set(facts.set)),
            Self::Set(_) => Some(facts.destination()),
            Self::Destination(..) => Some(facts.endpoint()),
            Self::Endpoint(..) | Self::User(..) | Self::Credentials(_) | Self::Limited(_) => None,
        }
    }
}

/// The events that wait for each other, so that none of them is evidence about another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Entity(String, EntityId),
    User(String),
    Event(Uuid),
    /// The batches of a user.
    Batch(String),
}

impl Lane {
    pub(super) fn of(event: &OutboxEvent) -> Self {
        match event.order {
            Order::Entity => Self::Entity(event.user_id.clone(), event.entity_id.clone()),
            Order::User => Self::User(event.user_id.clone()),
            Order::None => Self::Event(event.id),
        }
    }
}

/// A refused attempt, with the data that its row needs.
#[derive(Debug)]
pub(in crate::processor) struct Refused {
    pub(in crate::processor) facts: Facts,
    pub(in crate::processor) refusal: Refusal,
    /// The pause that the service asked for, from now.
    pub(in crate::processor) not_before: Option<Duration>,
    pub(in crate::processor) retry: RetryPolicy,
    /// How long the attempt took.
    pub(in crate::processor) took: Duration,
}

impl Refused {
    /// Whether the event would be a dead letter if this attempt counted, as its last one or beyond:
    /// the last attempt may have been judged the event's own without enough certainty.
    pub(super) fn would_bury(&self) -> bool {
        let event = self.facts.event();
        // A batch is sent in halves before any of its events is charged.
        !self.facts.is_batch()
            && self.refusal.class.is_charged()
            && event.attempt_count >= event.max_attempts
    }
}

/// A refused attempt with its verdict.
#[derive(Debug)]
pub(in crate::processor) struct Judged {
    pub(in crate::processor) refused: Refused,
    pub(in crate::processor) verdict: Verdict,
}

impl Judged {
    /// The world's fault.
    pub(super) fn given_back(refused: Refused, delay: Duration) -> Self {
        let verdict = Verdict::GivenBack { delay };
        Self { refused, verdict }
    }

    /// The event's own fault, on the schedule of its deferrals.
    pub(super) fn deferred(refused: Refused) -> Self {
        let verdict = Verdict::Deferred { base: None };
        Self { refused, verdict }
    }

    /// The event's own fault, for good.
    pub(super) fn rejected(refused: Refused) -> Self {
        let verdict = Verdict::Rejected;
        Self { refused, verdict }
    }
}

/// The verdict on a refusal: whose fault it is, and the new state of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::processor) enum Verdict {
    /// The event's own: the attempt counts.
    Charged {
        /// Whether the verdict is certain enough to bury the event, as the service accepted others
        /// after this attempt had failed.
        is_conclusive: bool,
    },
    /// The event's own, but attempts are not counted for it: the event is due again by the schedule
    /// of its deferrals, or by the pauses of a rate limit.
    Deferred { base: Option<Duration> },
    /// The event's own, and no retry can help.
    Rejected,
    /// The world's: the event is as it was before the attempt, and due after the delay if it is not
    /// zero.
    GivenBack { delay: Duration },
}
