//! Speed of the PostgreSQL store, compared with a hand-written engine on the same driver, and with
//! other libraries' queues, in the same run.
//!
//! ```sh
//! cargo run --release -p outbox-postgres-benches             # beside the floor: half an hour
//! cargo run --release -p outbox-postgres-benches -- --quick  # smaller, two minutes
//! cargo run --release -p outbox-postgres-benches -- peers    # beside other queues
//! cargo run --release -p outbox-postgres-benches -- --only steady --minutes 10
//! ```
//!
//! The server is started from what is installed, with the settings that PostgreSQL has by itself;
//! commits wait for the disk. Absolute figures hold for one machine at one time; the ratios are
//! what counts. Each is the median over rounds in which all sides take turns.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use outbox_bench_kit::report::Report;

use crate::scale::Scale;
use crate::scene::Scenes;

mod database; // the server and its databases
mod entity; // the enqueued entity
mod floor; // the hand-written engine
mod scale; // sizes of a run
mod scene; // databases to measure on

mod enqueue; // in the caller's transaction
mod many; // batches and many producers

mod drain; // from a backlog to the last recorded outcome
mod held; // beside an old snapshot
mod long; // a million, and minutes of load
mod vacuum; // minutes of load under several settings of autovacuum
mod wide; // several worker processes

mod latency; // from enqueueing to the start of the handler
mod size; // steps and statistics among many rows
mod step; // a claim together with the outcomes of the last one

mod beside; // steps beside open transactions
mod idle; // statements of idle processes

mod peers; // other libraries' queues

/// Compares the PostgreSQL store with a floor, a hand-written engine with only the indices that it
/// needs.
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
    /// Number of rounds, in which all sides take turns. Default: 5, with --quick 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rounds: Option<u64>,
    /// Minutes of steady load, which runs only if `--only steady` or `--only vacuum` asks for it.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Run only these.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Measured>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares the outbox with the floor and with other libraries' queues.
    Peers(peers::Options),
    /// Internal: a worker process.
    #[command(hide = true)]
    Worker(wide::Work),
    /// Internal: runs one workload of `peers`.
    #[command(hide = true)]
    Contestant {
        who: peers::Who,
        #[command(flatten)]
        order: outbox_contest::Order,
    },
}

/// The measurements, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    Enqueue,
    Many,
    Drain,
    Wide,
    Size,
    Million,
    Held,
    Latency,
    Beside,
    Idle,
    /// Minutes of steady load; only if it is named.
    Steady,
    /// The steady load's minutes shared by several settings of autovacuum; only if it is named.
    Vacuum,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.command {
        None => beside_floor(&args.beside_floor).await,
        Some(Command::Peers(options)) => peers::compare(options).await,
        Some(Command::Worker(work)) => wide::work(work).await,
        Some(Command::Contestant { who, order }) => peers::run_contestant(*who, order).await,
    }
}

async fn beside_floor(args: &BesideFloor) -> anyhow::Result<()> {
    let scale = Scale::new(args.quick, args.rows, args.rounds, args.minutes);
    let Some(scenes) = Scenes::start().await? else {
        return Ok(());
    };
    let mut report = Report::of_rounds(scale.rounds);
    for measured in Measured::value_variants() {
        let is_named = args.only.contains(measured);
        if is_named || args.only.is_empty() && !measured.takes_minutes() {
            measured.measure(&scale, &scenes, &mut report).await?;
        }
    }
    print(&report, args.json.as_deref())
}

impl Measured {
    /// Runs only if it is named.
    fn takes_minutes(self) -> bool {
        matches!(self, Self::Steady | Self::Vacuum)
    }

    async fn measure(
        self,
        scale: &Scale,
        scenes: &Scenes,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Enqueue => enqueue::measure(scale, scenes, report).await,
            Self::Many => many::measure(scale, scenes, report).await,
            Self::Drain => drain::measure(scale, scenes, report).await,
            Self::Wide => wide::measure(scale, scenes, report).await,
            Self::Size => size::measure(scale, scenes, report).await,
            Self::Million => long::measure_million(scale, scenes, report).await,
            Self::Held => held::measure(scale, scenes, report).await,
            Self::Latency => latency::measure(scale, scenes, report).await,
            Self::Beside => beside::measure(scale, scenes, report).await,
            Self::Idle => idle::measure(scale, report).await,
            Self::Steady => long::measure_steady(scale, scenes, report).await,
            Self::Vacuum => vacuum::measure(scale, scenes, report).await,
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
