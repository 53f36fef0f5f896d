//! Deleting events, and unblocking what waited for them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use outbox_runtime::store::DeleteUnit;
use outbox_runtime::{Order, OutboxEvent, StoreError};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::connect::PLANS;
use crate::edit::MOST_TRIES;
use crate::fault::{commit_fault, fault, is_of_collision};
use crate::lane;
use crate::on_client::OnClient;
use crate::remove::{Typed, remove_on};
use crate::row;
use crate::sql::FORGET;
use crate::store::PostgresStore;
use crate::transaction::read_committed;

/// Deletes some old completed events and counts them for their users. One whose successor is not
/// unblocked yet stays.
const CLEAN_UP: &str = "WITH k AS MATERIALIZED (SELECT e.id FROM {s}.events e
    WHERE e.status = 'c' AND e.slot IS NULL AND e.completed_at < $1
    ORDER BY e.completed_at LIMIT 5000 FOR UPDATE OF e SKIP LOCKED),
d AS (DELETE FROM {s}.events e USING k WHERE e.id = k.id
    RETURNING e.id, e.seq, e.user_id, e.entity_id, e.last_attempt_at),
{forget}
SELECT count(*) FROM d";

const SEEN: &str =
    "SELECT {columns_e} FROM {s}.events e WHERE e.id = ANY ($1) ORDER BY e.seq FOR UPDATE OF e";

/// The open events of some lanes.
const OPEN_IN_LANES: &str = "SELECT {columns_e}, e.lane FROM {s}.events e JOIN (
    SELECT o.id FROM {s}.events o WHERE o.lane = ANY ($1) AND o.slot IN ('r', 'w', 'h')
    UNION ALL SELECT o.id FROM {s}.events o WHERE o.lane = ANY ($1) AND o.slot = 'b'
    UNION ALL SELECT o.id FROM {s}.events o WHERE o.lane = ANY ($1) AND o.slot = 'l' AND o.slot IN ('l', 'n')
    UNION ALL SELECT o.id FROM {s}.events o WHERE o.lane = ANY ($1) AND o.slot = 'f'
) o ON o.id = e.id ORDER BY e.seq FOR UPDATE OF e";

