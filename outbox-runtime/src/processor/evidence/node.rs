//! Nodes: the parts of all work that can be refused together and so are paused together.

use crate::event::OutboxEvent;
use crate::processor::routes::HandlerIndex;

/// A part of all work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::processor) enum Node {
    /// Everything, where the handler sets share a network.
    All,
    /// A handler set.
    Set(HandlerIndex),
    /// A destination of a handler set; `None` is the set's own.
    Destination(HandlerIndex, Option<String>),
    /// An endpoint: one event type at a destination.
    Endpoint(HandlerIndex, Option<String>, String),
    /// A user at a handler set.
    User(HandlerIndex, String),
    /// A user's credentials, whatever the handler set.
    Credentials(String),
    /// A destination with a limit, whatever the handler set; `None` is for events without one.
    Limited(Option<String>),
}

impl Node {
    /// The nodes of an event, from the widest to the narrowest.
    pub(super) fn path(set: HandlerIndex, event: &OutboxEvent) -> [Self; 4] {
        [
            Self::All,
            Self::Set(set),
            Self::Destination(set, event.destination.clone()),
            Self::endpoint(set, event),
        ]
    }

    pub(super) fn endpoint(set: HandlerIndex, event: &OutboxEvent) -> Self {
        Self::Endpoint(set, event.destination.clone(), event.event_type.clone())
    }

    /// Whether an event of this handler set is part of this node.
    pub(in crate::processor) fn has(&self, set: HandlerIndex, event: &OutboxEvent) -> bool {
        match self {
            Self::All => true,
            Self::Set(of) => *of == set,
            Self::Destination(of, destination) => *of == set && *destination == event.destination,
            Self::Endpoint(of, destination, event_type) => {
                *of == set && *destination == event.destination && *event_type == event.event_type
            }
            Self::User(of, user) => *of == set && *user == event.user_id,
            Self::Credentials(user) => *user == event.user_id,
            Self::Limited(destination) => *destination == event.destination,
        }
    }

    /// Whether all of `other` is part of this node.
    pub(super) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (
                Self::Set(of),
                Self::Set(set)
                | Self::Destination(set, _)
                | Self::Endpoint(set, ..)
                | Self::User(set, _),
            ) => of == set,
            (
                Self::Destination(of, destination),
                Self::Destination(set, other) | Self::Endpoint(set, other, _),
            ) => of == set && destination == other,
            (Self::Limited(of), Self::Destination(_, other) | Self::Endpoint(_, other, _)) => {
                of == other
            }
            (Self::Credentials(of), Self::User(_, user)) => of == user,
            _ => self == other,
        }
    }

    /// Whether an event can be part of both nodes.
    pub(in crate::processor) fn overlaps(&self, other: &Self) -> bool {
        if self.contains(other) || other.contains(self) {
            return true;
        }
        if let (Self::Limited(_), Self::Set(_)) | (Self::Set(_), Self::Limited(_)) = (self, other) {
            return true;
        }
        match (self.set(), other.set()) {
            (Some(one), Some(another)) if one != another => false,
            // A user has events at any destination.
            _ => match (self.user(), other.user()) {
                (Some(one), Some(another)) => one == another,
                (Some(_), None) | (None, Some(_)) => true,
                (None, None) => false,
            },
        }
    }

    /// A label for logs, without the user's id.
    pub(in crate::processor) fn label(&self) -> String {
        match self {
            Self::All => "all handler sets".to_owned(),
            Self::Set(_) | Self::Destination(_, None) => "a handler set".to_owned(),
            Self::Destination(_, Some(destination)) | Self::Limited(Some(destination)) => {
                format!("destination {destination:?}")
            }
            Self::Limited(None) => "events without a destination".to_owned(),
            Self::Endpoint(_, None, event_type) => format!("event type {event_type:?}"),
            Self::Endpoint(_, Some(destination), event_type) => {
                format!("event type {event_type:?} at {destination:?}")
            }
            Self::User(..) | Self::Credentials(_) => "one user".to_owned(),
        }
    }

    fn set(&self) -> Option<HandlerIndex> {
        match self {
            Self::All | Self::Credentials(_) | Self::Limited(_) => None,
            Self::Set(set)
            | Self::Destination(set, _)
            | Self::Endpoint(set, ..)
            | Self::User(set, _) => Some(*set),
        }
    }

    fn user(&self) -> Option<&str> {
        match self {
            Self::User(_, user) | Self::Credentials(user) => Some(user),
            _ => None,
        }
    }
}
