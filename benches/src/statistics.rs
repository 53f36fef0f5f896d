//! `statistics()` with few rows and with many.

use std::time::Duration;

use outbox_contest::Stopwatch;
use outbox_runtime::OutboxRepository;
use outbox_runtime::prelude::*;

use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::{interleaved, median};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};

/// Time limit for the calls of a round.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (few, rows) = (scale.few, scale.rows);
    let contents = [
        (format!("{} pending", in_words(few)), Content::pending(few)),
        (
            format!("{} pending", in_words(rows)),
            Content::pending(rows),
        ),
        (
            format!("{} completed", in_words(rows)),
            Content {
                completed: rows,
                ..Content::default()
            },
        ),
    ];
    let mut scenes_of = Vec::new();
    for (_, content) in &contents {
        scenes_of.push(scenes.with(*content).await?);
    }
    let samples = interleaved(scale.rounds, &[0, 1, 2], async |side: usize| {
        ask(&scenes_of[side], scale.calls).await
    })
    .await?;
    for (number, ((name, _), ours)) in contents.iter().zip(&samples).enumerate() {
        let baseline = Baseline {
            name: &contents[0].0,
            samples: &samples[0],
        };
        let (baseline, target) = match number {
            0 => (None, None),
            _ => (Some(baseline), Some(Target::AtMost(3.0))),
        };
        report.add(
            format!("statistics() at {name}"),
            Unit::Milliseconds,
            ours,
            baseline,
            target,
        );
    }
    Ok(())
}

/// Median of several calls, in milliseconds; of fewer calls where they take long.
async fn ask(scene: &Scene, calls: usize) -> anyhow::Result<f64> {
    let store = SqliteStore::open(scene.path()).await?;
    let mut times = Vec::with_capacity(calls);
    let begun = Stopwatch::start();
    for _ in 0..calls {
        let watch = Stopwatch::start();
        let statistics = store.statistics(None).await?;
        times.push(watch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(statistics.total_events > 0, "the statistics are empty");
        if begun.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    store.close().await;
    Ok(median(&times))
}
