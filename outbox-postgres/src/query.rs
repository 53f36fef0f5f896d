//! Listings and explanations.

use chrono::{DateTime, Utc};
use outbox_runtime::store::PendingDelete;
use outbox_runtime::store::kit::{Predecessor, before};
use outbox_runtime::{
    EntityId, Explanation, Order, OutboxEvent, OutboxStatus, PastAttempt, StoreError,
};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Transaction};
use uuid::Uuid;

use crate::codes::Code;
use crate::fault::fault;
use crate::lane;
use crate::row;
use crate::store::PostgresStore;

type Param<'p> = &'p (dyn ToSql + Sync);

/// The undelivered events of an entity of a user, each by an index.
const UNDELIVERED: &str = "SELECT {columns_e} FROM {s}.events e JOIN (
    SELECT o.id FROM {s}.events o WHERE o.lane = $1 AND o.slot IN ('r', 'w', 'h')
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $1 AND o.slot = 'b'
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $1 AND o.slot = 'l' AND o.slot IN ('l', 'n')
    UNION SELECT o.id FROM {s}.events o WHERE o.lane = $1 AND o.slot = 'f'
    UNION SELECT o.id FROM {s}.events o WHERE o.entity_lane = $1 AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h')
    UNION SELECT o.id FROM {s}.events o WHERE o.status = 'd' AND o.entity_id = $2
) o ON o.id = e.id WHERE e.entity_id = $2 AND e.user_id = $3 AND e.status <> 'c' ORDER BY e.seq";

const UNDELIVERED_OF_ALL: &str = "SELECT {columns_e} FROM {s}.events e WHERE e.entity_id = $1 AND e.status <> 'c' ORDER BY e.seq";

/// The event that all others of a lane wait behind.
const FRONT: &str = "SELECT {columns_e} FROM {s}.events e JOIN (
    (SELECT o.id, 0 AS nth, o.seq FROM {s}.events o WHERE o.lane = $1 AND o.slot = 'l' AND o.slot IN ('l', 'n'))
    UNION ALL (SELECT o.id, 1, o.seq FROM {s}.events o WHERE o.lane = $1 AND o.slot IN ('r', 'w', 'h')
        ORDER BY o.seq LIMIT 1)
    UNION ALL (SELECT o.id, 1, o.seq FROM {s}.events o WHERE o.lane = $1 AND o.slot = 'b' ORDER BY o.seq LIMIT 1)
) o ON o.id = e.id ORDER BY o.nth, o.seq LIMIT 1";

/// The first elder of the event `$1`, which has the entity lane `$2`.
const FIRST_ELDER: &str = "SELECT {columns_o} FROM {s}.events e, LATERAL (
    (SELECT o.* FROM {s}.events o WHERE o.entity_lane = $2 AND o.slot IN ('r', 'w', 'b', 'l', 'f', 'h') AND {kin} AND o.seq < e.seq)
    UNION ALL (SELECT o.* FROM {s}.events o WHERE o.lane = $2 AND o.slot IN ('r', 'w', 'h') AND {kin} AND o.seq < e.seq)
    UNION ALL (SELECT o.* FROM {s}.events o WHERE o.lane = $2 AND o.slot = 'b' AND {kin} AND o.seq < e.seq)
    UNION ALL (SELECT o.* FROM {s}.events o WHERE o.lane = $2 AND o.slot = 'l' AND o.slot IN ('l', 'n') AND {kin} AND o.seq < e.seq)
    UNION ALL (SELECT o.* FROM {s}.events o WHERE o.lane = $2 AND o.slot = 'f' AND {kin} AND o.seq < e.seq)
) o WHERE e.id = $1 ORDER BY o.seq LIMIT 1";

/// The first creation that the event `$1` waits for.
const FIRST_CREATION: &str = "SELECT {columns_o} FROM {s}.events e, {creations}
    AND e.id = $1 AND e.parents IS NOT NULL AND e.last_attempt_at IS NULL ORDER BY o.seq LIMIT 1";

