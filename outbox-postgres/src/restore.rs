//! Restores an event in the state that another outbox had it in, as if it had been enqueued and
//! processed here.

use std::collections::HashMap;

use outbox_runtime::{DeadReason, EnqueueError, Enqueued, NewEvent, OutboxEvent, StoreError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::codes::Code;
use crate::fault::fault;
use crate::insert::{Values, insert_row, known};
use crate::store::PostgresStore;

const OPERATION: &str = "import";

/// Gives an event that this transaction has written its state. A dead event that holds others does
/// so wherever it stands in its lane; any other open event may be a candidate. The entities that
/// the other outbox had delivered and forgotten are unknown.
const RESTORE: &str = "WITH u AS (UPDATE {s}.events e SET status = $2, created_at = $3, due = $4,
        attempt_count = $5, last_attempt_at = $6, error_message = $7, completed_at = $8, dead_reason = $9,
        expires_at = $10, dedup_key = $11,
        slot = CASE WHEN NOT $12 THEN NULL WHEN $2 = 'd' THEN 'h'::\"char\"
            WHEN $6 IS NULL AND $4 <= $3 OR $4 <= $13 THEN 'r' ELSE 'w' END
    WHERE e.id = $1 RETURNING e.seq, e.status, e.completed_at),
y AS (INSERT INTO {s}.tally_delta SELECT {block}, -1, (status = 'f')::integer, (status = 'c')::integer,
    (status = 'd')::integer, completed_at FROM u WHERE status <> 'p'),
t AS (INSERT INTO {s}.told (user_end, entity_end) SELECT right($14, 4), '' ON CONFLICT DO NOTHING)
SELECT count(*) FROM u";

impl PostgresStore {
    /// Writes `event` in the state of `row`, from which it is derived, in a transaction of this
    /// outbox. Returns `false` if the event exists already, with the same content. Part of the
    /// command, not of the public interface.
    ///
    /// # Errors
    ///
    /// As for enqueueing.
    #[doc(hidden)]
    pub async fn restore(
        &self,
        transaction: &Transaction<'_>,
        event: &NewEvent,
        row: &OutboxEvent,
    ) -> Result<bool, EnqueueError> {
        event.validate()?;
        let storage = |error| EnqueueError::from(fault(OPERATION, error));
        let sql = &self.shared.sql;
        let values = Values::of(event);
        let now = self.now();
        let written = insert_row(transaction, sql, &values, Some(now)).await;
        if !written.map_err(storage)? {
            let mut answers = known(transaction, sql, &[event]).await.map_err(storage)?;
            let event_id = event.id();
            let answer: Result<Enqueued, _> = answers
                .remove(&event_id)
                .unwrap_or(Err(EnqueueError::Conflict { event_id }));
            return answer.map(|_| false);
        }
        let id = event.id();
        let status = row.status.code();
        let attempts = i32::try_from(row.attempt_count).unwrap_or(i32::MAX);
        let error_message = row.error_message.as_ref();
        let error_message = error_message.map(|text| text.replace('\0', " "));
        let dead_reason = row.dead_reason.map(DeadReason::as_str);
        let is_open = row.is_open();
        let user_id = event.user_id();
        let params: [(&(dyn ToSql + Sync), Type); 14] = [
            (&id, Type::UUID),
            (&status, Type::CHAR),
            (&row.created_at, Type::TIMESTAMPTZ),
            (&row.next_attempt_at, Type::TIMESTAMPTZ),
            (&attempts, Type::INT4),
            (&row.last_attempt_at, Type::TIMESTAMPTZ),
            (&error_message, Type::TEXT),
            (&row.completed_at, Type::TIMESTAMPTZ),
            (&dead_reason, Type::TEXT),
            (&row.expires_at, Type::TIMESTAMPTZ),
            (&row.dedup_key, Type::TEXT),
            (&is_open, Type::BOOL),
            (&now, Type::TIMESTAMPTZ),
            (&user_id, Type::TEXT),
        ];
        let restored = transaction.query_typed(&sql.text(RESTORE), &params).await;
        restored.map_err(storage)?;
        Ok(true)
    }

    /// The events among these whose ids the outbox has, and whether it has them with the same
    /// content. Part of the command, not of the public interface.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be asked.
    #[doc(hidden)]
    pub async fn known(
        &self,
        client: &impl GenericClient,
        events: &[&NewEvent],
    ) -> Result<HashMap<Uuid, bool>, StoreError> {
        let answers = known(client, &self.shared.sql, events).await;
        let answers = answers.map_err(|error| fault(OPERATION, error))?;
        let answers = answers.into_iter();
        Ok(answers.map(|(id, answer)| (id, answer.is_ok())).collect())
    }
}
