//! apalis on PostgreSQL as a contestant, set as in its own example: fetches of 100, no lock of a
//! task before it runs, notifications, and a task of the runtime for each job.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use outbox_contest::{Mood, Queue};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

const QUEUE: &str = "mood";
const FETCHED: usize = 100;
const HEARTBEAT: Duration = Duration::from_secs(1);
const CONNECTIONS: u32 = 50;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MoodJob {
    mood: Mood,
}

/// What a job calls.
#[derive(Clone)]
struct Handle(Arc<dyn Fn(Mood) + Send + Sync>);

async fn deliver(job: MoodJob, handle: Data<Handle>) -> Result<(), BoxDynError> {
    (handle.0.0)(job.mood);
    Ok(())
}

struct Apalis {
    pool: PgPool,
    handlers: usize,
}

impl Apalis {
    fn storage(&self) -> PostgresStorage<MoodJob> {
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(FETCHED)
            .lock_tasks(false)
            .persist_results(false)
            .heartbeat_interval(HEARTBEAT);
        PostgresStorage::new(&self.pool).with_config(config)
    }
}

/// A running worker, and what ends it.
struct Working {
    ends: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Queue for Apalis {
    type Event = MoodJob;
    type Handlers = Working;

    fn event(mood: Mood) -> MoodJob {
        MoodJob { mood }
    }

    async fn open(address: &Path, handlers: usize) -> anyhow::Result<Self> {
        let address = address.to_str().context("an address is text")?;
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = options.connect(address).await?;
        PostgresStorage::setup(&pool).await?;
        Ok(Self { pool, handlers })
    }

    async fn enqueue(&self, event: MoodJob) -> anyhow::Result<()> {
        self.storage().push(event).await?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<MoodJob>) -> anyhow::Result<()> {
        self.storage().push_bulk(events).await?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Working> {
        let worker = WorkerBuilder::new("contestant")
            .backend(self.storage().with_pubsub())
            .concurrency(self.handlers)
            .parallelize(tokio::spawn)
            .data(Handle(Arc::new(handle)))
            .build(deliver);
        let (ends, ended) = oneshot::channel();
        let signal = async {
            let _ = ended.await;
            Ok::<(), WorkerError>(())
        };
        // Its future cannot be spawned: the compiler does not see that it is `Send` for every
        // lifetime.
        let runtime = Runtime::current();
        let task = spawn_blocking(move || Ok(runtime.block_on(worker.run_until(signal))?));
        Ok(Working { ends, task })
    }

    async fn stop(&self, working: Working) -> anyhow::Result<()> {
        let _ = working.ends.send(());
        working.task.await?
    }

    async fn left(&self) -> anyhow::Result<usize> {
        let sql = "SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'";
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(usize::try_from(left)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    outbox_contest::main::<Apalis>()
}
