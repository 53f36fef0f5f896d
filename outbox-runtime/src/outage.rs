//! Outages: open circuit breakers.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::RefusalClass;

/// An open circuit breaker: no request gets through, so the runtime sends nothing except one probe
/// at a time.
///
/// No attempt is charged to any event during an outage. Probes follow after 1, 2, 4 .. 60 seconds,
/// or at the time the service asked for if that is later; [`online`](crate::Running::online) and
/// [`trigger`](crate::Running::trigger) send one immediately.
///
/// [`WaitsFor::Outage`](crate::WaitsFor) contains it for an event that waits for the outage to end.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Explanation, Outage, WaitsFor};
///
/// fn outage(explanation: &Explanation) -> Option<String> {
///     let WaitsFor::Outage(outage) = &explanation.waits_for else {
///         return None;
///     };
///     let Outage { extent, refusals, probe_at, .. } = &**outage;
///     Some(format!("{extent}: {refusals} refusals, the next probe at {probe_at}"))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Outage {
    /// The known extent of the outage.
    pub extent: OutageExtent,
    /// The class of the last refusal, or [`Rejected`](RefusalClass::Rejected) if the service
    /// rejects everything.
    pub class: RefusalClass,
    /// When the outage was detected.
    pub since: DateTime<Utc>,
    /// The number of refused attempts since then, including those that revealed the outage.
    pub refusals: u32,
    /// The message of the last refusal.
    pub last_error: String,
    /// When the next probe may be sent.
    pub probe_at: DateTime<Utc>,
}

/// The extent of an [`Outage`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::OutageExtent;
///
/// fn is_about_one_user(extent: &OutageExtent) -> bool {
///     matches!(extent, OutageExtent::User)
/// }
///
/// assert!(!is_about_one_user(&OutageExtent::Everything));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum OutageExtent {
    /// Every handler set, because they [share a network](crate::ProcessorBuilder::share_network).
    Everything,
    /// Everything that one handler set sends.
    HandlerSet,
    /// Everything that one handler set sends to a destination.
    Destination {
        /// The destination, as named by the events.
        destination: String,
    },
    /// One event type, at the destination if one is named.
    EventType {
        /// The event type.
        event_type: String,
        /// The destination, if the events name one.
        destination: Option<String>,
    },
    /// Everything that one handler set sends for one user.
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
            Self::User => f.write_str("the service, for this user"),
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
             {last_error}; the next probe is at {probe_at}"
        )
    }
}
