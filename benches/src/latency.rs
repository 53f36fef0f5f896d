//! From the call that enqueues to the start of the handler, on an idle processor.

use std::time::Duration;

use outbox_contest::{Stopwatch, pause, percentile};
use outbox_runtime::Processor;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::TransactionBehavior;
use tokio::sync::mpsc;

use crate::entity::{MoodEntry, Row};
use crate::floor::Floor;
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::interleaved;
use crate::scale::Scale;
use crate::scene::Scenes;

/// The measured way to enqueue.
#[derive(Debug, Clone, Copy)]
enum Side {
    Floor,
    /// `store.transaction(..)`.
    Transaction,
    /// A connection of the application; measured from its commit.
    OwnConnection,
}

const SIDES: [Side; 3] = [Side::Floor, Side::Transaction, Side::OwnConnection];

/// Long enough for a processor to record its last outcome and fall idle.
const REST: Duration = Duration::from_millis(5);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut p99 = SIDES.map(|_| Vec::new());
    let p50 = interleaved(scale.rounds, &SIDES, async |side| {
        let times = match side {
            Side::Floor => floor(scenes, scale.latencies).await?,
            Side::Transaction => transaction(scenes, scale.latencies).await?,
            Side::OwnConnection => own_connection(scenes, scale.latencies).await?,
        };
        p99[side as usize].push(percentile(&times, 0.99));
        Ok(percentile(&times, 0.50))
    })
    .await?;
    for (share, samples) in [("p50", &p50[..]), ("p99", &p99[..])] {
        let [floor, transaction, own] = samples else {
            continue;
        };
        let what = format!("latency {share}, enqueue in a transaction of the store to handler");
        let floor = Baseline {
            name: "floor",
            samples: floor,
        };
        report.add(
            what,
            Unit::Milliseconds,
            transaction,
            Some(floor),
            Some(Target::AtMost(1.3)),
        );
        let what = format!("latency {share}, commit on the caller's own connection to handler");
        // The target of 5 ms is for the usual commit.
        let target = (share == "p50").then_some(Target::Absolute(5.0));
        report.add(what, Unit::Milliseconds, own, None, target);
    }
    Ok(())
}

async fn floor(scenes: &Scenes, count: usize) -> anyhow::Result<Vec<f64>> {
    let scene = scenes.floor_empty()?;
    let floor = Floor::open(scene.path())?;
    let (started, mut starts) = mpsc::unbounded_channel();
    floor.work(1, move |_| {
        let _ = started.send(Stopwatch::start());
        std::future::ready(())
    })?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        pause(REST).await;
        let row = Row::of(&MoodEntry::new(number))?;
        let watch = Stopwatch::start();
        floor.insert(vec![row]).await?;
        times.push(time_to(&mut starts, watch).await?);
    }
    floor.close()?;
    Ok(times)
}

/// A store with an idle processor, and the start times of its handlers.
fn idle_processor(
    store: &SqliteStore,
) -> anyhow::Result<(outbox_runtime::Running, mpsc::UnboundedReceiver<Stopwatch>)> {
    let (started, starts) = mpsc::unbounded_channel();
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(move |_| {
            let _ = started.send(Stopwatch::start());
            std::future::ready(Ok(()))
        })
        .build()?;
    Ok((processor.start_all_users(), starts))
}

async fn transaction(scenes: &Scenes, count: usize) -> anyhow::Result<Vec<f64>> {
    let scene = scenes.empty().await?;
    let store = SqliteStore::open(scene.path()).await?;
    let (running, mut starts) = idle_processor(&store)?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        pause(REST).await;
        let mood = MoodEntry::new(number);
        let watch = Stopwatch::start();
        store
            .transaction(move |tx| Ok(mood.enqueue_sync().on(tx)?))
            .await?;
        times.push(time_to(&mut starts, watch).await?);
    }
    running.stop().await?;
    store.close().await;
    Ok(times)
}

async fn own_connection(scenes: &Scenes, count: usize) -> anyhow::Result<Vec<f64>> {
    let scene = scenes.empty().await?;
    let store = SqliteStore::open(scene.path()).await?;
    let (running, mut starts) = idle_processor(&store)?;
    let mut conn = scene.connect()?;
    let mut times = Vec::with_capacity(count);
    for number in 0..count {
        pause(REST).await;
        let mood = MoodEntry::new(number);
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        mood.enqueue_sync().on(&tx)?;
        tx.commit()?;
        times.push(time_to(&mut starts, Stopwatch::start()).await?);
    }
    running.stop().await?;
    store.close().await;
    Ok(times)
}

/// Milliseconds until the next handler started, possibly before this call.
async fn time_to(
    starts: &mut mpsc::UnboundedReceiver<Stopwatch>,
    since: Stopwatch,
) -> anyhow::Result<f64> {
    let start = starts
        .recv()
        .await
        .ok_or_else(|| anyhow::anyhow!("the handlers have stopped"))?;
    Ok(start.since(since).as_secs_f64() * 1e3)
}
