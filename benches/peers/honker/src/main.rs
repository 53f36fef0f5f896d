//! honker as a contestant. Its API is synchronous and has no workers, so the loop is written here:
//! claims of 100, handled in turn and acknowledged together, on a thread of its own. With
//! `synchronous = FULL`; the other settings are its defaults.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use honker::{Database, EnqueueOpts, QueueOpts};
use outbox_contest::{Mood, Queue};

/// Jobs per claim.
const CLAIM: i64 = 100;
/// Name of the worker.
const WORKER: &str = "worker";
/// How often an idle worker looks whether it is to stop.
const IDLE: Duration = Duration::from_millis(20);

struct Honker {
    database: Database,
    queue: honker::Queue,
}

struct Loop {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Queue for Honker {
    type Event = Mood;
    type Handlers = Loop;

    fn event(mood: Mood) -> Mood {
        mood
    }

    async fn open(folder: &Path, _: usize) -> anyhow::Result<Self> {
        let database = Database::open(folder.join("honker.db"))?;
        database.with_conn(|conn| conn.execute_batch("PRAGMA synchronous = FULL"))?;
        let queue = database.queue("moods", QueueOpts::default());
        Ok(Self { database, queue })
    }

    async fn enqueue(&self, event: Mood) -> anyhow::Result<()> {
        self.queue.enqueue(&event, EnqueueOpts::default())?;
        Ok(())
    }

    async fn enqueue_all(&self, events: Vec<Mood>) -> anyhow::Result<()> {
        let tx = self.database.transaction()?;
        for event in &events {
            self.queue.enqueue_tx(&tx, event, EnqueueOpts::default())?;
        }
        tx.commit()?;
        Ok(())
    }

    async fn work(
        &self,
        handle: impl Fn(Mood) + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Loop> {
        let stop = Arc::new(AtomicBool::new(false));
        let (queue, updates) = (self.queue.clone(), self.database.update_events());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let jobs = queue.claim_batch(WORKER, CLAIM)?;
                if jobs.is_empty() {
                    updates.recv_timeout(IDLE)?;
                    continue;
                }
                let mut ids = Vec::with_capacity(jobs.len());
                for job in jobs {
                    handle(job.payload_as()?);
                    ids.push(job.id);
                }
                queue.ack_batch(&ids, WORKER)?;
            }
            Ok(())
        });
        Ok(Loop { stop, thread })
    }

    async fn stop(&self, handlers: Loop) -> anyhow::Result<()> {
        handlers.stop.store(true, Ordering::Relaxed);
        match handlers.thread.join() {
            Ok(ended) => ended,
            Err(_) => anyhow::bail!("the loop panicked"),
        }
    }

    async fn left(&self) -> anyhow::Result<usize> {
        let sql = "SELECT count(*) FROM _honker_live";
        let left: i64 = self
            .database
            .with_conn(|conn| conn.query_row(sql, [], |row| row.get(0)))?;
        Ok(usize::try_from(left)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    outbox_contest::main::<Honker>()
}
