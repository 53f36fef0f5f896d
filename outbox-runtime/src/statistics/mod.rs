//! Statistics, counts by type and user, and explanations of why an entity is not delivered yet.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::event::{OutboxEvent, OutboxStatus};

mod breakdown; // counts by type and user
mod explanation; // explanations of undelivered entities
mod finding; // findings of a check
mod waits_for; // what an event waits for

pub use self::breakdown::{Breakdown, BreakdownCounter, TypeCounts, UserCounts};
pub use self::explanation::{Explanation, Predecessor};
pub use self::finding::{CheckDepth, Finding, Remedy, Repaired, Severity, Subject};
pub use self::waits_for::WaitsFor;

/// Counts of the events in an outbox. **A snapshot of one moment**: all numbers come from one read
/// transaction.
///
/// | question | figure |
/// |---|---|
/// | must somebody act? | [`has_issues`](Self::has_issues) |
/// | what has to be decided? | [`dead_count`](Self::dead_count): see [`DeadLetters`](crate::DeadLetters) |
/// | is anything delivered at all? | [`stale_count`](Self::stale_count), [`newest_completed_date`](Self::newest_completed_date) |
/// | how much is left? | [`undelivered`](Self::undelivered) |
/// | how far is it behind? | [`oldest_pending_date`](Self::oldest_pending_date) |
/// | is the service well? | [`failed_count`](Self::failed_count), [`deferred`](Self::deferred) |
/// | how many were delivered, ever? | [`completed_total`](Self::completed_total); its growth is the throughput |
/// | how good has it been? | [`success_rate`](Self::success_rate), for a report |
///
/// # Examples
///
/// ```
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Create)).await?;
///
/// let statistics = store.statistics(None).await?;
/// assert_eq!(statistics.undelivered(), 1);
/// assert!(!statistics.has_issues()); // a fresh event is none
/// assert_eq!(statistics.success_rate(), 100.0); // nothing was given up
/// assert!(statistics.status_summary().starts_with("Total: 1 | Pending: 1"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutboxStatistics {
    /// All events in the store, delivered ones included until clean-up deletes them: the size of
    /// the table, and no measure of work.
    pub total_events: u64,
    /// Events that wait for their first attempt, due or not: the backlog.
    pub pending_count: u64,
    /// Events that a handler is processing: at most the
    /// [`max_concurrency`](crate::ProcessorBuilder::max_concurrency) of all runs, apart from events
    /// that are claimed ahead.
    pub processing_count: u64,
    /// Delivered events that clean-up has not deleted yet: those of the last
    /// [24 hours](crate::ProcessorBuilder::keep_completed), by default.
    pub completed_count: u64,
    /// Events that failed and will be retried. No reason to act: a retry usually gets through.
    pub failed_count: u64,
    /// Dead letters: given up, until somebody retries or discards them.
    pub dead_count: u64,
    /// Events completed over the lifetime of the outbox, including those that clean-up has deleted.
    pub completed_total: u64,
    /// Events that have been pending for more than
    /// [300 seconds](OutboxEvent::STALE_AFTER), whatever holds them back: no run, an outage, a
    /// pause, a longer delay.
    pub stale_count: u64,
    /// Undelivered events that were refused at least once while others got through:
    /// [`OutboxEvent::deferrals`].
    pub deferred: u64,
    /// Undelivered events that were snoozed at least ten times: [`OutboxEvent::snoozes`].
    pub snoozed_often: u64,
    /// When the oldest pending event was enqueued. `None`: none is pending.
    pub oldest_pending_date: Option<DateTime<Utc>>,
    /// When the newest completed event was delivered, of those that clean-up has not deleted yet.
    pub newest_completed_date: Option<DateTime<Utc>>,
}

impl OutboxStatistics {
    /// Counts one event, for a store that iterates over its events. For stores.
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

    /// The delivered share of the events that are over, in percent: of those
    /// [delivered](Self::completed_total) over the lifetime of the outbox and of the dead letters.
    /// 100 as long as nothing is over: an event that waits is no failure.
    ///
    /// For a report or a service level. It is no alarm, because it hardly moves in an outbox that
    /// has delivered much; see [`has_issues`](Self::has_issues). A dead letter that is retried or
    /// discarded no longer counts.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        let over = self.completed_total + self.dead_count;
        if over == 0 {
            100.0
        } else {
            self.completed_total as f64 / over as f64 * 100.0
        }
    }

    /// Whether somebody should look: an event is dead, or has been pending for more than
    /// [300 seconds](OutboxEvent::STALE_AFTER). Worth an alarm: a backlog that is worked off, or an
    /// event that will be tried again, is not enough.
    #[must_use]
    pub fn has_issues(&self) -> bool {
        self.dead_count > 0 || self.stale_count > 0
    }

    /// The counts on one line, as `Display` writes them, for a log.
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
