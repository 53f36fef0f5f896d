//! The store, the floor and other libraries' queues on the same workloads, each in a program of its
//! own, in turns.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use outbox_bench_kit::contestant::Contestant;

use self::place::Places;
use self::results::Results;
use self::workloads::{Medium, Test, tests};
use crate::rounds::turns;

mod contestant; // whose programs take part
mod ours; // the store and the floor as contestants
mod place; // directories, and backlogs to copy
mod results; // table, ratios, JSON
mod workloads; // what is measured, and the targets

pub(crate) use self::ours::{Who, run_contestant};

/// Arguments of `peers`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Smaller sizes and one round: about two minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Number of rounds, in which all contestants take turns. Default: 5, with --quick 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,
    /// Run only these contestants: ours, floor, effectum, honker, riverqueue.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Run only the workloads whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    workload: Option<String>,
    /// Directory on a disk. Default: the directory for temporary files.
    #[arg(long, value_name = "FOLDER")]
    disk: Option<PathBuf>,
    /// Directory in memory.
    #[arg(long, value_name = "FOLDER", default_value = "/dev/shm")]
    memory: PathBuf,
    /// Seconds after which a slow contestant stops a workload early. Default: 20, with --quick 5.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    limit: Option<u64>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) async fn compare(options: &Options) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let rounds = usize::try_from(rounds)?;
    let limit = options.limit.unwrap_or(if options.quick { 5 } else { 20 });
    let is_wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|n| n == name);
    let contestants = contestant::all(is_wanted).await?;
    let tests: Vec<Test> = tests(options.quick)
        .into_iter()
        .filter(|test| {
            let text = options.workload.as_deref().unwrap_or_default();
            test.name.contains(text)
        })
        .collect();
    anyhow::ensure!(
        !contestants.is_empty() && !tests.is_empty(),
        "there is nothing to run"
    );
    let disk = options.disk.clone().unwrap_or_else(std::env::temp_dir);
    let mut results = Results::new(rounds, &contestants);
    for (medium, folder) in [(Medium::Memory, &options.memory), (Medium::Disk, &disk)] {
        if !folder.is_dir() {
            eprintln!(
                "{}: skipped, {} is no directory",
                medium.name(),
                folder.display()
            );
            continue;
        }
        for test in &tests {
            measure(
                &contestants,
                medium,
                folder,
                test,
                rounds,
                limit,
                &mut results,
            )
            .await?;
        }
    }
    println!("{results}");
    if let Some(file) = &options.json {
        std::fs::write(file, results.to_json()?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Runs one workload in all rounds, and adds its line to the results.
async fn measure(
    contestants: &[Contestant],
    medium: Medium,
    folder: &Path,
    test: &Test,
    rounds: usize,
    limit: u64,
    results: &mut Results,
) -> anyhow::Result<()> {
    let mut places = Vec::with_capacity(contestants.len());
    for contestant in contestants {
        places.push(Places::new(folder, contestant, test.backlog).await);
    }
    let mut samples = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..rounds {
        for side in turns(round, contestants.len()) {
            let contestant = &contestants[side];
            let figures = match &places[side] {
                Ok(places) => {
                    let place = places.next()?;
                    contestant.run(place.path(), test.workload, limit).await
                }
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            let figures = match figures {
                Ok(figures) => Some(figures),
                Err(error) => {
                    let (name, medium) = (contestant.name, medium.name());
                    let error = error.context(format!("{name}: {}, {medium}", test.name));
                    // What others do wrong does not end the comparison.
                    if !contestant.is_peer {
                        return Err(error);
                    }
                    eprintln!("{error:#}");
                    None
                }
            };
            samples[side].push(figures);
        }
    }
    results.add(medium, test, &samples);
    Ok(())
}