impl PostgresStore {
    /// Lists the events that a condition on `e` selects.
    pub(crate) async fn list(
        &self,
        operation: &'static str,
        which: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let client = self.connection(operation).await?;
        let template = format!("SELECT {{columns_e}} FROM {{s}}.events e WHERE {which}");
        let rows = client.query(&self.shared.sql.text(&template), params).await;
        let events = rows.and_then(|rows| row::read_all(&rows));
        events.map_err(|error| fault(operation, error))
    }

    pub(crate) async fn event(
        &self,
        operation: &'static str,
        id: Uuid,
    ) -> Result<Option<OutboxEvent>, StoreError> {
        Ok(self.list(operation, "e.id = $1", &[&id]).await?.pop())
    }

    pub(crate) async fn pending(
        &self,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let which = "(e.status = 'p' OR e.status = 'f' AND e.attempt_count < e.max_attempts)
            AND ($1::text IS NULL OR e.user_id = $1) ORDER BY e.priority DESC, e.due, e.seq LIMIT $2";
        self.list("fetch_pending_events", which, &[&user_id, &rows(limit)])
            .await
    }

    pub(crate) async fn of_status(
        &self,
        status: OutboxStatus,
        user_id: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let which =
            "e.status = $1 AND ($2::text IS NULL OR e.user_id = $2) ORDER BY e.seq LIMIT $3";
        self.list(
            "fetch_events",
            which,
            &[&status.code(), &user_id, &rows(limit)],
        )
        .await
    }

    pub(crate) async fn stale(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<OutboxEvent>, StoreError> {
        let which = "e.status = 'p' AND e.created_at < $1 AND ($2::text IS NULL OR e.user_id = $2) ORDER BY e.seq";
        let before = before(self.now(), OutboxEvent::STALE_AFTER);
        self.list("stale_events", which, &[&before, &user_id]).await
    }

    pub(crate) async fn undelivered_deletes(
        &self,
        user_id: Option<&str>,
    ) -> Result<Vec<PendingDelete>, StoreError> {
        const OPERATION: &str = "pending_deletes";
        let sql = self.shared.sql.text(
            "SELECT e.user_id, e.event_type, e.entity_id FROM {s}.events e
            WHERE e.operation = 'd' AND e.status <> 'c' AND ($1::text IS NULL OR e.user_id = $1) ORDER BY e.seq",
        );
        let client = self.connection(OPERATION).await?;
        let storage = |error| fault(OPERATION, error);
        let rows = client.query(&sql, &[&user_id]).await.map_err(storage)?;
        let pending = rows.iter().map(|row| {
            let entity_id: String = row.try_get(2)?;
            Ok(PendingDelete::new(
                row.try_get(0)?,
                row.try_get(1)?,
                entity_id.into(),
            ))
        });
        let pending: Result<Vec<_>, tokio_postgres::Error> = pending.collect();
        pending.map_err(storage)
    }

    pub(crate) async fn open_types(&self) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "event_types";
        let sql = self.shared.sql.text(
            "SELECT DISTINCT e.event_type FROM {s}.events e WHERE e.slot IS NOT NULL AND e.slot <> 'n' ORDER BY 1",
        );
        let client = self.connection(OPERATION).await?;
        let rows = client.query(&sql, &[]).await;
        let types: Result<Vec<String>, _> =
            rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        types.map_err(|error| fault(OPERATION, error))
    }

