//! The tally: counts of events per block of 1,024 values of `seq`, so that statistics need not read
//! every row.
//!
//! Enqueueing writes nothing here. Whatever changes the class of an event appends the change to
//! `tally_delta`, in the same statement; shared counters would make workers wait for each other.
//! Statistics add up the counts of blocks, the changes to them, and the rows beyond. After a call
//! for statistics, and after a clean-up, complete blocks are counted for good and changes are added
//! to their blocks, in one snapshot each, so no change is missed and none counts twice.
//!
//! A block is complete when its last value of `seq` was given away and every transaction that wrote
//! to the table at that time has ended: any of them may still commit an event with an earlier one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, StoreError};
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::Type;
use tracing::debug;

use crate::connect::RANGE_PLANS;
use crate::fault::{commit_fault, fault, is_collision};
use crate::store::PostgresStore;

const OPERATION: &str = "statistics";

/// The changes beyond which they are added to their blocks.
pub(crate) const MOST_CHANGES: i64 = 1_000;

/// The first and the longest pause between two looks at the transactions that have to end, and how
/// long they are waited for. The next call for statistics tries again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

/// The second key of the advisory lock of who counts.
pub(crate) const LOCK: i32 = 102;

/// The highest committed `seq` beyond the counted blocks.
const HIGHEST: &str = "SELECT max(e.seq) FROM {s}.events e
WHERE e.seq >= coalesce((SELECT (max(t.block) + 1) << 10 FROM {s}.tally t), 0)";

/// The transactions that have written to the table, or may, as `pg_locks` names them.
const WRITERS: &str =
    "SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') FROM pg_locks l
WHERE l.relation = '{s}.events'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()";

/// Lets the index on `seq` know of new pages, which it would read each time otherwise. Only the
/// owner may.
const SUMMARIZE: &str =
    "SELECT CASE WHEN pg_has_role(c.relowner, 'USAGE') THEN brin_summarize_new_values(c.oid) END
FROM pg_class c WHERE c.oid = '{s}.events_seq'::regclass";

/// Counts the blocks before `$1` for good. The last one gets a row even if it is empty.
const COUNT: &str = "WITH done AS MATERIALIZED (SELECT coalesce(max(block), -1) AS last FROM {s}.tally),
n AS (INSERT INTO {s}.tally SELECT {block}, count(*) FILTER (WHERE status = 'p' OR status = 'i' AND attempt_count <= 1),
        count(*) FILTER (WHERE status = 'f' OR status = 'i' AND attempt_count > 1),
        count(*) FILTER (WHERE status = 'c'), count(*) FILTER (WHERE status = 'd'),
        min(created_at), max(created_at), max(completed_at)
    FROM {s}.events WHERE seq >= ((SELECT last FROM done) + 1) << 10 AND seq < $1 << 10 GROUP BY 1
    RETURNING block),
z AS (INSERT INTO {s}.tally (block, fresh, retrying, completed, dead)
    SELECT $1 - 1, 0, 0, 0, 0 FROM done WHERE last < $1 - 1 AND $1 - 1 NOT IN (SELECT block FROM n))
DELETE FROM {s}.tally_delta WHERE block > (SELECT last FROM done) AND block < $1";

/// Adds changes to the counted blocks, and drops blocks without events.
const ADD: &str = "WITH d AS (DELETE FROM {s}.tally_delta WHERE block <= (SELECT max(block) FROM {s}.tally) RETURNING *),
s AS MATERIALIZED (SELECT block, sum(fresh) AS fresh, sum(retrying) AS retrying, sum(completed) AS completed,
    sum(dead) AS dead, max(completed_to) AS completed_to FROM d GROUP BY block)
UPDATE {s}.tally t SET fresh = t.fresh + s.fresh, retrying = t.retrying + s.retrying,
    completed = t.completed + s.completed, dead = t.dead + s.dead,
    completed_to = greatest(t.completed_to, s.completed_to)
FROM s WHERE t.block = s.block";

const DROP_EMPTY: &str =
    "DELETE FROM {s}.tally WHERE fresh = 0 AND retrying = 0 AND completed = 0 AND dead = 0
    AND block < (SELECT max(block) FROM {s}.tally)
    AND NOT EXISTS (SELECT 1 FROM {s}.tally_delta d WHERE d.block = tally.block)";

/// Adds up the numbers of cleaned up events, if users have several rows.
const ADD_CLEANED_UP: &str = "WITH m AS MATERIALIZED (SELECT user_id FROM {s}.cleaned_up GROUP BY user_id HAVING count(*) > 8),
d AS (DELETE FROM {s}.cleaned_up c USING m WHERE c.user_id = m.user_id RETURNING c.user_id, c.completed)
INSERT INTO {s}.cleaned_up (user_id, completed) SELECT user_id, sum(completed) FROM d GROUP BY user_id";

