//! Statistics.

use outbox_runtime::store::kit::before;
use outbox_runtime::{OutboxEvent, OutboxStatistics, StoreError};

use crate::fault::fault;
use crate::store::PostgresStore;

/// Counts in one statement, which sees one moment.
const COUNT: &str = "SELECT count(*),
    count(*) FILTER (WHERE e.status = 'p'), count(*) FILTER (WHERE e.status = 'i'),
    count(*) FILTER (WHERE e.status = 'c'), count(*) FILTER (WHERE e.status = 'f'),
    count(*) FILTER (WHERE e.status = 'd'),
    (SELECT coalesce(sum(c.completed), 0)::bigint FROM {s}.cleaned_up c WHERE $2::text IS NULL OR c.user_id = $2),
    count(*) FILTER (WHERE e.status = 'p' AND e.created_at < $1),
    count(*) FILTER (WHERE e.status NOT IN ('c', 'd') AND e.deferrals > 0),
    count(*) FILTER (WHERE e.status NOT IN ('c', 'd') AND e.snoozes > 9),
    min(e.created_at) FILTER (WHERE e.status = 'p'),
    max(e.completed_at) FILTER (WHERE e.status = 'c')
FROM {s}.events e WHERE $2::text IS NULL OR e.user_id = $2";

impl PostgresStore {
    pub(crate) async fn count(
        &self,
        user_id: Option<&str>,
    ) -> Result<OutboxStatistics, StoreError> {
        const OPERATION: &str = "statistics";
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let stale_before = before(self.now(), OutboxEvent::STALE_AFTER);
        let sql = self.shared.sql.text(COUNT);
        let row = client.query_one(&sql, &[&stale_before, &user_id]).await;
        let row = row.map_err(storage)?;
        let count = |column: usize| -> Result<u64, StoreError> {
            let count: i64 = row.try_get(column).map_err(storage)?;
            Ok(u64::try_from(count).unwrap_or_default())
        };
        let mut statistics = OutboxStatistics::default();
        statistics.total_events = count(0)?;
        statistics.pending_count = count(1)?;
        statistics.processing_count = count(2)?;
        statistics.completed_count = count(3)?;
        statistics.failed_count = count(4)?;
        statistics.dead_count = count(5)?;
        statistics.completed_total = statistics.completed_count + count(6)?;
        statistics.stale_count = count(7)?;
        statistics.deferred = count(8)?;
        statistics.snoozed_often = count(9)?;
        statistics.oldest_pending_date = row.try_get(10).map_err(storage)?;
        statistics.newest_completed_date = row.try_get(11).map_err(storage)?;
        Ok(statistics)
    }
}
