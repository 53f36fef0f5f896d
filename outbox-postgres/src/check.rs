//! Checks of the database: the schema, what holds up clean-up, and everything that is kept twice.

use chrono::{DateTime, TimeDelta, Utc};
use outbox_runtime::store::{CheckDepth, Finding, Remedy, Repaired, Severity, Subject};
use outbox_runtime::{Clock, StoreError};
use tokio_postgres::{Client, Error, IsolationLevel, Row};

use crate::fault::{commit_fault, fault};
use crate::followers::LEAD;
use crate::store::PostgresStore;
use crate::tally;

const OPERATION: &str = "check";

/// The differences between clocks that go unmentioned.
const TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// The seconds after which an open transaction is a trouble.
const LONG: i64 = 60;

/// The tables and functions of the schema, as far as they are not the store's own choice.
const RELATIONS: &str =
    "SELECT w.name FROM unnest($1::text[]) w(name) WHERE to_regclass('{s}.' || w.name) IS NULL";

const INVALID: &str = "SELECT i.indexrelid::regclass::text FROM pg_index i
WHERE i.indrelid = '{s}.events'::regclass AND NOT i.indisvalid";

/// Sessions with a snapshot or a transaction that has been open for some time.
const SESSIONS: &str = "SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(a.state, ''),
    extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, a.query_start
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.backend_type = 'client backend'
    AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start < clock_timestamp() - interval '5 seconds'
ORDER BY a.xact_start LIMIT 10";

const SLOTS: &str = "SELECT r.slot_name::text, age(coalesce(r.xmin, r.catalog_xmin))::bigint FROM pg_replication_slots r
WHERE NOT r.active AND coalesce(r.xmin, r.catalog_xmin) IS NOT NULL";

const PREPARED: &str =
    "SELECT p.gid, extract(epoch FROM clock_timestamp() - p.prepared)::bigint FROM pg_prepared_xacts p
WHERE p.database = current_database() AND p.prepared < clock_timestamp() - interval '1 minute'";

/// Live and dead rows, the size, the last vacuum, and whether autovacuum is on.
const ROWS: &str = "SELECT s.n_live_tup, s.n_dead_tup, pg_table_size(c.oid), greatest(s.last_vacuum, s.last_autovacuum),
    current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean
        AND NOT coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false),
    (SELECT sum(w.avg_width)::bigint + 28 FROM pg_stats w WHERE w.schemaname = '{s}' AND w.tablename = 'events')
FROM pg_class c JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = '{s}.events'::regclass";

const LEASES: &str = "SELECT (SELECT count(*) FROM {s}.events e WHERE e.slot = 'l' AND e.slot IN ('l', 'n') AND e.lease_expires_at < $1)
    + (SELECT count(*) FROM {s}.events e WHERE e.slot = 'f' AND e.lease_expires_at < $1)";

/// The lanes whose events are all blocked.
const STUCK: &str = "SELECT DISTINCT b.lane FROM {s}.events b WHERE b.slot = 'b'
    AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = b.lane AND o.slot IN ('r', 'w', 'h'))
    AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = b.lane AND o.slot IN ('l', 'n'))
    AND NOT EXISTS (SELECT 1 FROM {s}.events o WHERE o.lane = b.lane AND o.slot = 'f')";

/// How many lanes have followers without a first leased event: nobody rescues these lanes.
const LOST: &str =
    "SELECT count(DISTINCT f.lane) FROM {s}.events f WHERE f.slot = 'f' AND {is_lost}";

/// Unblocks the events of the lanes `$1`. Those that are due later stay out of the candidates.
const REPLACE: &str =
    "UPDATE {s}.events e SET slot = {unblocked} WHERE e.lane = ANY ($1) AND e.slot = 'b'";

/// The events that wait for a parent although none holds them back.
const FORGOTTEN: &str =
    "{waiting} AND NOT EXISTS (SELECT 1 FROM {s}.waits w JOIN {s}.events o ON o.id = w.creation
    WHERE w.child = e.id AND {holds})";

/// The counted blocks whose counts differ from their rows.
const MISCOUNTED: &str = "SELECT count(*) FROM (
    SELECT x.block, sum(x.fresh) AS fresh, sum(x.retrying) AS retrying, sum(x.completed) AS completed, sum(x.dead) AS dead
    FROM (SELECT t.block, t.fresh, t.retrying, t.completed, t.dead FROM {s}.tally t
        UNION ALL SELECT d.block, d.fresh, d.retrying, d.completed, d.dead FROM {s}.tally_delta d
            WHERE d.block <= (SELECT max(block) FROM {s}.tally)) x GROUP BY x.block) t
