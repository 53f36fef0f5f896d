//! The traits for a store behind an `Arc`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    DeleteUnit, EventFilter, Exchange, OutboxQueue, OutboxRepository, Page, PageKey, PendingDelete,
    Rescued, Revision,
};
use crate::cancellation::{Cancel, Canceled};
use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::clock::Clock;
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::{CompleteError, EnqueueError, StoreError};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::history::PastAttempt;
use crate::outcome::{Settled, Settlement};
use crate::pause::{Pause, PauseScope, Paused};
use crate::presence::{Announcement, StoreProcess};
use crate::statistics::{Breakdown, CheckDepth, Explanation, Finding, OutboxStatistics, Repaired};

/// A shared store is a store; every call is forwarded.
#[async_trait]
impl<R: OutboxRepository + ?Sized> OutboxRepository for Arc<R> {
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError> {
        (**self).create_event(event).await
    }

    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        (**self).fetch_pending_events(user_id, limit).await
    }

    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        (**self).fetch_events(status, user_id, limit).await
    }

    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError> {
        (**self).fetch_event(id).await
    }

    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        (**self)
            .fetch_events_for_entity(entity_id, event_type, user_id)
            .await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        (**self).attempts(id).await
    }

    async fn page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        (**self).page(filter, from, limit).await
    }

    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        (**self).update_event(event).await
    }

    async fn mark_as_processing(
        &self,
        id: Uuid,
        lease: std::time::Duration,
    ) -> Result<Claim, StoreError> {
        (**self).mark_as_processing(id, lease).await
    }

    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError> {
        (**self).mark_as_completed(lease).await
    }

    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError> {
        (**self).mark_as_failed(lease, error).await
    }

    async fn complete_event(
        &self,
        completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError> {
        (**self).complete_event(completion, next).await
    }

    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        (**self).reset_for_retry(ids).await
    }

    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        (**self).reassign_user(from, to).await
    }

    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError> {
        (**self).delete_completed_events(older_than).await
    }

    async fn oldest_completed(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        (**self).oldest_completed().await
    }

    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError> {
        (**self).delete_event(id).await
    }

    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        (**self).discard(ids).await
    }

    async fn delete_seen(&self, seen: &[OutboxEvent], unit: DeleteUnit) -> Result<u64, StoreError> {
        (**self).delete_seen(seen, unit).await
    }

    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        (**self)
            .delete_events_for_entities(entity_ids, user_id)
            .await
    }

    async fn cancel(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        (**self).cancel(cancel).await
    }

    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError> {
        (**self).delete_all_events_for_user(user_id).await
    }

    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError> {
        (**self).statistics(user_id).await
    }

    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError> {
        (**self).stale_events(user_id).await
    }

    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError> {
        (**self).pending_deletes(user_id).await
    }

    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        (**self).event_types().await
    }

    async fn breakdown(&self, user_id: Option<&str>, most: usize) -> Result<Breakdown, StoreError> {
        (**self).breakdown(user_id, most).await
    }

    async fn oldest_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        (**self).oldest_due().await
    }

    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        (**self).explain(entity_id, user_id).await
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        (**self).pause(pause).await
    }

    async fn unpause(&self, scope: &PauseScope) -> Result<bool, StoreError> {
        (**self).unpause(scope).await
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        (**self).paused().await
    }

    async fn announce(&self, run: &Announcement) -> Result<(), StoreError> {
        (**self).announce(run).await
    }

    async fn withdraw(&self, run_id: Uuid) -> Result<(), StoreError> {
        (**self).withdraw(run_id).await
    }

    async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        (**self).processes().await
    }

    async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        (**self).check(depth).await
    }

    async fn repair(&self) -> Result<Repaired, StoreError> {
        (**self).repair().await
    }

    async fn suspend(&self) -> Result<(), StoreError> {
        (**self).suspend().await
    }

    async fn resume(&self) -> Result<(), StoreError> {
        (**self).resume().await
    }
}

#[async_trait]
impl<R: OutboxQueue + ?Sized> OutboxQueue for Arc<R> {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        (**self).claim(request).await
    }

    async fn follow(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        (**self).follow(request).await
    }

    fn can_follow(&self) -> bool {
        (**self).can_follow()
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        (**self).settle(settlements).await
    }

    async fn settle_and_claim(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        (**self).settle_and_claim(settlements, request).await
    }

    async fn extend(
        &self,
        leases: &[Lease],
        lease: std::time::Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError> {
        (**self).extend(leases, lease).await
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        (**self).rescue().await
    }

    async fn rescue_others(
        &self,
        held: &[(Lease, std::time::Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        (**self).rescue_others(held, only).await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError> {
        (**self).next_due(request).await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        (**self).clock()
    }

    fn revision(&self) -> Revision {
        (**self).revision()
    }

    async fn changed(&self, seen: Revision) -> Revision {
        (**self).changed(seen).await
    }
}
