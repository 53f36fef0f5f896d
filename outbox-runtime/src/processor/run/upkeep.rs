//! Upkeep: keeping leases, and cleaning up what was delivered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{Job, Run};
use crate::claim::Lease;
use crate::clock;
use crate::error::StoreError;

impl Run {
    /// Renews leases when a third of their time is over, all of one duration together. What fails is due again at once.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        for (duration, due) in self.leases.due(self.now()) {
            self.renew_those_of(duration, due).await?;
        }
        Ok(())
    }

    async fn renew_those_of(
        &mut self,
        duration: Duration,
        due: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let held = self.leases.of(duration);
        if held.is_empty() {
            self.leases.renewed(duration);
            return Ok(());
        }
        let late = (self.now() - due).to_std().unwrap_or_default();
        if late >= duration / 3 && self.back_off.is_none() {
            warn!(
                ?late,
                "leases are renewed late: a handler blocks its thread, or the machine was asleep"
            );
        }
        let renewed = self.shared.repository.extend(&held, duration).await?;
        self.take_in_renewal(duration, &held, renewed);
        Ok(())
    }

    /// Takes in what became of leases that were to be renewed.
    pub(super) fn take_in_renewal(
        &mut self,
        duration: Duration,
        held: &[Lease],
        renewed: Vec<Option<Lease>>,
    ) {
        self.activity += 1;
        self.leases.renewed(duration);
        for (held, renewed) in held.iter().zip(renewed) {
            match renewed {
                Some(lease) => self.hold(lease, duration),
                None => self.lose(held.event_id),
            }
        }
    }

    /// Notes a lease that is to be kept until its outcome is recorded.
    pub(super) fn hold(&mut self, lease: Lease, duration: Duration) {
        self.leases.hold(lease, duration, self.shared.clock.now());
    }

    /// When the next leases are to be renewed.
    pub(super) fn next_renewal(&self) -> Option<DateTime<Utc>> {
        self.leases.next_renewal()
    }

    /// Somebody else has the event, or is past it: the handler is stopped where it is, and an outcome is not recorded.
    fn lose(&mut self, event_id: Uuid) {
        self.leases.remove(&event_id);
        self.forget_waiting(event_id);
        self.evidence.lost(event_id);
        let is_of_it = |id: Uuid| id == event_id;
        for lost in self
            .unrecorded
            .extract_if(.., |settlement| is_of_it(settlement.lease.event_id))
        {
            warn!(event_id = %lost.lease.event_id, "the lease was lost; the outcome is not recorded");
        }
        for job in self.jobs.values_mut() {
            if let Job::Attempt(attempt) = job
                && attempt.facts.claim.event.id == event_id
            {
                warn!(%event_id, "the lease was lost while the handler ran; it is stopped");
                attempt.lease_lost = true;
                attempt.abort.abort();
            }
        }
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
        self.clean_up_at = repository.oldest_completed().await?.map(|at| {
            clock::after(at, settings.keep_completed)
                .max(clock::after(now, settings.cleanup_interval))
        });
        Ok(())
    }
}