FULL JOIN (SELECT {block} AS block, count(*) FILTER (WHERE status = 'p' OR status = 'i' AND attempt_count <= 1) AS fresh,
        count(*) FILTER (WHERE status = 'f' OR status = 'i' AND attempt_count > 1) AS retrying,
        count(*) FILTER (WHERE status = 'c') AS completed, count(*) FILTER (WHERE status = 'd') AS dead
    FROM {s}.events WHERE seq < ((SELECT max(block) FROM {s}.tally) + 1) << 10 GROUP BY 1) r ON r.block = t.block
WHERE coalesce(t.fresh, 0) <> coalesce(r.fresh, 0) OR coalesce(t.retrying, 0) <> coalesce(r.retrying, 0)
    OR coalesce(t.completed, 0) <> coalesce(r.completed, 0) OR coalesce(t.dead, 0) <> coalesce(r.dead, 0)";

/// Plans that read everything once.
const PLANS: &str = "SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_hashjoin = on;
SET LOCAL enable_mergejoin = on; SET LOCAL plan_cache_mode = auto";

impl PostgresStore {
    /// Checks the database: schema, vacuum, the sessions that hold it up by name, leases and
    /// clocks. With [`Full`](CheckDepth::Full), also checks the order of all lanes, and the counts
    /// behind statistics, which reads all events once. Writes nothing.
    ///
    /// Sessions of other users are visible to members of `pg_read_all_stats` only.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of reading](outbox_runtime::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    /// use outbox_runtime::store::CheckDepth;
    ///
    /// # async fn check(store: &PostgresStore) -> Result<(), outbox_runtime::StoreError> {
    /// for finding in store.check(CheckDepth::Full).await? {
    ///     println!("{:?}: {}", finding.severity, finding.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self, depth: CheckDepth) -> Result<Vec<Finding>, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let client = self.connection(OPERATION).await?;
        let mut found = self.objects(&client).await.map_err(storage)?;
        found.extend(self.holders(&client).await.map_err(storage)?);
        found.extend(self.rows(&client).await.map_err(storage)?);
        found.extend(self.ended_leases(&client).await.map_err(storage)?);
        found.extend(clock(&client).await.map_err(storage)?);
        drop(client);
        if depth == CheckDepth::Full {
            found.extend(self.recount().await?);
        }
        Ok(found)
    }

    /// Unblocks the events of stuck lanes, each at its due time, and discards counts that differ
    /// from the rows, so that they are counted again. Changes nothing else. Returns the numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the [kinds of writing](outbox_runtime::StoreErrorKind#kinds-by-call).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use outbox_postgres::PostgresStore;
    ///
    /// # async fn mend(store: &PostgresStore) -> Result<(), outbox_runtime::StoreError> {
    /// println!("{:?}", store.repair().await?); // counts of what was mended
    /// # Ok(())
    /// # }
    /// ```
    pub async fn repair(&self) -> Result<Repaired, StoreError> {
        const OPERATION: &str = "repair";
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let begin = client.build_transaction().read_only(self.reads_only());
        let begin = begin.isolation_level(IsolationLevel::ReadCommitted);
        let transaction = begin.start().await.map_err(storage)?;
        transaction.batch_execute(PLANS).await.map_err(storage)?;
        // A block that is counted meanwhile would survive the deletion, and all before it would
        // pass for counted and empty.
        let lock = format!(
            "SELECT pg_advisory_xact_lock({}, {})",
            sql.schema.lock_class(),
            tally::LOCK
        );
        transaction.batch_execute(&lock).await.map_err(storage)?;
        let led = transaction.execute(&sql.text(LEAD), &[]).await;
        let led = led.map_err(storage)?;
        let stuck = transaction.query(&sql.text(STUCK), &[]).await;
        let lanes: Result<Vec<i64>, Error> =
            stuck.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        let lanes = lanes.map_err(storage)?;
        let now = self.now();
        let replace = sql.unblocking(REPLACE, "$2");
        let replaced = transaction.execute(&replace, &[&lanes, &now]).await;
        replaced.map_err(storage)?;
        let free = format!("UPDATE {{s}}.events e SET slot = {{unblocked}} WHERE {FORGOTTEN}");
        let free = sql.unblocking(&free, "$1");
        let freed = transaction.execute(&free, &[&now]).await.map_err(storage)?;
        let wrong = transaction.query_one(&sql.text(MISCOUNTED), &[]).await;
        let wrong: i64 = wrong.and_then(|row| row.try_get(0)).map_err(storage)?;
        if wrong > 0 {
            // Changes to blocks that are not counted are discarded when those are.
            let forget = sql.text("DELETE FROM {s}.tally");
            transaction.batch_execute(&forget).await.map_err(storage)?;
        }
        let committed = transaction.commit().await;
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.events_changed_for_all(&client).await;
        let lanes = lanes.len() as u64 + freed + led;
        Ok(Repaired::new(lanes, wrong.unsigned_abs()))
    }

    async fn objects(&self, client: &Client) -> Result<Vec<Finding>, Error> {
        let sql = &self.shared.sql;
        let names = relations();
        let missing = client.query(&sql.text(RELATIONS), &[&names]).await?;
        let mut found = Vec::new();
        for row in missing {
            let name: String = row.try_get(0)?;
            let message = format!("{}.{name} is missing", self.schema());
            let finding = Finding::new(Subject::Schema, Severity::Fault, message);
            found.push(finding.with_remedy(Remedy::Advice(
                "take its statement from `outbox migrate sql`".to_owned(),
            )));
        }
        for row in client.query(&sql.text(INVALID), &[]).await? {
            let name: String = row.try_get(0)?;
            let message = format!("the index {name} is invalid: it was not created completely");
            let finding = Finding::new(Subject::Schema, Severity::Warning, message);
            found.push(
                finding.with_remedy(Remedy::Sql(format!("REINDEX INDEX CONCURRENTLY {name};"))),
            );
        }
        Ok(found)
    }

    /// What keeps vacuum from removing dead rows.
    async fn holders(&self, client: &Client) -> Result<Vec<Finding>, Error> {
        let mut found = Vec::new();
        let sessions = client.query(SESSIONS, &[]).await?;
        for row in &sessions {
            found.push(session(row)?);
        }
        for row in client.query(SLOTS, &[]).await? {
            let (name, age): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let message = format!(
                "the inactive replication slot {name} holds a snapshot that is {age} transactions old: vacuum removes nothing newer"
            );
            let finding = Finding::new(Subject::Transactions, Severity::Warning, message);
            let drop = format!(
                "SELECT pg_drop_replication_slot('{}');",
                name.replace('\'', "''")
            );
            found.push(finding.with_remedy(Remedy::Sql(drop)));
        }
        for row in client.query(PREPARED, &[]).await? {
            let (name, age): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let message = format!("the prepared transaction {name:?} has been open for {age} s");
            let finding = Finding::new(Subject::Transactions, Severity::Warning, message);
            let end = format!("ROLLBACK PREPARED '{}';", name.replace('\'', "''"));
            found.push(finding.with_remedy(Remedy::Sql(end)));
        }
        Ok(found)
    }

    async fn rows(&self, client: &Client) -> Result<Vec<Finding>, Error> {
        let schema = self.schema();
        let row = client.query_one(&self.shared.sql.text(ROWS), &[]).await?;
        let (live, dead, bytes): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let vacuumed: Option<DateTime<Utc>> = row.try_get(3)?;
        let (is_on, width): (bool, Option<i64>) = (row.try_get(4)?, row.try_get(5)?);
        let mut found = Vec::new();
        if !is_on {
            let message =
                format!("autovacuum is off for {schema}.events: claims become slower and slower");
            let finding = Finding::new(Subject::Vacuum, Severity::Fault, message);
            let on = format!(
                "ALTER TABLE {schema}.events RESET (autovacuum_enabled); -- and `autovacuum = on` in the server's settings"
            );
            found.push(finding.with_remedy(Remedy::Sql(on)));
        }
        if dead > 10_000 && dead > live / 5 {
            let last = vacuumed.map_or_else(|| "never".to_owned(), |at| at.to_string());
            let message = format!(
                "{schema}.events has {dead} dead rows beside {live} live ones; the last vacuum ended: {last}"
            );
            let finding = Finding::new(Subject::Vacuum, Severity::Warning, message);
            found.push(
                finding.with_remedy(Remedy::Sql(format!("VACUUM (ANALYZE) {schema}.events;"))),
            );
        }
        let expected = width.map(|width| width.saturating_mul(live.saturating_add(dead)));
        if bytes > 256 << 20 && expected.is_some_and(|expected| bytes / 4 > expected) {
            let message = format!(
                "{schema}.events takes {} MiB for {live} rows: most of it is free space",
                bytes >> 20
            );
            let finding = Finding::new(Subject::Vacuum, Severity::Notice, message);
            let full =
                format!("VACUUM FULL {schema}.events; -- locks the table; pg_repack does not");
            found.push(finding.with_remedy(Remedy::Sql(full)));
        }
        Ok(found)
    }

    async fn ended_leases(&self, client: &Client) -> Result<Option<Finding>, Error> {
        let late = self.now() - TimeDelta::seconds(60);
        let row = client
            .query_one(&self.shared.sql.text(LEASES), &[&late])
            .await?;
        let ended: i64 = row.try_get(0)?;
        Ok((ended > 0).then(|| {
            let message = format!(
                "{ended} leases ended more than a minute ago: no worker is running that could rescue their events"
            );
            let finding = Finding::new(Subject::Leases, Severity::Warning, message);
            finding.with_remedy(Remedy::Rescue)
        }))
    }

    async fn recount(&self) -> Result<Vec<Finding>, StoreError> {
        let storage = |error| fault(OPERATION, error);
        let sql = &self.shared.sql;
        let mut client = self.connection(OPERATION).await?;
        let begin = client.build_transaction().read_only(true);
        let begin = begin.isolation_level(IsolationLevel::RepeatableRead);
        let transaction = begin.start().await.map_err(storage)?;
        transaction.batch_execute(PLANS).await.map_err(storage)?;
        let stuck = transaction.query(&sql.text(STUCK), &[]).await;
        let stuck = stuck.map_err(storage)?.len() as i64;
        let forgotten = format!("SELECT count(*) FROM {{s}}.events e WHERE {FORGOTTEN}");
        let forgotten = transaction.query_one(&sql.text(&forgotten), &[]).await;
        let forgotten: i64 = forgotten.and_then(|row| row.try_get(0)).map_err(storage)?;
        let lost = transaction.query_one(&sql.text(LOST), &[]).await;
        let lost: i64 = lost.and_then(|row| row.try_get(0)).map_err(storage)?;
        let stuck = stuck + forgotten + lost;
        let wrong = transaction.query_one(&sql.text(MISCOUNTED), &[]).await;
        let wrong: i64 = wrong.and_then(|row| row.try_get(0)).map_err(storage)?;
        let mut found = Vec::new();
        if stuck > 0 {
            let message = format!("{stuck} lanes are stuck: all of their events are blocked");
            let finding = Finding::new(Subject::Lanes, Severity::Fault, message);
            found.push(finding.with_remedy(Remedy::Repair));
        }
        if wrong > 0 {
            let message = format!("the counts of {wrong} blocks differ from their rows");
            let finding = Finding::new(Subject::Statistics, Severity::Warning, message);
            found.push(finding.with_remedy(Remedy::Repair));
        }
        Ok(found)
    }
}

