//! Manual changes of single events and of a user's events.

use std::time::Duration;

use outbox_runtime::store::kit::{after, handler_has_some, new_owner, not_claimable, refused_edit};
use outbox_runtime::store::{Claim, Lease, LeaseToken};
use outbox_runtime::{OutboxEvent, RawMetadata, StoreError, StoreErrorKind};
use uuid::Uuid;

use crate::fault::{commit_fault, fault, is_collision};
use crate::page::HIGHEST;
use crate::row;
use crate::store::PostgresStore;
use crate::transaction::{read_committed, roll_back};

const FETCH_LOCKED: &str =
    "SELECT {columns_e} FROM {s}.events e WHERE e.id = $1 FOR NO KEY UPDATE OF e";

const EDIT: &str = "UPDATE {s}.events e SET priority = $2, max_attempts = $3, due = $4, metadata = $5,
    metadata_version = $6, revision = e.revision + 1, expires_at = $8,
    slot = CASE WHEN e.slot IN ('r', 'w') THEN
        CASE WHEN e.last_attempt_at IS NULL AND $4 <= e.created_at OR $4 <= $7 THEN 'r'::\"char\" ELSE 'w' END
        ELSE e.slot END
WHERE e.id = $1";

const TAKE: &str =
    "UPDATE {s}.events e SET slot = 'l', status = 'i', attempt_count = e.attempt_count + 1,
    last_attempt_at = $2, lease_token = $3, lease_expires_at = $4
WHERE e.id = $1 AND (e.slot::text = 'r' OR e.slot::text = 'w' AND e.due <= $2) AND NOT {behind} AND NOT {elders} AND NOT {waits}
RETURNING {columns_e}";

/// Any event may become a candidate at any time: claims decide whether it is first. A dead creation
/// holds none of those back that it has left free: of those enqueued so far, the ones that skip a
/// dead parent, and all if it has expired.
const RESET: &str = "WITH k AS MATERIALIZED (SELECT e.id, e.seq, e.status FROM {s}.events e WHERE e.id = ANY ($1) AND e.status IN ('f', 'd')
    ORDER BY e.seq FOR NO KEY UPDATE OF e),
z(seq) AS MATERIALIZED ({highest}),
y AS (INSERT INTO {s}.tally_delta SELECT {block}, count(*), -count(*) FILTER (WHERE status = 'f'), 0,
    -count(*) FILTER (WHERE status = 'd') FROM k GROUP BY 1)
UPDATE {s}.events e SET status = 'p', slot = 'r', attempt_count = 0, due = $2, error_message = NULL,
    dead_reason = NULL, deferrals = 0, deferred_since = NULL, last_refusal = NULL, crashes = 0, snoozes = 0,
    expires_at = CASE WHEN e.expires_at > $2 THEN e.expires_at END,
    freed = CASE WHEN k.status = 'd' AND e.operation = 'c' THEN ARRAY[(SELECT z.seq FROM z),
        CASE WHEN e.dead_reason = 'expired' THEN (SELECT z.seq FROM z) ELSE e.freed[2] END] ELSE e.freed END
FROM k WHERE e.id = k.id";

const LOCK_USER: &str = "SELECT coalesce(bool_or(l.status = 'i'), false) FROM
    (SELECT e.status FROM {s}.events e WHERE e.user_id = $1 ORDER BY e.seq FOR NO KEY UPDATE OF e) l";

/// Moves events to another user, and with that to other lanes. A note is no longer needed, because
/// everything that it was about becomes a candidate.
const REASSIGN: &str = "UPDATE {s}.events e SET user_id = $2,
    lane = CASE WHEN e.lane_order <> 'n' THEN {s}.lane(e.lane_order::text, $2, e.entity_id) END,
    entity_lane = CASE WHEN e.lane_order <> 'e' THEN {s}.lane('e', $2, e.entity_id) END,
    slot = CASE WHEN e.slot = 'n' THEN NULL WHEN e.slot = 'b' THEN
        CASE WHEN e.last_attempt_at IS NULL AND e.due <= e.created_at OR e.due <= $3 THEN 'r'::\"char\" ELSE 'w' END
        ELSE e.slot END
WHERE e.user_id = $1";

/// The entities that the service knows under the first user's name cannot be told anymore.
const REASSIGN_TOLD: &str = "INSERT INTO {s}.told (user_end, entity_end)
    SELECT right($2, 4), entity_end FROM {s}.told WHERE user_end = right($1, 4)
    UNION SELECT right($1, 4), '' ORDER BY 1, 2
ON CONFLICT DO NOTHING";

const REASSIGN_CLEANED_UP: &str =
    "WITH d AS (DELETE FROM {s}.cleaned_up WHERE user_id = $1 RETURNING completed)
INSERT INTO {s}.cleaned_up (user_id, completed) SELECT $2, d.completed FROM d";

/// How often a change is tried that waits crosswise with others.
pub(crate) const MOST_TRIES: usize = 5;

