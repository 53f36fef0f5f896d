//! `watch`: the counts, live: on the whole terminal, or a line per look where there is none.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, OutboxStatistics};
use serde::Serialize;

use crate::args;
use crate::breakdown::Breakdown;
use crate::database::{Access, Database, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

mod keys; // keys and signals
mod lines; // where there is no terminal
mod screen; // the picture
mod terminal; // raw mode, and its end

/// The undelivered events that a look may read for the counts by type and user.
const SAMPLE: usize = 2_000;

/// The looks that the history keeps.
const HISTORY: usize = 300;

/// What was seen at one moment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Look {
    at: DateTime<Utc>,
    statistics: OutboxStatistics,
    undelivered: u64,
    /// Since the look before; `None` for the first.
    deliveries_per_second: Option<f64>,
    #[serde(flatten)]
    breakdown: Breakdown,
}

/// Looks at an outbox again and again. After a failure it opens the outbox anew: a server may have
/// been restarted, and a file that nobody had open may be open now.
#[derive(Debug)]
pub(super) struct Watcher<'p> {
    place: &'p Place,
    database: Option<Database>,
    /// The number of deliveries at the last look, and when that was on the steady clock.
    before: Option<(u64, Duration)>,
    /// Deliveries per second, the newest last.
    history: VecDeque<f64>,
    /// The types and users of a look are for the screen only.
    sample: usize,
}

impl<'p> Watcher<'p> {
    fn new(place: &'p Place, sample: usize) -> Self {
        Self {
            place,
            database: None,
            before: None,
            history: VecDeque::with_capacity(HISTORY),
            sample,
        }
    }

    async fn look(&mut self) -> Result<Look, Failure> {
        let looked = self.try_look().await;
        if looked.is_err()
            && let Some(database) = self.database.take()
        {
            database.close().await;
        }
        looked
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
        let breakdown = Breakdown::of(store.clone(), None, self.sample).await?;
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

    async fn close(&mut self) {
        if let Some(database) = self.database.take() {
            database.close().await;
        }
    }
}

pub(crate) async fn run(args: &args::Watch, place: &Place, out: &mut Out) -> Outcome {
    let is_plain = args.plain || out.is_json || !Out::is_terminal();
    let mut watcher = Watcher::new(place, if is_plain { 0 } else { SAMPLE });
    let interval = args.interval.max(Duration::from_millis(50));
    let ended = match is_plain {
        true => lines::run(&mut watcher, interval, args.count, out).await,
        false => {
            // What is wrong at the start is told before the screen is taken.
            watcher.look().await?;
            screen::run(&mut watcher, interval, args.count).await
        }
    };
    watcher.close().await;
    ended?;
    Ok(Verdict::Fine)
}