    pub(crate) async fn first_completion(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        const OPERATION: &str = "oldest_completed";
        let sql = self
            .shared
            .sql
            .text("SELECT min(e.completed_at) FROM {s}.events e WHERE e.status = 'c'");
        let client = self.connection(OPERATION).await?;
        let row = client.query_one(&sql, &[]).await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| fault(OPERATION, error))
    }

    /// The past attempts of an event. Damaged lines are left out.
    pub(crate) async fn past_attempts(&self, id: Uuid) -> Result<Vec<PastAttempt>, StoreError> {
        const OPERATION: &str = "attempts";
        let sql = "SELECT coalesce(e.attempts, '{}') FROM {s}.events e WHERE e.id = $1";
        let client = self.connection(OPERATION).await?;
        let row = client
            .query_opt(&self.shared.sql.text(sql), &[&id])
            .await
            .and_then(|row| row.map(|row| row.try_get(0)).transpose());
        let lines: Option<Vec<String>> = row.map_err(|error| fault(OPERATION, error))?;
        let lines = lines.unwrap_or_default();
        let attempts = lines.iter().map(String::as_str);
        Ok(attempts.filter_map(PastAttempt::from_line).collect())
    }

    pub(crate) async fn explanation(
        &self,
        entity_id: &EntityId,
        user_id: Option<&str>,
    ) -> Result<Explanation, StoreError> {
        const OPERATION: &str = "explain";
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        // One moment, whatever commits meanwhile.
        let begin = client.build_transaction().read_only(true);
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        let now = self.now();
        let explained = self.explain_in(&transaction, entity_id, user_id, now).await;
        explained.map_err(storage)
    }

    async fn explain_in(
        &self,
        transaction: &Transaction<'_>,
        entity_id: &EntityId,
        user_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Explanation, tokio_postgres::Error> {
        let sql = &self.shared.sql;
        let text = entity_id.to_string();
        let rows = match user_id {
            Some(user_id) => {
                let number = lane::of_entity(user_id, &text);
                let params: [Param<'_>; 3] = [&number, &text, &user_id];
                transaction.query(&sql.text(UNDELIVERED), &params).await?
            }
            None => {
                transaction
                    .query(&sql.text(UNDELIVERED_OF_ALL), &[&text])
                    .await?
            }
        };
        let undelivered = row::read_all(&rows)?;
        // One that is dead and was skipped waits for a decision, but nothing waits for it.
        let open = undelivered.iter().find(|event| event.is_open());
        let first = open.or(undelivered.first());
        let count = undelivered.len() as u64;
        let explanation = Explanation::new(entity_id.clone(), count, first.cloned(), now);
        let Some(open) = open else {
            return Ok(explanation);
        };
        let mut before: Vec<Predecessor> = Vec::new();
        while before.len() < Predecessor::MOST {
            let event = before.last().map_or(open, Predecessor::event);
            match self.next_before(transaction, event).await? {
                Some(next) => before.push(next),
                None => break,
            }
        }
        let explanation = explanation.behind_all(&before, now);
        let pauses = self.pauses_in(transaction).await?;
        Ok(pauses.explain(explanation, now))
    }

    /// The event that this one waits for: the front of its lane, its first elder, or the creation
    /// of a parent.
    async fn next_before(
        &self,
        transaction: &Transaction<'_>,
        event: &OutboxEvent,
    ) -> Result<Option<Predecessor>, tokio_postgres::Error> {
        let sql = &self.shared.sql;
        if event.status == OutboxStatus::Processing {
            return Ok(None);
        }
        let entity_id = event.entity_id.to_string();
        if event.order != Order::None {
            let number = lane::number(event.order, &event.user_id, &entity_id);
            let front = transaction.query_opt(&sql.text(FRONT), &[&number]).await?;
            let front = front.map(|row| row::read(&row, 0)).transpose()?;
            if let Some(front) = front.filter(|front| front.event.id != event.id) {
                return Ok(Some(Predecessor::new(front.event, false)));
            }
        }
        if !matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed) {
            return Ok(None);
        }
        let number = lane::of_entity(&event.user_id, &entity_id);
        let columns = crate::sql::columns("o");
        let elder = sql.text(&FIRST_ELDER.replace("{columns_o}", &columns));
        let elder = transaction.query_opt(&elder, &[&event.id, &number]).await?;
        if let Some(elder) = elder {
            let elder = row::read(&elder, 0)?.event;
            return Ok(Some(Predecessor::new(elder, false)));
        }
        let creation = sql.text(&FIRST_CREATION.replace("{columns_o}", &columns));
        let creation = transaction.query_opt(&creation, &[&event.id]).await?;
        let creation = creation.map(|row| row::read(&row, 0)).transpose()?;
        Ok(creation.map(|row| Predecessor::new(row.event, true)))
    }
}

/// A limit as the server takes it: NULL is none.
fn rows(limit: Option<usize>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
