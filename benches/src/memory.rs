//! Peak memory of a process that drains a small backlog, and of one that drains a large one.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use outbox_runtime::OutboxRepository;
use outbox_runtime::prelude::*;

use crate::drain::drain;
use crate::report::{Baseline, Report, Target, Unit};
use crate::rounds::interleaved;
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (few, rows) = (scale.few, scale.rows);
    let templates = [
        scenes.with(Content::pending(few)).await?,
        scenes.with(Content::pending(rows)).await?,
    ];
    let samples = interleaved(scale.rounds, &[0, 1], async |side: usize| {
        in_a_process_of_its_own(&scenes.copy(&templates[side])?)
    })
    .await?;
    let [at_few, at_many] = &samples[..] else {
        return Ok(());
    };
    let name = format!("draining {}", in_words(few));
    let baseline = Baseline {
        name: &name,
        samples: at_few,
    };
    let what = format!("peak memory, draining {}", in_words(rows));
    report.add(
        what,
        Unit::Mebibytes,
        at_many,
        Some(baseline),
        Some(Target::AtMost(1.2)),
    );
    Ok(())
}

/// Mebibytes.
fn in_a_process_of_its_own(scene: &Scene) -> anyhow::Result<f64> {
    let child = Command::new(std::env::current_exe()?)
        .arg("--drain-and-tell-memory")
        .arg(scene.path())
        .output()?;
    anyhow::ensure!(
        child.status.success(),
        "the draining process exited with {}: {}",
        child.status,
        String::from_utf8_lossy(&child.stderr)
    );
    let kibibytes: f64 = String::from_utf8(child.stdout)?.trim().parse()?;
    Ok(kibibytes / 1024.0)
}

/// Body of the measured process.
pub(crate) async fn drain_and_tell(database: &Path) -> anyhow::Result<()> {
    let store = SqliteStore::open(database).await?;
    let backlog = store.statistics(None).await?.pending_count;
    drain(&store, usize::try_from(backlog)?, 16).await?;
    store.close().await;
    println!("{}", peak()?);
    Ok(())
}

/// Peak resident memory of this process, in kibibytes.
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.context("the kernel does not report the peak memory")?;
    Ok(text.trim().trim_end_matches(" kB").trim().parse()?)
}
