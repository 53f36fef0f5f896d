//! Outages: what the remote service refuses for a while, and how.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::remote::RemoteError;
use crate::SeededRng;
use outbox_runtime::OutboxEvent;

/// What is refused, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) part: Part,
    /// `None`: there is no answer.
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
    /// Of something that this event belongs to.
    pub(super) fn draw(draw: &mut SeededRng, event: &OutboxEvent) -> Self {
        let part = match draw.below(6) {
            0 | 1 => Part::Everything,
            2 => Part::Type(event.event_type.clone()),
            3 => Part::Destination(event.destination.clone()),
            4 => Part::User(event.user_id.clone()),
            _ => Part::Event(event.id),
        };
        let after = Duration::from_secs(1 + draw.below(30));
        let refusal = *draw.pick(&[
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
            Part::Destination(Some(destination)) => write!(f, "what goes to {destination}")?,
            Part::Destination(None) => write!(f, "what names no destination")?,
            Part::User(user) => write!(f, "events of {user}")?,
            Part::Event(_) => write!(f, "one event")?,
        }
        match self.refusal {
            Some(refusal) => write!(f, " is refused: {refusal}"),
            None => write!(f, " is not answered"),
        }
    }
}
