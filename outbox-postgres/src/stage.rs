//! One statement of a claim, and what it finds.

use futures_util::future::{join4, join5};
use outbox_runtime::store::{Claim, ClaimRequest, Lease, LeaseToken, Settled, Settlement};
use outbox_runtime::{RawMetadata, StoreError};
use tokio_postgres::Row;

use crate::fault::{commit_fault, fault, is_collision};
use crate::row;
use crate::scan::{Budget, From, Place, parts};
use crate::settle::Settling;
use crate::store::{PostgresStore, prepared};

/// How often a claim is repeated that met another one on a lane.
const MOST_COLLISIONS: usize = 10;

/// What a stage found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) claims: Vec<Claim>,
    /// Events whose rows cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(Lease, String)>,
    /// The lanes of candidates that were behind another event.
    pub(crate) behind: Vec<i64>,
    pub(crate) has_notes: bool,
    pub(crate) last: Option<Place>,
    pub(crate) bytes: usize,
}

impl Found {
    pub(crate) fn count(&self) -> usize {
        self.claims.len() + self.unreadable.len()
    }

    /// Whether more candidates may come after those of the scan.
    pub(crate) fn is_full(&self, scan: usize) -> bool {
        self.count() + self.behind.len() >= scan
    }
}

impl PostgresStore {
    /// Runs one statement of a claim in a transaction of its own, and again if it met another one.
    pub(crate) async fn run_stage(
        &self,
        request: &ClaimRequest,
        from: From<'_>,
        scan: usize,
        budget: &Budget,
    ) -> Result<Found, StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let begin = self.begin();
        let promote = prepared(&client, OPERATION, &self.shared.sql.promote).await?;
        let mut collisions = 0;
        loop {
            let now = self.now();
            let token = LeaseToken::random();
            let stage = self.stage(request, from, scan, budget, (now, token));
            let claim = prepared(&client, OPERATION, &stage.sql).await?;
            let params = stage.params.as_refs();
            let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
            // All messages are sent before the first answer is awaited.
            let (begun, promoted, rows, committed) = join4(
                client.batch_execute(&begin),
                client.execute(&promote, &promoted),
                client.query(&claim, &params),
                client.batch_execute("COMMIT"),
            )
            .await;
            let done = begun.and(promoted.map(drop)).and(rows);
            match done {
                Err(error) if is_collision(&error) && collisions < MOST_COLLISIONS => {
                    collisions += 1;
                }
                Err(error) => return Err(fault(OPERATION, error)),
                Ok(rows) => {
                    committed.map_err(|error| fault(OPERATION, error))?;
                    debug_assert!(rows.len() <= stage.scan + 20);
                    return read_found(&rows, token).map_err(|error| fault(OPERATION, error));
                }
            }
        }
    }

    /// Records outcomes and runs the first statement of a claim in one transaction and one round
    /// trip. `None` if the claim met another one on a lane: nothing is written then.
    pub(crate) async fn settle_and_find(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Result<Option<(Vec<Settled>, Found)>, StoreError> {
        const OPERATION: &str = "settle_and_claim";
        let part = parts(request).swap_remove(0);
        let (budget, _) = Budget::of(request).before_turns(&part);
        let client = self.connection(OPERATION).await?;
        let settling = Settling::new(self, &client, settlements).await?;
        let (now, token) = (self.now(), LeaseToken::random());
        let from = From::InOrder(None);
        let stage = self.stage(&part, from, budget.scan(), &budget, (now, token));
        let promote = prepared(&client, OPERATION, &self.shared.sql.promote).await?;
        let claim = prepared(&client, OPERATION, &stage.sql).await?;
        let (begin, params) = (self.begin(), stage.params.as_refs());
        let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
        let (begun, written, promoted, rows, committed) = join5(
            client.batch_execute(&begin),
            settling.write(&client, now),
            client.execute(&promote, &promoted),
            client.query(&claim, &params),
            client.batch_execute("COMMIT"),
        )
        .await;
        let done = begun.and(written).and_then(|written| {
            promoted?;
            Ok((written, rows?))
        });
        let (written, rows) = match done {
            Err(error) if is_collision(&error) => return Ok(None),
            // Without an answer, the commit may have arrived nevertheless.
            done => done.map_err(|error| commit_fault(OPERATION, error))?,
        };
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        self.shared.signal.raise();
        let found = read_found(&rows, token).map_err(|error| fault(OPERATION, error))?;
        Ok(Some((settling.results(written), found)))
    }

    /// Blocks candidates that are behind others, in a transaction of its own.
    pub(crate) async fn demote(&self, lanes: &[i64]) -> Result<(), StoreError> {
        const OPERATION: &str = "claim";
        let client = self.connection(OPERATION).await?;
        let demote = prepared(&client, OPERATION, &self.shared.sql.demote).await?;
        match client.execute(&demote, &[&lanes]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            _ => Ok(()),
        }
    }
}

fn read_found(rows: &[Row], token: LeaseToken) -> Result<Found, tokio_postgres::Error> {
    let mut found = Found::default();
    let mut claims: Vec<(i64, Claim)> = Vec::new();
    let mut last: Option<Place> = None;
    let mut note_place = |place: Place| {
        let key = |place: &Place| (-i64::from(place.priority), place.due, place.seq);
        if last.is_none_or(|last| key(&place) > key(&last)) {
            last = Some(place);
        }
    };
    for row in rows {
        let kind: i8 = row.try_get(0)?;
        match kind.cast_unsigned() {
            b'c' => {
                let read = row::read(row, 2)?;
                note_place(Place::of(&read.event));
                found.bytes += read.event.metadata.as_ref().map_or(0, RawMetadata::len);
                let lease = Lease {
                    event_id: read.event.id,
                    seq: read.event.seq,
                    token,
                    expires_at: read.event.lease_expires_at.unwrap_or_default(),
                };
                match read.defect {
                    None => {
                        let event = read.event;
                        claims.push((row.try_get(1)?, Claim { event, lease }));
                    }
                    Some(defect) => found.unreadable.push((lease, defect)),
                }
            }
            b'b' => {
                found.behind.push(row.try_get(1)?);
                note_place(Place {
                    seq: row.try_get(3)?,
                    priority: row.try_get(9)?,
                    due: row.try_get(11)?,
                });
            }
            _ => found.has_notes = true,
        }
    }
    // `RETURNING` has no order.
    claims.sort_by_key(|(nth, _)| *nth);
    found.claims = claims.into_iter().map(|(_, claim)| claim).collect();
    found.last = last;
    Ok(found)
}
