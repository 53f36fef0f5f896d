//! The store as an [`OutboxRepository`].

use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::{
    Announcement, CheckDepth, Claim, Completion, DeleteUnit, Disposition, Finding, Lease, Outcome,
    Page, PageKey, PendingDelete, Repaired, Settled, Settlement, StoreProcess,
};
use outbox_runtime::{
    Breakdown, Cancel, Canceled, CompleteError, EnqueueError, Enqueued, EntityId, EventFilter,
    EventSink, Explanation, NewEvent, OutboxEvent, OutboxRepository, OutboxStatistics,
    OutboxStatus, PastAttempt, Pause, PauseScope, Paused, RetryPolicy, StoreError, async_trait,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::remove::Typed;
use crate::store::PostgresStore;

#[async_trait]
impl OutboxRepository for PostgresStore {
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError> {
        const OPERATION: &str = "create_event";
        let id = self.enqueue(Ok(event)).await?.carried_by();
        let event = self.event(OPERATION, id).await?;
        event.ok_or_else(|| StoreError::not_found(OPERATION, id).into())
    }

    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        self.pending(user_id, limit).await
    }

    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        self.of_status(status, user_id, limit).await
    }

    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError> {
        self.event("fetch_event", id).await
    }

    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let which = "e.entity_id = $1 AND ($2::text IS NULL OR e.event_type = $2)
            AND ($3::text IS NULL OR e.user_id = $3) ORDER BY e.seq";
        let entity_id = entity_id.to_string();
        self.list(
            "fetch_events_for_entity",
            which,
            &[&entity_id, &event_type, &user_id],
        )
        .await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        self.past_attempts(id).await
    }

    async fn page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.read_page(filter, from, limit).await
    }

    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        self.edit(event).await
    }

    async fn mark_as_processing(&self, id: Uuid, lease: Duration) -> Result<Claim, StoreError> {
        self.take(id, lease).await
    }

    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError> {
        let settlement = Settlement {
            lease: *lease,
            disposition: Disposition::Complete,
        };
        let settled = self.settle_all(vec![settlement]).await?;
        Ok(settled.first().copied().unwrap_or(Settled::LeaseLost))
    }

    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError> {
        let Some(event) = self.event("mark_as_failed", lease.event_id).await? else {
            return Ok(Settled::LeaseLost);
        };
        let failed = Outcome::Retry {
            message: error.to_owned(),
            not_before: None,
        };
        let claim = Claim {
            event,
            lease: *lease,
        };
        let settlement = failed.settle(&claim, &RetryPolicy::default(), self.now());
        let settled = self.settle_all(vec![settlement]).await?;
        Ok(settled.first().copied().unwrap_or(Settled::LeaseLost))
    }

    async fn complete_event(
        &self,
        completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError> {
        match next {
            None => self.complete_now(&completion).await.map(|()| None),
            Some(next) => self.supersede_now(&completion, &next).await.map(Some),
        }
    }

    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        self.reset(ids).await
    }

    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        self.reassign(from, to).await
    }

    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError> {
        self.clean_up(older_than).await
    }

    async fn oldest_completed(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.first_completion().await
    }

    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError> {
        let of_event: [Typed<'_>; 1] = [(&id, Type::UUID)];
        Ok(self.remove("delete_event", "e.id = $1", &of_event).await? > 0)
    }

    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        let which = "e.id = ANY ($1) AND e.status::text = 'd'";
        let of_events: [Typed<'_>; 1] = [(&ids, Type::UUID_ARRAY)];
        self.remove("discard", which, &of_events).await
    }

    async fn delete_seen(&self, seen: &[OutboxEvent], unit: DeleteUnit) -> Result<u64, StoreError> {
        self.remove_seen(seen, unit).await
    }

    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        let ids: Vec<String> = entity_ids.iter().map(ToString::to_string).collect();
        let which = "e.entity_id = ANY ($1) AND ($2::text IS NULL OR e.user_id = $2)";
        let of_entities: [Typed<'_>; 2] = [(&ids, Type::TEXT_ARRAY), (&user_id, Type::TEXT)];
        self.remove("delete_events_for_entities", which, &of_entities)
            .await
    }

    async fn cancel(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        self.cancel_waiting(cancel).await
    }

    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError> {
        self.remove_user(user_id).await
    }

    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError> {
        self.count(user_id).await
    }

    async fn breakdown(&self, user_id: Option<&str>, most: usize) -> Result<Breakdown, StoreError> {
        self.count_oldest(user_id, most).await
    }

    async fn oldest_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.oldest_due_time().await
    }

    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError> {
        self.stale(user_id).await
    }

    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError> {
        self.undelivered_deletes(user_id).await
    }

    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        self.open_types().await
    }

    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        self.explanation(entity_id, user_id).await
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        self.begin_pause(pause).await
    }

    async fn unpause(&self, scope: &PauseScope) -> Result<bool, StoreError> {
        self.lift_pause(scope).await
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        self.list_pauses().await
    }

    async fn announce(&self, run: &Announcement) -> Result<(), StoreError> {
        self.announce_run(run).await
    }

    async fn withdraw(&self, run_id: Uuid) -> Result<(), StoreError> {
        self.forget_runs("withdraw", &[run_id]).await
    }

    async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        self.list_processes().await
    }

    async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        Self::check(self, depth).await
    }

    async fn repair(&self) -> Result<Repaired, StoreError> {
        Self::repair(self).await
    }

    /// There are no files; calls are refused until the store is resumed, as by any other store.
    async fn suspend(&self) -> Result<(), StoreError> {
        self.set_suspended(true);
        Ok(())
    }

    async fn resume(&self) -> Result<(), StoreError> {
        if self.set_suspended(false) {
            self.shared.signal.raise();
        }
        Ok(())
    }
}
