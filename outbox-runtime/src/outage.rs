//! Outages: what is not sent at the moment because nobody gets through.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::RefusalClass;

/// A circuit that is open: nobody gets through, so nothing is sent but one probe at a time.
///
/// No attempt is charged to any event meanwhile. Probes come after 1, 2, 4 .. 60 seconds, or when the
/// service asked for, where that is later; [`online`](crate::Running::online) and
/// [`trigger`](crate::Running::trigger) make one at once.
///
/// It is what [`WaitsFor::Outage`](crate::WaitsFor) tells of an event that waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Outage {
    /// How much is down, as far as is known.
    pub extent: OutageExtent,
    /// What the last refusal was, or [`Rejected`](RefusalClass::Rejected) where everything is.
    pub class: RefusalClass,
    /// When it was noticed.
    pub since: DateTime<Utc>,
    /// How many attempts were refused since then, those that told of it included.
    pub refusals: u32,
    /// What the last of them said.
    pub last_error: String,
    /// When the next probe may be made.
    pub probe_at: DateTime<Utc>,
}

/// How much an [`Outage`] is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OutageExtent {
    /// Every handler set, as they [share a network](crate::ProcessorBuilder::share_network).
    Everything,
    /// All that one handler set sends.
    HandlerSet,
    /// All that one handler set sends to a destination.
    Destination {
        /// The destination, as events name it.
        destination: String,
    },
    /// One event type, at the destination if one is named.
    EventType {
        /// Which type.
        event_type: String,
        /// The destination, where events name one.
        destination: Option<String>,
    },
    /// All that one handler set sends for one user.
    User,
}

impl fmt::Display for OutageExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("the network"),
            Self::HandlerSet => f.write_str("the service"),
            Self::Destination { destination } => write!(f, "{destination:?}"),
            Self::EventType {
                event_type,
                destination: None,
            } => write!(f, "the service's endpoint for {event_type:?}"),
            Self::EventType {
                event_type,
                destination: Some(destination),
            } => write!(f, "the endpoint for {event_type:?} at {destination:?}"),
            Self::User => f.write_str("the service, which refuses this user's events"),
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            extent,
            class,
            since,
            refusals,
            last_error,
            probe_at,
        } = self;
        match class {
            RefusalClass::Offline => f.write_str("the network")?,
            _ => extent.fmt(f)?,
        }
        write!(
            f,
            ": {class} since {since}, {refusals} attempts were refused, the last one with: \
             {last_error}; the next one is at {probe_at}"
        )
    }
}
