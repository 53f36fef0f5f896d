//! Instructions per event, counted by `valgrind --tool=callgrind`. Unlike times, they hardly depend
//! on what else the machine does.
//!
//! A figure is the difference between a process with few events and one with many, so that starting
//! and stopping cancel out. Databases are prepared in this process, which is not measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use outbox_runtime::enqueue_all;
use outbox_runtime::prelude::*;

use crate::drain::{Drain, Users, drain_floor};
use crate::entity::{MoodEntry, Row};
use crate::floor::Floor;
use crate::report::{Baseline, Report, Target, Unit};
use crate::scene::{Content, Scene, Scenes};

/// Arguments of `instructions`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Number of events in the larger process; the smaller one has 1,000.
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(2_000..=100_000))]
    events: u64,
    /// Directory for the databases and the profiles. Default: the directory for temporary files.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What a counted process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deed {
    /// Enqueues batches of 1,000.
    Batches,
    /// Delivers everything, with 16 handlers.
    Drain,
    /// The same, and deletes each event with its outcome.
    DrainKeepingNothing,
    /// The floor's batches of 1,000.
    FloorBatches,
    /// The floor's drain.
    FloorDrain,
}

/// Arguments of a counted process.
#[derive(Debug, Args)]
pub(crate) struct Counted {
    database: PathBuf,
    deed: Deed,
    users: Users,
    events: usize,
}

const FEW: usize = 1_000;
const BATCH: usize = 1_000;
const HANDLERS: usize = 16;

/// Instructions of one process.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// Of all threads.
    program: u64,
    /// Of the thread that runs most of the statements.
    writer: u64,
}

/// Measures everything, or says in one line that it cannot.
pub(crate) async fn count(options: &Options) -> anyhow::Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions are not counted: valgrind is not installed");
        return Ok(());
    }
    let scenes = Scenes::new(options.dir.as_deref())?;
    let many = usize::try_from(options.events)?;
    let mut report = Report::of_rounds(1);
    let floor_batches = per_event(&scenes, Deed::FloorBatches, Users::All, many).await?;
    let floor_drain = per_event(&scenes, Deed::FloorDrain, Users::All, many).await?;
    for (users, name, batch_target, drain_target) in [
        (Users::All, "runs of all users", 38_000.0, 44_000.0),
        (Users::One, "runs of one user", 34_000.0, 40_000.0),
    ] {
        let batches = per_event(&scenes, Deed::Batches, users, many).await?;
        let drain = per_event(&scenes, Deed::Drain, users, many).await?;
        let keeping_nothing = per_event(&scenes, Deed::DrainKeepingNothing, users, many).await?;
        for (what, ours, floor, target) in [
            (
                "batches of 1 thousand, whole program",
                batches.program,
                floor_batches.program,
                Some(batch_target),
            ),
            (
                "drain, writer's thread",
                drain.writer,
                floor_drain.writer,
                Some(drain_target),
            ),
            (
                "drain, whole program",
                drain.program,
                floor_drain.program,
                None,
            ),
            (
                "drain keeping nothing, writer's thread",
                keeping_nothing.writer,
                floor_drain.writer,
                None,
            ),
        ] {
            let floor = [floor as f64];
            let baseline = Baseline {
                name: "floor",
                samples: &floor,
            };
            report.add(
                format!("{what}, {name}"),
                Unit::Instructions,
                &[ours as f64],
                Some(baseline),
                target.map(Target::Absolute),
            );
        }
    }
    crate::print(&report, options.json.as_deref())
}

/// The difference between many events and few, per event.
async fn per_event(
    scenes: &Scenes,
    deed: Deed,
    users: Users,
    many: usize,
) -> anyhow::Result<Count> {
    let few_count = of_process(&prepare(scenes, deed, users, FEW).await?, deed, users, FEW)?;
    let many_count = of_process(
        &prepare(scenes, deed, users, many).await?,
        deed,
        users,
        many,
    )?;
    let per_event =
        |few: u64, many_count: u64| many_count.saturating_sub(few) / (many - FEW).max(1) as u64;
    Ok(Count {
        program: per_event(few_count.program, many_count.program),
        writer: per_event(few_count.writer, many_count.writer),
    })
}

