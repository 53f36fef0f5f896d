//! The statements of a claim, in one transaction with the outcomes before it, and what they find.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::{join_all, join3};
use outbox_runtime::store::{Claim, ClaimRequest, Lease, LeaseToken, Settled, Settlement};
use outbox_runtime::{RawMetadata, StoreError};
use tokio_postgres::{Row, Statement};

use crate::cursor::{Begin, Place, Scanned};
use crate::fault::{Tries, commit_fault, fault, is_collision};
use crate::row;
use crate::scan::{Budget, From, Stage};
use crate::settle::{Outcomes, Settling, Written};
use crate::store::{PostgresStore, prepared};

/// What a stage found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) claims: Vec<Claim>,
    /// Events whose rows cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(Lease, String)>,
    /// The lanes of candidates that were behind another event, and the seqs of these candidates.
    pub(crate) behind: Vec<(i64, i64)>,
    pub(crate) has_notes: bool,
    /// Nothing was looked at, because the pauses of the database are not those of the request.
    is_outdated: bool,
    pub(crate) last: Option<Place>,
    pub(crate) bytes: usize,
    /// Where the scan began.
    pub(crate) begin: Begin,
    scanned: Scanned,
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

/// What the first statements of a claim found, which share a transaction.
#[derive(Debug, Default)]
pub(crate) struct FirstFound {
    pub(crate) in_order: Option<Found>,
    pub(crate) turns: Option<Found>,
}

/// A stage, ready to be sent.
type Ready = (Stage, Statement);

/// The answers to a transaction.
struct Answers {
    written: Option<Written>,
    rows: Vec<Vec<Row>>,
}