impl PostgresStore {
    pub(crate) async fn edit(&self, event: &OutboxEvent) -> Result<(), StoreError> {
        const OPERATION: &str = "update_event";
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let stored = transaction
            .query_opt(&sql.text(FETCH_LOCKED), &[&event.id])
            .await
            .map_err(storage)?;
        let Some(stored) = stored else {
            return Err(StoreError::not_found(OPERATION, event.id));
        };
        let stored = row::read(&stored, 0).map_err(storage)?.event;
        if let Some(why) = refused_edit(&stored, event) {
            roll_back(transaction).await;
            return Err(StoreError::new(StoreErrorKind::Conflict, OPERATION, why));
        }
        let max_attempts = i64::from(event.max_attempts);
        let version = i64::from(event.metadata_version);
        let metadata = event.metadata.as_ref().and_then(RawMetadata::as_str);
        if metadata.is_none() && event.metadata.is_some() {
            roll_back(transaction).await;
            let message = format!("the metadata of event {} is not UTF-8", event.id);
            return Err(StoreError::new(
                StoreErrorKind::InvalidArgument,
                OPERATION,
                message,
            ));
        }
        let now = self.now();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
            &event.id,
            &event.priority,
            &max_attempts,
            &event.next_attempt_at,
            &metadata,
            &version,
            &now,
            &event.expires_at,
        ];
        let edited = transaction.execute(&sql.text(EDIT), &params).await;
        edited.map_err(storage)?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed_for_all(&client).await;
        Ok(())
    }

    pub(crate) async fn take(&self, id: Uuid, lease: Duration) -> Result<Claim, StoreError> {
        const OPERATION: &str = "mark_as_processing";
        if let Some(claim) = self.take_if_first(OPERATION, id, lease).await? {
            return Ok(claim);
        }
        // The event before it may have ended and left a note.
        if self.take_up_notes().await?
            && let Some(claim) = self.take_if_first(OPERATION, id, lease).await?
        {
            return Ok(claim);
        }
        let event = self.event(OPERATION, id).await?;
        let event = event.ok_or_else(|| StoreError::not_found(OPERATION, id))?;
        Err(not_claimable(OPERATION, &event))
    }

    async fn take_if_first(
        &self,
        operation: &'static str,
        id: Uuid,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let client = self.connection(operation).await?;
        let (now, token) = (self.now(), LeaseToken::random());
        let expires_at = after(now, lease);
        let sql = self.shared.sql.text(TAKE);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&id, &now, &token.as_uuid(), &expires_at];
        let taken = match client.query_opt(&sql, &params).await {
            // Another worker took an event of the lane at the same time.
            Err(error) if is_collision(&error) => None,
            taken => taken.map_err(|error| fault(operation, error))?,
        };
        let Some(row) = taken else {
            return Ok(None);
        };
        let event = row::read(&row, 0).map_err(|error| fault(operation, error))?;
        let event = event.event;
        let lease = Lease {
            event_id: id,
            seq: event.seq,
            token,
            expires_at,
        };
        Ok(Some(Claim { event, lease }))
    }

    pub(crate) async fn reset(&self, ids: &[Uuid]) -> Result<u64, StoreError> {
        const OPERATION: &str = "reset_for_retry";
        let client = self.connection(OPERATION).await?;
        let sql = self.shared.sql.text(&RESET.replace("{highest}", HIGHEST));
        let mut tries = MOST_TRIES;
        loop {
            tries -= 1;
            let now = self.now();
            match client.execute(&sql, &[&ids, &now]).await {
                // It waited crosswise with a worker, which went on.
                Err(error) if is_collision(&error) && tries > 0 => {}
                reset => {
                    let count = reset.map_err(|error| commit_fault(OPERATION, error))?;
                    self.events_changed_for_all(&client).await;
                    return Ok(count);
                }
            }
        }
    }

    pub(crate) async fn reassign(&self, from: &str, to: &str) -> Result<u64, StoreError> {
        const OPERATION: &str = "reassign_user";
        self.awake(OPERATION)?;
        new_owner(to)?;
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let transaction = read_committed(&mut client).await.map_err(storage)?;
        let locked = transaction.query_one(&sql.text(LOCK_USER), &[&from]).await;
        let has_handler: bool = locked.and_then(|row| row.try_get(0)).map_err(storage)?;
        if has_handler {
            roll_back(transaction).await;
            return Err(handler_has_some(from));
        }
        let now = self.now();
        let moved = transaction
            .execute(&sql.text(REASSIGN), &[&from, &to, &now])
            .await
            .map_err(storage)?;
        for more in [REASSIGN_TOLD, REASSIGN_CLEANED_UP] {
            let done = transaction.execute(&sql.text(more), &[&from, &to]).await;
            done.map_err(storage)?;
        }
        let removed = transaction.query(&sql.remove_unnoted, &[]).await;
        removed.map_err(storage)?;
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed_for_all(&client).await;
        Ok(moved)
    }
}
