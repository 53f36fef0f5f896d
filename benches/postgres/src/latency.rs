//! From the call that enqueues to the start of the handler, on an idle worker.

use std::sync::Arc;
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::{Stopwatch, pause, percentile, within};
use outbox_postgres::PostgresStore;
use outbox_runtime::{Processor, Running};
use tokio::sync::{Notify, mpsc};

use crate::entity::{MoodEntry, Row};
use crate::floor::{self, Floor, Steps};
use crate::scale::Scale;
use crate::scene::{Scenes, open};

/// How events are enqueued, and how long after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// A transaction; the floor's worker is told in this process.
    Floor,
    /// A transaction of the caller's on another connection, long after the last event.
    Transaction,
    /// Through the store.
    Store,
    /// A transaction of the caller's a few milliseconds after the last event, when the worker has
    /// just run out of work.
    Soon,
}

const SIDES: [Side; 4] = [Side::Floor, Side::Transaction, Side::Store, Side::Soon];

/// Long enough for a worker to fall asleep.
const REST: Duration = Duration::from_millis(40);

/// Not long enough for that.
const SOON: Duration = Duration::from_millis(4);

/// How long one event may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut p99 = SIDES.map(|_| Vec::new());
    let p50 = interleaved(scale.rounds, &SIDES, async |side| {
        let times = match side {
            Side::Floor => of_floor(scenes, scale.latencies).await?,
            _ => ours(scenes, side, scale.latencies).await?,
        };
        p99[side as usize].push(percentile(&times, 0.99));
        Ok(percentile(&times, 0.50))
    })
    .await?;
    for (share, samples) in [("p50", &p50[..]), ("p99", &p99[..])] {
        for (side, from, target) in [
            (
                Side::Transaction,
                "a transaction of the caller's",
                Target::AtMost(1.3),
            ),
            (Side::Store, "the store", Target::AtMost(1.3)),
            (
                Side::Soon,
                "a transaction of the caller's, 4 ms after the last event",
                Target::AtMost(1.3),
            ),
        ] {
            let baseline = Baseline {
                name: "floor",
                samples: &samples[Side::Floor as usize],
            };
            let target = (share == "p50" && side == Side::Transaction).then_some(target);
            report.add(
                format!("latency {share}, from {from} to the handler"),
                Unit::Milliseconds,
                &samples[side as usize],
                Some(baseline),
                target,
            );
        }
    }
    Ok(())
}

async fn of_floor(scenes: &Scenes, count: usize) -> anyhow::Result<Vec<f64>> {
    let database = scenes.floor().await?;
    let worker = Floor::open(&database).await?;
    let (started, mut starts) = mpsc::unbounded_channel();
    let committed = Arc::new(Notify::new());
    let told = Arc::clone(&committed);
    let working = tokio::spawn(async move {
        let mut done = Vec::new();
        loop {
            let claims = worker
                .step(&done, Steps::Pipelined, floor::CLAIM_SIZE)
                .await?;
            for claim in &claims {
                floor::read(claim);
                if started.send(Stopwatch::start()).is_err() {
                    return anyhow::Ok(());
                }
            }
            done = claims.iter().map(|claim| claim.id).collect();
            if done.is_empty() {
                told.notified().await;
            }
        }
    });
    let mut client = database.connect().await?;
    let insert = client.prepare(floor::INSERT).await?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        pause(REST).await;
        let mood = MoodEntry::new(number);
        let watch = Stopwatch::start();
        let row = Row::of(&mood)?;
        let tx = client.transaction().await?;
        tx.execute(
            &insert,
            &[
                &row.id,
                &row.lane,
                &row.user_id,
                &row.entity_id,
                &row.metadata,
            ],
        )
        .await?;
        tx.commit().await?;
        committed.notify_one();
        times.push(time_to(&mut starts, watch).await?);
    }
    working.abort();
    drop(client);
    scenes.drop(database).await?;
    Ok(times)
}

/// An idle worker, and the start times of its handlers.
fn idle_worker(
    store: &PostgresStore,
) -> anyhow::Result<(Running, mpsc::UnboundedReceiver<Stopwatch>)> {
    let (started, starts) = mpsc::unbounded_channel();
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(move |_| {
            let _ = started.send(Stopwatch::start());
            std::future::ready(Ok(()))
        })
        .build()?;
    Ok((processor.start_all_users(), starts))
}

async fn ours(scenes: &Scenes, side: Side, count: usize) -> anyhow::Result<Vec<f64>> {
    let database = scenes.outbox().await?;
    let store = open(&database).await?;
    let (running, mut starts) = idle_worker(&store)?;
    let mut client = database.connect().await?;
    // The index for turns is made meanwhile.
    pause(Duration::from_secs(1)).await;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        pause(if side == Side::Soon { SOON } else { REST }).await;
        let mood = MoodEntry::new(number);
        let watch = Stopwatch::start();
        match side {
            Side::Store => {
                mood.enqueue_update().on(&store).await?;
            }
            _ => {
                let tx = client.transaction().await?;
                mood.enqueue_update().on(&tx).await?;
                tx.commit().await?;
            }
        }
        times.push(time_to(&mut starts, watch).await?);
    }
    running.stop().await?;
    drop((store, client));
    scenes.drop(database).await?;
    Ok(times)
}

/// Milliseconds until the next handler started, possibly before this call.
async fn time_to(
    starts: &mut mpsc::UnboundedReceiver<Stopwatch>,
    since: Stopwatch,
) -> anyhow::Result<f64> {
    let start = within(PATIENCE, starts.recv()).await.flatten();
    let start = start.ok_or_else(|| anyhow::anyhow!("no handler started"))?;
    Ok(start.since(since).as_secs_f64() * 1e3)
}
