//! The SQLite store as an [`OutboxRepository`]: which thread does what.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use uuid::Uuid;

use super::edit::Edited;
use super::requests::in_snapshot;
use super::settings::Access;
use super::store::{SqliteStore, State};
use super::{
    breakdown, claiming, cleanup, count, due, edit, history, insert, keyed, page, pausing,
    processes, query, settling,
};
use crate::cancellation::{Cancel, Canceled};
use crate::claim::{Claim, Lease};
use crate::completion::Completion;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::EntityId;
use crate::error::{CompleteError, EnqueueError, StoreError, StoreErrorKind};
use crate::event::{OutboxEvent, OutboxStatus};
use crate::history::PastAttempt;
use crate::meter;
use crate::outcome::{Disposition, Outcome, Settled, Settlement};
use crate::pause::{Pause, PauseScope, Paused};
use crate::presence::{Announcement, StoreProcess};
use crate::repository::{DeleteUnit, EventFilter, OutboxRepository, Page, PageKey, PendingDelete};
use crate::retry::RetryPolicy;
use crate::statistics::{Breakdown, CheckDepth, Explanation, Finding, OutboxStatistics, Repaired};
use crate::store::kit::{handler_has_some, new_owner, not_claimable, valid_pause};

#[async_trait]
impl OutboxRepository for SqliteStore {
    async fn create_event(&self, event: NewEvent) -> Result<OutboxEvent, EnqueueError> {
        let clock = Arc::clone(&self.shared.clock);
        self.connections("create_event")?
            .writer
            .run("create_event", move |conn, effects| {
                effects.wakes = true;
                insert::create(conn, clock.as_ref(), &event)
            })
            .await
    }

    async fn fetch_pending_events(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let user_id = user_id.map(str::to_owned);
        self.read("fetch_pending_events", move |conn| {
            query::pending(conn, user_id.as_deref(), limit)
        })
        .await
    }

    async fn fetch_events(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let user_id = user_id.map(str::to_owned);
        self.read("fetch_events", move |conn| {
            query::of_status(conn, status, user_id.as_deref(), limit)
        })
        .await
    }

    async fn fetch_event(&self, id: Uuid) -> Result<Option<OutboxEvent>, StoreError> {
        self.read("fetch_event", move |conn| insert::fetch(conn, id))
            .await
    }

    async fn fetch_events_for_entity(
        &self,
        entity_id: &EntityId,
        event_type: Option<&str>,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let entity_id = entity_id.clone();
        let event_type = event_type.map(str::to_owned);
        let user_id = user_id.map(str::to_owned);
        self.read("fetch_events_for_entity", move |conn| {
            query::of_entity(conn, &entity_id, event_type.as_deref(), user_id.as_deref())
        })
        .await
    }

