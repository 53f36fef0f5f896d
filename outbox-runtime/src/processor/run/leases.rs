//! Leases: what a run holds, and when it renews it.
//!
//! All leases of one duration are renewed together, a third of their time after the store granted
//! the oldest of them. A renewal that fails stays due: what counts is when one succeeded, not when
//! one was tried.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::Lease;
use crate::clock;

/// The leases of attempts under way, of claimed events that wait for a handler, and of outcomes
/// that are not recorded yet.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<Uuid, Held>,
    /// When the leases of each duration are renewed next.
    renew_at: BTreeMap<Duration, DateTime<Utc>>,
}

/// A lease, and for how long it is renewed each time.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: Lease,
    duration: Duration,
}

/// Leases that are to be renewed together.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) duration: Duration,
    /// Since when that is due.
    pub(super) due: DateTime<Utc>,
    pub(super) leases: Vec<Lease>,
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
    /// Notes a lease that was granted, to be kept until it is released.
    pub(super) fn hold(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        let held = Held { lease, duration };
        self.held.insert(lease.event_id, held);
        let at = clock::after(held.granted_at(now), duration / 3);
        self.renew_by(duration, at);
    }

    /// Notes a lease that the store took long to grant: somebody else may have the event where it
    /// has ended by now, and renewing tells.
    pub(super) fn hold_granted(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        self.hold(lease, duration, now);
        if lease.expires_at <= now {
            self.renew_by(duration, now);
        }
    }

    pub(super) fn holds(&self, event_id: &Uuid) -> bool {
        self.held.contains_key(event_id)
    }

    /// Whether the lease is held and has not ended.
    pub(super) fn is_in_force(&self, event_id: &Uuid, now: DateTime<Utc>) -> bool {
        let held = self.held.get(event_id);
        held.is_some_and(|held| held.lease.expires_at > now)
    }

    /// Gives up a lease: its outcome is recorded, or it is lost.
    pub(super) fn release(&mut self, event_id: &Uuid) {
        self.held.remove(event_id);
    }

    /// The store did not take an outcome under this lease. Where the lease may only have ended it
    /// is kept, and renewed at once, which tells; otherwise it is lost. Returns whether it is kept.
    pub(super) fn keep_if_only_ended(&mut self, event_id: &Uuid, now: DateTime<Utc>) -> bool {
        let held = self.held.remove(event_id);
        let Some(held) = held.filter(|held| held.lease.expires_at <= now) else {
            return false;
        };
        self.hold(held.lease, held.duration, now);
        self.renew_by(held.duration, now);
        true
    }

    /// All of them, each with its duration, in an order that does not depend on chance.
    pub(super) fn all(&self) -> Vec<(Lease, Duration)> {
        let held = self.sorted(|_| true).into_iter();
        held.map(|held| (held.lease, held.duration)).collect()
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
    fn renew_by(&mut self, duration: Duration, at: DateTime<Utc>) {
        let due = self.renew_at.entry(duration).or_insert(at);
        *due = at.min(*due);
    }

    /// Has all of them renewed at this time.
    pub(super) fn renew_all_at(&mut self, at: DateTime<Utc>) {
        for due in self.renew_at.values_mut() {
            *due = at;
        }
    }

    /// What is to be renewed now, one renewal for each duration.
    pub(super) fn due(&mut self, now: DateTime<Utc>) -> Vec<Renewal> {
        let due: Vec<(Duration, DateTime<Utc>)> = self
            .renew_at
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(duration, at)| (*duration, *at))
            .collect();
        let mut renewals = Vec::new();
        for (duration, due) in due {
            let held = self.sorted(|held| held.duration == duration);
            if held.is_empty() {
                self.renew_at.remove(&duration);
                continue;
            }
            let leases = held.into_iter().map(|held| held.lease).collect();
            renewals.push(Renewal {
                duration,
                due,
                leases,
            });
        }
        renewals
    }

    /// When the next ones are to be renewed.
    pub(super) fn next_renewal(&self) -> Option<DateTime<Utc>> {
        self.renew_at.values().min().copied()
    }

    /// Takes in what became of leases of one duration that were to be renewed. Returns the events
    /// whose leases are lost.
    pub(super) fn renewed(
        &mut self,
        duration: Duration,
        leases: &[Lease],
        renewed: Vec<Option<Lease>>,
        now: DateTime<Utc>,
    ) -> Vec<Uuid> {
        self.renew_at.remove(&duration);
        let mut lost = Vec::new();
        for (lease, renewed) in leases.iter().zip(renewed) {
            match renewed {
                Some(lease) => self.hold(lease, duration, now),
                None => lost.push(lease.event_id),
            }
        }
        for event_id in &lost {
            self.held.remove(event_id);
        }
        lost
    }

    /// Notes every lease anew: a renewal of some leases of a duration is not one of all.
    pub(super) fn hold_all_anew(&mut self, now: DateTime<Utc>) {
        for (lease, duration) in self.all() {
            self.hold(lease, duration, now);
        }
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
