//! The request for the events that come next in the lanes of leased ones.

use super::{ClaimRequest, Lease};

/// A worker's request for the events that follow leased ones in their lanes, for
/// [`follow`](crate::store::OutboxQueue::follow).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository};
/// use outbox_runtime::store::{ClaimRequest, FollowRequest, OutboxQueue};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// for _ in 0..3 {
///     store.create_event(NewEvent::new("goal", 7, "user-1", Operation::Update)).await?;
/// }
/// // A claim takes the first event of the goal; the other two follow it.
/// let first = store.claim(&ClaimRequest::new(10, Duration::from_secs(60))).await?;
/// let request = FollowRequest::new(vec![first[0].lease], 10).up_to_bytes(64 * 1024);
/// let followers = store.follow(&request).await?;
/// assert_eq!((first.len(), followers.len()), (1, 2));
/// assert!(followers.iter().all(|claim| claim.lease.token == first[0].lease.token));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct FollowRequest {
    after: Vec<Lease>,
    limit: usize,
    max_bytes: usize,
}

impl FollowRequest {
    /// Requests at most `limit` events in all. `after` has one lease of each lane: that of the last
    /// event that the worker holds of it.
    pub const fn new(after: Vec<Lease>, limit: usize) -> Self {
        Self {
            after,
            limit,
            max_bytes: ClaimRequest::MAX_METADATA_BYTES,
        }
    }

    /// Sets the maximum size of the metadata of all events of the answer together, in bytes.
    /// Default and maximum: [`ClaimRequest::MAX_METADATA_BYTES`].
    pub const fn up_to_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = if max_bytes < ClaimRequest::MAX_METADATA_BYTES {
            max_bytes
        } else {
            ClaimRequest::MAX_METADATA_BYTES
        };
        self
    }

    /// The leases whose followers are requested.
    #[must_use]
    pub fn after(&self) -> &[Lease] {
        &self.after
    }

    /// The maximum number of events.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The maximum size of the metadata, in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}
