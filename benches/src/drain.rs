//! Draining: from a backlog to the last recorded outcome, with handlers that only count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbox_runtime::Processor;
use outbox_runtime::prelude::*;
use tokio::sync::Notify;

use crate::entity::MoodEntry;
use crate::floor::{Floor, Kind};
use crate::report::{Report, Target};
use crate::rounds::interleaved;
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};
use crate::stopwatch::Stopwatch;

/// The measured implementation.
#[derive(Debug, Clone, Copy)]
enum Side {
    Floor(Kind),
    Ours,
}

/// The floors in the order of [`Kind::ALL`], then the store.
const SIDES: [Side; 4] = [
    Side::Floor(Kind::ALL[0]),
    Side::Floor(Kind::ALL[1]),
    Side::Floor(Kind::ALL[2]),
    Side::Ours,
];

/// Minimum ratio to the floor when 16 handlers drain a backlog.
const TARGET: Target = Target::AtLeast(0.75);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for &backlog in &scale.backlogs {
        let content = Content::pending(backlog);
        let template = scenes.with(content).await?;
        for concurrency in [1, 16] {
            // With one handler at a time, a small backlog tells everything.
            if concurrency == 1 && backlog > scale.few {
                continue;
            }
            let what = format!("drain {}, {concurrency} at once", in_words(backlog));
            let target = (concurrency == 16).then_some(TARGET);
            compare(scale, scenes, report, &template, concurrency, &what, target).await?;
        }
    }
    let few = scale.few;
    let template = scenes
        .with(Content {
            pending: few,
            per_entity: 5,
            completed: 0,
        })
        .await?;
    let what = format!("drain {}, 5 per entity, 16 at once", in_words(few));
    compare(scale, scenes, report, &template, 16, &what, None).await?;

    let template = scenes
        .with(Content {
            pending: few,
            per_entity: 1,
            completed: scale.rows,
        })
        .await?;
    let what = format!(
        "drain {} beside {} completed, 16 at once",
        in_words(few),
        in_words(scale.rows)
    );
    compare(scale, scenes, report, &template, 16, &what, Some(TARGET)).await
}

async fn compare(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
    template: &Scene,
    concurrency: usize,
    what: &str,
    target: Option<Target>,
) -> anyhow::Result<()> {
    let backlog = template.count("pending")?;
    let samples = interleaved(scale.rounds, &SIDES, async |side| {
        let scene = scenes.copy(template)?;
        match side {
            Side::Floor(kind) => floor(&scene, kind, backlog, concurrency).await,
            Side::Ours => ours(&scene, backlog, concurrency).await,
        }
    })
    .await?;
    report.add_beside_floors(what, &samples, target);
    Ok(())
}

/// Counts calls and signals the last one.
#[derive(Debug)]
struct Countdown {
    left: AtomicUsize,
    over: Notify,
}

impl Countdown {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(count),
            over: Notify::new(),
        })
    }

    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.over.notify_one();
        }
    }
}

async fn floor(
    scene: &Scene,
    kind: Kind,
    backlog: usize,
    concurrency: usize,
) -> anyhow::Result<f64> {
    let floor = Floor::open(scene, kind)?;
    let before = scene.count("completed")?;
    let countdown = Countdown::new(backlog);
    let counted = Arc::clone(&countdown);
    let watch = Stopwatch::start();
    floor.work(concurrency, move |event| {
        let (counted, is_whole) = (Arc::clone(&counted), event.is_whole());
        async move {
            if is_whole {
                counted.count();
            }
        }
    })?;
    countdown.over.notified().await;
    floor.flush().await?;
    let rate = watch.per_second(backlog);
    floor.close()?;
    anyhow::ensure!(
        scene.count("completed")? == before + backlog,
        "the floor lost events"
    );
    Ok(rate)
}

/// Until stopping has recorded the last outcome.
async fn ours(scene: &Scene, backlog: usize, concurrency: usize) -> anyhow::Result<f64> {
    let store = SqliteStore::open(scene.path()).await?;
    let before = scene.count("completed")?;
    let watch = Stopwatch::start();
    drain(&store, backlog, concurrency).await?;
    let rate = watch.per_second(backlog);
    store.close().await;
    anyhow::ensure!(
        scene.count("completed")? == before + backlog,
        "events were lost"
    );
    Ok(rate)
}

/// Delivers this many events and stops.
pub(crate) async fn drain(
    store: &SqliteStore,
    backlog: usize,
    concurrency: usize,
) -> anyhow::Result<()> {
    let countdown = Countdown::new(backlog);
    let counted = Arc::clone(&countdown);
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(move |event| {
            let counted = Arc::clone(&counted);
            async move {
                if event.metadata().valence.is_finite() {
                    counted.count();
                }
                Ok(())
            }
        })
        .max_concurrency(concurrency)
        .build()?;
    let running = processor.start_all_users();
    countdown.over.notified().await;
    running.stop().await?;
    Ok(())
}
