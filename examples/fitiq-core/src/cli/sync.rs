//! Delivering: until Ctrl-C, or once.

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
    /// End when everything is delivered, or when nothing more will be without somebody's help
    #[arg(long)]
    pub once: bool,

    /// With --once: for how many seconds nothing need move before it ends
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
}

impl SyncArguments {
    /// `--once`, with the patience that it has by default.
    #[must_use]
    pub fn once() -> Self {
        Self {
            once: true,
            patience: 60,
        }
    }
}

/// How a sync ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synced {
    /// Nothing is undelivered, and nothing is dead.
    Delivered,
    /// Somebody pressed Ctrl-C. What was under way is finished or given back.
    Interrupted,
    /// Something is left, for this reason.
    Left(String),
}

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Delivers the events of who is signed in, until Ctrl-C or as `arguments` say.
///
/// # Errors
///
/// Where nobody is signed in, and those of the store.
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
    // A second Ctrl-C waits for no handler.
    let hurry = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    running.stop_unless(hurry).await?;
    Ok(ended?)
}

/// Moves the bar and, for `--once`, looks whether that was all. All work is the processor's.
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
                1 => Synced::Left("there is a dead letter; `status` tells why".to_owned()),
                dead => Synced::Left(format!("there are {dead} dead letters; `status` tells why")),
            });
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

/// What is known of how things move.
struct Watched {
    last: OutboxStatistics,
    moved_at: Duration,
    looked_at: Duration,
}

impl Watched {
    /// Why nothing moves any more, if that is so.
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

/// How often it is asked why nothing moves, while nothing does.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Of how many waiting events.
const LOOKED_AT: usize = 100;

/// Whether waiting on will not help.
fn needs_somebody(explanation: &Explanation, ground: &Ground) -> bool {
    match explanation.waits_for {
        WaitsFor::Decision { .. } | WaitsFor::Registration { .. } | WaitsFor::SignIn => true,
        // Without a network nobody gets anywhere; a service that is down may be back in a moment.
        WaitsFor::Outage(ref outage) => outage.class == RefusalClass::Offline,
        WaitsFor::Credentials { .. } => ground.session().user().is_none(),
        _ => false,
    }
}

impl fmt::Display for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("everything is delivered"),
            Self::Interrupted => f.write_str("interrupted; run it again to go on"),
            Self::Left(reason) => write!(f, "not everything is delivered: {reason}"),
        }
    }
}
