//! riverqueue on PostgreSQL as a contestant, wide: 1,000 workers whatever is asked for, because a
//! fetch takes no more jobs than workers are free, and a fetch each millisecond, the least that it
//! allows.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use outbox_contest::{Mood, Queue};
use riverqueue::migrate::PostgresMigrator;
use riverqueue::sqlx::PgPool;
use riverqueue::sqlx::postgres::PgPoolOptions;
use riverqueue::{Client, Job, JobArgs, QueueConfig, RunHandle, WorkContext, WorkOutcome, Workers};
use serde::{Deserialize, Serialize};

/// Minimum delay between fetches: the least that is allowed.
const FETCH_COOLDOWN: Duration = Duration::from_millis(1);

const WORKERS: usize = 1_000;

/// Enough for 64 producers.
const CONNECTIONS: u32 = 70;

#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "mood")]
struct MoodJob {
    mood: Mood,
}

/// What a job calls, once handlers are started.
type Handle = Arc<OnceLock<Box<dyn Fn(Mood) + Send + Sync>>>;

struct River {
    client: Client,
    pool: PgPool,
    handle: Handle,
}

impl Queue for River {
    type Event = MoodJob;
    type Handlers = RunHandle;

    fn event(mood: Mood) -> MoodJob {
        MoodJob { mood }
    }

    async fn open(address: &Path, _handlers: usize) -> anyhow::Result<Self> {
        let address = address.to_str().context("an address is text")?;
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = options.connect(address).await?;
        PostgresMigrator::new(pool.clone()).migrate_up().await?;
        let handle: Handle = Arc::default();
        let called = Arc::clone(&handle);
        let mut workers = Workers::new();
        workers.add_fn(move |_context: WorkContext, job: Job<MoodJob>| {
            let called = Arc::clone(&called);
            async move {
                let handle = called
                    .get()
                    .ok_or_else(|| std::io::Error::other("the handlers are not started"))?;
                handle(job.args.mood);
                Ok::<_, std::io::Error>(WorkOutcome::Complete)
            }
        })?;
        let client = Client::builder(pool.clone())
            .workers(workers)
            .fetch_cooldown(FETCH_COOLDOWN)
            .queue("default", QueueConfig::new(WORKERS))
            .build()?;
        Ok(Self {
            client,
            pool,
            handle,
        })
    }

    async fn enqueue(&self, event: MoodJob) -> anyhow::Result<()> {
        self.client.insert(event).await?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<MoodJob>) -> anyhow::Result<()> {
        self.client.insert_many(events).await?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<RunHandle> {
        anyhow::ensure!(
            self.handle.set(Box::new(handle)).is_ok(),
            "handlers are running"
        );
        Ok(self.client.start()?)
    }

    async fn stop(&self, mut handlers: RunHandle) -> anyhow::Result<()> {
        handlers.stop().await?;
        Ok(())
    }

    async fn left(&self) -> anyhow::Result<usize> {
        let sql = "SELECT count(*) FROM river_job WHERE state <> 'completed'";
        let left: i64 = riverqueue::sqlx::query_scalar(sql)
            .fetch_one(&self.pool)
            .await?;
        Ok(usize::try_from(left)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    outbox_contest::main::<River>()
}
