//! The selector: a filter for events.

use crate::event::OutboxEvent;

/// The event types that a worker has handlers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventTypes {
    /// Only these types.
    Only(Vec<String>),
    /// All types except these.
    AllExcept(Vec<String>),
}

impl EventTypes {
    /// Whether the set contains `event_type`.
    #[must_use]
    pub fn contains(&self, event_type: &str) -> bool {
        match self {
            Self::Only(types) => types.iter().any(|known| known == event_type),
            Self::AllExcept(types) => !types.iter().any(|left_out| left_out == event_type),
        }
    }

    /// Whether the set is empty.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(types) if types.is_empty())
    }

    /// Whether the set contains every type.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, Self::AllExcept(types) if types.is_empty())
    }
}

/// A filter for events by type, destination and user. An event must meet every condition; a new
/// selector has none and matches every event.
///
/// For [`ClaimRequest::only`](crate::store::ClaimRequest::only) and
/// [`ClaimRequest::except`](crate::store::ClaimRequest::except).
///
/// # Examples
///
/// ```
/// use outbox_runtime::{NewEvent, Operation, OutboxRepository, MemoryStore};
/// use outbox_runtime::store::{EventTypes, Selector};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let event = NewEvent::new("note", 7, "user-1", Operation::Update);
/// let event = event.with_destination("eu.example.org");
/// let event = MemoryStore::new().create_event(event).await?;
///
/// let notes = Selector::new().event_types(EventTypes::Only(vec!["note".into()]));
/// assert!(notes.selects(&event));
/// assert!(notes.clone().destination(Some("eu.example.org")).selects(&event));
/// assert!(!notes.clone().destination(None).selects(&event));
/// assert!(!notes.user("user-2").selects(&event));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a selector does nothing until a request has it"]
pub struct Selector {
    event_types: Option<EventTypes>,
    destinations: Option<Vec<Option<String>>>,
    user_id: Option<String>,
}

impl Selector {
    /// Matches every event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of these types. Default: all types.
    pub fn event_types(mut self, event_types: EventTypes) -> Self {
        self.event_types = Some(event_types);
        self
    }

    /// Only events to this destination; `None` means events without a destination. Default: all
    /// destinations.
    pub fn destination(self, destination: Option<&str>) -> Self {
        self.destinations(vec![destination.map(str::to_owned)])
    }

    /// Only events to one of these destinations; `None` means events without a destination.
    /// Default: all destinations.
    pub fn destinations(mut self, destinations: Vec<Option<String>>) -> Self {
        self.destinations = Some(destinations);
        self
    }

    /// Only events of this user. Default: all users.
    pub fn user(mut self, user_id: &str) -> Self {
        self.user_id = Some(user_id.to_owned());
        self
    }

    /// Whether the event matches.
    #[must_use]
    pub fn selects(&self, event: &OutboxEvent) -> bool {
        let of_type = |types: &EventTypes| types.contains(&event.event_type);
        let to = |destinations: &Vec<Option<String>>| destinations.contains(&event.destination);
        let of_user = |user_id: &String| *user_id == event.user_id;
        self.event_types.as_ref().is_none_or(of_type)
            && self.destinations.as_ref().is_none_or(to)
            && self.user_id.as_ref().is_none_or(of_user)
    }

    /// The event types, if restricted. For stores.
    #[must_use]
    pub fn of_event_types(&self) -> Option<&EventTypes> {
        self.event_types.as_ref()
    }

    /// The destinations, if restricted; `None` among them means events without a destination. For
    /// stores.
    #[must_use]
    pub fn of_destinations(&self) -> Option<&[Option<String>]> {
        self.destinations.as_deref()
    }

    /// The user, if restricted. For stores.
    #[must_use]
    pub fn of_user(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Whether no event can match.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_nothing(&self) -> bool {
        let of_no_type = self.event_types.as_ref();
        of_no_type.is_some_and(EventTypes::is_nothing)
            || self.destinations.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether every event matches.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_everything(&self) -> bool {
        let all_types = self
            .event_types
            .as_ref()
            .is_none_or(EventTypes::is_everything);
        all_types && self.destinations.is_none() && self.user_id.is_none()
    }
}
