//! The store, the floor and other libraries' queues on the same workloads, each in a program of its
//! own, in turns.

use std::path::{Path, PathBuf};

use clap::Args;
use outbox_bench_kit::contestant::{self, Contestant, Own, Peer};
use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::turns;
use outbox_contest::{Figures, Handlers, Workload};

use crate::database::{Database, Databases};
use crate::drain::HANDLERS;
use crate::scale::in_words;

mod ours; // the store and the floor as contestants

pub(crate) use self::ours::{Who, run_contestant};

/// Arguments of `peers`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Smaller sizes and one round.
    #[arg(long)]
    quick: bool,
    /// Number of rounds, in which all contestants take turns. Default: 5, with --quick 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,
    /// Run only these contestants: ours, ours-five, ours-thousand, floor, graphile-worker,
    /// riverqueue-postgres, apalis-postgres.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Run only the workloads whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    workload: Option<String>,
    /// Seconds after which a slow contestant stops a workload early. Default: 20, with --quick 5.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    limit: Option<u64>,
    /// Also write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The contestants in this program: name and arguments.
const OWN: [Own; 4] = [
    own("ours", &["contestant", "ours"]),
    own("ours-five", &["contestant", "ours-five"]),
    own("ours-thousand", &["contestant", "ours-thousand"]),
    own("floor", &["contestant", "floor"]),
];

const fn own(name: &'static str, arguments: &'static [&'static str]) -> Own {
    Own {
        name,
        note: "",
        arguments,
    }
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "graphile-worker",
        library: "graphile_worker",
        settings: "tuned as in its own benchmark: a local queue of 500, completions in batches, 96 at once",
    },
    Peer {
        name: "riverqueue-postgres",
        library: "riverqueue",
        settings: "wide: 1,000 workers, a fetch each millisecond at most",
    },
    Peer {
        name: "apalis-postgres",
        library: "apalis-postgres",
        settings: "as in its own example: fetches of 100, no lock of a task before it runs, notifications",
    },
];

/// Least ratio of a drain to a peer's.
fn target(peer: &str) -> Option<Target> {
    match peer {
        "graphile-worker" => Some(Target::AtLeast(1.1)),
        "riverqueue-postgres" => Some(Target::AtLeast(1.8)),
        _ => None,
    }
}

/// One workload.
struct Test {
    name: String,
    workload: Workload,
    /// Events that are pending before it.
    backlog: Option<usize>,
}

/// Seconds that making a backlog may take.
const BACKLOG_LIMIT: u64 = 300;

fn tests(quick: bool) -> Vec<Test> {
    let size = |full: usize, small: usize| if quick { small } else { full };
    let test = |name: String, workload, backlog| Test {
        name,
        workload,
        backlog,
    };
    let backlog = size(100_000, 20_000);
    let mut tests = vec![test(
        format!("drain {}, {HANDLERS} handlers", in_words(backlog)),
        Workload::Drain(Handlers { handlers: HANDLERS }),
        Some(backlog),
    )];
    for producers in [1, 64] {
        let events = match producers {
            1 => size(4_000, 500),
            _ => size(40_960, 5_120),
        };
        tests.push(test(
            format!("{producers} producers, one by one"),
            Workload::Enqueue { producers, events },
            None,
        ));
    }
    let (batch, events) = (1_000, size(100_000, 10_000));
    tests.push(test(
        format!("batches of {}", in_words(batch)),
        Workload::Batches {
            size: batch,
            events,
        },
        None,
    ));
    let samples = size(300, 30);
    tests.push(test(
        "latency p50".to_owned(),
        Workload::Latency { samples },
        None,
    ));
    tests
}

pub(crate) async fn compare(options: &Options) -> anyhow::Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let rounds = usize::try_from(rounds)?;
    let limit = options.limit.unwrap_or(if options.quick { 5 } else { 20 });
    let Some(databases) = Databases::start(&[]).await? else {
        return Ok(());
    };
    let contestants = contestants(&options.only).await?;
    anyhow::ensure!(!contestants.is_empty(), "there is nothing to run");
    let mut report = Report::of_rounds(rounds);
    for test in tests(options.quick) {
        let text = options.workload.as_deref().unwrap_or_default();
        if test.name.contains(text) {
            let samples = measure(&databases, &contestants, &test, rounds, limit).await;
            add(&mut report, &contestants, &test, &samples?);
        }
    }
    for contestant in contestants.iter().filter(|one| one.is_peer) {
        println!("{}: {}", contestant.name, contestant.note);
    }
    super::print(&report, options.json.as_deref())
}