impl PostgresStore {
    /// Deletes the events that the condition on `e` selects, in one transaction.
    pub(crate) async fn remove(
        &self,
        operation: &'static str,
        which: &str,
        params: &[Typed<'_>],
    ) -> Result<u64, StoreError> {
        let storage = |error| fault(operation, error);
        let mut client = self.connection(operation).await?;
        let mut tries = MOST_TRIES;
        loop {
            tries -= 1;
            let transaction = read_committed(&mut client).await.map_err(storage)?;
            let count = match self.remove_in(operation, &transaction, which, params).await {
                // It waited crosswise with a worker, which went on.
                Err(error) if is_of_collision(&error) && tries > 0 => {
                    transaction.rollback().await.map_err(storage)?;
                    continue;
                }
                count => count?,
            };
            let committed = transaction.commit().await;
            committed.map_err(|error| commit_fault(operation, error))?;
            if count > 0 {
                self.events_changed_for_all(&client).await;
            }
            return Ok(count);
        }
    }

    async fn remove_in(
        &self,
        operation: &'static str,
        transaction: &Transaction<'_>,
        which: &str,
        params: &[Typed<'_>],
    ) -> Result<u64, StoreError> {
        let session = OnClient {
            client: transaction,
            sql: &self.shared.sql,
            now: Some(self.now()),
            operation,
            fault,
        };
        remove_on(&session, which, params).await
    }

    /// Deletes all events of a user, and the count of those that clean-up deleted before.
    pub(crate) async fn remove_user(&self, user_id: &str) -> Result<u64, StoreError> {
        const OPERATION: &str = "delete_all_events_for_user";
        let client = self.connection(OPERATION).await?;
        let forget = self
            .shared
            .sql
            .text("DELETE FROM {s}.cleaned_up WHERE user_id = $1");
        let forgotten = client.execute(&forget, &[&user_id]).await;
        forgotten.map_err(|error| fault(OPERATION, error))?;
        drop(client);
        let of_user: [Typed<'_>; 1] = [(&user_id, Type::TEXT)];
        self.remove(OPERATION, "e.user_id = $1", &of_user).await
    }

    /// Deletes old completed events, some thousand per transaction.
    pub(crate) async fn clean_up(&self, older_than: DateTime<Utc>) -> Result<u64, StoreError> {
        const OPERATION: &str = "delete_completed_events";
        let storage = |error| fault(OPERATION, error);
        let sql = self.shared.sql.text(&CLEAN_UP.replace("{forget}", FORGET));
        // A delivered event that keeps a note for its lane stays until that is taken up.
        if self.take_up_notes().await? {
            self.events_changed();
        }
        let mut total = 0;
        loop {
            let mut client = self.connection(OPERATION).await?;
            let transaction = read_committed(&mut client).await.map_err(storage)?;
            let plans = PLANS.replace("SET ", "SET LOCAL ");
            transaction.batch_execute(&plans).await.map_err(storage)?;
            let deleted = transaction.query_one(&sql, &[&older_than]).await;
            let deleted: i64 = deleted.and_then(|row| row.try_get(0)).map_err(storage)?;
            let committed = transaction.commit().await;
            committed.map_err(|error| commit_fault(OPERATION, error))?;
            total += u64::try_from(deleted).unwrap_or_default();
            if deleted == 0 {
                self.tally_soon();
                return Ok(total);
            }
        }
    }

    /// Deletes the events that are unchanged since they were seen.
    pub(crate) async fn remove_seen(
        &self,
        seen: &[OutboxEvent],
        unit: DeleteUnit,
    ) -> Result<u64, StoreError> {
        const OPERATION: &str = "delete_seen";
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let by_id: HashMap<Uuid, &OutboxEvent> =
            seen.iter().map(|event| (event.id, event)).collect();
        let was_seen =
            |event: &OutboxEvent| by_id.get(&event.id).is_some_and(|seen| *seen == event);
        let ids: Vec<Uuid> = by_id.keys().copied().collect();
        let sql = &self.shared.sql;
        let rows = transaction.query(&sql.text(SEEN), &[&ids]).await;
        let there = rows
            .and_then(|rows| row::read_all(&rows))
            .map_err(storage)?;
        let mut unchanged = there;
        unchanged.retain(was_seen);
        if unit == DeleteUnit::Lane {
            let lanes = unchanged.iter().filter_map(open_lane);
            let lanes: Vec<i64> = lanes.collect::<HashSet<_>>().into_iter().collect();
            let rows = transaction.query(&sql.text(OPEN_IN_LANES), &[&lanes]).await;
            let mut changed = HashSet::new();
            for row in rows.map_err(storage)? {
                let event = row::read(&row, 0).map_err(storage)?.event;
                if !was_seen(&event) {
                    changed.insert(open_lane(&event));
                }
            }
            unchanged.retain(|event| {
                let lane = open_lane(event);
                lane.is_none() || !changed.contains(&lane)
            });
        }
        let ids: Vec<Uuid> = unchanged.iter().map(|event| event.id).collect();
        let of_events: [Typed<'_>; 1] = [(&ids, Type::UUID_ARRAY)];
        let count = self
            .remove_in(OPERATION, &transaction, "e.id = ANY ($1)", &of_events)
            .await?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed_for_all(&client).await;
        Ok(count)
    }
}

/// The lane in which an open event waits; `None` if it shares none with others.
fn open_lane(event: &OutboxEvent) -> Option<i64> {
    let shares = event.is_open() && event.order != Order::None;
    shares.then(|| lane::number(event.order, &event.user_id, &event.entity_id.to_string()))
}
