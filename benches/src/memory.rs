//! Peak memory of processes that each do one thing: drain a small backlog, drain a large one,
//! enqueue a large batch, deliver to many users.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;

use crate::drain::drain;
use crate::entity::MoodEntry;
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::interleaved;
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes, counts};

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Deed {
    /// Delivers everything in the database.
    Drain,
    /// Enqueues one batch.
    Batch,
    /// Enqueues events of as many users, in batches of 1,000, and delivers them.
    Users,
}

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (few, rows) = (scale.few, scale.rows);
    let templates = [
        scenes.with(Content::pending(few)).await?,
        scenes.with(Content::pending(rows)).await?,
        scenes.empty().await?,
    ];
    let sides = [
        (&templates[0], Deed::Drain, few),
        (&templates[1], Deed::Drain, rows),
        (&templates[2], Deed::Batch, scale.batch),
        (&templates[2], Deed::Users, scale.users),
    ];
    let samples = interleaved(scale.rounds, &sides, async |(template, deed, count)| {
        in_a_process_of_its_own(&scenes.copy(template)?, deed, count)
    })
    .await?;
    let Some((at_few, others)) = samples.split_first() else {
        return Ok(());
    };
    let name = format!("draining {}", in_words(few));
    let what = [
        (
            format!("draining {}", in_words(rows)),
            Some(Target::AtMost(1.2)),
        ),
        (
            format!(
                "enqueueing {} as one batch, entities included",
                in_words(scale.batch)
            ),
            None,
        ),
        (
            format!("delivering to {} users", in_words(scale.users)),
            None,
        ),
    ];
    for ((what, target), samples) in what.into_iter().zip(others) {
        let baseline = Baseline {
            name: &name,
            samples: at_few,
        };
        let what = format!("peak memory, {what}");
        report.add(what, Unit::Mebibytes, samples, Some(baseline), target);
    }
    Ok(())
}

/// Mebibytes.
fn in_a_process_of_its_own(scene: &Scene, deed: Deed, count: usize) -> anyhow::Result<f64> {
    let deed = match deed {
        Deed::Drain => "drain",
        Deed::Batch => "batch",
        Deed::Users => "users",
    };
    let child = Command::new(std::env::current_exe()?)
        .arg("peak-memory")
        .arg(scene.path())
        .arg(deed)
        .arg(count.to_string())
        .output()?;
    anyhow::ensure!(
        child.status.success(),
        "the measured process exited with {}: {}",
        child.status,
        String::from_utf8_lossy(&child.stderr)
    );
    let kibibytes: f64 = String::from_utf8(child.stdout)?.trim().parse()?;
    Ok(kibibytes / 1024.0)
}

/// Body of the measured process: prints its peak memory.
pub(crate) async fn tell(database: &Path, deed: Deed, count: usize) -> anyhow::Result<()> {
    let store = SqliteStore::open(database).await?;
    match deed {
        Deed::Drain => drain(&store, count, 16).await?,
        Deed::Batch => {
            enqueue_all(&MoodEntry::many(count)).on(&store).await?;
        }
        Deed::Users => {
            for batch in 0..count.div_ceil(1_000) {
                let first = batch * 1_000;
                let moods: Vec<_> = (first..count.min(first + 1_000))
                    .map(|number| MoodEntry::of_user(number, count))
                    .collect();
                enqueue_all(&moods).on(&store).await?;
            }
            drain(&store, count, 16).await?;
        }
    }
    let peak = peak()?;
    let (pending, completed) = counts(&store).await?;
    store.close().await;
    let expected = match deed {
        Deed::Batch => (count, 0),
        Deed::Drain | Deed::Users => (0, count),
    };
    anyhow::ensure!((pending, completed) == expected, "events were lost");
    println!("{peak}");
    Ok(())
}

/// Peak resident memory of this process, in kibibytes.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.context("the kernel does not report the peak memory")?;
    Ok(text.trim().trim_end_matches(" kB").trim().parse()?)
}
