//! The statements of a claim, in one transaction with the outcomes before it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::join3;
use outbox_runtime::StoreError;
use outbox_runtime::store::{Claim, ClaimRequest, LeaseToken};
use tokio_postgres::{Row, Statement};

use crate::chosen::Budget;
use crate::cursor::Begin;
use crate::fault::{Tries, commit_fault, fault, is_collision, is_lock_timeout};
use crate::found::{FirstFound, Found, FoundBy};
use crate::place::Place;
use crate::row::Leased;
use crate::scan::{InOrder, Stage};
use crate::settle::{Outcomes, Recorded, Rows, Settling, Written};
use crate::store::{PostgresStore, prepared};
use crate::turning::Turns;
use crate::turns::Look;
use crate::visits::{Looked, Range, Visits};

/// What became of outcomes and a claim in one transaction.
#[derive(Debug)]
pub(crate) enum Together {
    Done(Recorded, Box<FirstFound>),
    /// The claim met another one on a lane. Nothing is written.
    Met,
    /// A row is locked, most often that of an outcome. Nothing is written.
    Locked,
}

/// Where the first statement of a claim looks.
#[derive(Debug)]
struct Begins {
    in_order: Begin,
    /// `None`: it does not look for turns.
    turns: Option<Look>,
}

/// The places that turns fill.
fn turns_of(part: &ClaimRequest) -> usize {
    part.turns().min(part.limit())
}

/// The users whose turns are due.
fn all_after(part: &ClaimRequest) -> Range<'_> {
    Range {
        after: part.turns_after(),
        up_to: None,
    }
}

/// A stage, ready to be sent.
type Ready = (Stage, Statement);

/// The answers to a transaction.
struct Answers {
    written: Option<Written>,
    rows: Vec<Row>,
}

impl PostgresStore {
    /// Takes events in the order of the request.
    pub(crate) async fn find_in_order(
        &self,
        request: &ClaimRequest,
        begin: &Begin,
        scan: usize,
        budget: Budget,
    ) -> Result<Found, StoreError> {
        let make = |at| {
            let in_order = InOrder {
                begin,
                scan,
                budget,
            };
            self.stage(request, Some(&in_order), None, at)
        };
        let mut found = self.run_stage(request, make).await?.in_order;
        found.begin = begin.clone();
        Ok(found)
    }

    /// Takes the first event of each user in a range of users.
    pub(crate) async fn find_turns(
        &self,
        request: &ClaimRequest,
        range: Range<'_>,
        budget: Budget,
    ) -> Result<Found, StoreError> {
        let look = self.look_for_turns(request, range, budget.places);
        let make = |at| {
            let turns = Turns {
                range,
                look: look.clone(),
                budget,
            };
            self.stage(request, None, Some(&turns), at)
        };
        let mut found = self.run_stage(request, make).await?.turns;
        self.looked(request, &look, range, budget.places, &mut found);
        Ok(found)
    }

    /// Notes a look for turns, and in what it found whether it has wrapped.
    fn looked(
        &self,
        request: &ClaimRequest,
        look: &Look,
        range: Range<'_>,
        places: usize,
        found: &mut Found,
    ) {
        let visits = match look {
            Look::AllCandidates => {
                found.has_wrapped = true;
                return self.has_read_all(&found.scanned);
            }
            Look::AllUsers => None,
            Look::Users(visits) => Some(visits),
        };
        found.has_wrapped = visits.is_none() && range.wraps();
        let place_of = |claim: &Claim| (claim.event.user_id.clone(), Place::of(&claim.event));
        let mut looked = Looked {
            cost: found.scanned.cost,
            found: found.claims.iter().map(place_of).collect(),
        };
        let is_before = |(user, _): &(String, Place)| user.as_str() <= range.after;
        let before: Visits = match found.has_wrapped {
            true => looked.found.extract_if(.., |of| is_before(of)).collect(),
            false => Visits::new(),
        };
        let cursors = &self.shared.cursors;
        cursors.looked(request, (visits, range), places, &looked);
        let left = places.saturating_sub(looked.found.len());
        if found.has_wrapped && left > 0 {
            let range = Range {
                after: "",
                up_to: Some(range.after),
            };
            let looked = Looked {
                cost: Duration::ZERO,
                found: before,
            };
            cursors.looked(request, (None, range), left, &looked);
        }
    }

