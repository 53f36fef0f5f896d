//! The store in memory as an [`OutboxRepository`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{MemoryStore, is_of};
use crate::cancellation::{Cancel, Canceled};
use crate::claim::{Claim, Lease};
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::{CompleteError, EnqueueError, StoreError, StoreErrorKind};
use crate::event::{Operation, OutboxEvent, OutboxStatus};
use crate::history::PastAttempt;
use crate::outcome::{Disposition, Outcome, Settled, Settlement};
use crate::pause::{Pause, PauseScope, Paused};
use crate::presence::{Announcement, StoreProcess};
use crate::repository::{DeleteUnit, EventFilter, OutboxRepository, Page, PageKey, PendingDelete};
use crate::retry::RetryPolicy;
use crate::statistics::{
    Breakdown, BreakdownCounter, CheckDepth, Explanation, Finding, OutboxStatistics, Repaired,
};
use crate::store::kit::{claim_key, new_owner, not_claimable, refused_edit, valid_pause};

#[async_trait]
impl OutboxRepository for MemoryStore {
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError> {
        let id = self.insert(event)?.carried_by();
        self.fetch_event(id)
            .await?
            .ok_or_else(|| StoreError::not_found("create_event", id).into())
    }

    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        self.awake("fetch_pending_events")?;
        let mut events = self.list(None, |event| {
            event.should_process() && is_of(event, user_id)
        });
        events.sort_by_key(claim_key);
        events.truncate(limit.unwrap_or(usize::MAX));
        Ok(events)
    }

    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        self.awake("fetch_events")?;
        Ok(self.list(limit, |event| {
            event.status == status && is_of(event, user_id)
        }))
    }

    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError> {
        self.awake("fetch_event")?;
        let state = self.state();
        let seq = state.by_id.get(&id);
        Ok(seq.and_then(|seq| state.rows.get(seq)).cloned())
    }

    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        self.awake("fetch_events_for_entity")?;
        Ok(self.list(None, |event| {
            event.entity_id == *entity_id
                && event_type.is_none_or(|wanted| wanted == event.event_type)
                && is_of(event, user_id)
        }))
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        self.awake("attempts")?;
        let state = self.state();
        let seq = state.by_id.get(&id);
        let history = seq.and_then(|seq| state.attempts.get(seq));
        Ok(history.into_iter().flatten().cloned().collect())
    }

    async fn page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.awake("page")?;
        Ok(Page::of(self.list(None, |_| true), filter, from, limit))
    }

    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        self.awake("update_event")?;
        let now = self.now();
        let state = &mut *self.state();
        let stored = state
            .by_id
            .get(&event.id)
            .and_then(|seq| state.rows.get(seq));
        let Some(stored) = stored else {
            return Err(StoreError::not_found("update_event", event.id));
        };
        if let Some(why) = refused_edit(stored, event) {
            return Err(StoreError::new(
                StoreErrorKind::Conflict,
                "update_event",
                why,
            ));
        }
        state.change(stored.seq, now, |stored| {
            stored.clone_from(event);
            stored.revision = stored.revision.saturating_add(1);
        });
        self.shared.signal.raise();
        Ok(())
    }

    async fn mark_as_processing(&self, id: Uuid, lease: Duration) -> Result<Claim, StoreError> {
        self.awake("mark_as_processing")?;
        const OPERATION: &str = "mark_as_processing";
        let now = self.now();
        let state = &mut *self.state();
        state.promote(now);
        let Some(event) = state.by_id.get(&id).and_then(|seq| state.rows.get(seq)) else {
            return Err(StoreError::not_found(OPERATION, id));
        };
        let refused = not_claimable(OPERATION, event);
        if !state.ready.contains(event) {
            return Err(refused);
        }
        state.take(event.seq, now, lease).ok_or(refused)
    }

    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError> {
        self.awake("mark_as_completed")?;
        let now = self.now();
        let settlement = Settlement {
            lease: *lease,
            disposition: Disposition::Complete,
        };
        let settled = self.state().settle(settlement, now);
        self.shared.signal.raise();
        Ok(settled)
    }

    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError> {
        self.awake("mark_as_failed")?;
        let Some(event) = self.fetch_event(lease.event_id).await? else {
            return Ok(Settled::LeaseLost);
        };
        let now = self.now();
        let failed = Outcome::Retry {
            message: error.to_owned(),
            not_before: None,
        };
        let claim = Claim {
            event,
            lease: *lease,
        };
        let settlement = failed.settle(&claim, &RetryPolicy::default(), now);
        let settled = self.state().settle(settlement, now);
        self.shared.signal.raise();
        Ok(settled)
    }

    async fn complete_event(
        &self,
        completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError> {
        match next {
            None => self.complete_now(&completion).map(|()| None),
            Some(next) => self.supersede_now(&completion, next).map(Some),
        }
    }

    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        self.awake("reset_for_retry")?;
        let now = self.now();
        let count = self.state().reset(ids, now);
        self.shared.signal.raise();
        Ok(count)
    }

    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        self.awake("reassign_user")?;
        new_owner(to)?;
        let now = self.now();
        let count = self.state().reassign(from, to, now)?;
        self.shared.signal.raise();
        Ok(count)
    }

    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError> {
        self.awake("delete_completed_events")?;
        let now = self.now();
        Ok(self.state().clean_up(older_than, now))
    }

    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError> {
        self.awake("delete_event")?;
        Ok(self.delete(|event| event.id == id) > 0)
    }

    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        self.awake("discard")?;
        Ok(self.delete(|event| event.status == OutboxStatus::Dead && ids.contains(&event.id)))
    }

    async fn delete_seen(&self, seen: &[OutboxEvent], unit: DeleteUnit) -> Result<u64, StoreError> {
        self.awake("delete_seen")?;
        let now = self.now();
        let count = self.state().delete_seen(seen, unit, now);
        self.shared.signal.raise();
        Ok(count)
    }

    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.awake("delete_events_for_entities")?;
        Ok(self.delete(|event| entity_ids.contains(&event.entity_id) && is_of(event, user_id)))
    }

    async fn cancel(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        self.awake("cancel")?;
        Ok(self.cancel_waiting(cancel))
    }

    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError> {
        self.awake("delete_all_events_for_user")?;
        self.state().cleaned_up.remove(user_id);
        Ok(self.delete(|event| event.user_id == user_id))
    }

    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError> {
        self.awake("statistics")?;
        let now = self.now();
        let mut statistics = OutboxStatistics::default();
        let state = self.state();
        for event in state.rows.values().filter(|event| is_of(event, user_id)) {
            statistics.add(event, now);
        }
        let of_user = |(user, _): &(&String, &u64)| user_id.is_none_or(|wanted| wanted == *user);
        let cleaned_up = state.cleaned_up.iter().filter(of_user);
        statistics.completed_total += cleaned_up.map(|(_, count)| count).sum::<u64>();
        Ok(statistics)
    }

    async fn breakdown(&self, user_id: Option<&str>, most: usize) -> Result<Breakdown, StoreError> {
        self.awake("breakdown")?;
        let state = self.state();
        let is_wanted =
            |event: &&OutboxEvent| is_of(event, user_id) && event.status != OutboxStatus::Completed;
        let mut events = state.rows.values().filter(is_wanted);
        let mut counter = BreakdownCounter::default();
        for event in events.by_ref().take(most) {
            let (event_type, user) = (&event.event_type, &event.user_id);
            counter.add(event_type, user, event.status, 1, event.created_at);
        }
        Ok(counter.finish(events.next().is_none()))
    }

    async fn oldest_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.awake("oldest_due")?;
        let state = self.state();
        let waiting = state.waiting.first().map(|(due, _)| *due);
        Ok(waiting.into_iter().chain(state.ready.oldest_due()).min())
    }

    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError> {
        self.awake("stale_events")?;
        let now = self.now();
        Ok(self.list(None, |event| event.is_stale(now) && is_of(event, user_id)))
    }

    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError> {
        self.awake("pending_deletes")?;
        let open = self.list(None, |event| {
            event.operation == Operation::Delete
                && event.status != OutboxStatus::Completed
                && is_of(event, user_id)
        });
        let pending = open
            .into_iter()
            .map(|event| PendingDelete::new(event.user_id, event.event_type, event.entity_id));
        Ok(pending.collect())
    }

    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        self.awake("event_types")?;
        let mut types: Vec<String> = self.state().orders.keys().cloned().collect();
        types.sort_unstable();
        Ok(types)
    }

    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        self.awake("explain")?;
        let now = self.now();
        let state = self.state();
        let undelivered: Vec<&OutboxEvent> = state
            .rows
            .values()
            .filter(|event| event.entity_id == *entity_id && is_of(event, user_id))
            .filter(|event| event.status != OutboxStatus::Completed)
            .collect();
        // One that is dead and was skipped waits for a decision, but nothing waits for it.
        let open = undelivered.iter().find(|event| event.is_open());
        let first = open.or(undelivered.first()).copied();
        let count = undelivered.len() as u64;
        let explanation = Explanation::new(entity_id.clone(), count, first.cloned(), now);
        let before = open.map(|first| state.predecessors_of(first));
        let explanation = explanation.behind_all(&before.unwrap_or_default(), now);
        Ok(state.pauses().explain(explanation, now))
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        self.awake("pause")?;
        let now = self.now();
        valid_pause(pause, now)?;
        self.state().pause(pause.begin(now), now);
        self.shared.signal.raise();
        Ok(())
    }

    async fn unpause(&self, scope: &PauseScope) -> Result<bool, StoreError> {
        self.awake("unpause")?;
        let now = self.now();
        let lifted = self.state().unpause(scope, now);
        self.shared.signal.raise();
        Ok(lifted)
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        self.awake("paused")?;
        let now = self.now();
        Ok(self.state().pauses().in_effect(now))
    }

    async fn announce(&self, run: &Announcement) -> Result<(), StoreError> {
        self.awake("announce")?;
        self.state().runs.insert(run.run_id, run.clone());
        Ok(())
    }

    async fn withdraw(&self, run_id: Uuid) -> Result<(), StoreError> {
        self.awake("withdraw")?;
        self.state().runs.remove(&run_id);
        Ok(())
    }

    async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        self.awake("processes")?;
        Ok(self.state().processes())
    }

    /// Nothing is kept twice, and nobody else writes it.
    async fn check(&self, _: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        self.awake("check")?;
        Ok(Vec::new())
    }

    async fn repair(&self) -> Result<Repaired, StoreError> {
        self.awake("repair")?;
        Ok(Repaired::default())
    }

    /// It has no files to let go of, and refuses what is asked of it all the same.
    async fn suspend(&self) -> Result<(), StoreError> {
        self.shared.suspended.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn resume(&self) -> Result<(), StoreError> {
        if self.shared.suspended.swap(false, Ordering::SeqCst) {
            self.shared.signal.raise();
        }
        Ok(())
    }
}
