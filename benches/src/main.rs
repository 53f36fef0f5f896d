//! How fast the outbox is, beside a hand-written program on the same driver in the same run.
//!
//! ```sh
//! cargo run --release -p outbox-benches             # everything, a quarter of an hour
//! cargo run --release -p outbox-benches -- --quick  # smaller, under a minute
//! ```
//!
//! Absolute figures are those of a machine and an hour; the ratios are what counts. Each is the median over rounds in
//! which the floor and the store take turns. `docs/performance.md` has a full run and says what is not measured.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::report::Report;
use crate::scale::Scale;

mod entity; // what is enqueued, and the columns that the floor writes for it
mod floor; // the hand-written program
mod rounds; // taking turns
mod scale; // how much of everything
mod scene; // databases to work on, and taking them away again
mod stopwatch; // the only place that asks for the time

mod claim; // a claim among many rows
mod drain; // from a backlog to the last recorded outcome
mod enqueue; // one by one, by many at once, in batches
mod idle; // what it costs to wait
mod latency; // from enqueueing to the start of the handler
mod memory;
mod redaction; // how long a text is searched for what is sensitive
mod statistics; // counting many rows // draining much needs no more than draining little

mod report; // the table, the targets, the JSON

/// Measures the outbox beside a floor: the same rows written by hand on the same driver, in the same run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Less of everything: under a minute.
    #[arg(long)]
    quick: bool,
    /// How many rows the large cases have. Default: 1,000,000, with --quick 100,000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..=10_000_000))]
    rows: Option<u64>,
    /// How often floor and store take turns. Default: 5, with --quick 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: Option<u64>,
    /// Only these: enqueue, drain, claim, latency, statistics, idle, memory, redaction.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Measured>,
    /// Writes the figures to this file too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the databases are while they are measured. Default: the folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What a process of its own does when memory is measured: drains this database.
    #[arg(long, value_name = "FILE", hide = true)]
    drain_and_tell_memory: Option<PathBuf>,
}

/// What can be measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Measured {
    Enqueue,
    Drain,
    Claim,
    Latency,
    Statistics,
    Idle,
    Memory,
    Redaction,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(database) = &args.drain_and_tell_memory {
        return memory::drain_and_tell(database).await;
    }
    let scale = Scale::new(args.quick, args.rows, args.rounds);
    let scenes = scene::Scenes::new(args.dir.as_deref())?;
    let mut report = Report::new(&scale);
    let wanted = |measured| args.only.is_empty() || args.only.contains(&measured);
    if wanted(Measured::Enqueue) {
        enqueue::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Drain) {
        drain::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Claim) {
        claim::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Latency) {
        latency::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Statistics) {
        statistics::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Idle) {
        idle::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Memory) {
        memory::measure(&scale, &scenes, &mut report).await?;
    }
    if wanted(Measured::Redaction) {
        redaction::measure(&scale, &mut report).await?;
    }
    println!("{report}");
    if let Some(file) = &args.json {
        std::fs::write(file, report.to_json()?)
            .with_context(|| format!("{} could not be written", file.display()))?;
    }
    Ok(())
}
