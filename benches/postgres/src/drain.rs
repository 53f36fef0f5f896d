//! Draining: from a backlog to the last recorded outcome, with handlers that only read.

use std::sync::Arc;
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::{Countdown, Stopwatch};
use outbox_postgres::PostgresStore;
use outbox_runtime::Processor;

use crate::database::Database;
use crate::entity::{MoodEntry, mood};
use crate::floor::{self, Floor, Steps};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, count, open};
use crate::step::Stepper;

/// Handlers at a time.
pub(crate) const HANDLERS: usize = 16;

/// Least ratio to the pipelined floor.
const TARGET: Target = Target::AtLeast(0.60);

/// Who delivers the backlog.
#[derive(Debug, Clone, Copy)]
enum Side {
    Floor(Steps),
    /// The store alone: outcomes and claims of 100 for all users without turns, no handlers.
    Store,
    /// A processor for all users.
    Ours,
}

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for per_lane in [1, 5, 1_000] {
        let content = Content {
            pending: scale.backlog,
            per_lane,
            completed: 0,
        };
        let of_floor = scenes.floor_with(content).await?;
        let of_ours = scenes.outbox_with(content).await?;
        let sides = [
            Side::Floor(Steps::Pipelined),
            Side::Floor(Steps::TwoStatements),
            Side::Store,
            Side::Ours,
        ];
        let mut cpu = [(); 4].map(|()| Vec::with_capacity(scale.rounds));
        let samples = interleaved(scale.rounds, &[0, 1, 2, 3], async |nth| {
            let side = sides[nth];
            let database = match side {
                Side::Floor(_) => scenes.copy(&of_floor).await?,
                Side::Store | Side::Ours => scenes.copy(&of_ours).await?,
            };
            let (rate, time) = deliver(&database, side, scale.backlog).await?;
            cpu[nth].push(time.as_secs_f64() * 1e6 / scale.backlog as f64);
            scenes.drop(database).await?;
            Ok(rate)
        })
        .await?;
        scenes.drop(of_floor).await?;
        scenes.drop(of_ours).await?;
        let backlog = in_words(scale.backlog);
        let what = format!("drain {backlog}, {per_lane} a lane, {HANDLERS} at once");
        let store = format!("{what}, the store's part");
        for (what, side, against, name, target) in [
            (&what, 3, 0, "floor", Some(TARGET)),
            (&what, 3, 1, "floor, two statements", None),
            (&store, 2, 0, "floor", None),
        ] {
            let baseline = Baseline {
                name,
                samples: &samples[against],
            };
            let unit = Unit::EventsPerSecond;
            report.add(what, unit, &samples[side], Some(baseline), target);
        }
        for (what, side) in [(&what, 3), (&store, 2)] {
            let baseline = Baseline {
                name: "floor",
                samples: &cpu[0],
            };
            let what = format!("{what}: the server's processor time for 1,000");
            report.add(what, Unit::Milliseconds, &cpu[side], Some(baseline), None);
        }
    }
    Ok(())
}

/// Events a second, and the processor time of the server's sessions.
async fn deliver(
    database: &Database,
    side: Side,
    backlog: usize,
) -> anyhow::Result<(f64, Duration)> {
    Ok(match side {
        Side::Floor(steps) => {
            let floor = Floor::open(database).await?;
            let watch = Stopwatch::start();
            let handled = floor.drain(steps, HANDLERS, floor::read).await?;
            let rate = watch.per_second(backlog);
            let time = database.cpu_time().await?;
            let completed = floor::count(floor.client(), true).await?;
            anyhow::ensure!(
                (handled, completed) == (backlog, backlog),
                "events were lost"
            );
            (rate, time)
        }
        Side::Store => {
            let mut stepper = Stepper::new(open(database).await?);
            let watch = Stopwatch::start();
            while stepper.step(floor::CLAIM_SIZE).await? > 0 {}
            let rate = watch.per_second(backlog);
            let time = database.cpu_time().await?;
            anyhow::ensure!(count(database, true).await? == backlog, "events were lost");
            (rate, time)
        }
        Side::Ours => {
            let store = open(database).await?;
            let watch = Stopwatch::start();
            drain(&store, backlog).await?;
            let rate = watch.per_second(backlog);
            let time = database.cpu_time().await?;
            anyhow::ensure!(count(database, true).await? == backlog, "events were lost");
            (rate, time)
        }
    })
}

/// Delivers this many events of all users, until stopping has recorded the last outcome.
pub(crate) async fn drain(store: &PostgresStore, backlog: usize) -> anyhow::Result<()> {
    let countdown = Countdown::new(backlog);
    let counted = Arc::clone(&countdown);
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(move |event| {
            if mood(&event).is_some_and(|mood| mood.is_whole()) {
                counted.count();
            }
            std::future::ready(Ok(()))
        })
        .max_concurrency(HANDLERS)
        .build()?;
    let running = processor.start_all_users();
    countdown.over().await;
    running.stop().await?;
    Ok(())
}
