//! Refusals that are the same in every store.

use crate::enqueue::{key_fault, size_fault};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Transition};

/// Why this edit of a stored event is refused, or `None` if it is valid.
#[must_use]
pub fn refused_edit(stored: &OutboxEvent, edited: &OutboxEvent) -> Option<String> {
    if Transition::of(stored, Cause::Edit).is_none() {
        return Some(format!("event {} is {}", stored.id, stored.status));
    }
    // Metadata that was written elsewhere may exceed the limit, and stays as it is.
    if edited.metadata != stored.metadata
        && let Some(fault) = edited.metadata.as_ref().and_then(size_fault)
    {
        return Some(format!("the metadata of event {} {fault}", stored.id));
    }
    if edited.max_attempts == 0 {
        let id = stored.id;
        return Some(format!(
            "the max_attempts of event {id} is 0; at least 1 is needed"
        ));
    }
    let times = |event: &OutboxEvent| (event.next_attempt_at, event.expires_at);
    if let Some(at) = edited.expires_at
        && stored.status != OutboxStatus::Dead
        && edited.next_attempt_at > at
        && times(edited) != times(stored)
    {
        return Some(format!(
            "event {} would be due at {}, after it expires at {at}",
            stored.id, edited.next_attempt_at
        ));
    }
    let mut expected = stored.clone();
    expected.priority = edited.priority;
    expected.max_attempts = edited.max_attempts;
    expected.next_attempt_at = edited.next_attempt_at;
    expected.expires_at = edited.expires_at;
    expected.metadata.clone_from(&edited.metadata);
    expected.metadata_version = edited.metadata_version;
    (expected != *edited).then(|| {
        format!(
            "event {} is not what was read: {}; only priority, max_attempts, next_attempt_at, expires_at, metadata and its \
             version can be edited; fetch it again and edit that",
            stored.id,
            stored.differences_from(edited)
        )
    })
}

/// The error for an existing event that cannot be claimed manually.
#[must_use]
pub fn not_claimable(operation: &'static str, event: &OutboxEvent) -> StoreError {
    let message = format!(
        "event {} is {} (due {}), or waits behind another event",
        event.id, event.status, event.next_attempt_at
    );
    StoreError::new(StoreErrorKind::Conflict, operation, message)
}

/// Checks that events can be reassigned to this user.
///
/// # Errors
///
/// `InvalidArgument` if the user id breaks a rule of the row.
pub fn new_owner(user_id: &str) -> Result<(), StoreError> {
    let refused = |reason| {
        let message = format!("the user id {user_id:?} {reason}");
        StoreError::new(StoreErrorKind::InvalidArgument, REASSIGN, message)
    };
    key_fault(user_id).map(refused).map_or(Ok(()), Err)
}

/// The error for reassigning a user's events while a handler has one of them.
#[must_use]
pub fn handler_has_some(user_id: &str) -> StoreError {
    let message = format!("a handler has an event of user {user_id:?}; sign the user out first");
    StoreError::new(StoreErrorKind::Conflict, REASSIGN, message)
}

/// The operation that these errors name.
const REASSIGN: &str = "reassign_user";
