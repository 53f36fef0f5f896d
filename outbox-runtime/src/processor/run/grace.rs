//! Grace: the time after a jump of the clock in which nothing is taken from those who may be alive.
//!
//! A machine that sleeps every half minute makes one jump after the other. The time in which it is
//! awake counts on: a lease that is seen ended, and was not renewed in one lease's worth of time
//! awake, is that of somebody who is gone.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::Lease;
use crate::clock;

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
    /// The clock has jumped, and may have done so lately: who is suspected by `last` still is.
    pub(super) fn after_jump(last: Option<Self>, patience: Duration, now: DateTime<Utc>) -> Self {
        Self {
            until: clock::after(now, patience),
            look_at: now,
            patience,
            suspects: last.map_or_else(Vec::new, |last| last.suspects),
        }
    }

    /// Whether nothing is taken but from those who are known to be gone.
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

    /// When it ends, or somebody is known to be gone earlier.
    pub(super) fn ends_at(&self) -> DateTime<Utc> {
        self.until.min(self.look_at)
    }

    /// These leases of others have ended. Returns those that were not renewed although there was
    /// time.
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
