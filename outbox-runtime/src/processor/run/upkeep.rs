//! Upkeep: keeping leases, and cleaning up what was delivered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{Held, Job, Run};
use crate::claim::Lease;
use crate::clock;
use crate::error::StoreError;

impl Run {
    /// Renews leases when a third of their time is over, all of one duration together.
    pub(super) async fn renew(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        let due = |(duration, at): (&Duration, &DateTime<Utc>)| (*at <= now).then_some(*duration);
        let due: Vec<Duration> = self.renew_at.iter().filter_map(due).collect();
        for duration in due {
            self.renew_those_of(duration).await?;
        }
        Ok(())
    }

    async fn renew_those_of(&mut self, duration: Duration) -> Result<(), StoreError> {
        let held: Vec<Lease> = self
            .leases
            .values()
            .filter(|held| held.duration == duration)
            .map(|held| held.lease)
            .collect();
        let due = self.renew_at.remove(&duration);
        if held.is_empty() {
            return Ok(());
        }
        let late = due.and_then(|due| (self.now() - due).to_std().ok());
        if let Some(late) = late.filter(|late| *late >= duration / 3) {
            warn!(
                ?late,
                "leases are renewed late: a handler blocks its thread, or the machine was asleep"
            );
        }
        self.keep_leases(duration);
        let renewed = self.shared.repository.extend(&held, duration).await?;
        for (held, renewed) in held.iter().zip(renewed) {
            match renewed {
                Some(lease) => self.hold(lease, duration),
                None => self.lose(held.event_id),
            }
        }
        Ok(())
    }

    /// Notes a lease that is to be kept until its outcome is recorded.
    pub(super) fn hold(&mut self, lease: Lease, duration: Duration) {
        self.leases.insert(lease.event_id, Held { lease, duration });
        self.keep_leases(duration);
    }

    /// When the next leases are to be renewed.
    pub(super) fn next_renewal(&self) -> Option<DateTime<Utc>> {
        self.renew_at.values().min().copied()
    }

    /// Somebody else has the event, or may have it at any time: the handler is stopped where it is.
    fn lose(&mut self, event_id: Uuid) {
        self.leases.remove(&event_id);
        self.forget_waiting(event_id);
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

    fn keep_leases(&mut self, duration: Duration) {
        let at = clock::after(self.now(), duration / 3);
        self.renew_at.entry(duration).or_insert(at);
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
