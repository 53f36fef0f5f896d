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
    /// So much of it is for those who take turns.
    kept: usize,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            left: ClaimRequest::MAX_METADATA_BYTES,
            kept: 0,
        }
    }

    /// Those who take turns have the same share of the metadata as of the places, however large the events of others are.
    pub(super) fn keep_for_turns(&mut self, request: &ClaimRequest) {
        let whole = ClaimRequest::MAX_METADATA_BYTES;
        // In 128 bits: a limit may be any number.
        let share = (whole as u128 * request.turns() as u128).checked_div(request.limit() as u128);
        self.kept = usize::try_from(share.unwrap_or(0)).unwrap_or(whole);
    }

    /// What was kept is there to be used, also where the event before was larger than what was left.
    pub(super) fn turns_begin(&mut self) {
        self.left = self.left.max(self.kept);
        self.kept = 0;
    }

    pub(super) fn add(&mut self, event: &OutboxEvent) {
        let size = event.metadata.as_ref().map_or(0, RawMetadata::len);
        self.left = self.left.saturating_sub(size);
    }

    /// Whether the claim ends here, or its part in claim order.
    pub(super) fn is_full(&self) -> bool {
        self.left <= self.kept
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
        if edited.max_attempts == 0 {
            let id = self.id;
            return Some(format!(
                "the max_attempts of event {id} is 0; at least 1 is needed"
            ));
        }
        let mut expected = self.clone();
        expected.priority = edited.priority;
        expected.max_attempts = edited.max_attempts;
        expected.next_attempt_at = edited.next_attempt_at;
        expected.metadata.clone_from(&edited.metadata);
        expected.metadata_version = edited.metadata_version;
        (expected != *edited).then(|| {
            format!(
                "event {} is not what was read: {}; only priority, max_attempts, next_attempt_at, metadata and its version \
                 can be edited; fetch it again and edit that",
                self.id,
                self.differences_from(edited)
            )
        })
    }

    /// What of this stored event is different in one that was read before, without its content.
    fn differences_from(&self, read: &Self) -> String {
        let mut differences = Vec::new();
        macro_rules! compare {
            ($($field:ident),*) => {$(
                if self.$field != read.$field {
                    let field = stringify!($field);
                    differences.push(format!("{field} is {:?} in the store and {:?} in the edit", self.$field, read.$field));
                }
            )*};
        }
        compare!(
            revision,
            destination,
            deferrals,
            deferred_since,
            crashes,
            snoozes,
            seq,
            event_type,
            entity_id,
            user_id,
            operation,
            status,
            created_at,
            last_attempt_at,
            attempt_count,
            completed_at,
            dead_reason,
            order,
            on_dead
        );
        // Texts and tokens do not belong in messages.
        for (field, is_same) in [
            ("last_refusal", self.last_refusal == read.last_refusal),
            ("error_message", self.error_message == read.error_message),
            ("lease_token", self.lease_token == read.lease_token),
            (
                "lease_expires_at",
                self.lease_expires_at == read.lease_expires_at,
            ),
        ] {
            if !is_same {
                differences.push(format!("{field} has changed"));
            }
        }
        differences.join(", ")
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

/// Whoever asks a suspended store is told so.
pub(super) fn suspended(operation: &'static str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Suspended,
        operation,
        "the store is suspended; `resume` it first",
    )
}
