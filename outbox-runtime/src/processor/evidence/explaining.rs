//! Explanations of why an event is not sent, for people.

use chrono::{DateTime, Utc};

use super::Evidence;
use super::circuit::{Circuit, Open};
use super::facts::Facts;
use super::node::Node;
use crate::event::{OutboxEvent, RefusalClass};
use crate::outage::{Outage, OutageExtent};
use crate::processor::routes::HandlerIndex;
use crate::statistics::WaitsFor;

impl Evidence {
    /// Returns the reason why an event of this handler set is not claimed, if there is one.
    pub(in crate::processor) fn explain(
        &self,
        set: HandlerIndex,
        event: &OutboxEvent,
        now: DateTime<Utc>,
    ) -> Option<WaitsFor> {
        if self.credentials.is_signed_out(&event.user_id) {
            return Some(WaitsFor::SignIn);
        }
        let in_doubt = self.doubts.values().flat_map(|doubt| &doubt.refused);
        if let Some(waiting) = in_doubt
            .into_iter()
            .find(|waiting| waiting.refused.facts.covers(event.id))
        {
            return Some(WaitsFor::Evidence {
                refusal: waiting.refused.refusal.clone(),
            });
        }
        // The widest circuit explains most.
        let outage = self
            .circuits
            .iter()
            .find_map(|(node, circuit)| match circuit {
                Circuit::Open(open) if node.has(set, event) => Some(outage(node, open)),
                _ => None,
            });
        if let Some(outage) = outage {
            return Some(WaitsFor::Outage(Box::new(outage)));
        }
        if let Some(trouble) = self.credentials.trouble(&event.user_id) {
            return Some(WaitsFor::Credentials {
                since: trouble.since,
                refusals: trouble.refusals,
                refresh_at: trouble.refresh_at,
                last_error: trouble.last_error.to_owned(),
            });
        }
        let destination = Node::Destination(set, event.destination.clone());
        let limit = self.limits.get(&destination)?;
        let is_paused = limit.until > now || limit.is_on_trial();
        is_paused.then(|| WaitsFor::RateLimit {
            since: limit.since,
            refusals: limit.refusals,
            until: limit.until,
            last_error: limit.last_error.clone(),
        })
    }

    /// Returns the extent of what recovers, if an event of this handler set is not claimed because
    /// as many attempts as may be are under way there. `flight` has the attempts under way.
    pub(in crate::processor) fn recovering(
        &self,
        set: HandlerIndex,
        event: &OutboxEvent,
        flight: &[&Facts],
        now: DateTime<Utc>,
    ) -> Option<OutageExtent> {
        let restrictions = self.restrictions(flight, now);
        let full = restrictions
            .iter()
            .find(|it| it.room == 0 && it.has(set, event))?;
        Some(extent(&full.node))
    }

    /// Returns the current outages: open circuits, the widest first, rate limits for which no pause
    /// was long enough, and credentials for which a refresh did not help.
    pub(in crate::processor) fn outages(&self) -> Vec<Outage> {
        let circuits = self
            .circuits
            .iter()
            .filter_map(|(node, circuit)| match circuit {
                Circuit::Open(open) => Some(outage(node, open)),
                Circuit::HalfOpen { .. } => None,
            });
        let limits = self.limits.iter().filter(|(_, limit)| limit.is_in_vain());
        let limits = limits.map(|(node, limit)| Outage {
            extent: extent(node),
            class: RefusalClass::RateLimited,
            since: limit.since,
            refusals: limit.refusals,
            last_error: limit.last_error.clone(),
            probe_at: limit.until,
        });
        let troubles = self.credentials.troubles();
        let troubles = troubles.filter(|trouble| trouble.is_in_vain);
        let users = troubles.map(|trouble| Outage {
            extent: OutageExtent::User,
            class: RefusalClass::Unauthenticated,
            since: trouble.since,
            refusals: trouble.refusals,
            last_error: trouble.last_error.to_owned(),
            probe_at: trouble.refresh_at.unwrap_or(trouble.since),
        });
        circuits.chain(limits).chain(users).collect()
    }
}

fn outage(node: &Node, open: &Open) -> Outage {
    Outage {
        extent: extent(node),
        class: open.class,
        since: open.since,
        refusals: open.refusals,
        last_error: open.last_error.clone(),
        probe_at: open.probe_at,
    }
}

fn extent(node: &Node) -> OutageExtent {
    match node {
        Node::All => OutageExtent::Everything,
        Node::Set(_) | Node::Destination(_, None) | Node::Limited(None) => OutageExtent::HandlerSet,
        Node::Destination(_, Some(destination)) | Node::Limited(Some(destination)) => {
            OutageExtent::Destination {
                destination: destination.clone(),
            }
        }
        Node::Endpoint(_, destination, event_type) => OutageExtent::EventType {
            event_type: event_type.clone(),
            destination: destination.clone(),
        },
        Node::User(..) | Node::Credentials(_) => OutageExtent::User,
    }
}
