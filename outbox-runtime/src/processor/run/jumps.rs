//! Jumps: the clock was set while the run was at work, or the machine was suspended.
//!
//! Leases stand in the store as wall-clock times, for everybody to see. A run judges its own by the
//! time that has really passed: after a jump it renews them before anything else, and takes nothing
//! from others until they had the time to do the same.

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::Run;
use super::grace::Grace;
use super::reading::Reading;
use crate::claim::{Lease, LeaseToken};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::Rescued;

impl Run {
    /// Whether the clock was set since the last look, and by how much. What the run waits for moves
    /// along.
    ///
    /// A jump that is shorter than the third of a lease by which renewals are ahead does no harm,
    /// and is none.
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
        self.leases.renew_all_at(reading.now);
        self.activity.note();
        let last = self.grace.take();
        self.grace = Some(Grace::after_jump(last, longest, reading.now));
        jump
    }

    /// Takes work back from those who died, where it is time to look for it.
    pub(super) async fn rescue(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        let rescued = match &self.grace {
            Some(grace) if grace.is_in_force(now) && !grace.is_time_to_look(now) => return Ok(()),
            Some(grace) if grace.is_in_force(now) => self.rescue_from_suspects(now).await?,
            None if !self.alarms.is_due(now) => return Ok(()),
            _ => {
                let rescued = self.rescue_from_others(None).await?;
                self.grace = None;
                rescued
            }
        };
        if rescued.requeued + rescued.buried > 0 {
            warn!(
                requeued = rescued.requeued,
                dead = rescued.buried,
                "took events back whose lease had ended"
            );
            self.activity.made_progress();
        }
        Ok(())
    }

    /// Never takes what this run itself holds: where that has ended, it is renewed.
    async fn rescue_from_others(&mut self, only: Option<&[Lease]>) -> Result<Rescued, StoreError> {
        let held = self.leases.all();
        let repository = &self.shared.repository;
        let (renewed, rescued) = repository.rescue_others(&held, only).await?;
        for ((lease, duration), renewed) in held.into_iter().zip(renewed) {
            if renewed != Some(lease) {
                self.on_renewal(duration, &[lease], vec![renewed]);
            }
        }
        self.leases.hold_all_anew(self.now());
        Ok(rescued)
    }

    /// After a jump: looks whose leases have ended, and takes from those who had the time to renew
    /// them and did not.
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

    /// What is due although nothing could be claimed is a lease that has ended, which is left alone
    /// for a while after a jump.
    pub(super) fn when_it_may_be_taken(&self, due: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
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
        token: LeaseToken::from(event.lease_token?),
        expires_at: event.lease_expires_at?,
    })
}
