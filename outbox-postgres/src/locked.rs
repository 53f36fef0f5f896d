//! Outcomes of events whose rows an application holds locked.
//!
//! A handler that completes its event in a transaction of the application may answer while that is
//! open. The first outcome that meets such a row waits for it for a moment, because most locks are
//! brief; from then on, the outcomes of that lease step over the row while it is locked, so that no
//! other outcome waits again.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outbox_runtime::StoreError;
use outbox_runtime::store::{Settled, Settlement};
use uuid::Uuid;

use crate::fault::fault;
use crate::store::{PostgresStore, prepared};

/// The most leases that are remembered. Those that nobody settles again would otherwise pile up.
const MOST: usize = 10_000;

/// An event and the token of its lease.
type Key = (Uuid, Uuid);

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
    fn told(&self, leases: &[Key], settled: &[Settled]) {
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

impl PostgresStore {
    /// Tells the outcomes whose rows are locked from those under lost leases.
    pub(crate) async fn tell_locked(&self, leases: &[Key], settled: &mut [Settled]) {
        let of_lost = leases.iter().zip(settled.iter());
        let of_lost = of_lost.filter(|(_, settled)| **settled == Settled::LeaseLost);
        let lost: Vec<Key> = of_lost.map(|(lease, _)| *lease).collect();
        if !lost.is_empty() {
            let locked = self.still_locked(&lost).await.unwrap_or_else(|error| {
                // The next try tells.
                tracing::debug!(%error, "locked events were not looked up");
                lost.into_iter().collect()
            });
            for (lease, settled) in leases.iter().zip(settled.iter_mut()) {
                if *settled == Settled::LeaseLost && locked.contains(lease) {
                    *settled = Settled::Locked;
                }
            }
        }
        self.shared.locked.told(leases, settled);
    }

    async fn still_locked(&self, leases: &[Key]) -> Result<HashSet<Key>, StoreError> {
        const OPERATION: &str = "settle";
        let storage = |error| fault(OPERATION, error);
        let (ids, tokens): (Vec<Uuid>, Vec<Uuid>) = leases.iter().copied().unzip();
        let client = self.connection(OPERATION).await?;
        let statement = prepared(&client, OPERATION, &self.shared.sql.locked).await?;
        let rows = client
            .query(&statement, &[&ids, &tokens, &self.now()])
            .await;
        let rows = rows.map_err(storage)?;
        let key = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let keys: Result<HashSet<Key>, tokio_postgres::Error> = rows.iter().map(key).collect();
        keys.map_err(storage)
    }
}
