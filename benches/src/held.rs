//! Claiming 100 events while handlers hold few others, and while they hold many.

use std::time::Duration;

use outbox_contest::Stopwatch;
use outbox_runtime::Durability;
use outbox_runtime::prelude::*;
use outbox_runtime::store::{Claim, ClaimRequest, Disposition, OutboxQueue, Settlement};

use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::{median, turns};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};

/// Events per measured claim.
const CLAIM: usize = 100;
/// Numbers of events that are held meanwhile.
const HELD: [usize; 2] = [16, 1_000];
/// Maximum ratio of a claim beside many held events to one beside few.
const TARGET: Target = Target::AtMost(1.3);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let template = scenes.with(Content::pending(scale.few)).await?;
    let most_held = HELD.into_iter().max().unwrap_or_default();
    let calls = scale.calls.min(scale.few.saturating_sub(most_held) / CLAIM);
    let mut samples = HELD.map(|_| Vec::new());
    for round in 0..scale.rounds {
        let times = in_turns(scenes, &template, calls, round).await?;
        for (samples, times) in samples.iter_mut().zip(times) {
            samples.push(median(&times));
        }
    }
    let [at_few, at_many] = &samples;
    let [few, many] = HELD.map(in_words);
    let name = format!("with {few} held");
    report.add(
        format!("claim of {CLAIM} {name}"),
        Unit::Milliseconds,
        at_few,
        None,
        None,
    );
    let baseline = Baseline {
        name: &name,
        samples: at_few,
    };
    report.add(
        format!("claim of {CLAIM} with {many} held"),
        Unit::Milliseconds,
        at_many,
        Some(baseline),
        Some(TARGET),
    );
    Ok(())
}

/// Durations of claims, in milliseconds, for each number of held events. They alternate claim by
/// claim. Each claim is completed before the next one, so the number of held events stays.
async fn in_turns(
    scenes: &Scenes,
    template: &Scene,
    calls: usize,
    round: usize,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut stores = Vec::with_capacity(HELD.len());
    for held in HELD {
        let scene = scenes.copy(template)?;
        // Without syncs, so that the claim counts and not the disk.
        let store = SqliteStore::builder(scene.path()).durability(Durability::Normal);
        let store = store.open().await?;
        hold(&store, held).await?;
        stores.push((store, scene));
    }
    let mut times = vec![Vec::with_capacity(calls); stores.len()];
    for call in 0..calls {
        for side in turns(round + call, stores.len()) {
            let (store, _) = &stores[side];
            let request = request(CLAIM);
            let watch = Stopwatch::start();
            let claims = store.claim(&request).await?;
            times[side].push(watch.elapsed().as_secs_f64() * 1e3);
            anyhow::ensure!(claims.len() == CLAIM, "a claim took {}", claims.len());
            complete(store, claims).await?;
        }
    }
    for (store, _) in stores {
        store.close().await;
    }
    Ok(times)
}

fn request(limit: usize) -> ClaimRequest {
    ClaimRequest::new(limit, Duration::from_secs(600))
}

/// Claims this many events, as a run does with handlers that take long.
async fn hold(store: &SqliteStore, count: usize) -> anyhow::Result<()> {
    let mut held = 0;
    while held < count {
        let claims = store.claim(&request(CLAIM.min(count - held))).await?;
        anyhow::ensure!(!claims.is_empty(), "there are too few events to hold");
        held += claims.len();
    }
    Ok(())
}

async fn complete(store: &SqliteStore, claims: Vec<Claim>) -> anyhow::Result<()> {
    let settlements = claims
        .into_iter()
        .map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        })
        .collect();
    store.settle(settlements).await?;
    Ok(())
}
