//! Several worker processes on one outbox.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::{Stopwatch, pause, within};
use outbox_postgres::PostgresStore;
use outbox_runtime::Processor;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::database::Database;
use crate::drain::HANDLERS;
use crate::entity::{MoodEntry, mood};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scenes, count};

/// How often a worker process reports what it has handled.
const REPORTS: Duration = Duration::from_millis(10);

/// How long the processes may take for a backlog, and one of them for its end.
const PATIENCE: Duration = Duration::from_secs(300);

/// Least ratio to one process.
const TARGET: Target = Target::AtLeast(1.0);

/// Arguments of a worker process.
#[derive(Debug, clap::Args)]
pub(crate) struct Work {
    /// The address of the database.
    url: String,
}

/// A worker process: opens the store and says so, delivers once its input has a line, prints the
/// number of events that it has handled whenever that changes, and stops at the end of its input.
pub(crate) async fn work(work: &Work) -> anyhow::Result<()> {
    let store = PostgresStore::connect(&work.url).await?;
    println!("0");
    let mut input = tokio::io::stdin();
    let mut byte = [0];
    if input.read(&mut byte).await? == 0 {
        return Ok(());
    }
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let processor = Processor::builder(store)
        .handle::<MoodEntry>(move |event| {
            if mood(&event).is_some_and(|mood| mood.is_whole()) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            std::future::ready(Ok(()))
        })
        .max_concurrency(HANDLERS)
        .build()?;
    let running = processor.start_all_users();
    let reports = async {
        let mut reported = 0;
        loop {
            pause(REPORTS).await;
            let now = handled.load(Ordering::Relaxed);
            if now != reported {
                println!("{now}");
                reported = now;
            }
        }
    };
    tokio::select! {
        () = reports => {}
        ended = input.read(&mut byte) => {
            ended?;
        }
    }
    running.stop().await?;
    println!("{}", handled.load(Ordering::Relaxed));
    Ok(())
}

/// Worker processes on one database, which have opened it and wait.
pub(crate) struct Workers {
    children: Vec<Child>,
    /// Which process has handled how many.
    reports: mpsc::UnboundedReceiver<(usize, usize)>,
    handled: Vec<usize>,
}

impl Workers {
    pub(crate) async fn start(database: &Database, processes: usize) -> anyhow::Result<Self> {
        let url = database.url()?;
        let (sender, mut reports) = mpsc::unbounded_channel();
        let mut children = Vec::with_capacity(processes);
        for number in 0..processes {
            let mut child = Command::new(std::env::current_exe()?)
                .args(["worker", url.as_str()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let output = child.stdout.take().context("a pipe")?;
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Ok(handled) = line.parse() {
                        // The measurement may have ended.
                        let _ = sender.send((number, handled));
                    }
                }
            });
            children.push(child);
        }
        for _ in 0..processes {
            let ready = within(PATIENCE, reports.recv()).await.flatten();
            ready.context("a worker process did not start")?;
        }
        Ok(Self {
            children,
            reports,
            handled: vec![0; processes],
        })
    }

    /// Lets all of them begin.
    pub(crate) async fn go(&mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            let input = child.stdin.as_mut().context("a pipe")?;
            input.write_all(b"\n").await?;
        }
        Ok(())
    }

    /// Resolves once they have handled this many events together.
    async fn until(&mut self, handled: usize) -> anyhow::Result<()> {
        while self.handled.iter().sum::<usize>() < handled {
            let report = within(PATIENCE, self.reports.recv()).await.flatten();
            let (number, now) = report.context("the worker processes have stopped working")?;
            self.handled[number] = now;
        }
        Ok(())
    }

    /// Resolves once all have recorded their last outcome and ended.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        for mut child in self.children {
            let ended = within(PATIENCE, child.wait()).await;
            let ended = ended.context("a worker process does not end")??;
            anyhow::ensure!(ended.success(), "a worker process failed: {ended}");
        }
        Ok(())
    }
}

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let backlog = scale.backlog;
    let content = Content {
        per_lane: 5,
        ..Content::pending(backlog)
    };
    let template = scenes.outbox_with(content).await?;
    let samples = interleaved(scale.rounds, &[1, 4, 8], async |processes| {
        let database = scenes.copy(&template).await?;
        let mut workers = Workers::start(&database, processes).await?;
        let watch = Stopwatch::start();
        workers.go().await?;
        workers.until(backlog).await?;
        workers.stop().await?;
        let rate = watch.per_second(backlog);
        anyhow::ensure!(count(&database, true).await? == backlog, "events were lost");
        scenes.drop(database).await?;
        Ok(rate)
    })
    .await?;
    scenes.drop(template).await?;
    for (side, processes) in [(1, 4), (2, 8)] {
        let baseline = Baseline {
            name: "1 process",
            samples: &samples[0],
        };
        let what = format!(
            "drain {}, 5 a lane, {processes} worker processes",
            in_words(backlog)
        );
        let unit = Unit::EventsPerSecond;
        report.add(what, unit, &samples[side], Some(baseline), Some(TARGET));
    }
    Ok(())
}
