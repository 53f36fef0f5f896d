//! Grace: the time after a clock jump in which nothing is rescued from processes that may be alive.
//!
//! A machine that sleeps every half minute jumps again and again, so the grace might never end.
//! Time awake is therefore counted across jumps: if an expired lease is not renewed within one
//! lease duration of time awake, its holder is gone.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::Lease;
use crate::clock;

/// The time after a clock jump in which nothing is rescued from processes that may be alive.
#[derive(Debug)]
pub(super) struct Grace {
    until: DateTime<Utc>,
    /// When to look at the leases of others again.
    look_at: DateTime<Utc>,
    /// How long others may be awake without renewing an expired lease.
    patience: Duration,
    suspects: Vec<Suspect>,
}

/// An expired lease that was not renewed since.
#[derive(Debug)]
struct Suspect {
    lease: Lease,
    /// The uptime at which it was first seen.
    since: Duration,
}

impl Grace {
    /// Starts the grace after a jump. The suspects of `last`, the grace after an earlier jump,
    /// remain suspects.
    pub(super) fn after_jump(last: Option<Self>, patience: Duration, now: DateTime<Utc>) -> Self {
        Self {
            until: clock::after(now, patience),
            look_at: now,
            patience,
            suspects: last.map_or_else(Vec::new, |last| last.suspects),
        }
    }

    /// Whether to rescue only from processes that are known to be gone.
    pub(super) fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        self.until > now
    }

    /// Whether it is time to look at the leases of others.
    pub(super) fn is_time_to_look(&self, now: DateTime<Utc>) -> bool {
        self.look_at <= now
    }

    pub(super) fn until(&self) -> DateTime<Utc> {
        self.until
    }

    /// When to look at the leases of others next: when the grace ends, or when a suspect will have
    /// had enough time.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.until.min(self.look_at)
    }

    /// Notes the expired leases of others. Returns those whose holders are gone: not renewed
    /// although there was time.
    pub(super) fn suspect(
        &mut self,
        ended: impl Iterator<Item = Lease>,
        uptime: Duration,
        now: DateTime<Utc>,
    ) -> Vec<Lease> {
        let suspects = ended.map(|lease| {
            let known = self.suspects.iter().find(|known| known.lease == lease);
            let since = known.map_or(uptime, |known| known.since);
            Suspect { lease, since }
        });
        let patience = self.patience;
        let awake = |suspect: &Suspect| uptime.saturating_sub(suspect.since);
        let (gone, rest): (Vec<Suspect>, Vec<Suspect>) =
            suspects.partition(|suspect| awake(suspect) >= patience);
        let next = rest.iter().map(|suspect| patience - awake(suspect)).min();
        self.look_at = next.map_or(self.until, |left| clock::after(now, left));
        self.suspects = rest;
        gone.into_iter().map(|suspect| suspect.lease).collect()
    }
}
