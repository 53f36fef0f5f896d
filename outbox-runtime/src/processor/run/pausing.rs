//! Pausing: gives back the events of batches that a pause holds back which began after their claim.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::debug;

use super::Run;
use crate::event::OutboxEvent;

impl Run {
    /// Closes the batches whose time is over, without the events that are paused by now.
    pub(super) async fn close_batches(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        // Read first, so that a batch is closed only after its time was over and then the pauses
        // were read.
        let now = self.now();
        if !self.is_backing_off() {
            self.give_back_paused(now).await;
        }
        self.batches.close_due(now, false);
    }

    /// Gives the events that wait in batches and are paused by now back to the store, with those
    /// that wait behind them. It asks where the store has changed, and once more before a batch is
    /// sent because its time is over: a change by another process may be noticed late.
    async fn give_back_paused(&mut self, now: DateTime<Utc>) {
        let revision = self.shared.queue.revision();
        let is_due = self.batches.until().is_some_and(|until| until <= now);
        if self.heeded == Some(revision) && !is_due {
            return;
        }
        let repository = Arc::clone(&self.shared.repository);
        let paused = match self.await_store(async { repository.paused().await }).await {
            Ok(paused) => paused,
            // Claims meet the same error and back off. Claimed events are delivered meanwhile.
            Err(error) => return debug!(%error, "the pauses could not be read"),
        };
        self.heeded = Some(revision);
        if paused.is_empty() {
            return;
        }
        let is_paused = |event: &OutboxEvent| paused.iter().any(|it| it.scope.contains(event));
        let held = self.batches.take_with_those_behind(is_paused);
        if !held.is_empty() {
            self.activity.note();
            self.hand_back_all(&held);
        }
    }
}
