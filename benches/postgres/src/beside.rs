//! The slowest step of a worker beside applications whose transactions stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use outbox_bench_kit::report::{Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::{Stopwatch, pause};
use tokio::task::JoinSet;

use crate::entity::MoodEntry;
use crate::scale::Scale;
use crate::scene::{Scenes, count, open};
use crate::step::Stepper;

/// Sessions that enqueue, and workers.
const SESSIONS: usize = 8;
const WORKERS: usize = 4;

/// Lanes that all of them share.
const LANES: usize = 20;

/// Events per claim.
const CLAIM: usize = 10;

/// How long most transactions stay open, and each eighth session's.
const OPEN: Duration = Duration::from_millis(20);
const LONG_OPEN: Duration = Duration::from_millis(300);

/// Most of a step, in milliseconds.
const TARGET: Target = Target::Absolute(50.0);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut medians = Vec::with_capacity(scale.rounds);
    let samples = interleaved(scale.rounds, &[()], async |()| {
        let times = step_times(scale, scenes).await?;
        let share = |share| outbox_contest::percentile(&times, share);
        medians.push(share(0.5));
        Ok(share(1.0))
    })
    .await?;
    let unit = Unit::Milliseconds;
    let what = "slowest step of a worker beside open transactions";
    report.add(what, unit, &samples[0], None, Some(TARGET));
    let what = "median step of a worker beside open transactions";
    report.add(what, unit, &medians, None, None);
    Ok(())
}

/// The times of all steps, in milliseconds.
async fn step_times(scale: &Scale, scenes: &Scenes) -> anyhow::Result<Vec<f64>> {
    let database = scenes.outbox().await?;
    let time = scale.time * 2;
    let is_over = Arc::new(AtomicBool::new(false));
    let committed = Arc::new(AtomicUsize::new(0));
    let mut sessions: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let watch = Stopwatch::start();
    for session in 0..SESSIONS {
        let mut client = database.connect().await?;
        let committed = Arc::clone(&committed);
        sessions.spawn(async move {
            for transaction in session.. {
                if watch.elapsed() > time {
                    break;
                }
                let tx = client.transaction().await?;
                let events = 1 + transaction % 3;
                for event in 0..events {
                    let lane = (transaction * 7 + event * 3) % LANES;
                    let mood = MoodEntry::of_lane(transaction, lane);
                    mood.enqueue_update().on(&tx).await?;
                }
                pause(if session == 0 { LONG_OPEN } else { OPEN }).await;
                if transaction % 7 == 0 {
                    tx.rollback().await?;
                } else {
                    tx.commit().await?;
                    committed.fetch_add(events, Ordering::SeqCst);
                }
            }
            Ok(())
        });
    }
    let mut workers: JoinSet<anyhow::Result<(usize, Vec<f64>)>> = JoinSet::new();
    for _ in 0..WORKERS {
        let store = open(&database).await?;
        let is_over = Arc::clone(&is_over);
        workers.spawn(async move {
            let mut stepper = Stepper::new(store);
            let (mut delivered, mut times) = (0, Vec::new());
            loop {
                let was_over = is_over.load(Ordering::SeqCst);
                let watch = Stopwatch::start();
                let claimed = stepper.step(CLAIM).await?;
                times.push(watch.elapsed().as_secs_f64() * 1e3);
                delivered += claimed;
                if claimed == 0 {
                    if was_over {
                        return Ok((delivered, times));
                    }
                    pause(Duration::from_millis(1)).await;
                }
            }
        });
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    // What waits behind a note is claimable a moment later.
    pause(Duration::from_millis(200)).await;
    is_over.store(true, Ordering::SeqCst);
    let (mut delivered, mut times) = (0, Vec::new());
    while let Some(ended) = workers.join_next().await {
        let (of_worker, steps) = ended??;
        delivered += of_worker;
        times.extend(steps);
    }
    let committed = committed.load(Ordering::SeqCst);
    anyhow::ensure!(
        delivered == committed && count(&database, false).await? == 0,
        "{committed} were committed, {delivered} delivered"
    );
    scenes.drop(database).await?;
    Ok(times)
}
