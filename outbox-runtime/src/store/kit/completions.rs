//! How long a completion by a handler is remembered.

use std::time::Duration;

/// How long a store remembers, for [`settle`](crate::store::OutboxQueue::settle), that a handler
/// completed its event, if the handler does not answer. Longer than any handler takes, even if the
/// device sleeps meanwhile; it only delays when the note of a dead process is deleted.
pub const COMPLETION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