    /// Runs the first statement of a claim in a transaction of its own.
    pub(crate) async fn find_first(
        &self,
        request: &ClaimRequest,
    ) -> Result<FirstFound, StoreError> {
        let part = request.parts().swap_remove(0);
        let begins = self.begins(&part, 0);
        let make = |at| self.first_stage(&part, &begins, at);
        let found = self.run_stage(&part, make).await?;
        Ok(self.first_found(&part, begins, found))
    }

    /// Runs a statement of a claim in a transaction of its own, and again if it met another one.
    async fn run_stage(
        &self,
        request: &ClaimRequest,
        make: impl Fn((DateTime<Utc>, LeaseToken)) -> Stage,
    ) -> Result<FoundBy, StoreError> {
        const OPERATION: &str = "claim";
        let storage = |error| fault(OPERATION, error);
        let mut tries = Tries::default();
        loop {
            let client = self.connection(OPERATION).await?;
            let (now, token) = (self.now(), LeaseToken::random());
            let stage = ready(&client, OPERATION, make((now, token))).await?;
            let (done, committed) = self.send(&client, request, now, None, &stage).await?;
            match done {
                Err(error) if tries.again(&error) => {}
                Err(error) => return Err(storage(error)),
                Ok(answers) => {
                    committed.map_err(storage)?;
                    let leased = Leased {
                        request,
                        now,
                        token,
                    };
                    let found = self.read_found(&answers.rows, &leased);
                    let found = found.map_err(storage)?;
                    if found.is_outdated {
                        // A store may have one connection.
                        drop(client);
                        self.learn_pauses(OPERATION).await?;
                        continue;
                    }
                    return Ok(found);
                }
            }
        }
    }

    /// Records outcomes and runs the first statements of a claim in one transaction and one round
    /// trip.
    pub(crate) async fn settle_and_find(
        &self,
        outcomes: &Outcomes,
        request: &ClaimRequest,
    ) -> Result<Together, StoreError> {
        const OPERATION: &str = "settle_and_claim";
        let part = request.parts().swap_remove(0);
        let client = self.connection(OPERATION).await?;
        let settling = Settling::new(self, &client, outcomes, Rows::All).await?;
        let (now, token) = (self.now(), LeaseToken::random());
        let begins = self.begins(&part, outcomes.len());
        let stage = self.first_stage(&part, &begins, (now, token));
        let stage = ready(&client, OPERATION, stage).await?;
        let sent = self.send(&client, request, now, Some(&settling), &stage);
        let (done, committed) = sent.await?;
        let answers = match done {
            Err(error) if is_collision(&error) => return Ok(Together::Met),
            Err(error) if is_lock_timeout(&error) => return Ok(Together::Locked),
            // Without an answer, the commit may have arrived nevertheless.
            done => done.map_err(|error| commit_fault(OPERATION, error))?,
        };
        committed.map_err(|error| commit_fault(OPERATION, error))?;
        let written = answers.written.unwrap_or_default();
        let recorded = self.recorded(&settling, written, client);
        let recorded = self.with_completions(outcomes, recorded).await;
        let leased = Leased {
            request: &part,
            now,
            token,
        };
        let found = self.read_found(&answers.rows, &leased);
        let found = found.map_err(|error| fault(OPERATION, error))?;
        if found.is_outdated {
            // The claim begins anew, with the pauses of the database.
            return Ok(Together::Done(recorded, Box::default()));
        }
        let found = self.first_found(&part, begins, found);
        Ok(Together::Done(recorded, Box::new(found)))
    }

    /// Where a claim along with so many outcomes begins.
    fn begins(&self, part: &ClaimRequest, outcomes: usize) -> Begins {
        let cursors = &self.shared.cursors;
        let places = turns_of(part);
        // After a claim that has emptied the outbox, the scan in order most often finds all that
        // there is, unless many events end, which may let as many others go. Half of the statement
        // is for turns.
        let begins = self.shared.expects_more.load(Ordering::Relaxed)
            || places == part.limit()
            || outcomes >= part.limit() / 2;
        Begins {
            in_order: cursors.begin(part),
            turns: (begins && places > 0)
                .then(|| self.look_for_turns(part, all_after(part), places)),
        }
    }

