//! Jumps: the clock was set while the run was at work, or the machine was suspended.
//!
//! Leases stand in the store as wall-clock times, for everybody to see. A run judges its own by the time that has really passed:
//! after a jump it renews them before anything else, and takes nothing from others until they had the time to do the same.
//!
//! A machine that sleeps every half minute makes one jump after the other. The time in which it is awake counts on: a lease that is
//! seen ended, and was not renewed in one lease's worth of time awake, is that of somebody who is gone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::Run;
use super::leases::Held;
use crate::claim::{Lease, LeaseToken};
use crate::clock::{self, Clock};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::Rescued;

/// What the clock tells at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    now: DateTime<Utc>,
    uptime: Duration,
}

impl Reading {
    pub(super) fn of(clock: &dyn Clock) -> Self {
        Self {
            now: clock.now(),
            uptime: clock.uptime(),
        }
    }

    /// By how much the clock was set since `earlier`.
    fn jump_since(&self, earlier: &Self) -> TimeDelta {
        let passed = self.uptime.saturating_sub(earlier.uptime);
        self.now - clock::after(earlier.now, passed)
    }
}

impl Run {
    /// Whether the clock was set since the last look, and by how much. What the run waits for moves along.
    ///
    /// A jump that is shorter than the third of a lease by which renewals are ahead does no harm, and is none.
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
        if let Some(back_off) = &mut self.back_off {
            back_off.until = clock::shifted(back_off.until, jump);
        }
        self.evidence.shift(jump);
        self.waiting.shift(jump);
        // What the store has due is due by the wall clock: it is asked again.
        self.due_at = Some(reading.now);
        self.leases.renew_all_at(reading.now);
        self.activity += 1;
        let until = clock::after(reading.now, longest);
        let suspects = self
            .grace
            .take()
            .map_or_else(Vec::new, |last| last.suspects);
        self.grace = Some(Grace {
            until,
            look_at: reading.now,
            patience: longest,
            suspects,
        });
        jump
    }

    /// Takes work back from those who died, where it is time to look for it.
    pub(super) async fn rescue(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        let rescued = match &self.grace {
            Some(grace) if grace.look_at > now && grace.until > now => return Ok(()),
            Some(grace) if grace.until > now => self.rescue_from_suspects(now).await?,
            None if self.due_at.is_none_or(|due| due > now) => return Ok(()),
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
            self.made_progress();
        }
        Ok(())
    }

    /// Never takes what this run itself holds: where that has ended, it is renewed.
    async fn rescue_from_others(&mut self, only: Option<&[Lease]>) -> Result<Rescued, StoreError> {
        let held = self.leases.all();
        let renewals: Vec<_> = held
            .iter()
            .map(|held| (held.lease, held.duration))
            .collect();
        let repository = &self.shared.repository;
        let (renewed, rescued) = repository.rescue_others(&renewals, only).await?;
        for (Held { lease, duration }, renewed) in held.into_iter().zip(renewed) {
            if renewed != Some(lease) {
                self.take_in_renewal(duration, &[lease], vec![renewed]);
            }
        }
        // A renewal of some leases of a duration is not one of all.
        for held in self.leases.all() {
            self.hold(held.lease, held.duration);
        }
        Ok(rescued)
    }

    /// After a jump: looks whose leases have ended, and takes from those who had the time to renew them and did not.
    async fn rescue_from_suspects(&mut self, now: DateTime<Utc>) -> Result<Rescued, StoreError> {
        let repository = &self.shared.repository;
        let processing = OutboxStatus::Processing;
        let leased = repository.fetch_events(processing, None, None).await?;
        let uptime = self.shared.clock.uptime();
        let ended = leased
            .iter()
            .filter_map(lease_of)
            .filter(|lease| lease.expires_at <= now && self.leases.get(&lease.event_id).is_none());
        let Some(grace) = &mut self.grace else {
            return Ok(Rescued::default());
        };
        let suspects = ended.map(|lease| {
            let known = grace.suspects.iter().find(|known| known.lease == lease);
            let since = known.map_or(uptime, |known| known.since);
            Suspect { lease, since }
        });
        let patience = grace.patience;
        let awake = |suspect: &Suspect| uptime.saturating_sub(suspect.since);
        let (gone, rest): (Vec<Suspect>, Vec<Suspect>) =
            suspects.partition(|suspect| awake(suspect) >= patience);
        let next = rest.iter().map(|suspect| patience - awake(suspect)).min();
        grace.look_at = next.map_or(grace.until, |left| clock::after(now, left));
        grace.suspects = rest;
        if gone.is_empty() {
            return Ok(Rescued::default());
        }
        let gone: Vec<Lease> = gone.into_iter().map(|suspect| suspect.lease).collect();
        self.rescue_from_others(Some(&gone)).await
    }

    /// What is due although nothing could be claimed is a lease that has ended, which is left alone for a while after a jump.
    pub(super) fn when_it_may_be_taken(&self, due: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let now = self.now();
        match &self.grace {
            Some(grace) if due.is_some_and(|due| due <= now) => due.max(Some(grace.until)),
            _ => due,
        }
    }
}

/// The time after a jump in which nothing is taken from those who may be alive.
#[derive(Debug)]
pub(super) struct Grace {
    until: DateTime<Utc>,
    /// When to look at the leases of others next.
    look_at: DateTime<Utc>,
    /// For how long others may be awake without renewing a lease that has ended.
    patience: Duration,
    suspects: Vec<Suspect>,
}

/// A lease that has ended and was not renewed since.
#[derive(Debug)]
struct Suspect {
    lease: Lease,
    /// The uptime at which it was first seen.
    since: Duration,
}

impl Grace {
    /// When it ends, or somebody is known to be gone earlier.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.until.min(self.look_at)
    }
}

fn lease_of(event: &OutboxEvent) -> Option<Lease> {
    Some(Lease {
        event_id: event.id,
        token: LeaseToken::from(event.lease_token?),
        expires_at: event.lease_expires_at?,
    })
}
