//! Looks at an outbox again and again.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_operate::Breakdown;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, OutboxStatistics};
use serde::Serialize;

use crate::command::status::USERS;
use crate::database::{Access, Database, Place};
use crate::failure::Failure;

/// The looks that the history keeps.
const HISTORY: usize = 300;

/// The counts of one moment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Look {
    pub(super) at: DateTime<Utc>,
    pub(super) statistics: OutboxStatistics,
    undelivered: u64,
    /// Since the look before; `None` for the first.
    pub(super) deliveries_per_second: Option<f64>,
    #[serde(flatten)]
    pub(super) breakdown: Breakdown,
}

/// Looks at an outbox again and again. After a failure it opens the outbox anew: a server may have
/// been restarted, and a file that nobody had open may be open now.
#[derive(Debug)]
pub(super) struct Watcher<'p> {
    pub(super) place: &'p Place,
    database: Option<Database>,
    /// The number of deliveries at the last look, and when that was on the steady clock.
    before: Option<(u64, Duration)>,
    /// Deliveries per second, the newest last.
    pub(super) history: VecDeque<f64>,
    /// The types and users of a look are for the screen only.
    sample: usize,
}

impl<'p> Watcher<'p> {
    pub(super) fn new(place: &'p Place, sample: usize) -> Self {
        Self {
            place,
            database: None,
            before: None,
            history: VecDeque::with_capacity(HISTORY),
            sample,
        }
    }

    pub(super) async fn look(&mut self) -> Result<Look, Failure> {
        let was_open = self.database.is_some();
        match self.try_look().await {
            Err(_) if was_open => {
                self.close().await;
                self.try_look().await
            }
            looked => looked,
        }
    }

    async fn try_look(&mut self) -> Result<Look, Failure> {
        let database = match &self.database {
            Some(database) => database,
            None => {
                let opened = self.place.open(Access::ReadOnly).await?;
                self.database.insert(opened)
            }
        };
        let store = database.store();
        let statistics = store.statistics(None).await?;
        let now = SystemClock.uptime();
        let breakdown = Breakdown::of(store.clone(), None, self.sample, USERS).await?;
        let rate = self.before.map(|(count, at)| {
            let delivered = statistics.completed_total.saturating_sub(count);
            delivered as f64 / now.saturating_sub(at).as_secs_f64().max(f64::EPSILON)
        });
        self.before = Some((statistics.completed_total, now));
        if let Some(rate) = rate {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(rate);
        }
        Ok(Look {
            at: store.clock().now(),
            statistics,
            undelivered: statistics.undelivered(),
            deliveries_per_second: rate,
            breakdown,
        })
    }

    pub(super) async fn close(&mut self) {
        if let Some(database) = self.database.take() {
            database.close().await;
        }
    }
}
