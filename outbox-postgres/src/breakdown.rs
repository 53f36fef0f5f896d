//! Counts by type and user, over the oldest undelivered and dead events; and the oldest due time.

use chrono::{DateTime, Utc};
use futures_util::future::join;
use outbox_runtime::store::BreakdownCounter;
use outbox_runtime::{Breakdown, OutboxStatus, StoreError};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::ToSql;

use crate::codes::Code;
use crate::connect::RANGE_PLANS;
use crate::fault::fault;
use crate::page::{HIGHEST, NEXT};
use crate::store::{PostgresStore, prepared};

/// Limit on the ranges that are read, and the blocks of each.
const RANGES: usize = 16;
const BLOCKS: i64 = 8;

/// Counts the first `$4` events of a range.
const ROWS: &str =
    "SELECT x.event_type, x.user_id, x.status, count(*), min(x.created_at), max(x.seq) FROM (
    SELECT e.event_type, e.user_id, e.status, e.created_at, e.seq FROM {s}.events e
    WHERE e.seq > $1 AND e.seq <= $2 AND e.status <> 'c' AND ($3::text IS NULL OR e.user_id = $3)
    ORDER BY e.seq LIMIT $4) x GROUP BY 1, 2, 3";

/// The earliest due time of each priority, from the highest on, and of those that wait.
const OLDEST_DUE: &str = "WITH RECURSIVE p AS (
    (SELECT e.priority, e.due FROM {s}.events e WHERE e.slot = 'r' AND NOT {behind} AND NOT {elders} AND NOT {waits}
        ORDER BY e.priority DESC, e.due, e.seq LIMIT 1)
    UNION ALL
    SELECT n.priority, n.due FROM p CROSS JOIN LATERAL (
        SELECT e.priority, e.due FROM {s}.events e
        WHERE e.slot = 'r' AND e.priority < p.priority AND NOT {behind} AND NOT {elders} AND NOT {waits}
        ORDER BY e.priority DESC, e.due, e.seq LIMIT 1) n)
SELECT least((SELECT min(x.due) FROM (SELECT p.due FROM p LIMIT 1000) x),
    (SELECT e.due FROM {s}.events e WHERE e.slot = 'w' AND NOT {behind} AND NOT {elders} AND NOT {waits} ORDER BY e.due LIMIT 1))";

impl PostgresStore {
    pub(crate) async fn count_oldest(
        &self,
        user_id: Option<&str>,
        most: usize,
    ) -> Result<Breakdown, StoreError> {
        const OPERATION: &str = "breakdown";
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let [next, rows] = [NEXT, ROWS].map(|text| sql.text(text));
        let (next, rows) = join(
            prepared(&client, OPERATION, &next),
            prepared(&client, OPERATION, &rows),
        )
        .await;
        let (next, rows) = (next?, rows?);
        let begin = client.build_transaction().read_only(true);
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        let counted = async {
            transaction.batch_execute(RANGE_PLANS).await?;
            let highest = transaction.query_typed_one(&sql.text(HIGHEST), &[]).await?;
            let mut counter = BreakdownCounter::default();
            let Some(highest) = highest.try_get::<_, Option<i64>>(0)? else {
                return Ok(counter.finish(true));
            };
            let mut left = i64::try_from(most).unwrap_or(i64::MAX);
            let mut after = -1;
            let any_time: Option<DateTime<Utc>> = None;
            for _ in 0..RANGES {
                let first: i64 = (after + 1) >> 10;
                let params: [&(dyn ToSql + Sync); 7] =
                    [&first, &true, &true, &false, &true, &any_time, &any_time];
                let block: Option<i64> = transaction.query_one(&next, &params).await?.try_get(0)?;
                let block = block.unwrap_or(first);
                let start = after.max((block << 10) - 1);
                if start >= highest {
                    return Ok(counter.finish(true));
                }
                let end = block.saturating_add(BLOCKS).saturating_mul(1 << 10) - 1;
                let end = end.min(highest);
                // Once all that may be counted are, one tells that others follow.
                let limit = left.max(1);
                let params: [&(dyn ToSql + Sync); 4] = [&start, &end, &user_id, &limit];
                let found = transaction.query(&rows, &params).await?;
                if left == 0 && !found.is_empty() {
                    return Ok(counter.finish(false));
                }
                for row in &found {
                    let status = OutboxStatus::of(row.try_get(2)?).unwrap_or(OutboxStatus::Dead);
                    let count: i64 = row.try_get(3)?;
                    left -= count;
                    let count = u64::try_from(count).unwrap_or_default();
                    let (event_type, user) = (row.try_get(0)?, row.try_get(1)?);
                    counter.add(event_type, user, status, count, row.try_get(4)?);
                }
                after = match left {
                    0 => found.iter().try_fold(-1, |most: i64, row| {
                        Ok::<i64, tokio_postgres::Error>(most.max(row.try_get(5)?))
                    })?,
                    _ => end,
                };
            }
            Ok(counter.finish(after >= highest))
        };
        counted.await.map_err(storage)
    }

    pub(crate) async fn oldest_due_time(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        const OPERATION: &str = "oldest_due";
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let statement = prepared(&client, OPERATION, &self.shared.sql.text(OLDEST_DUE)).await?;
        let row = client.query_one(&statement, &[]).await.map_err(storage)?;
        row.try_get(0).map_err(storage)
    }
}
