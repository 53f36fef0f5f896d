//! Delivers mood entries from a file, through an app and its outbox, to a server that misbehaves,
//! and proves that all of them arrive once and in order. See README.md beside this package's
//! Cargo.toml.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use outbox_runtime::SqliteStore;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::feed::Feed;
use crate::intake::Intake;
use crate::report::Report;
use crate::server::{Server, ledger};
use crate::workdir::Workdir;

// The app, in the order in which a change passes through it.
mod app; // the entity, its table, the set of events
mod delivery; // the processor and its progress
mod feed; // the input
mod intake; // from the input into the app: entity, event and progress in one transaction
mod sync; // the handler
mod tokens; // credentials

// The other side.
mod server; // a service that misbehaves

// The report about both.
mod report; // statistics, dead letters, checks
mod verdict; // the checks

// Shared.
mod hash;
mod workdir; // the working folder

/// Delivers mood entries from a file to a misbehaving server on this machine, and proves that all
/// of them arrived.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The entries, as JSON lines [default: the file that comes with this example]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The folder that the next run continues from [default: outbox-quickstart in the temporary
    /// folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Delete what earlier runs left in the folder, and start over
    #[arg(long)]
    fresh: bool,
}

impl Arguments {
    fn input(&self) -> PathBuf {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mood-entries.jsonl");
        self.input.clone().unwrap_or(shipped)
    }

    fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(Workdir::default_root)
    }
}

/// 0: server and file agree. 1: they differ. 2: the comparison was not reached.
#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    match run(&Arguments::parse()).await {
        Ok(report) => {
            say(&report);
            ExitCode::from(u8::from(!report.agrees()))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    // Read first, so that an unusable input does no harm.
    let feed = Feed::read(&arguments.input())?;
    let workdir = Workdir::open(&arguments.dir())?;
    if arguments.fresh {
        workdir.empty()?;
    }
    let store = SqliteStore::open(workdir.database()).await?;
    let intake = Intake::open(&store, &feed).await?;
    say(&opening(&feed, &workdir, intake.done()));

    let server = Server::start(&workdir.received(), &workdir.accepted()).await?;
    deliver(&store, &feed, intake, &server).await?;
    server.stop().await?;

    let (received, accepted) = ledger::read(&workdir.received(), &workdir.accepted())?;
    let report = Report::of(&feed, &store, &received, &accepted).await?;
    store.close().await;
    Ok(report)
}

/// Takes in the rest of the feed while delivering, until everything is delivered or the user
/// presses Ctrl-C.
async fn deliver(
    store: &SqliteStore,
    feed: &Feed,
    intake: Intake,
    server: &Server,
) -> anyhow::Result<()> {
    let running = delivery::processor(store, &server.base_url())?.start_all_users();
    let (taken, taken_so_far) = watch::channel(0);
    let work = async {
        intake.run(feed, &taken).await?;
        delivery::finish(&running, feed).await
    };
    let done = tokio::select! {
        done = work => done,
        () = delivery::show(store, feed, taken_so_far) => Ok(()),
        Ok(()) = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; run it again to continue")),
    };
    running.stop().await?;
    done
}

fn opening(feed: &Feed, workdir: &Workdir, done: u64) -> String {
    let (input, root) = (feed.path.display(), workdir.root().display());
    let so_far = match feed.lines.last() {
        _ if done == 0 => String::new(),
        Some(last) if last.number > done => {
            format!(", of which line {done} was the last one taken in")
        }
        _ => ", all taken in before".to_owned(),
    };
    let count = feed.lines.len();
    format!("{count} changes from {input}{so_far}\nEverything is kept in {root}\n")
}

/// Ignore a closed stdout.
fn say(text: &impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
