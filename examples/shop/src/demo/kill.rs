//! Killing a worker while it is at work.

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::Clock;
use outbox_runtime::prelude::*;
use outbox_runtime::store::SystemClock;

use super::CONCURRENCY;
use super::child::Child;
use crate::outbox::LEASE;

/// How often a worker is killed at most, until one was delivering something.
const MOST_KILLS: u32 = 5;
/// How long a killed worker is gone: long enough that all others have renewed their leases, which
/// they do after a third, and shorter than a lease, so that its own are still there.
const ABSENCE: Duration = Duration::from_secs(2);
/// How long there may be too little to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// The killing of a worker.
#[derive(Debug, Clone)]
pub(super) struct Killed {
    pub(super) name: String,
    /// The number of orders before it.
    pub(super) after: u32,
    /// How many events it was delivering.
    pub(super) holding: usize,
}

/// Kills one of the workers while it is delivering something, and starts it again with these
/// arguments. `so_far` tells how many orders there were.
pub(super) async fn one(
    store: &PostgresStore,
    workers: &mut [Child],
    arguments: &[&str],
    so_far: impl Fn() -> u32,
) -> anyhow::Result<Killed> {
    let others = workers.len() - 1;
    let victim = &mut workers[others / 2];
    let mut attempt = 1;
    loop {
        // The others alone do not have that many places.
        busy(store, others * CONCURRENCY).await?;
        let after = so_far();
        let holding = kill(store, victim).await?;
        let name = victim.name().to_owned();
        *victim = Child::start(&name, arguments).await?.0;
        // Some may have been claimed ahead of a free place, so it is no certainty.
        if holding > 0 || attempt == MOST_KILLS {
            return Ok(Killed {
                name,
                after,
                holding,
            });
        }
        attempt += 1;
    }
}

/// Waits until more events are with workers than this, or until nothing points to that.
async fn busy(store: &PostgresStore, places: usize) -> anyhow::Result<()> {
    let began = SystemClock.uptime();
    while SystemClock.uptime() - began < PATIENCE {
        if store.statistics(None).await?.processing_count > places as u64 {
            break;
        }
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Kills a worker (SIGKILL), and counts the events that it was delivering.
async fn kill(store: &PostgresStore, worker: &mut Child) -> anyhow::Result<usize> {
    worker.kill().await?;
    let killed_at = store.clock().now();
    SystemClock.sleep(ABSENCE).await;
    let leased = store
        .fetch_events(OutboxStatus::Processing, None, None)
        .await?;
    // All others have been renewed since.
    let is_of_the_dead = |event: &&OutboxEvent| {
        event
            .lease_expires_at
            .is_some_and(|end| end <= killed_at + LEASE)
    };
    Ok(leased.iter().filter(is_of_the_dead).count())
}