/// The wanted contestants, ours first.
async fn contestants(only: &[String]) -> anyhow::Result<Vec<Contestant>> {
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
    contestant::wanted(&OWN, &PEERS, &packages, is_wanted).await
}

/// The figures of each contestant, by rounds. What others do wrong does not end the comparison.
async fn measure(
    databases: &Databases,
    contestants: &[Contestant],
    test: &Test,
    rounds: usize,
    limit: u64,
) -> anyhow::Result<Vec<Vec<Option<Figures>>>> {
    let mut templates = Vec::with_capacity(contestants.len());
    for contestant in contestants {
        let template = databases.create().await?;
        let filled = match test.backlog {
            Some(events) => fill(contestant, &template, events).await,
            None => Ok(()),
        };
        templates.push(tolerate(contestant, test, filled)?.map(|()| template));
    }
    let mut samples = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..rounds {
        for side in turns(round, contestants.len()) {
            let contestant = &contestants[side];
            let Some(template) = &templates[side] else {
                samples[side].push(None);
                continue;
            };
            let database = databases.copy(template).await?;
            let figures = contestant.run(database.url()?, test.workload, limit).await;
            databases.drop(database).await?;
            samples[side].push(tolerate(contestant, test, figures)?);
        }
    }
    for template in templates.into_iter().flatten() {
        databases.drop(template).await?;
    }
    Ok(samples)
}

async fn fill(contestant: &Contestant, template: &Database, events: usize) -> anyhow::Result<()> {
    let workload = Workload::Batches {
        size: 1_000,
        events,
    };
    let figures = contestant
        .run(template.url()?, workload, BACKLOG_LIMIT)
        .await?;
    anyhow::ensure!(
        !figures.is_cut(),
        "the backlog took more than {BACKLOG_LIMIT} seconds"
    );
    Ok(())
}

/// Prints the errors of peers instead of passing them on.
fn tolerate<T>(
    contestant: &Contestant,
    test: &Test,
    result: anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if contestant.is_peer => {
            eprintln!("{}: {}: {error:#}", contestant.name, test.name);
            Ok(None)
        }
        Err(error) => Err(error.context(format!("{}: {}", contestant.name, test.name))),
    }
}

/// Adds a line for each pair of ours and another contestant.
fn add(
    report: &mut Report,
    contestants: &[Contestant],
    test: &Test,
    samples: &[Vec<Option<Figures>>],
) {
    let is_latency = matches!(test.workload, Workload::Latency { .. });
    let figure = |figures: &Figures| match is_latency {
        true => figures.p50.unwrap_or(f64::NAN),
        false => figures.per_second(),
    };
    let unit = match is_latency {
        true => Unit::Milliseconds,
        false => Unit::EventsPerSecond,
    };
    let is_ours = |contestant: &Contestant| contestant.name.starts_with("ours");
    let is_drain = matches!(test.workload, Workload::Drain(_));
    for (ours, own) in contestants.iter().zip(samples) {
        // Lanes make a difference to workers only.
        if !is_ours(ours) || ours.name != "ours" && !is_drain {
            continue;
        }
        for (other, theirs) in contestants.iter().zip(samples) {
            let rounds = own.iter().zip(theirs);
            let (own, known): (Vec<f64>, Vec<f64>) = rounds
                .filter_map(|(own, theirs)| Some((figure(own.as_ref()?), figure(theirs.as_ref()?))))
                .unzip();
            if is_ours(other) || known.is_empty() {
                continue;
            }
            let is_cut = theirs.iter().flatten().any(Figures::is_cut);
            let name = format!(
                "{}{}",
                other.name,
                if is_cut { ", ended early" } else { "" }
            );
            let baseline = Baseline {
                name: &name,
                samples: &known,
            };
            let lanes = match ours.name {
                "ours-five" => ", 5 a lane",
                "ours-thousand" => ", 1,000 a lane",
                _ => "",
            };
            let what = format!("{}{lanes}", test.name);
            let target = is_drain.then(|| target(other.name)).flatten();
            report.add(what, unit, &own, Some(baseline), target);
        }
    }
}