/// The number of transactions with outcomes after which the tally is brought up to date, although
/// nobody asks for statistics: what they append must not pile up.
const MOST_OUTCOMES: u32 = 2_000;

/// The work on the tally of this store.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    is_counting: AtomicBool,
    outcomes: AtomicU32,
}

impl PostgresStore {
    /// Brings the tally up to date, in the background.
    pub(crate) fn tally_soon(&self) {
        if self.reads_only() {
            return;
        }
        if self.shared.tally.is_counting.swap(true, Ordering::SeqCst) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.tally().await {
                debug!(%error, "events could not be counted for good");
            }
            store
                .shared
                .tally
                .is_counting
                .store(false, Ordering::SeqCst);
        });
    }

    /// Waits for the counting of blocks that an earlier call, such as a clean-up, began in the
    /// background, for a program that ends afterward: at most this long, as it waits for the
    /// transactions of others.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use outbox_postgres::PostgresStore;
    /// use outbox_runtime::OutboxRepository;
    ///
    /// # async fn clean_up(store: &PostgresStore) -> Result<(), outbox_runtime::StoreError> {
    /// // A nightly program.
    /// let a_week_ago = outbox_runtime::store::OutboxQueue::clock(store).now() - Duration::from_secs(7 * 24 * 3600);
    /// store.delete_completed_events(a_week_ago).await?;
    /// store.finish_counting(Duration::from_secs(10)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn finish_counting(&self, most: Duration) {
        let began = SystemClock.uptime();
        while self.shared.tally.is_counting.load(Ordering::SeqCst)
            && SystemClock.uptime().saturating_sub(began) < most
        {
            SystemClock.sleep(FIRST_PAUSE).await;
        }
    }

    /// Notes a transaction with outcomes.
    pub(crate) fn tally_now_and_then(&self) {
        let before = self.shared.tally.outcomes.fetch_add(1, Ordering::Relaxed);
        if before % MOST_OUTCOMES == MOST_OUTCOMES - 1 {
            self.tally_soon();
        }
    }

    async fn tally(&self) -> Result<(), StoreError> {
        let Some(highest) = self.highest().await? else {
            return self.add_changes(None).await;
        };
        let complete = self.writers_have_ended().await?;
        self.add_changes(complete.then_some(highest >> 10)).await
    }

    async fn highest(&self) -> Result<Option<i64>, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let summarize = sql.text(SUMMARIZE);
        if let Err(error) = client.query_typed(&summarize, &[]).await {
            debug!(%error, "the index on seq is not summarized");
        }
        let transaction = client.transaction().await.map_err(storage)?;
        transaction
            .batch_execute(RANGE_PLANS)
            .await
            .map_err(storage)?;
        let highest = transaction.query_typed_one(&sql.text(HIGHEST), &[]).await;
        highest.and_then(|row| row.try_get(0)).map_err(storage)
    }

    /// Waits until the transactions that write to the table now have ended. Returns whether they
    /// have.
    async fn writers_have_ended(&self) -> Result<bool, StoreError> {
        let began = SystemClock.uptime();
        let mut left = self.writers().await?;
        let mut pause = FIRST_PAUSE;
        while !left.is_empty() {
            if SystemClock.uptime().saturating_sub(began) > PATIENCE {
                return Ok(false);
            }
            SystemClock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let now = self.writers().await?;
            left.retain(|one| now.contains(one));
        }
        Ok(true)
    }

    async fn writers(&self) -> Result<Vec<String>, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let sql = self.shared.sql.text(WRITERS);
        let row = client.query_typed_one(&sql, &[]).await.map_err(storage)?;
        row.try_get(0).map_err(storage)
    }

    /// Counts the blocks before `complete` for good, and adds changes to those that are counted.
    async fn add_changes(&self, complete: Option<i64>) -> Result<(), StoreError> {
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let begin = client.build_transaction();
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        transaction
            .batch_execute(RANGE_PLANS)
            .await
            .map_err(storage)?;
        let lock = format!(
            "SELECT pg_try_advisory_xact_lock({}, {LOCK})",
            sql.schema.lock_class()
        );
        let locked = transaction.query_typed_one(&lock, &[]).await;
        if !locked.and_then(|row| row.try_get(0)).map_err(storage)? {
            return Ok(());
        }
        let done = async {
            if let Some(complete) = complete {
                let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
                    [(&complete, Type::INT8)];
                transaction.query_typed(&sql.text(COUNT), &params).await?;
            }
            transaction.query_typed(&sql.text(ADD), &[]).await?;
            transaction.query_typed(&sql.text(DROP_EMPTY), &[]).await?;
            transaction
                .query_typed(&sql.text(ADD_CLEANED_UP), &[])
                .await?;
            Ok(())
        };
        match done.await {
            // Another process has counted since this snapshot.
            Err(error) if is_collision(&error) => return Ok(()),
            done => done.map_err(storage)?,
        }
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))
    }
}