/// The tables and indices that the schema creates.
fn relations() -> Vec<&'static str> {
    let script = include_str!("schema.sql");
    let created = script.lines().filter_map(|line| {
        let rest = line.strip_prefix("CREATE ")?;
        let rest = rest.strip_prefix("UNIQUE ").unwrap_or(rest);
        let name = match rest.strip_prefix("TABLE {s}.") {
            Some(name) => name,
            None => rest.strip_prefix("INDEX ")?,
        };
        name.split([' ', '(']).next()
    });
    created.collect()
}

fn session(row: &Row) -> Result<Finding, Error> {
    let pid: i32 = row.try_get(0)?;
    let (application, user): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    let (state, age): (String, i64) = (row.try_get(3)?, row.try_get(4)?);
    let query_start: Option<DateTime<Utc>> = row.try_get(5)?;
    let since =
        query_start.map_or_else(String::new, |at| format!("; its last query began at {at}"));
    let message = format!(
        "session {pid} ({application:?}, user {user:?}, {state}) has had a transaction open for {age} s, which keeps \
         vacuum from removing dead rows{since}"
    );
    let severity = match age >= LONG {
        true => Severity::Warning,
        false => Severity::Notice,
    };
    let finding = Finding::new(Subject::Transactions, severity, message);
    let end = format!("SELECT pg_terminate_backend({pid});");
    Ok(finding.with_remedy(Remedy::Sql(end)))
}

/// The times in rows are the server's, so a difference misleads people only.
async fn clock(client: &Client) -> Result<Option<Finding>, Error> {
    let row = client.query_one("SELECT clock_timestamp()", &[]).await?;
    let server: DateTime<Utc> = row.try_get(0)?;
    let difference = server - outbox_runtime::store::SystemClock.now();
    Ok((difference.abs() > TOLERANCE).then(|| {
        let message = format!(
            "the clocks of the server and of this machine differ by {} s; due times and leases go by the server's",
            difference.num_seconds()
        );
        Finding::new(Subject::Clock, Severity::Notice, message)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relations_are_those_of_the_schema() {
        let names = relations();
        assert!(
            names.contains(&"events") && names.contains(&"events_taken"),
            "{names:?}"
        );
        assert!(
            names.contains(&"cleaned_up_user") && names.len() > 15,
            "{names:?}"
        );
    }
}
