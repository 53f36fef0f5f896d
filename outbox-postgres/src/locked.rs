//! Outcomes of events whose rows an application holds locked.
//!
//! A handler that completes its event in a transaction of the application may answer while that is
//! open. The first outcome that meets such a row waits for it for a moment, because most locks are
//! brief; from then on, the outcomes of that lease step over the row while it is locked, so that no
//! other outcome waits again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outbox_runtime::store::{Settled, Settlement};
use uuid::Uuid;

/// The most leases that are remembered. Those that nobody settles again would otherwise pile up.
const MOST: usize = 10_000;

/// An event and the token of its lease.
pub(crate) type Key = (Uuid, Uuid);

/// The leases whose rows were locked when their outcomes came.
#[derive(Debug, Default)]
pub(crate) struct Locked(Mutex<HashSet<Key>>);

impl Locked {
    fn all(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the rows of some of these leases were locked.
    pub(crate) fn has_any_of(&self, settlements: &[Settlement]) -> bool {
        let all = self.all();
        let key = |it: &Settlement| (it.lease.event_id, it.lease.token.as_uuid());
        !all.is_empty() && settlements.iter().any(|it| all.contains(&key(it)))
    }

    /// Notes the results for these leases.
    pub(crate) fn told(&self, leases: &[Key], settled: &[Settled]) {
        let mut all = self.all();
        if all.is_empty() && !settled.contains(&Settled::Locked) {
            return;
        }
        for (lease, settled) in leases.iter().zip(settled) {
            if *settled != Settled::Locked {
                all.remove(lease);
                continue;
            }
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(*lease);
        }
    }
}
