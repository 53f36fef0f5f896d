//! Draining: from a backlog to the last recorded outcome, with handlers that only count.

use std::sync::Arc;
use std::time::Duration;

use outbox_contest::{Countdown, Stopwatch};
use outbox_runtime::prelude::*;
use outbox_runtime::{OutboxRepository, Processor};

use crate::entity::{MoodEntry, USER};
use crate::floor::{self, Floor};
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::{Side, beside_floor, interleaved};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes, counts};

/// Minimum ratio to the floor when 16 handlers drain a backlog.
const TARGET: Target = Target::AtLeast(0.70);
/// The same for a backlog of more than 100 thousand.
const LARGE_TARGET: Target = Target::AtLeast(0.60);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for &backlog in &scale.backlogs {
        let templates = Templates::of(scenes, Content::pending(backlog)).await?;
        for concurrency in [1, 16] {
            // With one handler at a time, a small backlog tells everything.
            if concurrency == 1 && backlog > scale.few {
                continue;
            }
            let what = format!("drain {}, {concurrency} at once", in_words(backlog));
            let target = match (concurrency, backlog) {
                (1, _) => None,
                (_, 0..=100_000) => Some(TARGET),
                _ => Some(LARGE_TARGET),
            };
            templates
                .compare(scale, scenes, report, concurrency, &what, target)
                .await?;
        }
    }
    let few = scale.few;
    let five = Content {
        pending: few,
        per_entity: 5,
        completed: 0,
    };
    let what = format!("drain {}, 5 per entity, 16 at once", in_words(few));
    Templates::of(scenes, five)
        .await?
        .compare(scale, scenes, report, 16, &what, None)
        .await?;

    let beside = Content {
        pending: few,
        per_entity: 1,
        completed: scale.rows,
    };
    keeping_nothing(scale, scenes, report).await?;
    let what = format!(
        "drain {} beside {} completed, 16 at once",
        in_words(few),
        in_words(scale.rows)
    );
    Templates::of(scenes, beside)
        .await?
        .compare(scale, scenes, report, 16, &what, Some(TARGET))
        .await
}

/// A drain whose events are deleted with their outcomes, beside one that keeps them.
async fn keeping_nothing(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let few = scale.few;
    let backlog = scenes.with(Content::pending(few)).await?;
    let samples = interleaved(scale.rounds, &[true, false], async |keeps| {
        let scene = scenes.copy(&backlog)?;
        let store = SqliteStore::open(scene.path()).await?;
        let mut drain = Drain::of(Users::All, 16);
        if !keeps {
            drain = drain.keeping_nothing();
        }
        let watch = Stopwatch::start();
        drain.run(&store, few).await?;
        let rate = watch.per_second(few);
        let statistics = store.statistics(None).await?;
        store.close().await;
        let left = if keeps { few as u64 } else { 0 };
        anyhow::ensure!(statistics.total_events == left, "events were lost or kept");
        Ok(rate)
    })
    .await?;
    if let [kept, deleted] = samples.as_slice() {
        let baseline = Baseline {
            name: "keeping",
            samples: kept,
        };
        let what = format!("drain {} keeping nothing, 16 at once", in_words(few));
        report.add(what, Unit::EventsPerSecond, deleted, Some(baseline), None);
    }
    Ok(())
}

/// A backlog in the store and one in the floor, copied for each drain.
struct Templates {
    content: Content,
    ours: Scene,
    floor: Scene,
}

impl Templates {
    async fn of(scenes: &Scenes, content: Content) -> anyhow::Result<Self> {
        Ok(Self {
            content,
            ours: scenes.with(content).await?,
            floor: scenes.floor_with(content)?,
        })
    }

    async fn compare(
        &self,
        scale: &Scale,
        scenes: &Scenes,
        report: &mut Report,
        concurrency: usize,
        what: &str,
        target: Option<Target>,
    ) -> anyhow::Result<()> {
        let samples = beside_floor(scale.rounds, async |side| match side {
            Side::Floor => {
                let scene = scenes.copy(&self.floor)?;
                of_floor(&scene, self.content, concurrency).await
            }
            Side::Ours => {
                let scene = scenes.copy(&self.ours)?;
                ours(&scene, self.content, concurrency).await
            }
        })
        .await?;
        report.add_beside_floor(what, &samples, target);
        Ok(())
    }
}

async fn of_floor(scene: &Scene, content: Content, concurrency: usize) -> anyhow::Result<f64> {
    let floor = Floor::open(scene.path())?;
    let watch = Stopwatch::start();
    drain_floor(&floor, content.pending, concurrency).await?;
    let rate = watch.per_second(content.pending);
    floor.close()?;
    anyhow::ensure!(
        floor::count(&scene.connect()?, true)? == content.completed + content.pending,
        "the floor lost events"
    );
    Ok(rate)
}

/// Has the floor deliver this many events, until the last outcome is committed.
pub(crate) async fn drain_floor(
    floor: &Floor,
    backlog: usize,
    concurrency: usize,
) -> anyhow::Result<()> {
    let countdown = Countdown::new(backlog);
    let counted = Arc::clone(&countdown);
    floor.work(concurrency, move |event| {
        let (counted, mood) = (Arc::clone(&counted), event.mood());
        async move {
            if mood.is_some_and(|mood| mood.is_whole()) {
                counted.count();
            }
        }
    })?;
    countdown.over().await;
    floor.stop_work().await
}

/// Until stopping has recorded the last outcome.
async fn ours(scene: &Scene, content: Content, concurrency: usize) -> anyhow::Result<f64> {
    let store = SqliteStore::open(scene.path()).await?;
    let watch = Stopwatch::start();
    drain(&store, content.pending, concurrency).await?;
    let rate = watch.per_second(content.pending);
    let (_, completed) = counts(&store).await?;
    store.close().await;
    anyhow::ensure!(
        completed == content.completed + content.pending,
        "events were lost"
    );
    Ok(rate)
}

/// The users of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Users {
    /// Only the one that all events are of.
    One,
    All,
}

/// Delivers this many events, of all users, and stops.
pub(crate) async fn drain(
    store: &SqliteStore,
    backlog: usize,
    concurrency: usize,
) -> anyhow::Result<()> {
    Drain::of(Users::All, concurrency).run(store, backlog).await
}

/// A processor whose handlers only count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    users: Users,
    concurrency: usize,
    keeps_completed: bool,
}

impl Drain {
    pub(crate) fn of(users: Users, concurrency: usize) -> Self {
        Self {
            users,
            concurrency,
            keeps_completed: true,
        }
    }

    /// With `keep_completed` of zero.
    pub(crate) fn keeping_nothing(self) -> Self {
        Self {
            keeps_completed: false,
            ..self
        }
    }

    /// Delivers this many events and stops.
    pub(crate) async fn run(self, store: &SqliteStore, backlog: usize) -> anyhow::Result<()> {
        let countdown = Countdown::new(backlog);
        let counted = Arc::clone(&countdown);
        let mut processor = Processor::builder(store.clone())
            .handle::<MoodEntry>(move |event| {
                let counted = Arc::clone(&counted);
                async move {
                    if event.metadata().valence.is_finite() {
                        counted.count();
                    }
                    Ok(())
                }
            })
            .max_concurrency(self.concurrency);
        if !self.keeps_completed {
            processor = processor.keep_completed(Duration::ZERO);
        }
        let processor = processor.build()?;
        let running = match self.users {
            Users::One => processor.start(USER),
            Users::All => processor.start_all_users(),
        };
        countdown.over().await;
        running.stop().await?;
        Ok(())
    }
}