/// A database for the process, in which runs of these users have been before, so that it has the
/// indices that they need.
async fn prepare(
    scenes: &Scenes,
    deed: Deed,
    users: Users,
    events: usize,
) -> anyhow::Result<Scene> {
    match deed {
        Deed::FloorBatches => return scenes.floor_empty(),
        Deed::FloorDrain => return scenes.floor_with(Content::pending(events)),
        Deed::Batches | Deed::Drain | Deed::DrainKeepingNothing => {}
    }
    let scene = scenes.empty().await?;
    let store = SqliteStore::open(scene.path()).await?;
    // More than a claim takes: only then do users take turns, by an index.
    enqueue_all(&MoodEntry::many(BATCH)).on(&store).await?;
    Drain::of(users, HANDLERS).run(&store, BATCH).await?;
    if deed != Deed::Batches {
        for batch in MoodEntry::many(events).chunks(BATCH) {
            enqueue_all(batch).on(&store).await?;
        }
    }
    store.close().await;
    Ok(scene)
}

/// Runs the process under callgrind.
fn of_process(scene: &Scene, deed: Deed, users: Users, events: usize) -> anyhow::Result<Count> {
    let folder = scene
        .path()
        .parent()
        .context("the database has no directory")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.join("profile").display()
        ))
        .arg(std::env::current_exe()?)
        .arg("counted")
        .arg(scene.path())
        .args([name(&deed)?, name(&users)?, events.to_string()])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "valgrind exited with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let mut count = Count {
        program: 0,
        writer: 0,
    };
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("profile") {
            continue;
        }
        let thread = Thread::read(&entry.path())?;
        count.program += thread.instructions;
        if thread.runs_statements {
            count.writer = count.writer.max(thread.instructions);
        }
    }
    anyhow::ensure!(count.writer > 0, "no profile names SQLite's functions");
    Ok(count)
}

/// One thread's profile.
struct Thread {
    instructions: u64,
    runs_statements: bool,
}

impl Thread {
    fn read(profile: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(profile)?;
        let text = String::from_utf8_lossy(&bytes);
        let totals = text
            .lines()
            .filter_map(|line| line.strip_prefix("totals: "));
        let mut instructions = 0;
        for total in totals {
            instructions += total.trim().parse::<u64>()?;
        }
        Ok(Self {
            instructions,
            runs_statements: text.contains("sqlite3VdbeExec"),
        })
    }
}

/// The name of a value on the command line.
fn name(value: &impl ValueEnum) -> anyhow::Result<String> {
    let value = value.to_possible_value().context("the value has no name")?;
    Ok(value.get_name().to_owned())
}

/// Body of the counted process.
pub(crate) async fn run_counted(counted: &Counted) -> anyhow::Result<()> {
    let Counted {
        database,
        deed,
        users,
        events,
    } = counted;
    match deed {
        Deed::Batches => {
            let store = SqliteStore::open(database).await?;
            for batch in MoodEntry::many(*events).chunks(BATCH) {
                enqueue_all(batch).on(&store).await?;
            }
            store.close().await;
        }
        Deed::Drain | Deed::DrainKeepingNothing => {
            let store = SqliteStore::open(database).await?;
            let mut drain = Drain::of(*users, HANDLERS);
            if *deed == Deed::DrainKeepingNothing {
                drain = drain.keeping_nothing();
            }
            drain.run(&store, *events).await?;
            store.close().await;
        }
        Deed::FloorBatches => {
            let floor = Floor::open(database)?;
            for batch in MoodEntry::many(*events).chunks(BATCH) {
                let rows = batch.iter().map(Row::of).collect::<anyhow::Result<_>>()?;
                floor.insert(rows).await?;
            }
            floor.close()?;
        }
        Deed::FloorDrain => {
            let floor = Floor::open(database)?;
            drain_floor(&floor, *events, HANDLERS).await?;
            floor.close()?;
        }
    }
    Ok(())
}
