//! What keeps a long run small: clean-up, and applications that pause while there is a backlog.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::store::{OutboxQueue, SystemClock};
use outbox_runtime::{Clock, OutboxRepository};

use crate::{Run, nap};

/// The undelivered events at which applications pause. Few enough to be delivered within the wait
/// for the end, in the fewest lanes.
const MOST_OPEN: u64 = 1_000;

/// The length of a run from which a line a minute tells how it goes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

impl Run {
    /// Cleans up what is delivered, and holds applications up while there is a backlog.
    pub(crate) async fn keep_small(self: Arc<Self>, store: PostgresStore) {
        let began = SystemClock.uptime();
        let mut told = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            let open = store.statistics(None).await.unwrap().undelivered();
            self.is_full.store(open > MOST_OPEN, Ordering::SeqCst);
            let since = store.clock().now() - chrono::TimeDelta::seconds(1);
            let deleted = store.delete_completed_events(since).await.unwrap();
            self.cleaned_up.fetch_add(deleted, Ordering::SeqCst);
            let minutes = (SystemClock.uptime() - began).as_secs() / LONG.as_secs();
            if minutes > told {
                told = minutes;
                println!("minute {minutes}: {}", self.summary());
            }
            nap(100).await;
        }
    }

    pub(crate) fn summary(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        format!(
            "{} committed, {} deliveries, {} rescued, {} refused, {} calls repeated, {} cleaned up, slowest step {} us",
            count(&self.committed),
            self.book.lock().unwrap().deliveries,
            count(&self.rescued),
            count(&self.refused),
            count(&self.unavailable),
            count(&self.cleaned_up),
            count(&self.slowest_micros),
        )
    }
}
