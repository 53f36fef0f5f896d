//! A description of events, as the macros build it: each condition is a method, so that the
//! compiler reports an unknown condition, or a value of another type, where it stands.

use std::fmt::Debug;

use outbox_runtime::{EntityId, Event, Operation, OutboxEntity, OutboxEvent, OutboxStatus};
use uuid::Uuid;

use super::shown;

/// The events that [`assert_enqueued!`](crate::assert_enqueued) looks for. Made by the macros.
#[must_use]
pub struct Wanted<'w, E: OutboxEntity> {
    pub(super) conditions: Vec<Condition<'w, E>>,
    pub(super) count: Option<usize>,
}

/// One condition.
pub(super) struct Condition<'w, E: OutboxEntity> {
    pub(super) name: String,
    pub(super) wanted: String,
    pub(super) found: Found<'w>,
    pub(super) holds: Holds<'w, E>,
}

/// What an event has, as text.
type Found<'w> = Box<dyn Fn(&OutboxEvent) -> String + Send + 'w>;

/// Whether an event fulfills a condition.
type Holds<'w, E> = Box<dyn Fn(&Event<E>) -> bool + Send + 'w>;

impl<E: OutboxEntity> Default for Wanted<'_, E> {
    fn default() -> Self {
        Self {
            conditions: Vec::new(),
            count: None,
        }
    }
}

impl<'w, E: OutboxEntity> Wanted<'w, E> {
    /// Events of the type, whatever they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose metadata has this field as `ask` says, which also tells the wanted value. Messages
    /// show it, unless the field is sensitive.
    pub fn field(
        self,
        name: &'static str,
        ask: impl Fn(Option<&E::Metadata>) -> (bool, String) + Send + 'w,
    ) -> Self {
        let name = name.trim_start_matches("r#");
        let wanted = match shown::may_show::<E>(name) {
            true => shown::short(ask(None).1),
            false => shown::REDACTED.to_owned(),
        };
        self.condition(
            name,
            wanted,
            move |event| {
                let found = shown::field::<E>(event, name);
                found.unwrap_or_else(|| "another value".to_owned())
            },
            move |event| ask(Some(event.metadata())).0,
        )
    }

    /// Of this operation.
    pub fn operation(self, operation: Operation) -> Self {
        self.column("operation", operation, |event| event.operation)
    }

    /// In this status.
    pub fn status(self, status: OutboxStatus) -> Self {
        self.column("status", status, |event| event.status)
    }

    /// Of this priority.
    pub fn priority(self, priority: i32) -> Self {
        self.column("priority", priority, |event| event.priority)
    }

    /// About this entity.
    pub fn entity_id(self, entity_id: impl Into<EntityId>) -> Self {
        let entity_id = entity_id.into();
        self.column("entity_id", entity_id, |event| event.entity_id.clone())
    }

    /// Of this user.
    pub fn user_id(self, user_id: impl Into<String>) -> Self {
        self.column("user_id", user_id.into(), |event| event.user_id.clone())
    }

    /// To this destination.
    pub fn destination(self, destination: impl Into<String>) -> Self {
        let destination = Some(destination.into());
        self.column("destination", destination, |event| {
            event.destination.clone()
        })
    }

    /// With this number of attempts.
    pub fn max_attempts(self, max_attempts: u32) -> Self {
        self.column("max_attempts", max_attempts, |event| event.max_attempts)
    }

    /// With this id.
    pub fn event_id(self, event_id: Uuid) -> Self {
        self.column("event_id", event_id, |event| event.id)
    }

    /// For which this holds.
    pub fn with(self, holds: impl Fn(&Event<E>) -> bool + Send + 'w) -> Self {
        let found = |_: &OutboxEvent| "false".to_owned();
        self.condition("with", "true".to_owned(), found, holds)
    }

    /// As many as this.
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    fn column<T: Debug + PartialEq + Send + 'w>(
        self,
        name: &str,
        wanted: T,
        of: impl Fn(&OutboxEvent) -> T + Copy + Send + 'w,
    ) -> Self {
        let shown = format!("{wanted:?}");
        self.condition(
            name,
            shown,
            move |event| format!("{:?}", of(event)),
            move |event| of(event) == wanted,
        )
    }

    fn condition(
        mut self,
        name: &str,
        wanted: String,
        found: impl Fn(&OutboxEvent) -> String + Send + 'w,
        holds: impl Fn(&Event<E>) -> bool + Send + 'w,
    ) -> Self {
        self.conditions.push(Condition {
            name: name.to_owned(),
            wanted,
            found: Box::new(found),
            holds: Box::new(holds),
        });
        self
    }

    /// The conditions as text.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", E::EVENT_TYPE);
        for (nth, Condition { name, wanted, .. }) in self.conditions.iter().enumerate() {
            text.push_str(if nth == 0 { " with " } else { ", " });
            text.push_str(&format!("{name} = {wanted}"));
        }
        text
    }
}

impl<E: OutboxEntity> std::fmt::Debug for Wanted<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}
