//! The measured loops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::order::Handlers;
use crate::stopwatch::{Stopwatch, pause, within};
use crate::{Countdown, Figures, Mood, Order, Queue, Workload, percentile};

/// Long enough for handlers to record their last outcome and fall idle.
const REST: Duration = Duration::from_millis(5);

/// Runs an order.
///
/// # Errors
///
/// The queue fails or loses events.
pub async fn run<Q: Queue>(order: &Order) -> anyhow::Result<Figures> {
    let limit = Duration::from_secs(order.limit);
    let handlers = match order.workload {
        Workload::Drain(Handlers { handlers }) => handlers,
        Workload::Enqueue { .. } | Workload::Batches { .. } | Workload::Latency { .. } => 1,
    };
    let queue = Q::open(&order.folder, handlers)
        .await
        .context("cannot open the queue")?;
    match order.workload {
        Workload::Enqueue { producers, events } => enqueue(queue, producers, events, limit).await,
        Workload::Batches { size, events } => batches(queue, size, events, limit).await,
        Workload::Drain(_) => drain(queue, limit).await,
        Workload::Latency { samples } => latency(queue, samples, limit).await,
    }
}

fn events<Q: Queue>(count: usize) -> Vec<Q::Event> {
    (0..count)
        .map(|number| Q::event(Mood::new(number)))
        .collect()
}

async fn enqueue<Q: Queue>(
    queue: Q,
    producers: usize,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Figures> {
    let each = count / producers;
    let mut shares = Vec::with_capacity(producers);
    for _ in 0..producers {
        shares.push(events::<Q>(each));
    }
    let queue = Arc::new(queue);
    let mut tasks: JoinSet<anyhow::Result<usize>> = JoinSet::new();
    let watch = Stopwatch::start();
    for share in shares {
        let queue = Arc::clone(&queue);
        tasks.spawn(async move {
            let mut done = 0;
            for event in share {
                if watch.elapsed() > limit {
                    break;
                }
                queue.enqueue(event).await?;
                done += 1;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    let seconds = watch.elapsed().as_secs_f64();
    check_left(&*queue, done).await?;
    let queue = Arc::into_inner(queue).context("a producer still has the queue")?;
    queue.close().await?;
    Ok(Figures::of_work(done, each * producers, seconds))
}

async fn batches<Q: Queue>(
    queue: Q,
    size: usize,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Figures> {
    let mut made = events::<Q>(count).into_iter();
    let mut done = 0;
    let watch = Stopwatch::start();
    while watch.elapsed() <= limit {
        let batch: Vec<Q::Event> = made.by_ref().take(size).collect();
        if batch.is_empty() {
            break;
        }
        done += batch.len();
        queue.enqueue_all(batch).await?;
    }
    let seconds = watch.elapsed().as_secs_f64();
    check_left(&queue, done).await?;
    queue.close().await?;
    Ok(Figures::of_work(done, count, seconds))
}

/// Whether everything that was enqueued is there.
async fn check_left<Q: Queue>(queue: &Q, enqueued: usize) -> anyhow::Result<()> {
    let left = queue.left().await?;
    anyhow::ensure!(
        left == enqueued,
        "{enqueued} were enqueued, {left} are there"
    );
    Ok(())
}

async fn drain<Q: Queue>(queue: Q, limit: Duration) -> anyhow::Result<Figures> {
    let backlog = queue.left().await?;
    anyhow::ensure!(backlog > 0, "there is no backlog");
    let countdown = Countdown::new(backlog);
    let counted = Arc::clone(&countdown);
    let watch = Stopwatch::start();
    let handlers = queue
        .work(move |mood| {
            if mood.is_whole() {
                counted.count();
            }
        })
        .await?;
    let is_whole = within(limit, countdown.over()).await.is_some();
    queue.stop(handlers).await?;
    let seconds = watch.elapsed().as_secs_f64();
    let left = queue.left().await?;
    anyhow::ensure!(
        left == 0 || !is_whole,
        "{left} of {backlog} were handled and not completed"
    );
    queue.close().await?;
    Ok(Figures::of_work(backlog - left, backlog, seconds))
}

async fn latency<Q: Queue>(queue: Q, samples: usize, limit: Duration) -> anyhow::Result<Figures> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let handlers = queue
        .work(move |_| {
            // The measurement may have ended.
            let _ = started.send(Stopwatch::start());
        })
        .await?;
    let watch = Stopwatch::start();
    let mut times = Vec::with_capacity(samples);
    for event in events::<Q>(samples) {
        pause(REST).await;
        let called = Stopwatch::start();
        queue.enqueue(event).await?;
        let left = limit.saturating_sub(watch.elapsed());
        let Some(start) = within(left, starts.recv()).await else {
            break;
        };
        let start = start.context("the handlers have stopped")?;
        times.push(start.since(called).as_secs_f64() * 1e3);
    }
    let seconds = watch.elapsed().as_secs_f64();
    anyhow::ensure!(!times.is_empty(), "no handler started within {limit:?}");
    queue.stop(handlers).await?;
    queue.close().await?;
    Ok(Figures {
        p50: Some(percentile(&times, 0.50)),
        p99: Some(percentile(&times, 0.99)),
        ..Figures::of_work(times.len(), samples, seconds)
    })
}
