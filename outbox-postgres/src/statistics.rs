//! Statistics: of all events from the tally, and of one user's by a look at all rows.

use chrono::{DateTime, Utc};
use futures_util::future::{join, join3, join4};
use outbox_runtime::store::kit::before;
use outbox_runtime::{OutboxEvent, OutboxStatistics, StoreError};
use tokio_postgres::{IsolationLevel, Row, Transaction};

use crate::connect::RANGE_PLANS;
use crate::fault::fault;
use crate::store::{PostgresStore, prepared};
use crate::tally;

const OPERATION: &str = "statistics";

/// Counts the events of a user in one statement, which sees one moment.
const OF_USER: &str = "SELECT count(*),
    count(*) FILTER (WHERE e.status = 'p'), count(*) FILTER (WHERE e.status = 'i'),
    count(*) FILTER (WHERE e.status = 'c'), count(*) FILTER (WHERE e.status = 'f'),
    count(*) FILTER (WHERE e.status = 'd'),
    (SELECT coalesce(sum(c.completed), 0)::bigint FROM {s}.cleaned_up c WHERE c.user_id = $2),
    count(*) FILTER (WHERE e.status = 'p' AND e.created_at < $1),
    count(*) FILTER (WHERE e.status NOT IN ('c', 'd') AND e.deferrals > 0),
    count(*) FILTER (WHERE e.status NOT IN ('c', 'd') AND e.snoozes > 9),
    min(e.created_at) FILTER (WHERE e.status = 'p'),
    max(e.completed_at) FILTER (WHERE e.status = 'c')
FROM {s}.events e WHERE e.user_id = $2";

/// Adds up the counted blocks, the changes since they were counted, and the events with handlers,
/// which count as waiting ones there. `$1`: events created before are stale. The arrays have the
/// blocks that only a look at their rows can tell more about.
const BLOCKS: &str = "WITH l AS MATERIALIZED (SELECT e.seq, e.attempt_count FROM {s}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n')
    UNION ALL SELECT e.seq, e.attempt_count FROM {s}.events e WHERE e.slot = 'f'),
b AS MATERIALIZED (SELECT x.block, sum(x.fresh) AS fresh, sum(x.retrying) AS retrying, sum(x.completed) AS completed,
        sum(x.dead) AS dead, min(x.oldest) AS oldest, max(x.newest) AS newest, max(x.completed_to) AS completed_to
    FROM (SELECT t.*, true AS is_counted FROM {s}.tally t
        UNION ALL SELECT d.block, d.fresh, d.retrying, d.completed, d.dead, NULL, NULL, d.completed_to, false
            FROM {s}.tally_delta d
        UNION ALL SELECT {block}, CASE WHEN l.attempt_count <= 1 THEN -1 ELSE 0 END,
            CASE WHEN l.attempt_count <= 1 THEN 0 ELSE -1 END, 0, 0, NULL, NULL, NULL, false FROM l) x
    GROUP BY x.block HAVING bool_or(x.is_counted))
SELECT coalesce(sum(b.fresh), 0)::bigint, (SELECT count(*) FROM l), coalesce(sum(b.completed), 0)::bigint,
    coalesce(sum(b.retrying), 0)::bigint, coalesce(sum(b.dead), 0)::bigint,
    coalesce(sum(b.fresh) FILTER (WHERE b.newest < $1), 0)::bigint, max(b.block),
    array_agg(b.block) FILTER (WHERE b.fresh > 0 AND b.oldest < $1 AND b.newest >= $1),
    ARRAY(SELECT o.block FROM b o WHERE o.fresh > 0 ORDER BY o.oldest, o.block LIMIT 32),
    ARRAY(SELECT o.oldest FROM b o WHERE o.fresh > 0 ORDER BY o.oldest, o.block LIMIT 32),
    ARRAY(SELECT o.block FROM b o WHERE o.completed > 0 ORDER BY o.completed_to DESC, o.block LIMIT 32),
    ARRAY(SELECT o.completed_to FROM b o WHERE o.completed > 0 ORDER BY o.completed_to DESC, o.block LIMIT 32),
    (SELECT count(*) FROM {s}.tally_delta),
    (SELECT coalesce(sum(c.completed), 0)::bigint FROM {s}.cleaned_up c)
