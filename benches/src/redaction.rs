//! Cost of redacting sensitive values in a text: the time to search it, and how long that blocks
//! the run's thread.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use outbox_contest::Stopwatch;
use outbox_runtime::prelude::*;
use outbox_runtime::support::Redaction;
use serde::{Deserialize, Serialize};

use crate::cpu::thread_time;
use crate::report::{Report, Target, Unit};
use crate::scale::Scale;

/// Number of values, of some forty bytes each, which together are close to the metadata limit.
const VALUES: usize = 20_000;
const TEXT_BYTES: usize = 1_000_000;
/// Limit for blocking the thread.
const MOST_MILLISECONDS: f64 = 5.0;

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "diary", snapshot, max_attempts = 1)]
struct Diary {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(sensitive)]
    entries: Vec<String>,
}

fn entries() -> Vec<String> {
    (0..VALUES)
        .map(|number| format!("on day {number} I wrote as much as this"))
        .collect()
}

/// A service that echoes everything.
fn text(entries: &[String]) -> String {
    let mut text = entries.join(", ");
    text.truncate(TEXT_BYTES);
    let missing = TEXT_BYTES.saturating_sub(text.len());
    text + &"x".repeat(missing)
}

pub(crate) async fn measure(scale: &Scale, report: &mut Report) -> anyhow::Result<()> {
    let entries = entries();
    let text = text(&entries);
    let mut searched = Vec::new();
    for _ in 0..scale.rounds {
        let mut redaction = Redaction::default();
        let text = text.clone();
        let stopwatch = Stopwatch::start();
        redaction.hide(&entries);
        let redacted = redaction.apply(text);
        searched.push(stopwatch.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(
            !redacted.contains("I wrote"),
            "the text still shows a value"
        );
    }
    let what = "redaction of 20,000 values x 1 MB, on any thread".to_owned();
    report.add(what, Unit::Milliseconds, &searched, None, None);

    let (mut held, mut waited) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let (entries, text) = (entries.clone(), text.clone());
        let longest = on_a_thread(move || longest_wait(entries, text)).await??;
        held.push(longest.held.as_secs_f64() * 1e3);
        waited.push(longest.waited.as_secs_f64() * 1e3);
    }
    let what = "the same: CPU time that blocks the run's only thread".to_owned();
    let most = Some(Target::Absolute(MOST_MILLISECONDS));
    report.add(what, Unit::Milliseconds, &held, None, most);
    let what = "the same in wall-clock time, other load included".to_owned();
    report.add(what, Unit::Milliseconds, &waited, None, None);
    Ok(())
}

/// Longest time for which other work had to wait.
#[derive(Debug, Default)]
struct Longest {
    /// CPU time of the thread.
    held: Duration,
    /// Wall-clock time.
    waited: Duration,
}

/// A point in time, on both clocks.
#[derive(Clone, Copy)]
struct Moment {
    worked: Duration,
    at: Stopwatch,
}

impl Moment {
    fn now() -> Self {
        Self {
            worked: thread_time(),
            at: Stopwatch::start(),
        }
    }
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// Longest wait of an always-ready task for its turn, from a handler's answer to the recorded
/// outcome.
fn longest_wait(entries: Vec<String>, text: String) -> anyhow::Result<Longest> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let store = MemoryStore::new();
        let diary = Diary {
            id: 1,
            user_id: "user-1".to_owned(),
            entries,
        };
        diary.enqueue_sync().on(&store).await?;
        let answered = Arc::new(OnceLock::new());
        let told = Arc::clone(&answered);
        let processor = Processor::builder(store.clone())
            .handle::<Diary>(move |_| {
                let error = HandlerError::permanent(text.clone());
                let _ = told.set(Moment::now());
                std::future::ready(Err(error))
            })
            .build()?;
        let running = processor.start_all_users();
        let mut flushed = std::pin::pin!(running.flush(1, Duration::from_secs(30)));
        let mut longest = Longest::default();
        let mut before: Option<Moment> = None;
        loop {
            tokio::select! {
                biased;
                ended = &mut flushed => {
                    anyhow::ensure!(!ended?.is_delivered(), "the event was delivered instead of refused");
                    break;
                }
                () = tokio::task::yield_now() => {}
            }
            if let Some(answered) = answered.get() {
                let now = Moment::now();
                let before = before.replace(now).unwrap_or(*answered);
                let held = now.worked.saturating_sub(before.worked);
                longest.held = longest.held.max(held);
                longest.waited = longest.waited.max(now.at.since(before.at));
            }
        }
        running.stop().await?;
        Ok(longest)
    })
}
