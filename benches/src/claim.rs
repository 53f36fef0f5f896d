//! A claim of 100 with its commit, among few rows and among many.

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::TransactionBehavior;
use outbox_runtime::{ClaimRequest, OutboxRepository};
use uuid::Uuid;

use crate::floor;
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::{interleaved, median};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};
use crate::stopwatch::Stopwatch;

/// How many events a claim takes.
const CLAIM: usize = 100;

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (few, rows) = (scale.few, scale.rows);
    let templates = [
        scenes.with(Content::pending(few)).await?,
        scenes.with(Content::pending(rows)).await?,
        scenes
            .with(Content {
                pending: few,
                completed: rows,
                per_entity: 1,
            })
            .await?,
    ];
    // No more calls than there are events for.
    let calls = scale.calls.min(few / CLAIM);
    let sides = [0, 1, 2, 3];
    let samples = interleaved(scale.rounds, &sides, async |side| match side {
        3 => by_floor(&scenes.copy(&templates[0])?, calls),
        side => by_store(&scenes.copy(&templates[side])?, calls).await,
    })
    .await?;
    let [at_few, at_many, beside_many, by_floor] = &samples[..] else {
        return Ok(());
    };
    let of_few = format!("claim of {CLAIM} at {} pending", in_words(few));
    let floor = Baseline {
        name: "floor",
        samples: by_floor,
    };
    report.add(&of_few, Unit::Milliseconds, at_few, Some(floor), None);
    for (what, samples) in [
        (
            format!("claim of {CLAIM} at {} pending", in_words(rows)),
            at_many,
        ),
        (
            format!("claim of {CLAIM} beside {} completed", in_words(rows)),
            beside_many,
        ),
    ] {
        let name = format!("at {}", in_words(few));
        let few = Baseline {
            name: &name,
            samples: at_few,
        };
        report.add(
            what,
            Unit::Milliseconds,
            samples,
            Some(few),
            Some(Target::AtMost(1.2)),
        );
    }
    Ok(())
}

/// The median of some claims, in milliseconds.
async fn by_store(scene: &Scene, calls: usize) -> anyhow::Result<f64> {
    let store = SqliteStore::open(scene.path()).await?;
    let request = ClaimRequest::new(CLAIM, Duration::from_secs(60));
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let watch = Stopwatch::start();
        let claims = store.claim(&request).await?;
        times.push(watch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(claims.len() == CLAIM, "a claim took {}", claims.len());
    }
    store.close().await;
    Ok(median(&times))
}

fn by_floor(scene: &Scene, calls: usize) -> anyhow::Result<f64> {
    let mut conn = scene.connect()?;
    let token = Uuid::new_v4();
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let watch = Stopwatch::start();
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let claimed = floor::claim(&tx, token, CLAIM)?;
        tx.commit()?;
        times.push(watch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(claimed.len() == CLAIM, "a claim took {}", claimed.len());
    }
    Ok(median(&times))
}
