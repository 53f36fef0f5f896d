//! Parents: the creations that an event waits for, although they are not in its lane.
//!
//! Enqueueing does not look for them. A claim steps over a candidate whose parents hold it back,
//! and then lets it wait: it gets the slot `h`, in which it holds its lane back, and an entry in
//! the table `waits`, and the creation is marked. The worker that completes a marked creation
//! leaves a note, and the next claim takes that up: it makes the children candidates again, in a
//! statement that sees all entries, because they were written before the mark was. A child that is
//! made a candidate too early is stepped over again, which is always safe.

use std::sync::PoisonError;

use outbox_runtime::StoreError;
use tokio_postgres::Transaction;
use uuid::Uuid;

use crate::fault::{fault, is_collision};
use crate::store::{PostgresStore, prepared};

/// Makes candidates of the events among some entries after `$2` that wait for nothing: somebody
/// held them locked when their parent ended, or other SQL ended that. Returns the last entry that
/// was looked at, and how many events it has freed.
const SWEEP: &str = "WITH s AS MATERIALIZED (SELECT w.creation, w.child FROM {s}.waits w WHERE w.creation > $2
    ORDER BY w.creation, w.child LIMIT 200),
w AS MATERIALIZED (SELECT s.creation, s.child FROM s LEFT JOIN {s}.events e ON e.id = s.child
    LEFT JOIN {s}.events o ON o.id = s.creation
    WHERE o.id IS NULL OR e.id IS NULL OR NOT {holds}),
k AS MATERIALIZED (SELECT e.id FROM {s}.events e WHERE e.id IN (SELECT w.child FROM w) AND {waiting}
    FOR NO KEY UPDATE OF e SKIP LOCKED),
d AS (DELETE FROM {s}.waits x USING w WHERE x.creation = w.creation AND x.child = w.child
    AND (w.child IN (SELECT k.id FROM k)
        OR NOT EXISTS (SELECT 1 FROM {s}.events e WHERE e.id = w.child AND {waiting}))),
u AS (UPDATE {s}.events e SET slot = {unblocked} FROM k WHERE e.id = k.id RETURNING 1)
SELECT CASE WHEN count(*) = 200 THEN (array_agg(s.creation ORDER BY s.creation DESC))[1] END, (SELECT count(*) FROM u)
FROM s";

impl PostgresStore {
    /// Lets candidates wait for their parents, in a transaction of its own. Returns how many.
    pub(crate) async fn let_wait(&self, candidates: &[Uuid]) -> Result<u64, StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let wait = prepared(&client, OPERATION, &self.shared.sql.wait).await?;
        match client.execute(&wait, &[&candidates]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            waiting => Ok(waiting.unwrap_or_default()),
        }
    }

    /// Frees some of the events that wait for nothing any more. Returns their number.
    pub(crate) async fn sweep_waits(
        &self,
        transaction: &Transaction<'_>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<u64, tokio_postgres::Error> {
        let swept = &self.shared.swept.0;
        let after = *swept.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = self.shared.sql.unblocking(SWEEP, "$1");
        let row = transaction.query_one(&sql, &[&now, &after]).await?;
        let last: Option<Uuid> = row.try_get(0)?;
        *swept.lock().unwrap_or_else(PoisonError::into_inner) = last.unwrap_or_default();
        let freed: i64 = row.try_get(1)?;
        Ok(u64::try_from(freed).unwrap_or_default())
    }
}