FROM b";

/// Counts the rows of a range of `seq`.
const ROWS: &str =
    "SELECT count(*) FILTER (WHERE e.status = 'p'), count(*) FILTER (WHERE e.status = 'c'),
    count(*) FILTER (WHERE e.status = 'f'), count(*) FILTER (WHERE e.status = 'd'),
    count(*) FILTER (WHERE e.status = 'p' AND e.created_at < $1),
    min(e.created_at) FILTER (WHERE e.status = 'p'),
    max(e.completed_at) FILTER (WHERE e.status = 'c'), max(e.seq)
FROM {s}.events e WHERE e.seq >= ";

/// Events that were put off.
const NOTED: &str =
    "SELECT count(*) FILTER (WHERE e.deferrals > 0), count(*) FILTER (WHERE e.snoozes > 9)
FROM {s}.events e WHERE (e.deferrals > 0 OR e.snoozes > 9) AND e.status IN ('p', 'i', 'f')";

/// The rows of a range.
#[derive(Debug, Default)]
struct Rows {
    pending: i64,
    completed: i64,
    failed: i64,
    dead: i64,
    stale: i64,
    oldest_pending: Option<DateTime<Utc>>,
    newest_completed: Option<DateTime<Utc>>,
    highest: Option<i64>,
}

impl Rows {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            pending: row.try_get(0)?,
            completed: row.try_get(1)?,
            failed: row.try_get(2)?,
            dead: row.try_get(3)?,
            stale: row.try_get(4)?,
            oldest_pending: row.try_get(5)?,
            newest_completed: row.try_get(6)?,
            highest: row.try_get(7)?,
        })
    }
}

impl PostgresStore {
    pub(crate) async fn count(
        &self,
        user_id: Option<&str>,
    ) -> Result<OutboxStatistics, StoreError> {
        match user_id {
            Some(user_id) => self.count_of_user(user_id).await,
            None => self.count_all().await,
        }
    }

    async fn count_of_user(&self, user_id: &str) -> Result<OutboxStatistics, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let stale_before = before(self.now(), OutboxEvent::STALE_AFTER);
        let sql = self.shared.sql.text(OF_USER);
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

    /// Counts in one snapshot: the blocks of the tally, and the rows beyond them.
    async fn count_all(&self) -> Result<OutboxStatistics, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let mut client = self.connection(OPERATION).await?;
        let sql = &self.shared.sql;
        let beyond = "coalesce((SELECT (max(t.block) + 1) << 10 FROM {s}.tally t), 0)";
        let of_block = "$2 AND e.seq < $2 + 1024";
        let [blocks, beyond, noted, of_block] = [
            sql.text(BLOCKS),
            sql.text(&format!("{ROWS}{beyond}")),
            sql.text(NOTED),
            sql.text(&format!("{ROWS}{of_block}")),
        ];
        let (blocks, beyond, noted, of_block) = join4(
            prepared(&client, OPERATION, &blocks),
            prepared(&client, OPERATION, &beyond),
            prepared(&client, OPERATION, &noted),
            prepared(&client, OPERATION, &of_block),
        )
        .await;
        let (blocks, beyond, noted, of_block) = (blocks?, beyond?, noted?, of_block?);
        let stale_before = before(self.now(), OutboxEvent::STALE_AFTER);
        let stale: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&stale_before];
        // Dropped half way, it is rolled back before anybody else has the connection.
        let begin = client.build_transaction().read_only(true);
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        let all = join3(
            transaction.query_one(&blocks, &stale),
            transaction.query_one(&beyond, &stale),
            transaction.query_one(&noted, &[]),
        );
        let plans = transaction.batch_execute(RANGE_PLANS);
        let (planned, (blocks, beyond, noted)) = join(plans, all).await;
        let found = async {
            planned?;
            let found = Counted {
                transaction: &transaction,
                of_block,
                stale_before,
            };
            found
                .statistics(&blocks?, &Rows::read(&beyond?)?, &noted?)
                .await
        };
        let (statistics, is_behind) = found.await.map_err(storage)?;
        transaction.commit().await.map_err(storage)?;
        if is_behind {
            self.tally_soon();
        }
        Ok(statistics)
    }
}

