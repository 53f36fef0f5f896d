//! The floor: what someone who knows PostgreSQL would write for exactly these workloads.
//!
//! One connection, statements prepared once with generic plans, the outcomes of a claim and the
//! next claim pipelined in one transaction and one round trip, lanes not kept in order, outcomes
//! fenced by a token, attempts counted, and no retries, dead letters, users, duplicate ids, clean-up
//! or statistics. It has the row of the store's and three indices: ids, claimable events in order,
//! and leases.

use anyhow::Context as _;
use futures_util::future::try_join4;
use futures_util::{StreamExt as _, stream};
use outbox_postgres::tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::database::Database;
use crate::entity::{Claimed, Row};

const SCHEMA: &str = include_str!("schema.sql");

/// The store's own connections have these settings, too.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

pub(crate) const INSERT: &str = "INSERT INTO floor (id, lane, user_id, entity_id, priority, metadata) VALUES ($1, $2, $3, $4, 5, $5)";

const INSERT_MANY: &str = "INSERT INTO floor (id, lane, user_id, entity_id, priority, metadata)
    SELECT i, l, u, e, 5, m FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
        AS t(i, l, u, e, m)";

const CLAIM: &str = "WITH c AS MATERIALIZED (SELECT id FROM floor WHERE slot = 'r'
        ORDER BY priority DESC, due, seq LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE floor f SET slot = 'l', status = 'i', attempt_count = attempt_count + 1,
        last_attempt_at = now(), lease_token = $2, lease_expires_at = now() + interval '60 s'
    FROM c WHERE f.id = c.id RETURNING f.id, f.entity_id, f.user_id, f.metadata, f.attempt_count";

const SETTLE: &str = "UPDATE floor SET slot = NULL, status = 'c', completed_at = now(),
        error_message = NULL, lease_token = NULL, lease_expires_at = NULL
    WHERE id = ANY ($1) AND lease_token = $2 AND slot = 'l'";

/// Events per claim.
pub(crate) const CLAIM_SIZE: usize = 100;

/// How outcomes and the next claim reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steps {
    /// In one transaction and one round trip.
    Pipelined,
    /// As two statements that commit by themselves.
    TwoStatements,
}

/// A connection with the floor's statements.
pub(crate) struct Floor {
    client: Client,
    begin: Statement,
    commit: Statement,
    insert_many: Statement,
    claim: Statement,
    settle: Statement,
    token: Uuid,
}

/// Creates the floor's table.
///
/// A table that is there already stays as it is.
pub(crate) async fn install(client: &Client) -> anyhow::Result<()> {
    let exists = client
        .query_one("SELECT to_regclass('floor') IS NOT NULL", &[])
        .await?;
    if !exists.try_get::<_, bool>(0)? {
        client.batch_execute(SCHEMA).await?;
    }
    Ok(())
}

/// The number of events, delivered or not.
pub(crate) async fn count(client: &Client, is_completed: bool) -> anyhow::Result<usize> {
    let sql = "SELECT count(*) FROM floor WHERE (status = 'c') = $1";
    let count: i64 = client.query_one(sql, &[&is_completed]).await?.try_get(0)?;
    Ok(usize::try_from(count)?)
}

impl Floor {
    pub(crate) async fn open(database: &Database) -> anyhow::Result<Self> {
        Self::on(database.connect().await?).await
    }

    /// The floor on this connection.
    pub(crate) async fn on(client: Client) -> anyhow::Result<Self> {
        client.batch_execute(SETTINGS).await?;
        Ok(Self {
            begin: client.prepare("BEGIN").await?,
            commit: client.prepare("COMMIT").await?,
            insert_many: client.prepare(INSERT_MANY).await?,
            claim: client.prepare(CLAIM).await?,
            settle: client.prepare(SETTLE).await?,
            client,
            token: Uuid::new_v4(),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Writes events with one statement that commits by itself.
    pub(crate) async fn insert_many(&self, rows: &[Row]) -> anyhow::Result<()> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let lanes: Vec<i64> = rows.iter().map(|row| row.lane).collect();
        let users: Vec<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
        let entities: Vec<&str> = rows.iter().map(|row| row.entity_id.as_str()).collect();
        let metadata: Vec<&str> = rows.iter().map(|row| row.metadata.as_str()).collect();
        let written = self
            .client
            .execute(
                &self.insert_many,
                &[&ids, &lanes, &users, &entities, &metadata],
            )
            .await?;
        anyhow::ensure!(written == rows.len() as u64, "rows are missing");
        Ok(())
    }

    /// Records the outcomes of events and claims the next ones.
    pub(crate) async fn step(
        &self,
        done: &[Uuid],
        steps: Steps,
        limit: usize,
    ) -> anyhow::Result<Vec<Claimed>> {
        let limit = i64::try_from(limit)?;
        let (settled, rows) = match steps {
            Steps::Pipelined => {
                let (_, settled, rows, _) = try_join4(
                    self.client.execute(&self.begin, &[]),
                    self.client.execute(&self.settle, &[&done, &self.token]),
                    self.client.query(&self.claim, &[&limit, &self.token]),
                    self.client.execute(&self.commit, &[]),
                )
                .await?;
                (settled, rows)
            }
            Steps::TwoStatements => {
                let mut settled = 0;
                if !done.is_empty() {
                    settled = self
                        .client
                        .execute(&self.settle, &[&done, &self.token])
                        .await?;
                }
                let rows = self
                    .client
                    .query(&self.claim, &[&limit, &self.token])
                    .await?;
                (settled, rows)
            }
        };
        anyhow::ensure!(settled == done.len() as u64, "the floor lost outcomes");
        rows.iter()
            .map(|row| {
                Ok(Claimed {
                    id: row.try_get(0)?,
                    entity_id: row.try_get(1)?,
                    user_id: row.try_get(2)?,
                    metadata: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Delivers everything, with this many handlers at a time, until the last outcome is
    /// committed. Returns the number of deliveries.
    pub(crate) async fn drain(
        &self,
        steps: Steps,
        handlers: usize,
        handle: impl Fn(&Claimed) + Copy + Send,
    ) -> anyhow::Result<usize> {
        let mut handled = 0;
        let mut done: Vec<Uuid> = Vec::new();
        loop {
            let claims = self.step(&done, steps, CLAIM_SIZE).await?;
            if claims.is_empty() {
                return Ok(handled);
            }
            done = stream::iter(claims)
                .map(|claim| async move {
                    handle(&claim);
                    claim.id
                })
                .buffer_unordered(handlers)
                .collect()
                .await;
            handled += done.len();
        }
    }
}

/// What the floor's handlers do: read the payload.
pub(crate) fn read(claim: &Claimed) {
    let mood = claim.mood();
    assert!(
        mood.is_some_and(|mood| mood.is_whole()),
        "the payload is broken"
    );
}

/// Fills the floor's table.
pub(crate) async fn fill(
    database: &Database,
    rows: impl Iterator<Item = anyhow::Result<Row>>,
) -> anyhow::Result<()> {
    let floor = Floor::open(database).await?;
    let mut rows = rows;
    loop {
        let batch: anyhow::Result<Vec<Row>> = rows.by_ref().take(1_000).collect();
        let batch = batch.context("a row")?;
        if batch.is_empty() {
            return Ok(());
        }
        floor.insert_many(&batch).await?;
    }
}
