//! Batches, and many producers through the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::Stopwatch;
use outbox_runtime::enqueue_all;
use tokio::task::JoinSet;

use crate::database::Database;
use crate::entity::{MoodEntry, Row};
use crate::floor::{self, Floor};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, count, open};

/// Events per batch.
const BATCH: usize = 1_000;

/// Tasks that enqueue, and sessions of which each enqueues.
const PRODUCERS: usize = 64;

/// The side that writes the batches.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Floor,
    /// Through the store.
    Store,
    /// In a transaction of the caller's.
    Transaction,
    /// Through the store, with the index by user that workers for all users create.
    StoreWithTurns,
}

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let writers = [
        Writer::Floor,
        Writer::Store,
        Writer::Transaction,
        Writer::StoreWithTurns,
    ];
    // Has the index by user, and no rows.
    let with_turns = scenes.outbox_with(Content::pending(0)).await?;
    let mut cpu = writers.map(|_| Vec::with_capacity(scale.rounds));
    let samples = interleaved(scale.rounds, &[0, 1, 2, 3], async |nth| {
        let writer = writers[nth];
        let database = match writer {
            Writer::Floor => scenes.floor().await?,
            Writer::Store | Writer::Transaction => scenes.outbox().await?,
            Writer::StoreWithTurns => scenes.copy(&with_turns).await?,
        };
        let (rate, time) = write(&database, writer, scale.events).await?;
        cpu[nth].push(time.as_secs_f64() * 1e6 / scale.events as f64);
        let written = match writer {
            Writer::Floor => floor::count(&database.connect().await?, false).await?,
            _ => count(&database, false).await?,
        };
        anyhow::ensure!(written == scale.events, "events are missing");
        scenes.drop(database).await?;
        Ok(rate)
    })
    .await?;
    scenes.drop(with_turns).await?;
    let name = format!("batches of {}", in_words(BATCH));
    for (writer, how, target) in [
        (1, "through the store", Some(Target::AtLeast(0.70))),
        (2, "in a transaction of the caller's", None),
        (3, "through the store, with the index for turns", None),
    ] {
        let baseline = Baseline {
            name: "floor",
            samples: &samples[0],
        };
        let what = format!("{name}, typed, {how}");
        let unit = Unit::EventsPerSecond;
        report.add(&what, unit, &samples[writer], Some(baseline), target);
        let baseline = Baseline {
            name: "floor",
            samples: &cpu[0],
        };
        let what = format!("{what}: the server's processor time for 1,000");
        let unit = Unit::Milliseconds;
        report.add(what, unit, &cpu[writer], Some(baseline), None);
    }
    producers(scale, scenes, report).await
}

/// Events a second in batches, each in one commit, and the processor time of the server's sessions.
async fn write(
    database: &Database,
    writer: Writer,
    events: usize,
) -> anyhow::Result<(f64, Duration)> {
    let moods: Vec<MoodEntry> = MoodEntry::many(events, 1).collect();
    Ok(match writer {
        Writer::Floor => {
            let floor = Floor::open(database).await?;
            let watch = Stopwatch::start();
            for batch in moods.chunks(BATCH) {
                let rows: anyhow::Result<Vec<Row>> = batch.iter().map(Row::of).collect();
                floor.insert_many(&rows?).await?;
            }
            (watch.per_second(events), database.cpu_time().await?)
        }
        Writer::Store | Writer::StoreWithTurns => {
            let store = open(database).await?;
            let watch = Stopwatch::start();
            for batch in moods.chunks(BATCH) {
                enqueue_all(batch).on(&store).await?;
            }
            (watch.per_second(events), database.cpu_time().await?)
        }
        Writer::Transaction => {
            let mut client = database.connect().await?;
            let watch = Stopwatch::start();
            for batch in moods.chunks(BATCH) {
                let tx = client.transaction().await?;
                enqueue_all(batch).on(&tx).await?;
                tx.commit().await?;
            }
            (watch.per_second(events), database.cpu_time().await?)
        }
    })
}

/// How each of many producers enqueues its events, one by one.
#[derive(Debug, Clone, Copy)]
enum Producing {
    /// On a connection of its own, one statement that commits by itself.
    OwnConnection,
    /// Through the store, which makes common commits.
    Store,
}

async fn producers(scale: &Scale, scenes: &Scenes, report: &mut Report) -> anyhow::Result<()> {
    let sides = [Producing::OwnConnection, Producing::Store];
    let samples = interleaved(scale.rounds, &sides, async |side| {
        let database = scenes.outbox().await?;
        let (enqueued, rate) = produce(&database, side, scale).await?;
        anyhow::ensure!(
            count(&database, false).await? == enqueued,
            "events are missing"
        );
        scenes.drop(database).await?;
        Ok(rate)
    })
    .await?;
    let baseline = Baseline {
        name: "64 connections",
        samples: &samples[0],
    };
    report.add(
        format!("{PRODUCERS} producers through the store"),
        Unit::EventsPerSecond,
        &samples[1],
        Some(baseline),
        Some(Target::AtLeast(4.0)),
    );
    Ok(())
}

async fn produce(
    database: &Database,
    producing: Producing,
    scale: &Scale,
) -> anyhow::Result<(usize, f64)> {
    let store = open(database).await?;
    let mut clients = Vec::with_capacity(PRODUCERS);
    if matches!(producing, Producing::OwnConnection) {
        for _ in 0..PRODUCERS {
            clients.push(database.connect().await?);
        }
    }
    let number = Arc::new(AtomicUsize::new(0));
    let time = scale.time;
    let mut tasks: JoinSet<anyhow::Result<usize>> = JoinSet::new();
    let watch = Stopwatch::start();
    for _ in 0..PRODUCERS {
        let (number, store, client) = (Arc::clone(&number), store.clone(), clients.pop());
        tasks.spawn(async move {
            let mut done = 0;
            while watch.elapsed() < time {
                let mood = MoodEntry::new(number.fetch_add(1, Ordering::Relaxed));
                match &client {
                    Some(client) => mood.enqueue_update().on(client).await?,
                    None => mood.enqueue_update().on(&store).await?,
                };
                done += 1;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    Ok((done, watch.per_second(done)))
}
