//! Outages: refusals by the remote service that last for a while.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::remote_error::RemoteError;
use crate::SeededRng;
use outbox_runtime::OutboxEvent;

/// The part of the world that is refused, and the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) part: Part,
    /// `None`: the service never answers.
    pub(super) refusal: Option<RemoteError>,
}

/// A part of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Everything,
    Type(String),
    Destination(Option<String>),
    User(String),
    Event(Uuid),
}

impl Outage {
    /// Draws an outage that affects this event.
    pub(super) fn draw(rng: &mut SeededRng, event: &OutboxEvent) -> Self {
        let part = match rng.below(6) {
            0 | 1 => Part::Everything,
            2 => Part::Type(event.event_type.clone()),
            3 => Part::Destination(event.destination.clone()),
            4 => Part::User(event.user_id.clone()),
            _ => Part::Event(event.id),
        };
        let after = Duration::from_secs(1 + rng.below(30));
        let refusal = *rng.pick(&[
            None,
            Some(RemoteError::Offline),
            Some(RemoteError::Unauthenticated),
            Some(RemoteError::RateLimited { after }),
            Some(RemoteError::Unavailable),
            Some(RemoteError::Unavailable),
            Some(RemoteError::Failed),
        ]);
        Self { part, refusal }
    }

    pub(super) fn covers(&self, event: &OutboxEvent) -> bool {
        match &self.part {
            Part::Everything => true,
            Part::Type(event_type) => *event_type == event.event_type,
            Part::Destination(destination) => *destination == event.destination,
            Part::User(user) => *user == event.user_id,
            Part::Event(id) => *id == event.id,
        }
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Everything => write!(f, "everything")?,
            Part::Type(event_type) => write!(f, "events of type {event_type}")?,
            Part::Destination(Some(destination)) => write!(f, "events to {destination}")?,
            Part::Destination(None) => write!(f, "events without a destination")?,
            Part::User(user) => write!(f, "events of {user}")?,
            Part::Event(_) => write!(f, "one event")?,
        }
        match self.refusal {
            Some(refusal) => write!(f, ": refused ({refusal})"),
            None => write!(f, ": not answered"),
        }
    }
}
