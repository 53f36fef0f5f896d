//! Speed of the outbox, compared with a hand-written engine on the same driver, and with other
//! libraries' queues, in the same run.
//!
//! ```sh
//! cargo run --release -p outbox-benches                  # beside the floor: half an hour
//! cargo run --release -p outbox-benches -- --quick       # smaller, two minutes
//! cargo run --release -p outbox-benches -- peers         # beside other queues: half an hour
//! cargo run --release -p outbox-benches -- instructions  # under valgrind: a minute
//! ```
//!
//! Absolute figures hold for one machine at one time; the ratios are what counts. Each is the
//! median over rounds in which all sides take turns. `docs/performance.md` has the figures of a
//! full run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum as _};
use outbox_bench_kit::{report, rounds};

use crate::report::Report;
use crate::scale::Scale;

mod cpu; // CPU time of a thread
mod entity; // the enqueued entity, and the floor's columns for it
mod floor; // the hand-written engine
mod scale; // sizes of a run
mod scene; // databases to measure on

mod claim; // a claim among many rows
mod drain; // from a backlog to the last recorded outcome
mod enqueue; // one by one, from many producers, in batches
mod held; // a claim while handlers hold many events
mod idle; // cost of an idle processor
mod latency; // from enqueueing to the start of the handler
mod memory; // peak memory
mod redaction; // cost of redacting sensitive values
mod size; // bytes on disk
mod statistics; // counting many rows

mod instructions; // instructions per event
mod peers; // other libraries' queues

/// Compares the outbox with a floor, a hand-written engine with only the index that it needs.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    beside_floor: BesideFloor,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Args)]
struct BesideFloor {
    /// Smaller sizes: about two minutes.
    #[arg(long)]
    quick: bool,
    /// Number of rows in the large cases. Default: 1,000,000, with --quick 100,000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20_000..=10_000_000))]
    rows: Option<u64>,
    /// Number of rounds, in which floor and store alternate. Default: 5, with --quick 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: Option<u64>,
    /// Run only these.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Measured>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory for the databases. Default: the directory for temporary files.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares the outbox with the floor and with other libraries' queues.
    Peers(peers::Options),
    /// Counts instructions per event with valgrind.
    Instructions(instructions::Options),
    /// Internal: runs one workload of `peers`.
    #[command(hide = true)]
    Contestant {
        who: peers::Who,
        #[command(flatten)]
        order: outbox_contest::Order,
    },
    /// Internal: the process that `instructions` counts.
    #[command(hide = true)]
    Counted(instructions::Counted),
    /// Internal: the process whose peak memory is measured.
    #[command(hide = true)]
    PeakMemory {
        database: PathBuf,
        deed: memory::Deed,
        count: usize,
    },
}

/// The measurements, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Measured {
    Enqueue,
    Drain,
    Claim,
    Held,
    Latency,
    Statistics,
    Idle,
    Memory,
    Size,
    Redaction,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.command {
        None => beside_floor(&args.beside_floor).await,
        Some(Command::Peers(options)) => peers::compare(options).await,
        Some(Command::Instructions(options)) => instructions::count(options).await,
        Some(Command::Contestant { who, order }) => peers::run_contestant(*who, order).await,
        Some(Command::Counted(counted)) => instructions::run_counted(counted).await,
        Some(Command::PeakMemory {
            database,
            deed,
            count,
        }) => memory::tell(database, *deed, *count).await,
    }
}

async fn beside_floor(args: &BesideFloor) -> anyhow::Result<()> {
    let scale = Scale::new(args.quick, args.rows, args.rounds);
    let scenes = scene::Scenes::new(args.dir.as_deref())?;
    let mut report = Report::of_rounds(scale.rounds);
    for measured in Measured::value_variants() {
        if args.only.is_empty() || args.only.contains(measured) {
            measured.measure(&scale, &scenes, &mut report).await?;
        }
    }
    print(&report, args.json.as_deref())
}

impl Measured {
    async fn measure(
        self,
        scale: &Scale,
        scenes: &scene::Scenes,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Enqueue => enqueue::measure(scale, scenes, report).await,
            Self::Drain => drain::measure(scale, scenes, report).await,
            Self::Claim => claim::measure(scale, scenes, report).await,
            Self::Held => held::measure(scale, scenes, report).await,
            Self::Latency => latency::measure(scale, scenes, report).await,
            Self::Statistics => statistics::measure(scale, scenes, report).await,
            Self::Idle => idle::measure(scale, scenes, report).await,
            Self::Memory => memory::measure(scale, scenes, report).await,
            Self::Size => size::measure(scale, scenes, report).await,
            Self::Redaction => redaction::measure(scale, report).await,
        }
    }
}

/// Prints the report, and writes it to the file.
fn print(report: &Report, json: Option<&Path>) -> anyhow::Result<()> {
    println!("{report}");
    if let Some(file) = json {
        std::fs::write(file, report.to_json()?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
