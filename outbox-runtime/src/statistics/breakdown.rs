//! Counts of undelivered and dead events by type and by user.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::OutboxStatus;

/// Counts of undelivered and dead events by type and by user, over the oldest of them; see
/// [`OutboxRepository::breakdown`](crate::OutboxRepository::breakdown).
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Breakdown, MemoryStore, NewEvent, Operation, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// for id in 1..=3 {
///     store.create_event(NewEvent::new("goal", id, "user-1", Operation::Update)).await?;
/// }
/// let breakdown: Breakdown = store.breakdown(None, 10_000).await?;
/// assert!(breakdown.is_complete);
/// assert_eq!((breakdown.types[0].event_type.as_str(), breakdown.types[0].pending), ("goal", 3));
/// assert_eq!((breakdown.users[0].user_id.as_str(), breakdown.users[0].undelivered), ("user-1", 3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Breakdown {
    /// In the order of the types.
    pub types: Vec<TypeCounts>,
    /// Those with the most undelivered events first.
    pub users: Vec<UserCounts>,
    /// The number of events that were counted.
    pub counted: u64,
    /// Whether these are all undelivered and dead events.
    pub is_complete: bool,
}

/// The counts of an event type.
///
/// # Examples
///
/// ```
/// use outbox_runtime::TypeCounts;
///
/// fn line(counts: &TypeCounts) -> String {
///     let TypeCounts { event_type, pending, failed, dead, .. } = counts;
///     format!("{event_type}: {pending} new, {failed} to be tried again, {dead} dead")
/// }
///
/// assert_eq!(line(&TypeCounts::default()), ": 0 new, 0 to be tried again, 0 dead");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TypeCounts {
    /// The type.
    pub event_type: String,
    /// Events that wait for their first attempt.
    pub pending: u64,
    /// Events that a handler is processing.
    pub processing: u64,
    /// Events that failed and will be retried.
    pub failed: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest undelivered one was enqueued.
    pub oldest: Option<DateTime<Utc>>,
}

/// The counts of a user.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Breakdown, UserCounts};
///
/// /// The user who waits for the longest time.
/// fn longest_waiting(breakdown: &Breakdown) -> Option<&UserCounts> {
///     let waiting = breakdown.users.iter().filter(|user| user.oldest.is_some());
///     waiting.min_by_key(|user| user.oldest)
/// }
///
/// assert!(longest_waiting(&Breakdown::default()).is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UserCounts {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// Events that are neither delivered nor dead.
    pub undelivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest undelivered one was enqueued.
    pub oldest: Option<DateTime<Utc>>,
}

/// Adds up a [`Breakdown`], for stores.
#[derive(Debug, Default)]
pub struct BreakdownCounter {
    types: BTreeMap<String, TypeCounts>,
    users: BTreeMap<String, UserCounts>,
    counted: u64,
}

impl BreakdownCounter {
    /// Counts events of one type, user and status, the oldest of which was enqueued then. Delivered
    /// events count nowhere.
    pub fn add(
        &mut self,
        event_type: &str,
        user_id: &str,
        status: OutboxStatus,
        count: u64,
        oldest: DateTime<Utc>,
    ) {
        if status == OutboxStatus::Completed {
            return;
        }
        self.counted += count;
        let of_type = entry(&mut self.types, event_type);
        let of_user = entry(&mut self.users, user_id);
        let of_status = match status {
            OutboxStatus::Pending => &mut of_type.pending,
            OutboxStatus::Processing => &mut of_type.processing,
            OutboxStatus::Failed => &mut of_type.failed,
            OutboxStatus::Dead | OutboxStatus::Completed => &mut of_type.dead,
        };
        *of_status += count;
        if status == OutboxStatus::Dead {
            of_user.dead += count;
        } else {
            of_user.undelivered += count;
            for known in [&mut of_type.oldest, &mut of_user.oldest] {
                let known = known.get_or_insert(oldest);
                *known = oldest.min(*known);
            }
        }
    }

    /// The number of events counted so far.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// The counts; `is_complete` tells that no event is left out.
    #[must_use]
    pub fn finish(self, is_complete: bool) -> Breakdown {
        let types = self
            .types
            .into_iter()
            .map(|(event_type, counts)| TypeCounts {
                event_type,
                ..counts
            });
        let users = self.users.into_iter();
        let users = users.map(|(user_id, counts)| UserCounts { user_id, ..counts });
        let mut users: Vec<UserCounts> = users.collect();
        users.sort_by_key(|user| Reverse((user.undelivered, user.dead)));
        Breakdown {
            types: types.collect(),
            users,
            counted: self.counted,
            is_complete,
        }
    }
}

/// The counts under a name, without a copy of a name that is known.
fn entry<'m, T: Default>(map: &'m mut BTreeMap<String, T>, name: &str) -> &'m mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.entry(name.to_owned()).or_default()
}
