//! What every store decides in the same way.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::claim::ClaimRequest;
use crate::enqueue::{key_fault, size_fault};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::metadata::RawMetadata;
use crate::outcome::{Cause, Transition};
use crate::statistics::OutboxStatistics;

/// See [`claim_order`].
pub(super) type ClaimOrder = (Reverse<i32>, DateTime<Utc>, i64);

/// The order in which a claim takes events: higher priority, then earlier due, then smaller seq.
pub(super) fn claim_order(event: &OutboxEvent) -> ClaimOrder {
    (Reverse(event.priority), event.next_attempt_at, event.seq)
}

/// How much metadata a claim may still bring.
pub(super) struct Load {
    left: usize,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            left: ClaimRequest::MAX_METADATA_BYTES,
        }
    }

    pub(super) fn add(&mut self, event: &OutboxEvent) {
        let size = event.metadata.as_ref().map_or(0, RawMetadata::len);
        self.left = self.left.saturating_sub(size);
    }

    /// Whether the claim ends here.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }
}

impl StoreError {
    /// Why an event that is there cannot be claimed by hand.
    pub(super) fn not_claimable(operation: &'static str, event: &OutboxEvent) -> Self {
        let message = format!(
            "event {} is {} (due {}), or waits behind another event",
            event.id, event.status, event.next_attempt_at
        );
        Self::new(StoreErrorKind::Conflict, operation, message)
    }
}

/// What both stores refuse of a new owner of events.
pub(super) fn new_owner(user_id: &str) -> Result<(), StoreError> {
    let refused = |reason| {
        let message = format!("the user id {user_id:?} {reason}");
        StoreError::new(StoreErrorKind::InvalidArgument, REASSIGN, message)
    };
    key_fault(user_id).map(refused).map_or(Ok(()), Err)
}

/// Why a user's events cannot be given to another now.
pub(super) fn handler_has_some(user_id: &str) -> StoreError {
    let message = format!("a handler has an event of user {user_id:?}; sign the user out first");
    StoreError::new(StoreErrorKind::Conflict, REASSIGN, message)
}

/// The operation that these are about.
const REASSIGN: &str = "reassign_user";

impl OutboxEvent {
    /// Why an edit of this stored event must not be written, if so.
    pub(super) fn refuses_edit(&self, edited: &Self) -> Option<String> {
        if Transition::of(self, Cause::Edit).is_none() {
            return Some(format!("event {} is {}", self.id, self.status));
        }
        // What somebody else has written may be as large as it is.
        if edited.metadata != self.metadata
            && let Some(fault) = edited.metadata.as_ref().and_then(size_fault)
        {
            return Some(format!("the metadata of event {} {fault}", self.id));
        }
        let mut expected = self.clone();
        expected.priority = edited.priority;
        expected.max_attempts = edited.max_attempts;
        expected.next_attempt_at = edited.next_attempt_at;
        expected.metadata.clone_from(&edited.metadata);
        expected.metadata_version = edited.metadata_version;
        (expected != *edited).then(|| {
            format!(
                "only priority, max_attempts, next_attempt_at and metadata of event {} can be edited, and the rest \
                 must be as it is in the store; fetch it again",
                self.id
            )
        })
    }
}

impl OutboxStatistics {
    /// Counts one event.
    pub(super) fn add(&mut self, event: &OutboxEvent, now: DateTime<Utc>) {
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
}
