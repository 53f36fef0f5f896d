//! Claiming 100 events and committing, with few rows and with many.

use std::time::Duration;

use outbox_contest::Stopwatch;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::TransactionBehavior;
use outbox_runtime::store::ClaimRequest;
use uuid::Uuid;

use crate::floor;
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::{median, turns};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};

/// Events per claim.
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
    let floor = scenes.floor_with(Content::pending(few))?;
    // No more calls than there are events for.
    let calls = scale.calls.min(few / CLAIM);
    let mut samples = vec![Vec::new(); templates.len() + 1];
    for round in 0..scale.rounds {
        let times = in_turns(scenes, &templates, &floor, calls, round).await?;
        for (samples, times) in samples.iter_mut().zip(times) {
            samples.push(median(&times));
        }
    }
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

/// Durations of claims, in milliseconds: of a store on a copy of each template, then of the floor
/// on a copy of its own. They alternate claim by claim, so that other load on the machine affects
/// all of them equally.
async fn in_turns(
    scenes: &Scenes,
    templates: &[Scene],
    floor: &Scene,
    calls: usize,
    round: usize,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut stores = Vec::with_capacity(templates.len());
    for template in templates {
        let scene = scenes.copy(template)?;
        stores.push((SqliteStore::open(scene.path()).await?, scene));
    }
    let of_floor = scenes.copy(floor)?;
    let mut conn = floor::connect(of_floor.path())?;
    let (request, token) = (
        ClaimRequest::new(CLAIM, Duration::from_secs(60)),
        Uuid::new_v4(),
    );
    let sides = stores.len() + 1;
    let mut times = vec![Vec::with_capacity(calls); sides];
    for call in 0..calls {
        for side in turns(round + call, sides) {
            let watch = Stopwatch::start();
            let claimed = match stores.get(side) {
                Some((store, _)) => store.claim(&request).await?.len(),
                None => {
                    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    let claimed = floor::claim(&tx, token, CLAIM)?.len();
                    tx.commit()?;
                    claimed
                }
            };
            times[side].push(watch.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(claimed == CLAIM, "a claim took {claimed}");
        }
    }
    for (store, _) in stores {
        store.close().await;
    }
    Ok(times)
}
