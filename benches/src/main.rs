//! Speed of the outbox, compared with a hand-written program on the same driver in the same run.
//!
//! ```sh
//! cargo run --release -p outbox-benches             # everything, a quarter of an hour
//! cargo run --release -p outbox-benches -- --quick  # smaller, under a minute
//! ```
//!
//! Absolute figures hold for one machine at one time; the ratios are what counts. Each is the
//! median over rounds in which the floor and the store alternate. `docs/performance.md` has a full
//! run and says what is not measured.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::report::Report;
use crate::scale::Scale;

mod entity; // the enqueued entity, and the floor's columns for it
mod floor; // the hand-written program
mod rounds; // alternating rounds
mod scale; // sizes of a run
mod scene; // databases to measure on
mod stopwatch; // the only module that reads the time

mod claim; // a claim among many rows
mod drain; // from a backlog to the last recorded outcome
mod enqueue; // one by one, from many producers, in batches
mod idle; // cost of an idle processor
mod latency; // from enqueueing to the start of the handler
mod memory; // peak memory of a large drain and of a small one
mod redaction; // cost of redacting sensitive values
mod statistics; // counting many rows

mod report; // table, targets, JSON

/// Compares the outbox with a floor: the same rows, written by a hand-written program on the same
/// driver.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Smaller sizes: under a minute.
    #[arg(long)]
    quick: bool,
    /// Number of rows in the large cases. Default: 1,000,000, with --quick 100,000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..=10_000_000))]
    rows: Option<u64>,
    /// Number of rounds, in which floor and store alternate. Default: 5, with --quick 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: Option<u64>,
    /// Run only these: enqueue, drain, claim, latency, statistics, idle, memory, redaction.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Measured>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory for the databases. Default: the directory for temporary files.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Internal, for the memory measurement: drain this database in a process of its own.
    #[arg(long, value_name = "FILE", hide = true)]
    drain_and_tell_memory: Option<PathBuf>,
}

/// The measurements, in the order of the table.
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
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
