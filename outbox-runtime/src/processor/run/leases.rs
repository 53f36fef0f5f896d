//! Leases: what a run holds, and when it renews it.
//!
//! All leases of one duration are renewed together, a third of their time after the store granted the oldest of them. A renewal
//! that fails stays due: what counts is when one succeeded, not when one was tried.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::Lease;
use crate::clock;

/// The leases of attempts under way, of claimed events that wait for a handler, and of outcomes that are not recorded yet.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<Uuid, Held>,
    /// When the leases of each duration are renewed next.
    renew_at: BTreeMap<Duration, DateTime<Utc>>,
}

/// A lease, and for how long it is renewed each time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) duration: Duration,
}

impl Held {
    /// When the store granted it, as its end tells.
    fn granted_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let ends = self.lease.expires_at;
        if ends >= clock::after(DateTime::<Utc>::MAX_UTC, Duration::ZERO) {
            // The end was cut off at the last time that can be told, so it tells nothing.
            return now;
        }
        clock::before(ends, self.duration).min(now)
    }
}

impl Leases {
    /// Notes a lease that was granted, to be kept until it is removed.
    pub(super) fn hold(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        let held = Held { lease, duration };
        self.held.insert(lease.event_id, held);
        let at = clock::after(held.granted_at(now), duration / 3);
        self.renew_by(duration, at);
    }

    pub(super) fn get(&self, event_id: &Uuid) -> Option<&Held> {
        self.held.get(event_id)
    }

    pub(super) fn remove(&mut self, event_id: &Uuid) -> Option<Held> {
        self.held.remove(event_id)
    }

    /// All of them, in an order that does not depend on chance.
    pub(super) fn all(&self) -> Vec<Held> {
        self.sorted(|_| true)
    }

    /// Those that are renewed together.
    pub(super) fn of(&self, duration: Duration) -> Vec<Lease> {
        let held = self.sorted(|held| held.duration == duration);
        held.into_iter().map(|held| held.lease).collect()
    }

    fn sorted(&self, which: impl Fn(&Held) -> bool) -> Vec<Held> {
        let mut held: Vec<Held> = self
            .held
            .values()
            .filter(|held| which(held))
            .copied()
            .collect();
        held.sort_unstable_by_key(|held| held.lease.event_id);
        held
    }

    /// Has the leases of this duration renewed at this time, unless that is due earlier.
    pub(super) fn renew_by(&mut self, duration: Duration, at: DateTime<Utc>) {
        let due = self.renew_at.entry(duration).or_insert(at);
        *due = at.min(*due);
    }

    /// Has all of them renewed at this time.
    pub(super) fn renew_all_at(&mut self, at: DateTime<Utc>) {
        for due in self.renew_at.values_mut() {
            *due = at;
        }
    }

    /// The durations whose leases are to be renewed now, and since when that is due.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Vec<(Duration, DateTime<Utc>)> {
        let due = self.renew_at.iter().filter(|(_, at)| **at <= now);
        due.map(|(duration, at)| (*duration, *at)).collect()
    }

    /// When the next ones are to be renewed.
    pub(super) fn next_renewal(&self) -> Option<DateTime<Utc>> {
        self.renew_at.values().min().copied()
    }

    /// The leases of this duration were renewed; whoever still holds one notes it anew.
    pub(super) fn renewed(&mut self, duration: Duration) {
        self.renew_at.remove(&duration);
    }

    /// What is not held any more need not be renewed.
    pub(super) fn forget_unheld(&mut self) {
        let held = &self.held;
        let is_held = |duration| held.values().any(|held| held.duration == duration);
        self.renew_at.retain(|duration, _| is_held(*duration));
    }

    /// The shortest duration of a lease that is held.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.held.values().map(|held| held.duration).min()
    }
}
