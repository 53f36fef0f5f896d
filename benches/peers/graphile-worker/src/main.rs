//! graphile_worker on PostgreSQL as a contestant, tuned as in its own benchmark: jobs are fetched
//! 500 at a time into a local queue, completions are written in batches, and 96 run at once,
//! whatever is asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RefetchDelayConfig, TaskHandler,
    WorkerContext, WorkerOptions, WorkerUtils,
};
use outbox_contest::{Mood, Queue};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinHandle;

const SCHEMA: &str = "graphile_worker";
const CONCURRENCY: usize = 96;
const LOCAL_QUEUE: usize = 500;
const REFETCH_DELAY: Duration = Duration::from_millis(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const COMPLETION_DELAY: Duration = Duration::from_millis(5);

/// As in its own benchmark.
const CONNECTIONS: u32 = 100;

#[derive(Clone, Serialize, Deserialize)]
struct MoodJob {
    mood: Mood,
}

/// What a job calls.
#[derive(Clone)]
struct Handle(Arc<dyn Fn(Mood) + Send + Sync>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

impl TaskHandler for MoodJob {
    const IDENTIFIER: &'static str = "mood";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        let handle = context.get_ext::<Handle>();
        let handle = handle.ok_or_else(|| "there is no handler".to_owned())?;
        (handle.0)(self.mood);
        Ok::<(), String>(())
    }
}

struct Graphile {
    pool: PgPool,
    utils: WorkerUtils,
}

/// A running worker, and what ends it.
struct Working {
    ends: Arc<dyn Fn() + Send + Sync>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Queue for Graphile {
    type Event = MoodJob;
    type Handlers = Working;

    fn event(mood: Mood) -> MoodJob {
        MoodJob { mood }
    }

    async fn open(address: &Path, _handlers: usize) -> anyhow::Result<Self> {
        let address = address.to_str().context("an address is text")?;
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = options.connect(address).await?;
        let utils = WorkerUtils::new(pool.clone(), SCHEMA);
        utils.migrate().await?;
        Ok(Self { pool, utils })
    }

    async fn enqueue(&self, event: MoodJob) -> anyhow::Result<()> {
        self.utils.add_job(event, JobSpec::default()).await?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<MoodJob>) -> anyhow::Result<()> {
        let spec = JobSpec::default();
        let jobs: Vec<(MoodJob, &JobSpec)> = events.into_iter().map(|job| (job, &spec)).collect();
        self.utils.add_jobs::<MoodJob>(&jobs).await?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Working> {
        let refetch = RefetchDelayConfig::builder()
            .duration(REFETCH_DELAY)
            .build();
        let worker = WorkerOptions::default()
            .database(self.pool.clone())
            .schema(SCHEMA)
            .concurrency(CONCURRENCY)
            .poll_interval(POLL_INTERVAL)
            .local_queue(
                LocalQueueConfig::default()
                    .with_size(LOCAL_QUEUE)
                    .with_refetch_delay(refetch),
            )
            .complete_job_batch_delay(COMPLETION_DELAY)
            .fail_job_batch_delay(COMPLETION_DELAY)
            .add_extension(Handle(Arc::new(handle)))
            .define_job::<MoodJob>()
            .init()
            .await?;
        let worker = Arc::new(worker);
        let ending = Arc::clone(&worker);
        let task = tokio::spawn(async move { Ok(worker.run().await?) });
        let ends = Arc::new(move || ending.request_shutdown());
        Ok(Working { ends, task })
    }

    async fn stop(&self, working: Working) -> anyhow::Result<()> {
        (working.ends)();
        working.task.await?
    }

    async fn left(&self) -> anyhow::Result<usize> {
        // Completed jobs are deleted.
        let sql = "SELECT count(*) FROM graphile_worker._private_jobs";
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(usize::try_from(left)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    outbox_contest::main::<Graphile>()
}
