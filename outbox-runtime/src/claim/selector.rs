//! The selector: which events a condition of a claim is about.

use crate::event::OutboxEvent;

/// Which event types a worker has handlers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventTypes {
    /// Just these.
    Only(Vec<String>),
    /// Any but these.
    AllExcept(Vec<String>),
}

impl EventTypes {
    /// Whether `event_type` is among them.
    #[must_use]
    pub fn contains(&self, event_type: &str) -> bool {
        match self {
            Self::Only(types) => types.iter().any(|known| known == event_type),
            Self::AllExcept(types) => !types.iter().any(|left_out| left_out == event_type),
        }
    }

    /// Whether no type is.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Only(types) if types.is_empty())
    }

    /// Whether each is.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_everything(&self) -> bool {
        matches!(self, Self::AllExcept(types) if types.is_empty())
    }
}

/// Which events are meant, by what they are, where they go and whose they are. An event must meet each condition that is given;
/// a new selector has none, and selects every event.
///
/// For [`ClaimRequest::only`](crate::store::ClaimRequest::only) and [`ClaimRequest::except`](crate::store::ClaimRequest::except).
///
/// # Examples
///
/// ```
/// use outbox_runtime::{NewEvent, Operation, OutboxRepository, MemoryStore};
/// use outbox_runtime::store::{EventTypes, Selector};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let event = NewEvent::new("note", 7, "user-1", Operation::Update).with_destination("eu.example.org");
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
    /// Every event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only events of these types. Default: of all.
    pub fn event_types(mut self, event_types: EventTypes) -> Self {
        self.event_types = Some(event_types);
        self
    }

    /// Only events to this destination; with `None`, those that name none. Default: to all.
    pub fn destination(self, destination: Option<&str>) -> Self {
        self.destinations(vec![destination.map(str::to_owned)])
    }

    /// Only events to one of these destinations, where `None` is those that name none. Default: to all.
    pub fn destinations(mut self, destinations: Vec<Option<String>>) -> Self {
        self.destinations = Some(destinations);
        self
    }

    /// Only events of this user. Default: of all.
    pub fn user(mut self, user_id: &str) -> Self {
        self.user_id = Some(user_id.to_owned());
        self
    }

    /// Whether this event is meant.
    #[must_use]
    pub fn selects(&self, event: &OutboxEvent) -> bool {
        let of_type = |types: &EventTypes| types.contains(&event.event_type);
        let to = |destinations: &Vec<Option<String>>| destinations.contains(&event.destination);
        let of_user = |user_id: &String| *user_id == event.user_id;
        self.event_types.as_ref().is_none_or(of_type)
            && self.destinations.as_ref().is_none_or(to)
            && self.user_id.as_ref().is_none_or(of_user)
    }

    /// Of which types, where it says so. For stores.
    #[must_use]
    pub fn of_event_types(&self) -> Option<&EventTypes> {
        self.event_types.as_ref()
    }

    /// To which destinations, where it says so; `None` among them is those that name none. For stores.
    #[must_use]
    pub fn of_destinations(&self) -> Option<&[Option<String>]> {
        self.destinations.as_deref()
    }

    /// Of which user, where it says so. For stores.
    #[must_use]
    pub fn of_user(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// Whether no event can be meant.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_nothing(&self) -> bool {
        let of_no_type = self.event_types.as_ref();
        of_no_type.is_some_and(EventTypes::is_nothing)
            || self.destinations.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether every event is.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_everything(&self) -> bool {
        let all_types = self
            .event_types
            .as_ref()
            .is_none_or(EventTypes::is_everything);
        all_types && self.destinations.is_none() && self.user_id.is_none()
    }
}
