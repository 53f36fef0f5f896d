//! Delivery: building the processor, waiting for the end of its work, and the progress bar.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use outbox_runtime::{Flushed, OutboxRepository, Processor, Running, SqliteStore};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::app::LumeEvent;
use crate::feed::Feed;
use crate::sync::LumeSync;
use crate::tokens::Tokens;

/// The longest wait for an entry. It exceeds the longest pause before an event's last attempt.
const PATIENCE: Duration = Duration::from_secs(180);

/// Builds the processor for the service at `base_url`.
pub(crate) fn processor(store: &SqliteStore, base_url: &str) -> anyhow::Result<Processor> {
    let http = reqwest::Client::builder()
        // The service is on this machine: ignore a proxy of the environment.
        .no_proxy()
        // Only a connect timeout tells a dead network from a slow service.
        .connect_timeout(Duration::from_secs(2))
        // The answer of a login page is not a delivery.
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let tokens = Arc::new(Tokens::new(http.clone(), base_url));
    let sync = LumeSync::new(http, base_url, Arc::clone(&tokens));
    let processor = Processor::builder(store.clone())
        .handlers(LumeEvent::handled_by(sync))
        .on_unauthenticated(move |user| {
            let tokens = Arc::clone(&tokens);
            async move { Ok(tokens.renew(&user).await?) }
        })
        .max_concurrency(16)
        // A short lease, so that the events of a killed run are claimed again after seconds instead
        // of a minute.
        .lease(Duration::from_secs(5))
        .timeout(Duration::from_secs(4))
        .build()?;
    Ok(processor)
}

/// Waits until every entry of the feed is delivered, or blocked by a dead letter. The report finds
/// whatever is late.
pub(crate) async fn finish(running: &Running, feed: &Feed) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    for line in &feed.lines {
        if seen.insert(line.id)
            && let Flushed::TimedOut(explanation) = running.flush(line.id, PATIENCE).await?
        {
            eprintln!("not waiting any longer: {explanation}");
            return Ok(());
        }
    }
    Ok(())
}

/// Shows the progress of the delivery until dropped.
pub(crate) async fn show(store: &SqliteStore, feed: &Feed, mut taken: watch::Receiver<usize>) {
    let bar = ProgressBar::new(feed.lines.len() as u64).with_style(style());
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        // Ignore errors of the bar: a faulty store fails the work itself, too.
        let Ok(statistics) = store.statistics(None).await else {
            continue;
        };
        let taken = *taken.borrow_and_update() as u64;
        bar.set_position(taken.saturating_sub(statistics.undelivered()));
        bar.set_message(format!(
            "{} waiting, {} dead",
            statistics.undelivered(),
            statistics.dead_count
        ));
    }
}

fn style() -> ProgressStyle {
    const TEMPLATE: &str = "{elapsed_precise} {bar:40} {pos} of {len} done, {msg}";
    ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar())
}
