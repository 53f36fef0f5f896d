#!/usr/bin/env bash
# effectum counts each retry of one job against every other job of the queue.
#
# Installs: effectum 0.7.0 and tokio 1.48.0, by cargo. Needs cargo and a C compiler.
#
# Expected: a job has its own retries. `Retries::max_retries` is "how many times to retry a job
# before it is considered to have failed permanently", and `JobStatus::current_try` and `run_info`
# are a job's own runs.
#
# What happens: when a job is to be retried, one statement adds 1 to `current_try` and appends the
# failed run to `run_info`, for all jobs of the queue: it has no condition. After one job was
# retried three times,
# - a job that waits has used up its three retries before it ran: its first failure is final;
# - a job that succeeded long ago has three failed runs more in its history.
# There is no error. The back-off grows in the same way, as it is a power of `current_try`.
#
# Why it matters: a queue in SQLite is a peer of an outbox in SQLite. One job that a service refuses
# uses up the attempts of all that wait beside it, and a short outage afterward makes them fail for
# good at their first try. Only a queue in which no job is ever retried is spared.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "check"
version = "0.0.0"
edition = "2024"

[dependencies]
effectum = "=0.7.0"
tokio = { version = "=1.48.0", features = ["macros", "rt", "time"] }

[workspace]
TOML
cat >src/main.rs <<'RS'
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use effectum::{Job, JobBuilder, JobRunner, JobState, JobStatus, Queue, RunningJob, Worker};

type Answer = Result<(), String>;

static RUNS: AtomicU32 = AtomicU32::new(0);

async fn refused(_: RunningJob, _: ()) -> Answer {
    Err("refused".into())
}

async fn once(_: RunningJob, _: ()) -> Answer {
    match RUNS.fetch_add(1, Ordering::Relaxed) {
        0 => Err("out of reach".into()),
        _ => Ok(()),
    }
}

async fn well(_: RunningJob, _: ()) -> Answer {
    Ok(())
}

/// A job that may be retried three times, without a delay.
fn job(kind: &'static str) -> JobBuilder {
    Job::builder(kind).max_retries(3).backoff_initial_interval(Duration::ZERO)
}

/// Adds jobs, and works until the last of them is over.
async fn run(queue: &Queue, runner: JobRunner<()>, job: Job) -> Result<JobStatus, Box<dyn Error>> {
    let id = job.id;
    if queue.get_job_status(id).await.is_err() {
        queue.add_job(job).await?;
    }
    let worker = Worker::builder(queue, ()).jobs([runner]).build().await?;
    let status = loop {
        let status = queue.get_job_status(id).await?;
        if matches!(status.state, JobState::Succeeded | JobState::Failed) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    worker.unregister(None).await?;
    Ok(status)
}

fn once_runner() -> JobRunner<()> {
    JobRunner::builder("once", once).build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("effectum 0.7.0");

    let alone = Queue::new(Path::new("alone.db")).await?;
    let status = run(&alone, once_runner(), job("once").build()).await?;
    let runs = RUNS.swap(0, Ordering::Relaxed);
    assert_eq!((status.state, runs), (JobState::Succeeded, 2), "control: it is retried");
    println!("alone: {} after {runs} runs", status.state);

    let queue = Queue::new(Path::new("beside.db")).await?;
    let waits = job("once").build();
    queue.add_job(waits.clone()).await?;
    let done = job("well").build();
    let before = run(&queue, JobRunner::builder("well", well).build(), done.clone()).await?;
    assert_eq!((before.state, before.run_info.len()), (JobState::Succeeded, 1), "control");

    let other = run(&queue, JobRunner::builder("refused", refused).build(), job("refused").build());
    assert_eq!(other.await?.state, JobState::Failed, "control: it is given up");

    let after = queue.get_job_status(done.id).await?;
    println!("a job that had succeeded: {} runs in its history, before {}",
        after.run_info.len(), before.run_info.len());
    assert_eq!(after.run_info.len(), 4, "changed: its history is its own");

    let status = queue.get_job_status(waits.id).await?;
    println!("a job that waits: {}, current_try {:?}", status.state, status.current_try);
    assert_eq!(status.current_try, Some(3), "changed: its tries are its own");

    let status = run(&queue, once_runner(), waits).await?;
    let runs = RUNS.load(Ordering::Relaxed);
    println!("the same job: {} after {runs} run", status.state);
    assert_eq!((status.state, runs), (JobState::Failed, 1), "changed: it is retried");
    Ok(())
}
RS
cargo build --quiet
timeout 60 target/debug/check
