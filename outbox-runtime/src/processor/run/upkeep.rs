//! Upkeep: keeping leases, and cleaning up what was delivered.

use tracing::{debug, warn};
use uuid::Uuid;

use super::{Job, Run};
use crate::claim::Lease;
use crate::clock;
use crate::error::StoreError;
use crate::event::OutboxStatus;

impl Run {
    /// Renews all leases, when a third of their time is over.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        if self.renew_at.is_none_or(|at| at > self.now()) {
            return Ok(());
        }
        let held: Vec<Lease> = self.leases.values().copied().collect();
        self.renew_at = None;
        if held.is_empty() {
            return Ok(());
        }
        self.keep_leases();
        let lease = self.shared.settings.lease;
        let renewed = self.shared.repository.extend(&held, lease).await?;
        for (held, renewed) in held.iter().zip(renewed) {
            match renewed {
                Some(lease) => drop(self.leases.insert(held.event_id, lease)),
                None => self.lose(held.event_id),
            }
        }
        Ok(())
    }

    /// Somebody else has the event, or may have it at any time: the handler is stopped where it is.
    fn lose(&mut self, event_id: Uuid) {
        self.leases.remove(&event_id);
        for job in self.jobs.values_mut() {
            if let Job::Attempt(attempt) = job
                && attempt.claim.event.id == event_id
            {
                warn!(%event_id, "the lease was lost while the handler ran; it is stopped");
                attempt.lease_lost = true;
                attempt.abort.abort();
            }
        }
    }

    pub(super) fn keep_leases(&mut self) {
        let third = self.shared.settings.lease / 3;
        let at = clock::after(self.now(), third);
        self.renew_at.get_or_insert(at);
    }

    /// Deletes old delivered events, where there are any and it is time.
    pub(super) async fn clean_up(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        if self.clean_up_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let settings = &self.shared.settings;
        let repository = &self.shared.repository;
        let cutoff = clock::before(now, settings.keep_completed);
        let deleted = repository.delete_completed_events(cutoff).await?;
        if deleted > 0 {
            debug!(deleted, "cleaned up delivered events");
        }
        let oldest = repository
            .fetch_events(OutboxStatus::Completed, None, Some(1))
            .await?;
        self.clean_up_at = oldest
            .first()
            .and_then(|event| event.completed_at)
            .map(|at| {
                clock::after(at, settings.keep_completed)
                    .max(clock::after(now, settings.cleanup_interval))
            });
        Ok(())
    }
}
