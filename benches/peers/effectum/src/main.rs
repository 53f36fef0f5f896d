//! effectum as a contestant. Its defaults, except that the file is in WAL mode: it asks for that
//! itself, under a wrong name. It does not sync each commit (`synchronous = NORMAL`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use effectum::{Job, JobRunner, RunningJob, Worker};
use outbox_contest::{Mood, Queue};

/// Name of the job type.
const MOOD: &str = "mood";

struct Effectum {
    queue: effectum::Queue,
    file: PathBuf,
    handlers: u16,
}

/// What a job calls.
type Handle = Arc<dyn Fn(Mood) + Send + Sync>;

/// The worker's context, which has to be `Debug`.
#[derive(Clone)]
struct Context(Handle);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

async fn run_job(job: RunningJob, context: Context) -> Result<(), effectum::Error> {
    (context.0)(job.json_payload()?);
    Ok(())
}

fn job(mood: &Mood) -> anyhow::Result<Job> {
    Ok(Job::builder(MOOD).json_payload(mood)?.build())
}

impl Queue for Effectum {
    type Event = Mood;
    type Handlers = Worker;

    fn event(mood: Mood) -> Mood {
        mood
    }

    async fn open(folder: &Path, handlers: usize) -> anyhow::Result<Self> {
        let file = folder.join("effectum.db");
        let conn = rusqlite::Connection::open(&file)?;
        let mode: String =
            conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        anyhow::ensure!(mode == "wal", "the file is in mode {mode}");
        drop(conn);
        Ok(Self {
            queue: effectum::Queue::new(&file).await?,
            file,
            handlers: u16::try_from(handlers)?,
        })
    }

    async fn enqueue(&self, event: Mood) -> anyhow::Result<()> {
        self.queue.add_job(job(&event)?).await?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<Mood>) -> anyhow::Result<()> {
        let jobs: anyhow::Result<Vec<Job>> = events.iter().map(job).collect();
        self.queue.add_jobs(jobs?).await?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Worker> {
        let runner = JobRunner::builder(MOOD, run_job).build();
        Ok(Worker::builder(&self.queue, Context(Arc::new(handle)))
            .jobs([runner])
            .max_concurrency(self.handlers)
            .build()
            .await?)
    }

    async fn stop(&self, worker: Worker) -> anyhow::Result<()> {
        worker.unregister(None).await?;
        Ok(())
    }

    async fn left(&self) -> anyhow::Result<usize> {
        let conn = rusqlite::Connection::open(&self.file)?;
        let sql = "SELECT count(*) FROM active_jobs";
        Ok(conn.query_row(sql, [], |row| row.get(0))?)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.queue.close(Duration::from_secs(10)).await?;
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    outbox_contest::main::<Effectum>()
}