    async fn attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        self.read("attempts", move |conn| history::read(conn, id))
            .await
    }

    async fn page(
        &self,
        filter: &EventFilter,
        from: Option<PageKey>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let filter = filter.clone();
        self.read("page", move |conn| page::page(conn, &filter, from, limit))
            .await
    }

    async fn update_event(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        let id = event.id;
        let event = event.clone();
        let edited = self
            .write("update_event", move |conn, now, effects| {
                effects.wakes = true;
                edit::update(conn, now, &event)
            })
            .await?;
        match edited {
            Edited::Done => Ok(()),
            Edited::NotFound => Err(StoreError::not_found("update_event", id)),
            Edited::Refused(why) => Err(StoreError::new(
                StoreErrorKind::Conflict,
                "update_event",
                why,
            )),
        }
    }

    async fn mark_as_processing(&self, id: Uuid, lease: Duration) -> Result<Claim, StoreError> {
        const OPERATION: &str = "mark_as_processing";
        let claimed = self
            .write(OPERATION, move |conn, now, _| {
                Ok(match claiming::claim_one(conn, now, id, lease)? {
                    Some(claim) => {
                        processes::register(conn, now, std::slice::from_ref(&claim))?;
                        Ok(claim)
                    }
                    None => Err(insert::fetch(conn, id)?),
                })
            })
            .await?;
        claimed.map_err(|event| match event {
            None => StoreError::not_found(OPERATION, id),
            Some(event) => not_claimable(OPERATION, &event),
        })
    }

    async fn mark_as_completed(&self, lease: &Lease) -> Result<Settled, StoreError> {
        let settlement = Settlement {
            lease: *lease,
            disposition: Disposition::Complete,
        };
        let keeps_deliveries = self.shared.settings.keeps_deliveries;
        self.write("mark_as_completed", move |conn, now, effects| {
            settling::settle(conn, now, &settlement, keeps_deliveries, &mut effects.wakes)
        })
        .await
    }

    async fn mark_as_failed(&self, lease: &Lease, error: &str) -> Result<Settled, StoreError> {
        let lease = *lease;
        let message = error.to_owned();
        let keeps_deliveries = self.shared.settings.keeps_deliveries;
        self.write("mark_as_failed", move |conn, now, effects| {
            let Some(event) = insert::fetch(conn, lease.event_id)? else {
                return Ok(Settled::LeaseLost);
            };
            let failed = Outcome::Retry {
                message: message.clone(),
                not_before: None,
            };
            let settlement = failed.settle(&Claim { event, lease }, &RetryPolicy::default(), now);
            settling::settle(conn, now, &settlement, keeps_deliveries, &mut effects.wakes)
        })
        .await
    }

    async fn complete_event(
        &self,
        completion: Completion,
        next: Option<NewEvent>,
    ) -> Result<Option<Enqueued>, CompleteError> {
        match next {
            None => self.complete_now(completion).await.map(|()| None),
            Some(next) => self.supersede_now(completion, next).await.map(Some),
        }
    }

    async fn reset_for_retry(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.write("reset_for_retry", move |conn, now, effects| {
            effects.wakes = true;
            edit::reset(conn, now, &ids)
        })
        .await
    }

    async fn reassign_user(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        new_owner(to)?;
        let (giver, taker) = (from.to_owned(), to.to_owned());
        let moved = self
            .write("reassign_user", move |conn, now, effects| {
                effects.wakes = true;
                edit::reassign(conn, now, &giver, &taker)
            })
            .await?;
        moved.ok_or_else(|| handler_has_some(from))
    }

    async fn delete_completed_events(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let (deleted, has_more) = self
                .write("delete_completed_events", move |conn, _, _| {
                    cleanup::delete_some_completed(conn, older_than)
                })
                .await?;
            total += deleted;
            if !has_more {
                return Ok(total);
            }
        }
    }

    async fn oldest_completed(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read("oldest_completed", cleanup::oldest_completed)
            .await
    }

    async fn delete_event(&self, id: Uuid) -> Result<bool, StoreError> {
        self.write("delete_event", move |conn, _, effects| {
            effects.wakes = true;
            edit::delete_one(conn, id)
        })
        .await
    }

    async fn discard(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.write("discard", move |conn, _, effects| {
            effects.wakes = true;
            edit::discard(conn, &ids)
        })
        .await
    }

    async fn delete_seen(&self, seen: &[OutboxEvent], unit: DeleteUnit) -> Result<u64, StoreError> {
        let seen = seen.to_vec();
        self.write("delete_seen", move |conn, _, effects| {
            effects.wakes = true;
            edit::delete_seen(conn, &seen, unit)
        })
        .await
    }

    async fn delete_events_for_entities(
        &self,
        entity_ids: &[EntityId],
        user_id: Option<&str>,
    ) -> Result<u64, StoreError> {
        let entity_ids = entity_ids.to_vec();
        let user_id = user_id.map(str::to_owned);
        self.write("delete_events_for_entities", move |conn, _, effects| {
            effects.wakes = true;
            edit::delete_of_entities(conn, &entity_ids, user_id.as_deref())
        })
        .await
    }

    async fn cancel(&self, cancel: &Cancel) -> Result<Canceled, StoreError> {
        let cancel = cancel.clone();
        self.write("cancel", move |conn, _, effects| {
            effects.wakes = true;
            keyed::cancel_on(conn, &cancel)
        })
        .await
    }

    async fn delete_all_events_for_user(&self, user_id: &str) -> Result<u64, StoreError> {
        let user_id = user_id.to_owned();
        self.write("delete_all_events_for_user", move |conn, _, effects| {
            // If the order of events was changed manually, events of other users may have waited
            // for the deleted ones.
            effects.wakes = true;
            edit::delete_of_user(conn, &user_id)
        })
        .await
    }

    async fn statistics(&self, user_id: Option<&str>) -> Result<OutboxStatistics, StoreError> {
        let user_id = user_id.map(str::to_owned);
        let now = self.now();
        let of = user_id.clone();
        let counted = self.read("statistics", move |conn| {
            Ok(match count::takes_long(conn)? {
                true => None,
                false => Some(count::statistics(conn, now, of.as_deref())?),
            })
        });
        let (statistics, is_behind) = match counted.await? {
            Some(counted) => counted,
            None => {
                let reader = self.connections("statistics")?.reader;
                let count =
                    move |conn: &Connection| count::statistics(conn, now, user_id.as_deref());
                reader.run_aside("statistics", in_snapshot(count)).await?
            }
        };
        if is_behind && self.shared.settings.access != Access::ReadOnly {
            self.connections("statistics")?.writer.count_soon();
        }
        meter::wal_size(&self.shared.path);
        Ok(statistics)
    }

    async fn breakdown(&self, user_id: Option<&str>, most: usize) -> Result<Breakdown, StoreError> {
        let user_id = user_id.map(str::to_owned);
        self.read("breakdown", move |conn| {
            breakdown::breakdown(conn, user_id.as_deref(), most)
        })
        .await
    }

    async fn oldest_due(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read("oldest_due", due::oldest).await
    }

    async fn stale_events(&self, user_id: Option<&str>) -> Result<Vec<OutboxEvent>, StoreError> {
        let user_id = user_id.map(str::to_owned);
        let now = self.now();
        self.read("stale_events", move |conn| {
            query::stale(conn, now, user_id.as_deref())
        })
        .await
    }

    async fn pending_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError> {
        let user_id = user_id.map(str::to_owned);
        self.read("pending_deletes", move |conn| {
            query::pending_deletes(conn, user_id.as_deref())
        })
        .await
    }

    async fn event_types(&self) -> Result<Vec<String>, StoreError> {
        self.read("event_types", query::event_types).await
    }

    async fn explain(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        let entity_id = entity_id.clone();
        let user_id = user_id.map(str::to_owned);
        let now = self.now();
        self.read("explain", move |conn| {
            query::explain(conn, now, &entity_id, user_id.as_deref())
        })
        .await
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        valid_pause(pause, self.now())?;
        let pause = pause.clone();
        self.write("pause", move |conn, now, effects| {
            effects.wakes = true;
            pausing::pause(conn, now, &pause.begin(now))
        })
        .await
    }

    async fn unpause(&self, scope: &PauseScope) -> Result<bool, StoreError> {
        let scope = scope.clone();
        self.write("unpause", move |conn, now, effects| {
            effects.wakes = true;
            pausing::unpause(conn, now, &scope)
        })
        .await
    }

    async fn paused(&self) -> Result<Vec<Paused>, StoreError> {
        let now = self.now();
        let pauses = self.read("paused", pausing::read).await?;
        Ok(pauses.in_effect(now))
    }

    async fn announce(&self, run: &Announcement) -> Result<(), StoreError> {
        let run = run.clone();
        self.write("announce", move |conn, now, _| {
            processes::announce(conn, now, &run)
        })
        .await
    }

    async fn withdraw(&self, run_id: Uuid) -> Result<(), StoreError> {
        self.write("withdraw", move |conn, _, _| {
            processes::withdraw(conn, run_id)
        })
        .await
    }

    async fn processes(&self) -> Result<Vec<StoreProcess>, StoreError> {
        self.read("processes", processes::all).await
    }

    async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        Self::check(self, depth).await
    }

    async fn repair(&self) -> Result<Repaired, StoreError> {
        Self::repair(self).await
    }

    async fn suspend(&self) -> Result<(), StoreError> {
        self.let_go(State::Suspended, "suspend").await
    }

    async fn resume(&self) -> Result<(), StoreError> {
        self.open_again().await
    }
}
