//! Explanations of why an entity is not delivered yet.

use std::fmt;

use chrono::{DateTime, Utc};

use super::WaitsFor;
use crate::entity::EntityId;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::pause::Paused;

/// The state of an entity, and the reason why it is not delivered yet.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Explanation, MemoryStore, NewEvent, Operation, OutboxRepository, WaitsFor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Update)).await?;
///
/// let explanation: Explanation = store.explain(&7.into(), Some("user-1")).await?;
/// assert_eq!(explanation.undelivered, 1);
/// assert_eq!(explanation.waits_for, WaitsFor::Worker);
/// assert!(explanation.first.is_some_and(|event| event.event_type == "goal"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The entity.
    pub entity_id: EntityId,
    /// The number of undelivered events.
    pub undelivered: u64,
    /// The first undelivered event.
    pub first: Option<Box<OutboxEvent>>,
    /// What the first undelivered event waits for.
    pub waits_for: WaitsFor,
}

impl Explanation {
    /// Creates an explanation from the number of undelivered events of an entity and the first of
    /// them. For stores.
    #[must_use]
    pub fn new(
        entity_id: EntityId,
        undelivered: u64,
        first: Option<OutboxEvent>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            entity_id,
            undelivered,
            waits_for: first
                .as_ref()
                .map_or(WaitsFor::Nothing, |event| WaitsFor::of(event, now)),
            first: first.map(Box::new),
        }
    }

    /// Records that the first event waits for others: for the first of these, which waits for the
    /// second, and so on. For stores.
    #[must_use]
    pub fn behind_all(mut self, before: &[Predecessor], now: DateTime<Utc>) -> Self {
        let mut waits_for = None;
        for Predecessor { event, is_parent } in before.iter().rev() {
            waits_for = match (is_parent, waits_for) {
                (true, then) => Some(WaitsFor::Parent {
                    event_id: event.id,
                    event_type: event.event_type.clone(),
                    entity_id: event.entity_id.clone(),
                    then: Box::new(then.unwrap_or_else(|| WaitsFor::of(event, now))),
                }),
                (false, None) => Some(WaitsFor::turn(event)),
                // Of several lanes the last one counts, and a parent more than a lane.
                (false, known) => known,
            };
        }
        self.waits_for = waits_for.unwrap_or(self.waits_for);
        self
    }
}

impl Explanation {
    /// Records that a pause holds the first event back, unless the event waits for something that
    /// lasts longer. For stores.
    #[must_use]
    pub fn paused(mut self, paused: &Paused) -> Self {
        let is_longest = match &self.waits_for {
            WaitsFor::Worker | WaitsFor::Expiry { .. } => true,
            WaitsFor::DueTime { at, .. } => paused.until.is_none_or(|until| until > *at),
            _ => false,
        };
        if is_longest {
            self.waits_for = WaitsFor::Pause(Box::new(paused.clone()));
        }
        self
    }
}

impl Explanation {
    /// Records that the type of the first event is retired and its events are held, unless the
    /// event waits for something else first. For stores and tools, which know it from the announced
    /// runs.
    #[must_use]
    pub fn held(mut self) -> Self {
        if let (WaitsFor::Worker | WaitsFor::DueTime { .. }, Some(first)) =
            (&self.waits_for, &self.first)
        {
            self.waits_for = WaitsFor::Retired {
                event_type: first.event_type.clone(),
            };
        }
        self
    }
}

/// An event that another one waits for. For stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    event: OutboxEvent,
    is_parent: bool,
}

impl Predecessor {
    /// The most steps of an explanation, more than any realistic chain has.
    pub const MOST: usize = 16;

    /// The event, and whether it is waited for as the creation of a
    /// [parent](crate::Enqueue::after): otherwise as the front of a lane.
    #[must_use]
    pub fn new(event: OutboxEvent, is_parent: bool) -> Self {
        Self { event, is_parent }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &OutboxEvent {
        &self.event
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            entity_id,
            undelivered,
            waits_for,
            ..
        } = self;
        if *waits_for == WaitsFor::Nothing {
            return write!(f, "{entity_id}: no undelivered events");
        }
        write!(
            f,
            "{entity_id}: {undelivered} undelivered, the first waits for {waits_for}"
        )?;
        let is_expired = matches!(waits_for, WaitsFor::Expiry { .. });
        let first = self.first.as_ref().filter(|first| {
            !is_expired && !matches!(first.status, OutboxStatus::Dead | OutboxStatus::Completed)
        });
        match first.and_then(|first| first.expires_at) {
            Some(at) => write!(f, "; it expires at {at}"),
            None => Ok(()),
        }
    }
}
