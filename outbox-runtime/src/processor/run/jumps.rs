//! Jumps: the clock was set during the run, or the machine was suspended.
//!
//! The store keeps leases as wall-clock times, which all processes share. After a jump, a run
//! renews its own leases before anything else, and rescues nothing from others until they have had
//! time to do the same.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::Run;
use super::grace::Grace;
use super::reading::Reading;
use crate::claim::{Lease, LeaseToken};
use crate::clock::{after, shifted};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::Rescued;

/// The pause between two looks for the work of processes that died, while there is a backlog. Each
/// look is a transaction, and a backlog may take thousands of claims.
const BETWEEN_RESCUES: Duration = Duration::from_millis(100);

impl Run {
    /// Returns by how much the clock jumped since the last look, and moves the times that the run
    /// waits for along.
    ///
    /// A jump shorter than a third of the shortest lease does no harm, because a lease that is
    /// renewed on time has more than that left. It counts as none.
    pub(super) fn follow_clock(&mut self) -> TimeDelta {
        let reading = Reading::of(self.shared.clock.as_ref());
        let jump = reading.jump_since(&self.reading);
        self.reading = reading;
        let lease = self.shared.settings.lease;
        let own_leases = self.shared.routes.own_leases().map(|(_, lease)| lease);
        let (shortest, longest) = own_leases.fold((lease, lease), |(shortest, longest), lease| {
            (shortest.min(lease), longest.max(lease))
        });
        if jump.abs().to_std().unwrap_or_default() < shortest / 3 {
            return TimeDelta::zero();
        }
        warn!(
            seconds = jump.num_seconds(),
            "the clock was set, or the machine was suspended"
        );
        self.alarms.follow_jump(jump, reading.now);
        self.evidence.shift(jump);
        self.waiting.shift(jump);
        self.leaves_until = self.leaves_until.map(|until| shifted(until, jump));
        self.batches.shift(jump);
        self.unrecorded.shift(jump);
        self.leases.renew_all_at(reading.now);
        self.activity.note();
        let last = self.grace.take();
        self.grace = Some(Grace::after_jump(last, longest, reading.now));
        jump
    }

    /// Rescues the work of processes that died, if it is time to look for it.
    pub(super) async fn rescue(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        let rescued = match &self.grace {
            Some(grace) if grace.is_in_force(now) && !grace.is_time_to_look(now) => return Ok(()),
            Some(grace) if grace.is_in_force(now) => self.rescue_from_suspects(now).await?,
            None if !self.alarms.is_due(now) => return Ok(()),
            _ => {
                let rescued = self.rescue_from_others(None).await?;
                self.grace = None;
                // A round with a backlog does not ask when something is due.
                self.alarms.set_due(Some(after(now, BETWEEN_RESCUES)));
                rescued
            }
        };
        self.meter.rescued(rescued);
        if rescued.requeued + rescued.buried > 0 {
            warn!(
                requeued = rescued.requeued,
                dead = rescued.buried,
                "rescued events whose leases had expired"
            );
            self.activity.made_progress();
        }
        Ok(())
    }

    /// Rescues expired leases of others, or only those in `only`. The leases of this run are
    /// renewed instead, even if they have expired.
    async fn rescue_from_others(&mut self, only: Option<&[Lease]>) -> Result<Rescued, StoreError> {
        let held = self.leases.all();
        let queue = &self.shared.queue;
        let (renewed, rescued) = queue.rescue_others(&held, only).await?;
        for ((lease, duration), renewed) in held.into_iter().zip(renewed) {
            if renewed != Some(lease) {
                self.on_renewal(duration, &[lease], vec![renewed]);
            }
        }
        self.leases.reschedule_all(self.now());
        Ok(rescued)
    }

    /// After a jump: rescues only expired leases whose holders had time to renew them and did not.
    async fn rescue_from_suspects(&mut self, now: DateTime<Utc>) -> Result<Rescued, StoreError> {
        let repository = &self.shared.repository;
        let processing = OutboxStatus::Processing;
        let leased = repository.fetch_events(processing, None, None).await?;
        let uptime = self.shared.clock.uptime();
        let leases = &self.leases;
        let ended = leased
            .iter()
            .filter_map(lease_of)
            .filter(|lease| lease.expires_at <= now && !leases.holds(&lease.event_id));
        let Some(grace) = &mut self.grace else {
            return Ok(Rescued::default());
        };
        let gone = grace.suspect(ended, uptime, now);
        if gone.is_empty() {
            return Ok(Rescued::default());
        }
        self.rescue_from_others(Some(&gone)).await
    }

    /// When the due work can be claimed. If it is due now although nothing could be claimed, it is
    /// an expired lease, which waits for the end of the grace after a jump.
    pub(super) fn claimable_at(&self, due: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let now = self.now();
        match &self.grace {
            Some(grace) if due.is_some_and(|due| due <= now) => due.max(Some(grace.until())),
            _ => due,
        }
    }
}

fn lease_of(event: &OutboxEvent) -> Option<Lease> {
    Some(Lease {
        event_id: event.id,
        seq: event.seq,
        token: LeaseToken::from(event.lease_token?),
        expires_at: event.lease_expires_at?,
    })
}
