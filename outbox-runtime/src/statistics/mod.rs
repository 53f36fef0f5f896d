//! Statistics, counts by type and user, and explanations of why an entity is not delivered yet.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::{OutboxEvent, OutboxStatus};

mod breakdown; // counts by type and user
mod explanation; // explanations of undelivered entities
mod finding; // findings of a check

pub use self::breakdown::{Breakdown, BreakdownCounter, TypeCounts, UserCounts};
pub use self::explanation::{Explanation, Predecessor, WaitsFor};
pub use self::finding::{CheckDepth, Finding, Remedy, Repaired, Severity, Subject};

/// Counts of the events in an outbox. **A snapshot of one moment**: all numbers come from one read
/// transaction.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{MemoryStore, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let statistics = MemoryStore::new().statistics(None).await?;
/// assert_eq!(statistics.success_rate(), 100.0);
/// assert!(!statistics.has_issues());
/// println!("{statistics}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutboxStatistics {
    /// All events in the store.
    pub total_events: u64,
    /// Events that wait for their first attempt.
    pub pending_count: u64,
    /// Events that a handler is processing.
    pub processing_count: u64,
    /// Delivered events that clean-up has not deleted yet.
    pub completed_count: u64,
    /// Events that failed and will be retried.
    pub failed_count: u64,
    /// Dead letters.
    pub dead_count: u64,
    /// Events completed over the lifetime of the outbox, including those that clean-up has deleted.
    pub completed_total: u64,
    /// Events that have been pending for more than 300 seconds.
    pub stale_count: u64,
    /// Undelivered events that were refused at least once while others got through:
    /// [`OutboxEvent::deferrals`].
    pub deferred: u64,
    /// Undelivered events that were snoozed at least ten times: [`OutboxEvent::snoozes`].
    pub snoozed_often: u64,
    /// When the oldest pending event was enqueued.
    pub oldest_pending_date: Option<DateTime<Utc>>,
    /// When the newest completed event was delivered.
    pub newest_completed_date: Option<DateTime<Utc>>,
}

/// An outbox with more pending events than this [has issues](OutboxStatistics::has_issues).
const MANY_PENDING: u64 = 20;

impl OutboxStatistics {
    /// Counts one event, for a store that iterates over its events.
    pub fn add(&mut self, event: &OutboxEvent, now: DateTime<Utc>) {
        self.total_events += 1;
        if !matches!(event.status, OutboxStatus::Completed | OutboxStatus::Dead) {
            self.deferred += u64::from(event.deferrals > 0);
            self.snoozed_often += u64::from(event.snoozes >= OutboxEvent::SNOOZED_OFTEN);
        }
        match event.status {
            OutboxStatus::Pending => {
                self.pending_count += 1;
                self.stale_count += u64::from(event.is_stale(now));
                let oldest = self.oldest_pending_date.get_or_insert(event.created_at);
                *oldest = event.created_at.min(*oldest);
            }
            OutboxStatus::Processing => self.processing_count += 1,
            OutboxStatus::Completed => {
                self.completed_count += 1;
                self.completed_total += 1;
                self.newest_completed_date = self.newest_completed_date.max(event.completed_at);
            }
            OutboxStatus::Failed => self.failed_count += 1,
            OutboxStatus::Dead => self.dead_count += 1,
        }
    }

    /// Completed events as a percentage of all events; 100 if there are none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        if self.total_events == 0 {
            100.0
        } else {
            self.completed_count as f64 / self.total_events as f64 * 100.0
        }
    }

    /// Whether the outbox needs attention: an event is failed, dead or stale, or more than 20 are
    /// pending.
    #[must_use]
    pub fn has_issues(&self) -> bool {
        self.failed_count > 0
            || self.dead_count > 0
            || self.stale_count > 0
            || self.pending_count > MANY_PENDING
    }

    /// The counts on one line.
    #[must_use]
    pub fn status_summary(&self) -> String {
        self.to_string()
    }

    /// The number of events that are neither delivered nor dead.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.pending_count + self.processing_count + self.failed_count
    }
}

impl fmt::Display for OutboxStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Total: {} | Pending: {} | Processing: {} | Completed: {} | Failed: {} | Dead: {} | Stale: {}",
            self.total_events,
            self.pending_count,
            self.processing_count,
            self.completed_count,
            self.failed_count,
            self.dead_count,
            self.stale_count
        )
    }
}
