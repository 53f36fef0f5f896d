//! A store between the processor and the real one: with another clock, or with faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::testing::ManualClock;
use outbox_runtime::{
    Claim, ClaimRequest, Clock, EnqueueError, EntityId, Explanation, Lease, NewEvent, OutboxEvent,
    OutboxRepository, OutboxStatistics, OutboxStatus, PendingDelete, Rescued, Revision, Settled,
    Settlement, StoreError, StoreErrorKind, async_trait,
};
use uuid::Uuid;

/// Passes everything on, but for what it was told.
#[derive(Debug)]
pub struct Intercepted {
    inner: Arc<dyn OutboxRepository>,
    clock: Arc<dyn Clock>,
    settlements: Faults,
}

/// Faults that are to come, and that have come.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    ahead: Arc<AtomicU32>,
    fired: Arc<AtomicU32>,
}

impl Intercepted {
    /// Changes nothing yet.
    #[must_use]
    pub fn new(inner: Arc<dyn OutboxRepository>) -> Self {
        Self {
            clock: inner.clock(),
            inner,
            settlements: Faults::default(),
        }
    }

    /// Tells the processor another time: a clock that nobody moves is that of a process that is frozen.
    #[must_use]
    pub fn with_clock(mut self, clock: ManualClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The faults of [`OutboxRepository::settle`].
    #[must_use]
    pub fn failing_settlements(&self) -> Faults {
        self.settlements.clone()
    }
}

impl Faults {
    /// The next `count` calls fail, before anything is done.
    pub fn fail_next(&self, count: u32) {
        self.ahead.store(count, Ordering::SeqCst);
    }

    /// How many have failed.
    #[must_use]
    pub fn fired(&self) -> u32 {
        self.fired.load(Ordering::SeqCst)
    }

    fn strike(&self, operation: &'static str) -> Result<(), StoreError> {
        let take_one = |ahead: u32| ahead.checked_sub(1);
        if self
            .ahead
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one)
            .is_err()
        {
            return Ok(());
        }
        self.fired.fetch_add(1, Ordering::SeqCst);
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            operation,
            "a fault of the test",
        ))
    }
}

macro_rules! pass_on {
    ($(async fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $answer:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Intercepted {
            $(async fn $name(&self $(, $arg: $type)*) -> $answer {
                self.inner.$name($($arg),*).await
            })+

            async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
                self.settlements.strike("settle")?;
                self.inner.settle(settlements).await
            }

            fn clock(&self) -> Arc<dyn Clock> {
                Arc::clone(&self.clock)
            }

            fn revision(&self) -> Revision {
                self.inner.revision()
            }
        }
    };
}

pass_on! {
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError>;
    async fn fetch_pending_events(&self, user: Option<&str>, limit: Option<usize>) -> Result<Vec<OutboxEvent>, StoreError>;
    async fn fetch_events(&self, status: OutboxStatus, user: Option<&str>, limit: Option<usize>) -> Result<Vec<OutboxEvent>, StoreError>;
    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError>;
    async fn fetch_events_for_entity(&self, entity: &EntityId, event_type: Option<&str>, user: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError>;
    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError>;
    async fn mark_as_processing(&self, id: Uuid, lease: Duration) -> Result<Claim, StoreError>;
    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError>;
    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError>;
    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError>;
    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError>;
    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError>;
    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError>;
    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError>;
    async fn delete_events_for_entities(&self, ids: &[EntityId], user: Option<&str>) -> Result<u64, StoreError>;
    async fn delete_all_events_for_user(&self, user: &str) -> Result<u64, StoreError>;
    async fn statistics(&self, user: Option<&str>) -> Result<OutboxStatistics, StoreError>;
    async fn stale_events(&self, user: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError>;
    async fn pending_deletes(&self, user: Option<&str>) -> Result<Vec<PendingDelete>, StoreError>;
    async fn explain(&self, entity: &EntityId, user: Option<&str>) -> Result<Explanation, StoreError>;
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError>;
    async fn extend(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Option<Lease>>, StoreError>;
    async fn rescue(&self) -> Result<Rescued, StoreError>;
    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError>;
    async fn suspend(&self) -> Result<(), StoreError>;
    async fn resume(&self) -> Result<(), StoreError>;
    async fn changed(&self, seen: Revision) -> Revision;
}
