//! Leases: those that a run holds, and when it renews them.
//!
//! All leases of one duration are renewed together, a third of the duration after the store granted
//! the oldest of them. A renewal that fails stays due: only a successful one moves the time of the
//! next.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::Lease;
use crate::clock;

/// The shortest pause before a lease is renewed again that could not be renewed.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// The leases of attempts in flight, of claimed events that wait for a handler, and of outcomes
/// that are not recorded yet.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<Uuid, Held>,
    /// When the leases of each duration are renewed next.
    renew_at: BTreeMap<Duration, DateTime<Utc>>,
}

/// A lease, and the duration of each renewal.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: Lease,
    duration: Duration,
}

/// Leases to renew together.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) duration: Duration,
    /// Since when the renewal is due.
    pub(super) due: DateTime<Utc>,
    pub(super) leases: Vec<Lease>,
}

impl Held {
    /// When the store granted the lease, derived from its end.
    fn granted_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let ends = self.lease.expires_at;
        if ends >= clock::after(DateTime::<Utc>::MAX_UTC, Duration::ZERO) {
            // The end is capped at the last representable time, so it says nothing about the start.
            return now;
        }
        clock::before(ends, self.duration).min(now)
    }
}

impl Leases {
    /// Adds a lease, to be renewed until it is released.
    pub(super) fn hold(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        let held = Held { lease, duration };
        self.held.insert(lease.event_id, held);
        let at = clock::after(held.granted_at(now), duration / 3);
        self.renew_by(duration, at);
    }

    /// Adds a lease whose end could not be moved now, because an application holds the event
    /// locked. It is renewed again after a part of what is left of it.
    fn hold_unrenewed(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        self.held.insert(lease.event_id, Held { lease, duration });
        let left = (lease.expires_at - now).to_std().unwrap_or_default();
        let pause = (left / 3).max(LEAST_PAUSE.min(duration / 3));
        self.renew_by(duration, clock::after(now, pause));
    }

    /// Adds a lease that was just granted. If the store took so long that it has expired already,
    /// another worker may have the event: it is renewed at once to find out.
    pub(super) fn hold_granted(&mut self, lease: Lease, duration: Duration, now: DateTime<Utc>) {
        self.hold(lease, duration, now);
        if lease.expires_at <= now {
            self.renew_by(duration, now);
        }
    }

    pub(super) fn holds(&self, event_id: &Uuid) -> bool {
        self.held.contains_key(event_id)
    }

    /// Whether this lease, as it was renewed since, is held and has not expired. A newer one of the
    /// same event is not this one: the run may have claimed the event again meanwhile.
    pub(super) fn is_in_force(&self, lease: &Lease, now: DateTime<Utc>) -> bool {
        let held = self.held.get(&lease.event_id);
        held.is_some_and(|held| held.lease.token == lease.token && held.lease.expires_at > now)
    }

    /// Removes a lease whose outcome is recorded, or which is lost.
    pub(super) fn release(&mut self, event_id: &Uuid) {
        self.held.remove(event_id);
    }

    /// Removes a lease that is lost, unless the run has a newer one of the same event.
    pub(super) fn release_this(&mut self, lease: &Lease) {
        let held = self.held.get(&lease.event_id);
        if held.is_some_and(|held| held.lease.token == lease.token) {
            self.held.remove(&lease.event_id);
        }
    }

    /// Handles a lease under which the store refused an outcome. If it may only have expired, it is
    /// kept and renewed at once to find out; otherwise it is lost. Returns whether it is kept.
    pub(super) fn keep_if_only_ended(&mut self, event_id: &Uuid, now: DateTime<Utc>) -> bool {
        let held = self.held.remove(event_id);
        let Some(held) = held.filter(|held| held.lease.expires_at <= now) else {
            return false;
        };
        self.hold(held.lease, held.duration, now);
        self.renew_by(held.duration, now);
        true
    }

    /// All leases with their durations, in a deterministic order.
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

    /// Schedules the renewal of the leases of this duration at this time, unless it is due earlier.
    fn renew_by(&mut self, duration: Duration, at: DateTime<Utc>) {
        let due = self.renew_at.entry(duration).or_insert(at);
        *due = at.min(*due);
    }

    /// Schedules the renewal of all leases at this time.
    pub(super) fn renew_all_at(&mut self, at: DateTime<Utc>) {
        for due in self.renew_at.values_mut() {
            *due = at;
        }
    }

    /// The renewals that are due, one for each duration.
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

    /// When the next renewal is due.
    pub(super) fn next_renewal(&self) -> Option<DateTime<Utc>> {
        self.renew_at.values().min().copied()
    }

    /// Applies the result of a renewal. Returns the events whose leases are lost.
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
                Some(renewed) if renewed == *lease => self.hold_unrenewed(renewed, duration, now),
                Some(renewed) => self.hold(renewed, duration, now),
                None => lost.push(lease.event_id),
            }
        }
        for event_id in &lost {
            self.held.remove(event_id);
        }
        lost
    }

    /// Reschedules the renewal of all leases, after only some leases of a duration were renewed.
    pub(super) fn reschedule_all(&mut self, now: DateTime<Utc>) {
        for (lease, duration) in self.all() {
            self.hold(lease, duration, now);
        }
    }

    /// Drops the renewals of durations that no held lease has.
    pub(super) fn forget_unheld(&mut self) {
        let held = &self.held;
        let is_held = |duration| held.values().any(|held| held.duration == duration);
        self.renew_at.retain(|duration, _| is_held(*duration));
    }

    /// The shortest duration among the held leases.
    pub(super) fn shortest(&self) -> Option<Duration> {
        self.held.values().map(|held| held.duration).min()
    }
}