impl PostgresStore {
    /// Runs one statement of a claim in a transaction of its own, and again if it met another one.
    pub(crate) async fn run_stage(
        &self,
        request: &ClaimRequest,
        (from, begin): (From<'_>, &Begin),
        scan: usize,
        budget: &Budget,
    ) -> Result<Found, StoreError> {
        let make = |at| vec![self.stage(request, (from, begin), scan, budget, at)];
        let mut found = self.run_stages(request, begin, make).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// Runs the first statements of a claim in a transaction of their own.
    pub(crate) async fn find_first(
        &self,
        request: &ClaimRequest,
    ) -> Result<FirstFound, StoreError> {
        let part = request.parts().swap_remove(0);
        let begin = self.shared.cursors.begin(&part);
        let make = |at| self.first_stages(&part, &begin, at);
        let found = self.run_stages(&part, &begin, make).await?;
        Ok(self.first_found(&part, found))
    }

    /// Runs statements of a claim in one transaction, and again if it met another one.
    async fn run_stages(
        &self,
        request: &ClaimRequest,
        begin: &Begin,
        make: impl Fn((DateTime<Utc>, LeaseToken)) -> Vec<Stage>,
    ) -> Result<Vec<Found>, StoreError> {
        const OPERATION: &str = "claim";
        let storage = |error| fault(OPERATION, error);
        let mut tries = Tries::default();
        loop {
            let client = self.connection(OPERATION).await?;
            let (now, token) = (self.now(), LeaseToken::random());
            let stages = ready(&client, OPERATION, make((now, token))).await?;
            let (done, committed) = self.send(&client, request, now, None, &stages).await?;
            match done {
                Err(error) if tries.again(&error) => {}
                Err(error) => return Err(storage(error)),
                Ok(answers) => {
                    committed.map_err(storage)?;
                    let found = read_all(&answers.rows, token, begin).map_err(storage)?;
                    if found.iter().any(|found| found.is_outdated) {
                        self.learn_pauses(OPERATION).await?;
                        if found.iter().all(|found| found.count() == 0) {
                            continue;
                        }
                    }
                    return Ok(found);
                }
            }
        }
    }

    /// Records outcomes and runs the first statements of a claim in one transaction and one round
    /// trip. `None` if the claim met another one on a lane: nothing is written then.
    pub(crate) async fn settle_and_find(
        &self,
        settlements: Vec<Settlement>,
        request: &ClaimRequest,
    ) -> Result<Option<(Vec<Settled>, FirstFound)>, StoreError> {
        const OPERATION: &str = "settle_and_claim";
        let part = request.parts().swap_remove(0);
        let client = self.connection(OPERATION).await?;
        let outcomes = Outcomes::new(settlements);
        let settling = Settling::new(self, &client, &outcomes).await?;
        let (now, token) = (self.now(), LeaseToken::random());
        let begin = self.shared.cursors.begin(&part);
        let stages = self.first_stages(&part, &begin, (now, token));
        let stages = ready(&client, OPERATION, stages).await?;
        let sent = self.send(&client, request, now, Some(&settling), &stages);
        let (done, committed) = sent.await?;
        let answers = match done {
            Err(error) if is_collision(&error) => return Ok(None),
            // Without an answer, the commit may have arrived nevertheless.
            done => done.map_err(|error| commit_fault(OPERATION, error))?,
        };
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        let settled = self.settled(&settling, answers.written.unwrap_or_default());
        let found = read_all(&answers.rows, token, &begin);
        let found = found.map_err(|error| fault(OPERATION, error))?;
        if found.iter().all(|found| found.is_outdated) {
            // The claim begins anew, with the pauses of the database.
            return Ok(Some((settled, FirstFound::default())));
        }
        Ok(Some((settled, self.first_found(&part, found))))
    }

    /// The stages in the order of the request, and by turns.
    fn first_stages(
        &self,
        part: &ClaimRequest,
        begin: &Begin,
        at: (DateTime<Utc>, LeaseToken),
    ) -> Vec<Stage> {
        let (budget, kept) = Budget::of(part).before_turns(part);
        let turns = Budget {
            places: part.turns().min(part.limit()),
            bytes: kept.max(1),
        };
        let mut stages = Vec::new();
        if budget.places > 0 {
            let from = (From::InOrder, begin);
            stages.push(self.stage(part, from, budget.scan(), &budget, at));
        }
        if turns.places > 0 {
            self.need_user_index();
            let from = (From::EachUser(part.turns_after(), None), begin);
            stages.push(self.stage(part, from, turns.places, &turns, at));
        }
        stages
    }

    fn first_found(&self, part: &ClaimRequest, found: Vec<Found>) -> FirstFound {
        let mut found = found.into_iter();
        let in_order = (part.limit() > part.turns())
            .then(|| found.next())
            .flatten();
        if let Some(found) = &in_order {
            let cursors = &self.shared.cursors;
            cursors.scanned(part, &found.begin, &found.scanned);
        }
        FirstFound {
            in_order,
            turns: found.next(),
        }
    }

    /// Sends a transaction in one round trip: outcomes, the due events, and the stages. The second
    /// result is that of the commit, which means something only after a success before it.
    async fn send(
        &self,
        client: &Object,
        request: &ClaimRequest,
        now: DateTime<Utc>,
        settling: Option<&Settling<'_>>,
        stages: &[Ready],
    ) -> Result<
        (
            Result<Answers, tokio_postgres::Error>,
            Result<(), tokio_postgres::Error>,
        ),
        StoreError,
    > {
        let promote = prepared(client, "claim", &self.shared.sql.promote).await?;
        let begin = self.begin(Some(shortest_lease(request)));
        let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
        let write = async {
            match settling {
                Some(settling) => settling.write(client, now).await.map(Some),
                None => Ok(None),
            }
        };
        let claim = stages.iter().map(|(stage, statement)| async {
            let params = stage.params.as_refs();
            client.query(statement, &params).await
        });
        // All messages are sent before the first answer is awaited.
        let before = join3(
            client.batch_execute(&begin),
            write,
            client.execute(&promote, &promoted),
        );
        let commit = client.batch_execute("COMMIT");
        let (before, rows, committed) = join3(before, join_all(claim), commit).await;
        let (begun, written, promoted) = before;
        let done = begun.and(written).and_then(|written| {
            promoted?;
            let rows: Result<Vec<_>, _> = rows.into_iter().collect();
            Ok(Answers {
                written,
                rows: rows?,
            })
        });
        Ok((done, committed))
    }

    /// Blocks candidates that are behind others, in a transaction of its own.
    pub(crate) async fn demote(&self, behind: &[(i64, i64)]) -> Result<(), StoreError> {
        const OPERATION: &str = "claim";
        let (lanes, seqs): (Vec<i64>, Vec<i64>) = behind.iter().copied().unzip();
        let last = seqs.into_iter().max();
        let client = self.connection(OPERATION).await?;
        let demote = prepared(&client, OPERATION, &self.shared.sql.demote).await?;
        match client.execute(&demote, &[&lanes, &last]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            _ => Ok(()),
        }
    }
}

/// The shortest of the leases that the claim may take.
fn shortest_lease(request: &ClaimRequest) -> Duration {
    let own = request.own_leases().iter().map(|(_, lease)| *lease);
    own.min().unwrap_or(Duration::MAX).min(request.lease())
}

/// Prepares stages.
async fn ready(
    client: &Object,
    operation: &'static str,
    stages: Vec<Stage>,
) -> Result<Vec<Ready>, StoreError> {
    let mut ready = Vec::with_capacity(stages.len());
    for stage in stages {
        let statement = prepared(client, operation, &stage.sql).await?;
        ready.push((stage, statement));
    }
    Ok(ready)
}

fn read_all(
    answers: &[Vec<Row>],
    token: LeaseToken,
    begin: &Begin,
) -> Result<Vec<Found>, tokio_postgres::Error> {
    let found = answers.iter().map(|rows| {
        let mut found = read_found(rows, token)?;
        found.begin = begin.clone();
        Ok(found)
    });
    found.collect()
}

fn read_found(rows: &[Row], token: LeaseToken) -> Result<Found, tokio_postgres::Error> {
    let mut found = Found::default();
    let mut claims: Vec<(i64, Claim)> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    for row in rows {
        let kind: i8 = row.try_get(0)?;
        match kind.cast_unsigned() {
            b'c' => {
                let read = row::read(row, 2)?;
                places.push(Place {
                    priority: read.event.priority,
                    due: read.event.next_attempt_at,
                    seq: read.event.seq,
                });
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
                let seq = row.try_get(3)?;
                found.behind.push((row.try_get(1)?, seq));
                places.push(Place {
                    seq,
                    priority: row.try_get(9)?,
                    due: row.try_get(11)?,
                });
            }
            b't' => {
                let micros: i64 = row.try_get(1)?;
                found.scanned.cost = Duration::from_micros(micros.unsigned_abs());
            }
            b'p' => found.is_outdated = true,
            _ => found.has_notes = true,
        }
    }
    // `RETURNING` has no order.
    claims.sort_by_key(|(nth, _)| *nth);
    found.claims = claims.into_iter().map(|(_, claim)| claim).collect();
    found.last = places.iter().copied().max_by_key(Place::in_order);
    found.scanned.candidates = places.len();
    let mut firsts = BTreeMap::new();
    for place in places {
        let first = firsts.entry(place.priority).or_insert(place.due);
        *first = place.due.min(*first);
    }
    found.scanned.firsts = firsts.into_iter().collect();
    Ok(found)
}
