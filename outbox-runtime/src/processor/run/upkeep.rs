//! Upkeep: renews leases, cleans up delivered events, and backs off from a failing store.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Run;
use super::leases::Renewal;
use crate::claim::Lease;
use crate::clock;
use crate::error::StoreError;

impl Run {
    /// Renews leases after a third of their duration, all of one duration together. A renewal that
    /// fails stays due.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        for renewal in self.leases.due(self.now()) {
            let Renewal {
                duration,
                due,
                leases,
            } = renewal;
            let late = (self.now() - due).to_std().unwrap_or_default();
            if late >= duration / 3 && !self.alarms.has_failed() {
                warn!(
                    ?late,
                    "leases are renewed late: a handler blocked its thread, or the machine slept"
                );
            }
            let renewed = self.shared.queue.extend(&leases, duration).await?;
            self.on_renewal(duration, &leases, renewed);
        }
        Ok(())
    }

    /// Applies the result of a renewal.
    pub(super) fn on_renewal(
        &mut self,
        duration: Duration,
        leases: &[Lease],
        renewed: Vec<Option<Lease>>,
    ) {
        self.activity.note();
        for lost in self
            .leases
            .renewed(duration, leases, renewed, self.shared.clock.now())
        {
            self.lose(lost);
        }
    }

    /// Handles a lost lease, whose event another worker has or has finished: aborts the handler and
    /// discards an unrecorded outcome.
    fn lose(&mut self, event_id: Uuid) {
        self.waiting.lose(event_id);
        let behind = self.batches.lose(event_id);
        self.hand_back_all(&behind);
        for judged in self.evidence.lost(event_id) {
            self.settle_all_but(event_id, judged);
        }
        self.listeners.lost(&event_id);
        self.promised.discard(&event_id);
        for _ in 0..self.unrecorded.lose(event_id) {
            warn!(%event_id, "the lease was lost; the outcome is discarded");
        }
        self.jobs.lose(event_id);
    }

    /// Deletes old delivered events, if a clean-up is due.
    pub(super) async fn clean_up(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        if !self.alarms.is_clean_up_due(now) {
            return Ok(());
        }
        let settings = &self.shared.settings;
        let repository = &self.shared.repository;
        let cutoff = clock::before(now, settings.keep_completed);
        let deleted = repository.delete_completed_events(cutoff).await?;
        if deleted > 0 {
            debug!(deleted, "cleaned up delivered events");
        }
        let next = repository.oldest_completed().await?.map(|at| {
            clock::after(at, settings.keep_completed)
                .max(clock::after(now, settings.cleanup_interval))
        });
        self.alarms.set_clean_up(next);
        Ok(())
    }

    /// Samples the state of the store for the gauges, if it has changed.
    pub(super) async fn sample(&mut self) {
        let revision = self.shared.queue.revision();
        if !self.sampler.is_due(revision, self.now()) {
            return;
        }
        let repository = Arc::clone(&self.shared.repository);
        let sampled = self.await_store(async {
            let statistics = repository.statistics(None).await?;
            let oldest_due = repository.oldest_due().await?;
            let paused = repository.paused().await?;
            Ok::<_, StoreError>((statistics, oldest_due, paused))
        });
        let mut ends_at = None;
        match sampled.await {
            Ok((statistics, oldest_due, paused)) => {
                self.meter.sampled(&statistics, oldest_due, paused.len());
                ends_at = paused.iter().filter_map(|pause| pause.until).min();
            }
            Err(error) => debug!(%error, "the gauges could not be sampled"),
        }
        self.sampler.sampled(revision, self.now(), ends_at);
    }

    /// Backs off after a store error.
    pub(super) fn back_off(&mut self, error: &StoreError) {
        let now = self.now();
        let (wait, until) = self.alarms.begin_back_off(self.leases.shortest(), now);
        // Logged with Debug, which escapes: a driver's message may contain anything.
        let text = error.to_string();
        warn!(error = ?text, retry_in = ?wait, "the store failed");
        self.report
            .store_failed(error.kind(), text, now, Some(until));
    }

    /// Notes that the store works, which ends a back-off.
    pub(super) fn store_works(&mut self) {
        if self.alarms.end_back_off() {
            info!("the store works again");
            self.report.store_works();
        }
    }

    pub(super) fn is_backing_off(&self) -> bool {
        self.alarms.is_backing_off(self.now())
    }

    /// Reports that the store is gone for good. The run ends once its handlers have.
    pub(super) fn report_store_gone(&mut self, error: &StoreError) {
        // Logged with Debug, which escapes: a driver's message may contain anything.
        let text = error.to_string();
        warn!(error = ?text, "the store is gone, and the run ends with it");
        self.report
            .store_failed(error.kind(), text, self.now(), None);
    }
}
