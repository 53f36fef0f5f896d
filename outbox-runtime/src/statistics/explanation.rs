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
    /// The creation of a parent that the first event waits for at last.
    parent: Option<Box<OutboxEvent>>,
    /// Whether the first event expired, although it is not ended yet.
    is_expired: bool,
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
        let first_event = first.as_ref();
        Self {
            entity_id,
            undelivered,
            waits_for: first_event.map_or(WaitsFor::Nothing, |event| WaitsFor::of(event, now)),
            parent: None,
            is_expired: first_event.is_some_and(|event| event.is_expired(now)),
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
        let parent = before.last().filter(|last| last.is_parent);
        self.parent = parent.map(|last| Box::new(last.event.clone()));
        self
    }

    /// The event that decides how long the wait lasts: the creation of a parent that the first
    /// event waits for, [at last](WaitsFor::at_last), or else the first event. For stores and
    /// tools.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let journal = NewEvent::new("journal", 7, "user-1", Operation::Create);
    /// let page = NewEvent::new("page", 1, "user-1", Operation::Create).with_after("journal", 7);
    /// store.create_event(journal).await?;
    /// store.create_event(page).await?;
    ///
    /// let explanation = store.explain(&1.into(), None).await?;
    /// let decisive = explanation.decisive_event();
    /// assert!(decisive.is_some_and(|event| event.event_type == "journal"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn decisive_event(&self) -> Option<&OutboxEvent> {
        self.parent.as_deref().or(self.first.as_deref())
    }
}

impl Explanation {
    /// Records that a pause holds the [decisive event](Self::decisive_event) back, unless that one
    /// waits for something that lasts longer. For stores.
    #[must_use]
    pub fn paused(mut self, paused: &Paused) -> Self {
        let at_last = self.waits_for.at_last_mut();
        let is_longest = match at_last {
            WaitsFor::Worker | WaitsFor::Expiry { .. } => true,
            WaitsFor::DueTime { at, .. } => paused.until.is_none_or(|until| until > *at),
            _ => false,
        };
        if is_longest {
            *at_last = WaitsFor::Pause(Box::new(paused.clone()));
        }
        self
    }
}

impl Explanation {
    /// Records that the type of the [decisive event](Self::decisive_event) is retired and its
    /// events are held, unless that one waits for something else first. For stores and tools, which
    /// know it from the announced runs.
    #[must_use]
    pub fn held(mut self) -> Self {
        let event_type = self.decisive_event().map(|event| event.event_type.clone());
        let at_last = self.waits_for.at_last_mut();
        if let (WaitsFor::Worker | WaitsFor::DueTime { .. }, Some(event_type)) =
            (&*at_last, event_type)
        {
            *at_last = WaitsFor::Retired { event_type };
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
        let is_open = |first: &&OutboxEvent| {
            !matches!(first.status, OutboxStatus::Dead | OutboxStatus::Completed)
        };
        let Some(first) = self.first.as_deref().filter(is_open) else {
            return Ok(());
        };
        if *waits_for == WaitsFor::Worker
            && let Some(refusal) = &first.last_refusal
        {
            write!(f, "; last refused: {refusal}")?;
        }
        match first.expires_at {
            // It waits for nothing else, which tells when it expired.
            Some(_) if matches!(waits_for, WaitsFor::Expiry { .. }) => {}
            Some(at) if self.is_expired => write!(
                f,
                "; it expired at {at} and is not sent any more, but ends only when nothing is before it"
            )?,
            Some(at) => write!(f, "; it expires at {at}")?,
            None => {}
        }
        match &first.dedup_key {
            Some(key) if first.was_never_attempted() => {
                write!(f, "; a newer event with the key {key:?} replaces it")
            }
            _ => Ok(()),
        }
    }
}
