//! Enqueueing: in the application's own transaction, one by one from many producers, and in
//! batches.

use std::sync::Arc;

use outbox_contest::Stopwatch;
use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::TransactionBehavior;
use tokio::task::JoinSet;

use crate::entity::{MoodEntry, Row};
use crate::floor::{self, Floor};
use crate::report::{Report, Target};
use crate::rounds::{BesideFloor, Side, beside_floor};
use crate::scale::{Scale, in_words};
use crate::scene::{Scenes, counts};

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let short = scale.rounds * scale.turns;
    let samples = beside_floor(short, async |side| {
        own_transaction(scenes, side, scale.single_events).await
    })
    .await?;
    let what = "enqueue on the caller's own transaction, one event per commit";
    add(report, what, &samples, 0.90);

    for (producers, target) in [
        (1, Some(0.90)),
        (8, None),
        (64, Some(0.75)),
        (256, Some(0.70)),
    ] {
        let (rounds, events) = match producers {
            1 => (short, scale.single_events),
            _ => (scale.rounds, scale.events),
        };
        let samples = beside_floor(rounds, async |side| {
            through_the_store(scenes, side, producers, events).await
        })
        .await?;
        let what = match producers {
            1 => "enqueue through the store, 1 producer".to_owned(),
            many => format!("enqueue through the store, {many} producers"),
        };
        add(report, &what, &samples, target);
    }

    for (batch, target) in [(100, None), (1_000, Some(0.70))] {
        let samples = beside_floor(scale.rounds, async |side| {
            in_batches(scenes, side, batch, scale.events).await
        })
        .await?;
        let what = format!("enqueue typed entities in batches of {}", in_words(batch));
        add(report, &what, &samples, target);
    }
    Ok(())
}

fn add(report: &mut Report, what: &str, samples: &BesideFloor, target: impl Into<Option<f64>>) {
    let target = target.into().map(Target::AtLeast);
    report.add_beside_floor(what, samples, target);
}

/// One event per commit, on a connection that the application opened, while the store has the file
/// open too.
async fn own_transaction(scenes: &Scenes, side: Side, events: usize) -> anyhow::Result<f64> {
    let moods = MoodEntry::many(events);
    let (rate, pending) = match side {
        Side::Floor => {
            let scene = scenes.floor_empty()?;
            // Keeps the file open as the store does.
            let floor = Floor::open(scene.path())?;
            let mut conn = floor::connect(scene.path())?;
            let watch = Stopwatch::start();
            for mood in &moods {
                floor::insert_alone(&mut conn, &Row::of(mood)?)?;
            }
            let rate = watch.per_second(events);
            floor.close()?;
            (rate, floor::count(&conn, false)?)
        }
        Side::Ours => {
            let scene = scenes.empty().await?;
            let store = SqliteStore::open(scene.path()).await?;
            let mut conn = scene.connect()?;
            let watch = Stopwatch::start();
            for mood in &moods {
                let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
                mood.enqueue_sync().on(&tx)?;
                tx.commit()?;
            }
            let rate = watch.per_second(events);
            let (pending, _) = counts(&store).await?;
            store.close().await;
            (rate, pending)
        }
    };
    anyhow::ensure!(pending == events, "events are missing");
    Ok(rate)
}

/// Each producer waits for the commit of its event before it makes the next one.
async fn through_the_store(
    scenes: &Scenes,
    side: Side,
    producers: usize,
    events: usize,
) -> anyhow::Result<f64> {
    let each = events / producers;
    let mut shares: Vec<Vec<MoodEntry>> = (0..producers).map(|_| MoodEntry::many(each)).collect();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let (rate, pending) = match side {
        Side::Floor => {
            let scene = scenes.floor_empty()?;
            let floor = Arc::new(Floor::open(scene.path())?);
            let watch = Stopwatch::start();
            for share in shares.drain(..) {
                let floor = Arc::clone(&floor);
                tasks.spawn(async move {
                    for mood in &share {
                        floor.insert(vec![Row::of(mood)?]).await?;
                    }
                    Ok(())
                });
            }
            finish(tasks).await?;
            let rate = watch.per_second(each * producers);
            if let Some(floor) = Arc::into_inner(floor) {
                floor.close()?;
            }
            (rate, floor::count(&scene.connect()?, false)?)
        }
        Side::Ours => {
            let scene = scenes.empty().await?;
            let store = SqliteStore::open(scene.path()).await?;
            let watch = Stopwatch::start();
            for share in shares.drain(..) {
                let store = store.clone();
                tasks.spawn(async move {
                    for mood in &share {
                        mood.enqueue_sync().on(&store).await?;
                    }
                    Ok(())
                });
            }
            finish(tasks).await?;
            let rate = watch.per_second(each * producers);
            let (pending, _) = counts(&store).await?;
            store.close().await;
            (rate, pending)
        }
    };
    anyhow::ensure!(pending == each * producers, "events are missing");
    Ok(rate)
}

async fn finish(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// One producer, which waits for the commit of a batch before it makes the next one.
async fn in_batches(
    scenes: &Scenes,
    side: Side,
    batch: usize,
    events: usize,
) -> anyhow::Result<f64> {
    let moods = MoodEntry::many(events);
    let (rate, pending) = match side {
        Side::Floor => {
            let scene = scenes.floor_empty()?;
            let floor = Floor::open(scene.path())?;
            let watch = Stopwatch::start();
            for batch in moods.chunks(batch) {
                let rows = batch.iter().map(Row::of).collect::<anyhow::Result<_>>()?;
                floor.insert(rows).await?;
            }
            let rate = watch.per_second(events);
            floor.close()?;
            (rate, floor::count(&scene.connect()?, false)?)
        }
        Side::Ours => {
            let scene = scenes.empty().await?;
            let store = SqliteStore::open(scene.path()).await?;
            let watch = Stopwatch::start();
            for batch in moods.chunks(batch) {
                enqueue_all(batch).on(&store).await?;
            }
            let rate = watch.per_second(events);
            let (pending, _) = counts(&store).await?;
            store.close().await;
            (rate, pending)
        }
    };
    anyhow::ensure!(pending == events, "events are missing");
    Ok(rate)
}
