//! Listings by pages: which events, and where a page begins.

use chrono::{DateTime, Utc};

use crate::entity::EntityId;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};

/// Selects events for [`OutboxRepository::page`](crate::OutboxRepository::page). By default, all.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{EventFilter, MemoryStore, OutboxRepository, OutboxStatus};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let mut filter = EventFilter::default();
/// filter.statuses = vec![OutboxStatus::Failed, OutboxStatus::Dead];
/// filter.error_text = Some("timed out".to_owned());
/// let mut from = None;
/// loop {
///     let page = store.page(&filter, from, 500).await?;
///     for event in page.events {
///         println!("{} {}", event.id, event.status);
///     }
///     from = page.next;
///     if from.is_none() {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventFilter {
    /// Any of these statuses. Empty: all.
    pub statuses: Vec<OutboxStatus>,
    /// This type.
    pub event_type: Option<String>,
    /// This user.
    pub user_id: Option<String>,
    /// This entity.
    pub entity_id: Option<EntityId>,
    /// Dead for this reason.
    pub dead_reason: Option<DeadReason>,
    /// Enqueued at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Enqueued before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// An error message, or a last refusal (`class: message`), that contains this text. ASCII
    /// letters match in either case.
    pub error_text: Option<String>,
}

impl EventFilter {
    /// All events that are not delivered, dead letters included.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{EventFilter, OutboxStatus};
    ///
    /// let filter = EventFilter::undelivered_or_dead();
    /// assert!(!filter.statuses.contains(&OutboxStatus::Completed));
    /// ```
    #[must_use]
    pub fn undelivered_or_dead() -> Self {
        let is_delivered = |status: &OutboxStatus| *status == OutboxStatus::Completed;
        let statuses = OutboxStatus::ALL.iter().copied();
        Self {
            statuses: statuses.filter(|status| !is_delivered(status)).collect(),
            ..Self::default()
        }
    }

    /// Whether only dead letters can match.
    #[cfg(feature = "sqlite")]
    pub(crate) fn is_for_dead(&self) -> bool {
        let statuses = OutboxStatus::ALL.iter();
        let mut taken = statuses.filter(|status| self.takes(**status));
        taken.next() == Some(&OutboxStatus::Dead) && taken.next().is_none()
    }

    /// Whether an event can match that was enqueued between these times. For stores.
    #[must_use]
    pub fn overlaps(&self, oldest: DateTime<Utc>, newest: DateTime<Utc>) -> bool {
        self.created_from.is_none_or(|from| newest >= from)
            && self.created_before.is_none_or(|before| oldest < before)
    }

    /// Whether the filter selects this event. For stores.
    #[must_use]
    pub fn matches(&self, event: &OutboxEvent) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        self.takes(event.status)
            && is(&self.event_type, &event.event_type)
            && is(&self.user_id, &event.user_id)
            && self
                .entity_id
                .as_ref()
                .is_none_or(|id| *id == event.entity_id)
            && (self.dead_reason.is_none() || self.dead_reason == event.dead_reason)
            && self.created_from.is_none_or(|at| event.created_at >= at)
            && self.created_before.is_none_or(|at| event.created_at < at)
            && self.matches_error(event)
    }

    /// Whether events of this status can match. For stores.
    #[must_use]
    pub fn takes(&self, status: OutboxStatus) -> bool {
        let is_possible = self.dead_reason.is_none() || status == OutboxStatus::Dead;
        is_possible && (self.statuses.is_empty() || self.statuses.contains(&status))
    }

    /// The text to look for in errors with ASCII letters in lower case. For stores.
    #[must_use]
    pub fn lower_error_text(&self) -> Option<String> {
        self.error_text
            .as_ref()
            .map(|text| text.to_ascii_lowercase())
    }

    fn matches_error(&self, event: &OutboxEvent) -> bool {
        let Some(wanted) = self.lower_error_text() else {
            return true;
        };
        let refusal = event.last_refusal.as_ref().map(ToString::to_string);
        [event.error_message.as_deref(), refusal.as_deref()]
            .into_iter()
            .flatten()
            .any(|text| text.to_ascii_lowercase().contains(&wanted))
    }
}

/// The position between two pages of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageKey {
    after: i64,
    until: i64,
}

impl PageKey {
    /// Used by stores: the page begins after the `seq` `after`, and the listing ends with `until`.
    #[must_use]
    pub const fn new(after: i64, until: i64) -> Self {
        Self { after, until }
    }

    /// The `seq` that the page begins after.
    #[must_use]
    pub const fn after(self) -> i64 {
        self.after
    }

    /// The last `seq` of the listing.
    #[must_use]
    pub const fn until(self) -> i64 {
        self.until
    }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Page {
    /// The events, in `seq` order. May be empty although others follow.
    pub events: Vec<OutboxEvent>,
    /// Where the next page begins. `None`: this is the last.
    pub next: Option<PageKey>,
}

impl Page {
    /// A page ends with the event whose metadata makes that of the page as long as this.
    pub const MAX_METADATA_BYTES: usize = 4 << 20;

    /// How many of these events make a page that may have `limit` events.
    pub(crate) fn fitting(events: &[OutboxEvent], limit: usize) -> usize {
        let mut bytes = 0;
        let is_full = |event: &OutboxEvent| {
            bytes += event
                .metadata
                .as_ref()
                .map_or(0, |metadata| metadata.as_bytes().len());
            bytes >= Self::MAX_METADATA_BYTES
        };
        let full = events.iter().take(limit).position(is_full);
        full.map_or(events.len().min(limit), |at| at + 1)
    }

    /// Used by stores.
    #[must_use]
    pub const fn new(events: Vec<OutboxEvent>, next: Option<PageKey>) -> Self {
        Self { events, next }
    }

    /// Takes a page out of all events, in any order, for a store that reads them at once.
    #[must_use]
    pub fn of(
        all: impl IntoIterator<Item = OutboxEvent>,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Self {
        let mut all: Vec<OutboxEvent> = all.into_iter().collect();
        all.sort_by_key(|event| event.seq);
        all.dedup_by_key(|event| event.seq);
        let last = all.last().map_or(i64::MIN, |event| event.seq);
        let key = from.unwrap_or(PageKey::new(i64::MIN, last));
        let is_wanted = |event: &OutboxEvent| {
            event.seq > key.after && event.seq <= key.until && filter.matches(event)
        };
        all.retain(is_wanted);
        let most = Self::fitting(&all, limit.max(1));
        let has_more = all.len() > most;
        all.truncate(most);
        let end = all.last().filter(|_| has_more).map(|event| event.seq);
        Self::new(all, end.map(|after| PageKey::new(after, key.until)))
    }
}