    /// Takes events in the order of the request, then by turns.
    fn first_stage(
        &self,
        part: &ClaimRequest,
        begins: &Begins,
        at: (DateTime<Utc>, LeaseToken),
    ) -> Stage {
        let (budget, kept) = Budget::of(part).before_turns(part);
        let in_order = (budget.places > 0).then(|| InOrder {
            begin: &begins.in_order,
            scan: budget.scan(),
            budget,
        });
        let turns = begins.turns.as_ref().map(|look| Turns {
            range: all_after(part),
            look: look.clone(),
            budget: Budget {
                places: turns_of(part),
                bytes: kept.max(1),
            },
        });
        self.stage(part, in_order.as_ref(), turns.as_ref(), at)
    }

    fn first_found(&self, part: &ClaimRequest, begins: Begins, found: FoundBy) -> FirstFound {
        let FoundBy {
            mut in_order,
            mut turns,
            left,
            ..
        } = found;
        in_order.begin = begins.in_order;
        let in_order = (part.limit() > part.turns()).then_some(in_order);
        if let Some(found) = &in_order {
            let (cursors, scanned) = (&self.shared.cursors, &found.scanned);
            if cursors.scanned(part, &found.begin, scanned) {
                self.scans_are_slow(part, scanned.is_by_destination);
            }
        }
        let Some(look) = begins.turns else {
            return FirstFound {
                in_order,
                ..FirstFound::default()
            };
        };
        if turns.has_looked {
            self.looked(part, &look, all_after(part), turns_of(part), &mut turns);
        }
        FirstFound {
            in_order,
            turns: Some(turns),
            left,
        }
    }

    /// Sends a transaction in one round trip: outcomes, the due events, and the stage. The second
    /// result is that of the commit, which means something only after a success before it.
    async fn send(
        &self,
        client: &Object,
        request: &ClaimRequest,
        now: DateTime<Utc>,
        settling: Option<&Settling<'_>>,
        (stage, statement): &Ready,
    ) -> Result<
        (
            Result<Answers, tokio_postgres::Error>,
            Result<(), tokio_postgres::Error>,
        ),
        StoreError,
    > {
        let promote = prepared(client, "claim", &self.shared.sql.promote).await?;
        let lease = Some(shortest_lease(request));
        let begin = match settling {
            Some(_) => self.begin_settling(lease, Rows::All),
            None => self.begin(lease),
        };
        let promoted: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&now];
        let write = async {
            match settling {
                Some(settling) => settling.write(client, now).await.map(Some),
                None => Ok(None),
            }
        };
        let params = stage.params.as_refs();
        let claim = client.query(statement, &params);
        // All messages are sent before the first answer is awaited.
        let before = join3(
            client.batch_execute(&begin),
            write,
            client.execute(&promote, &promoted),
        );
        let commit = client.batch_execute("COMMIT");
        let (before, rows, committed) = join3(before, claim, commit).await;
        let (begun, written, promoted) = before;
        let done = begun.and(written).and_then(|written| {
            promoted?;
            Ok(Answers {
                written,
                rows: rows?,
            })
        });
        Ok((done, committed))
    }

    /// Blocks candidates that are behind others, in a transaction of its own. Returns how many.
    pub(crate) async fn demote(&self, behind: &[(i64, i64)]) -> Result<u64, StoreError> {
        const OPERATION: &str = "claim";
        let (lanes, seqs): (Vec<i64>, Vec<i64>) = behind.iter().copied().unzip();
        let last = seqs.into_iter().max();
        let client = self.connection(OPERATION).await?;
        let demote = prepared(&client, OPERATION, &self.shared.sql.demote).await?;
        match client.execute(&demote, &[&lanes, &last]).await {
            Err(error) if !is_collision(&error) => Err(fault(OPERATION, error)),
            demoted => Ok(demoted.unwrap_or_default()),
        }
    }
}

/// The shortest of the leases that the claim may take.
fn shortest_lease(request: &ClaimRequest) -> Duration {
    let own = request.own_leases().iter().map(|(_, lease)| *lease);
    own.min().unwrap_or(Duration::MAX).min(request.lease())
}

/// Prepares a stage.
async fn ready(
    client: &Object,
    operation: &'static str,
    stage: Stage,
) -> Result<Ready, StoreError> {
    let statement = prepared(client, operation, &stage.sql).await?;
    Ok((stage, statement))
}
