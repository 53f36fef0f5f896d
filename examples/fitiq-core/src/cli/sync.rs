//! Delivery until Ctrl-C, or once.

use std::fmt;
use std::time::Duration;

use clap::Args;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Clock as _, Explanation, OutboxRepository, OutboxStatistics, Processor, RefusalClass, Running,
    StoreError, WaitsFor,
};
use tokio::time::MissedTickBehavior;

use super::{Ground, bar};
use crate::ids::UserId;

/// `sync`.
#[derive(Debug, Clone, Args)]
#[non_exhaustive]
pub struct SyncArguments {
    /// End when everything is delivered or the rest needs help
    #[arg(long)]
    pub once: bool,

    /// With --once: end after this many seconds without progress
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
}

impl SyncArguments {
    /// `--once`, with the default patience.
    #[must_use]
    pub fn once() -> Self {
        Self {
            once: true,
            patience: 60,
        }
    }
}

/// The end of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synced {
    /// Everything is delivered, and nothing is dead.
    Delivered,
    /// The user pressed Ctrl-C. Running attempts were finished or given back.
    Interrupted,
    /// Something is left, for this reason.
    Left(String),
}

/// The interval of the bar.
const TICK: Duration = Duration::from_millis(100);

/// Delivers the events of the signed-in user, until Ctrl-C or as `arguments` say.
///
/// # Errors
///
/// If nobody is signed in, and errors of the store.
pub async fn sync(
    ground: &Ground,
    processor: &Processor,
    arguments: &SyncArguments,
) -> anyhow::Result<Synced> {
    let user = ground.user()?;
    let running = processor.start(user.clone());
    let ended = tokio::select! {
        ended = watch(ground, &running, &user, arguments) => ended,
        Ok(()) = tokio::signal::ctrl_c() => Ok(Synced::Interrupted),
    };
    // A second Ctrl-C does not wait for handlers.
    let hurry = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    running.stop_unless(hurry).await?;
    Ok(ended?)
}

/// Moves the bar and, for `--once`, checks for the end. The processor does the work.
async fn watch(
    ground: &Ground,
    running: &Running,
    user: &UserId,
    arguments: &SyncArguments,
) -> Result<Synced, StoreError> {
    let first = running.statistics().await?;
    let bar = bar(first.undelivered());
    let mut watched = Watched {
        last: first,
        moved_at: SystemClock.uptime(),
        looked_at: SystemClock.uptime(),
    };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let statistics = running.statistics().await?;
        let done = statistics
            .completed_total
            .saturating_sub(first.completed_total);
        bar.set_length(done + statistics.undelivered());
        bar.set_position(done);
        bar.set_message(format!("{} dead", statistics.dead_count));
        if !arguments.once {
            continue;
        }
        if statistics.undelivered() == 0 {
            bar.finish();
            return Ok(match statistics.dead_count {
                0 => Synced::Delivered,
                1 => Synced::Left("there is a dead letter; `status` shows the reason".to_owned()),
                dead => Synced::Left(format!(
                    "there are {dead} dead letters; `status` shows the reasons"
                )),
            });
        }
        if statistics.processing_count == statistics.undelivered() {
            // Nothing is left that a batch could wait for.
            running.trigger();
        }
        let patience = Duration::from_secs(arguments.patience);
        if let Some(reason) = watched
            .standstill(statistics, patience, ground, running, user)
            .await?
        {
            bar.abandon();
            return Ok(Synced::Left(reason));
        }
    }
}

/// The progress so far.
struct Watched {
    last: OutboxStatistics,
    moved_at: Duration,
    looked_at: Duration,
}

impl Watched {
    /// The reason for the standstill, if there is one.
    async fn standstill(
        &mut self,
        now: OutboxStatistics,
        patience: Duration,
        ground: &Ground,
        running: &Running,
        user: &UserId,
    ) -> Result<Option<String>, StoreError> {
        let uptime = SystemClock.uptime();
        if std::mem::replace(&mut self.last, now) != now {
            self.moved_at = uptime;
        }
        if now.processing_count > 0 || uptime.saturating_sub(self.looked_at) < LOOK_EVERY {
            return Ok(None);
        }
        self.looked_at = uptime;
        let store = ground.store();
        let waiting = store
            .fetch_pending_events(Some(user.as_str()), Some(LOOKED_AT))
            .await?;
        let mut first = None;
        for event in &waiting {
            let explanation = running.explain(&event.entity_id).await?;
            if !needs_somebody(&explanation, ground) {
                let out_of_patience = uptime.saturating_sub(self.moved_at) >= patience;
                return Ok(out_of_patience.then(|| explanation.to_string()));
            }
            first.get_or_insert(explanation);
        }
        Ok(first.map(|explanation| explanation.to_string()))
    }
}

/// The interval of checks during a standstill.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The number of waiting events to check.
const LOOKED_AT: usize = 100;

/// Whether further waiting is pointless.
fn needs_somebody(explanation: &Explanation, ground: &Ground) -> bool {
    match explanation.waits_for.at_last() {
        WaitsFor::Decision { .. } | WaitsFor::Registration { .. } | WaitsFor::SignIn => true,
        // Without a network nothing moves; a service that is down may be back soon.
        WaitsFor::Outage(outage) => outage.class == RefusalClass::Offline,
        WaitsFor::Credentials { .. } => ground.session().user().is_none(),
        _ => false,
    }
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("everything is delivered"),
            Self::Interrupted => f.write_str("interrupted; run it again to continue"),
            Self::Left(reason) => write!(f, "not everything is delivered: {reason}"),
        }
    }
}