/// A transaction that counts.
struct Counted<'c> {
    transaction: &'c Transaction<'c>,
    of_block: tokio_postgres::Statement,
    stale_before: DateTime<Utc>,
}

impl Counted<'_> {
    async fn in_block(&self, block: i64) -> Result<Rows, tokio_postgres::Error> {
        let first = block << 10;
        let row = self
            .transaction
            .query_one(&self.of_block, &[&self.stale_before, &first])
            .await?;
        Rows::read(&row)
    }

    /// The statistics, and whether the tally should be brought up to date.
    async fn statistics(
        &self,
        blocks: &Row,
        beyond: &Rows,
        noted: &Row,
    ) -> Result<(OutboxStatistics, bool), tokio_postgres::Error> {
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        let of_blocks = |column: usize| blocks.try_get::<_, i64>(column);
        let mut statistics = OutboxStatistics::default();
        statistics.pending_count = number(of_blocks(0)? + beyond.pending);
        statistics.processing_count = number(of_blocks(1)?);
        statistics.completed_count = number(of_blocks(2)? + beyond.completed);
        statistics.failed_count = number(of_blocks(3)? + beyond.failed);
        statistics.dead_count = number(of_blocks(4)? + beyond.dead);
        statistics.total_events =
            statistics.undelivered() + statistics.dead_count + statistics.completed_count;
        statistics.completed_total = statistics.completed_count + number(of_blocks(13)?);
        let mut stale = of_blocks(5)? + beyond.stale;
        let mixed: Option<Vec<i64>> = blocks.try_get(7)?;
        for block in mixed.unwrap_or_default() {
            stale += self.in_block(block).await?.stale;
        }
        statistics.stale_count = number(stale);
        statistics.deferred = number(noted.try_get(0)?);
        statistics.snoozed_often = number(noted.try_get(1)?);
        // A block is read only while it may have an older, or a newer, event.
        let mut oldest = beyond.oldest_pending;
        let (candidates, bounds): (Vec<i64>, Vec<Option<DateTime<Utc>>>) =
            (blocks.try_get(8)?, blocks.try_get(9)?);
        for (block, bound) in candidates.into_iter().zip(bounds) {
            if oldest.is_some_and(|oldest| bound.is_some_and(|bound| oldest <= bound)) {
                break;
            }
            let in_block = self.in_block(block).await?.oldest_pending;
            oldest = oldest.into_iter().chain(in_block).min();
        }
        statistics.oldest_pending_date = oldest;
        let mut newest = beyond.newest_completed;
        let (candidates, bounds): (Vec<i64>, Vec<Option<DateTime<Utc>>>) =
            (blocks.try_get(10)?, blocks.try_get(11)?);
        for (block, bound) in candidates.into_iter().zip(bounds) {
            if newest >= bound {
                break;
            }
            newest = newest.max(self.in_block(block).await?.newest_completed);
        }
        statistics.newest_completed_date = newest;
        let last: Option<i64> = blocks.try_get(6)?;
        let uncounted = beyond
            .highest
            .map_or(0, |highest| (highest >> 10) - last.unwrap_or(-1) - 1);
        let is_behind = uncounted >= 1 || of_blocks(12)? > tally::MOST_CHANGES;
        Ok((statistics, is_behind))
    }
}
