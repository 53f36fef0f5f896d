//! What keeps an event from being sent, for people.

use chrono::{DateTime, Utc};

use super::Evidence;
use super::circuit::{Circuit, Open};
use super::node::Node;
use crate::event::OutboxEvent;
use crate::outage::{Outage, OutageExtent};
use crate::processor::routes::HandlerIndex;
use crate::statistics::WaitsFor;

impl Evidence {
    /// What keeps an event of this handler set from being claimed, if anything.
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
            .find(|waiting| waiting.refused.facts.event().id == event.id)
        {
            return Some(WaitsFor::Evidence {
                refusal: waiting.refused.refusal.clone(),
            });
        }
        // The widest says most.
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
        if let Some(error) = self.credentials.refusal(&event.user_id) {
            return Some(WaitsFor::Credentials {
                last_error: error.to_owned(),
            });
        }
        let destination = Node::Destination(set, event.destination.clone());
        let limit = self.limits.get(&destination)?;
        (limit.until > now).then(|| WaitsFor::RateLimit {
            until: limit.until,
            last_error: limit.last_error.clone(),
        })
    }

    /// Every circuit that is open, the widest first.
    pub(in crate::processor) fn outages(&self) -> Vec<Outage> {
        let open = self
            .circuits
            .iter()
            .filter_map(|(node, circuit)| match circuit {
                Circuit::Open(open) => Some(outage(node, open)),
                Circuit::HalfOpen { .. } => None,
            });
        open.collect()
    }
}

fn outage(node: &Node, open: &Open) -> Outage {
    let extent = match node {
        Node::All => OutageExtent::Everything,
        Node::Set(_) | Node::Destination(_, None) => OutageExtent::HandlerSet,
        Node::Destination(_, Some(destination)) => OutageExtent::Destination {
            destination: destination.clone(),
        },
        Node::Endpoint(_, destination, event_type) => OutageExtent::EventType {
            event_type: event_type.clone(),
            destination: destination.clone(),
        },
        Node::User(..) | Node::Credentials(_) => OutageExtent::User,
    };
    Outage {
        extent,
        class: open.class,
        since: open.since,
        refusals: open.refusals,
        last_error: open.last_error.clone(),
        probe_at: open.probe_at,
    }
}
