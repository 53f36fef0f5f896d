//! The work queue: claiming, recording outcomes, keeping leases, waking up.

use super::store::SqliteStore;
use super::{claiming, due, following, leases, processes, settling};
use crate::claim::{Claim, ClaimRequest, FollowRequest, Lease};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::outcome::{Settled, Settlement};
use crate::repository::{Exchange, OutboxQueue, Rescued, Revision};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;

#[async_trait]
impl OutboxQueue for SqliteStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let request = request.clone();
        self.write("claim", move |conn, now, _| {
            let claims = claiming::claim(conn, now, &request)?;
            processes::register(conn, now, &claims)?;
            Ok(claims)
        })
        .await
    }

    async fn follow(&self, request: &FollowRequest) -> Result<Vec<Claim>, StoreError> {
        let request = request.clone();
        self.write("follow", move |conn, now, _| {
            following::follow(conn, now, &request)
        })
        .await
    }

    fn can_follow(&self) -> bool {
        true
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let keeps_deliveries = self.shared.settings.keeps_deliveries;
        self.write("settle", move |conn, now, effects| {
            settling::settle_all(
                conn,
                now,
                &settlements,
                keeps_deliveries,
                &mut effects.wakes,
            )
        })
        .await
    }

    async fn settle_and_claim(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Exchange {
        let request = request.clone();
        let keeps_deliveries = self.shared.settings.keeps_deliveries;
        let both = self
            .write("settle and claim", move |conn, now, effects| {
                let settled = settling::settle_all(
                    conn,
                    now,
                    &settlements,
                    keeps_deliveries,
                    &mut effects.wakes,
                )?;
                let claims = claiming::claim(conn, now, &request)?;
                processes::register(conn, now, &claims)?;
                Ok((settled, claims))
            })
            .await;
        match both {
            Ok((settled, claims)) => Exchange {
                settled: Ok(settled),
                claimed: Ok(claims),
            },
            Err(error) => Exchange {
                settled: Err(error),
                claimed: Ok(Vec::new()),
            },
        }
    }

    async fn extend(
        &self,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<Option<Lease>>, StoreError> {
        let leases = leases.to_vec();
        self.write("extend", move |conn, now, _| {
            leases::extend(conn, now, leases.iter().map(|held| (held, lease)))
        })
        .await
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        let (_, rescued) = self.rescue_others(&[], None).await?;
        Ok(rescued)
    }

    async fn rescue_others(
        &self,
        held: &[(Lease, Duration)],
        only: Option<&[Lease]>,
    ) -> Result<(Vec<Option<Lease>>, Rescued), StoreError> {
        let held = held.to_vec();
        let only = only.map(<[Lease]>::to_vec);
        let alone = self.shared.settings.single_process;
        self.write("rescue", move |conn, now, effects| {
            let ended = held.iter().filter(|(lease, _)| lease.expires_at <= now);
            let ended = ended.map(|(lease, duration)| (lease, *duration));
            let mut extended = leases::extend(conn, now, ended)?.into_iter();
            let renewed = held.iter().map(|(lease, _)| match lease.expires_at > now {
                true => Some(*lease),
                false => extended.next().flatten(),
            });
            let renewed = renewed.collect();
            let rescued = match &only {
                Some(only) => leases::rescue_only(conn, now, only)?,
                None => leases::rescue(conn, now, alone)?,
            };
            effects.wakes |= rescued != Rescued::default();
            Ok((renewed, rescued))
        })
        .await
    }

    async fn next_due(&self, request: &ClaimRequest) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (request, clock) = (request.clone(), self.clock());
        // Not in one snapshot: a change in between wakes the run anyway.
        self.connections("next_due")?
            .reader
            .run("next_due", move |conn| {
                due::next_due(conn, clock.now(), &request)
            })
            .await
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    fn revision(&self) -> Revision {
        self.shared.signal.revision()
    }

    async fn changed(&self, seen: Revision) -> Revision {
        loop {
            tokio::select! {
                revision = self.shared.signal.changed(seen) => return revision,
                () = self.shared.watch.foreign_commit() => self.shared.signal.raise(),
            }
        }
    }
}
