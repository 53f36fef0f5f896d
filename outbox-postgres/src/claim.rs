//! Claims: candidates in claim order, each checked against its lane before it is leased.
//!
//! A claim decides which candidate is first of its lane; enqueueing does not. It steps over
//! candidates behind another event. Where these would fill its scan, it blocks them, so that the
//! next claims do not meet them again.

use std::sync::atomic::Ordering;

use outbox_runtime::store::{Claim, ClaimOrder, ClaimRequest, Disposition, Settlement};
use outbox_runtime::{DeadReason, StoreError};

use crate::chosen::{Budget, MOST_SCAN};
use crate::cursor::Begin;
use crate::found::{FirstFound, Found};
use crate::store::PostgresStore;
use crate::visits::Range;

/// How many scans a claim makes before it returns what it has.
const MOST_SCANS: usize = 200;

/// What a scan in the order of the request has not taken.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// No event that can be claimed.
    Nothing,
    Unknown,
}

impl PostgresStore {
    /// Claims for a request.
    pub(crate) async fn claim_events(
        &self,
        request: &ClaimRequest,
    ) -> Result<Vec<Claim>, StoreError> {
        self.awake("claim")?;
        if request.limit() == 0 {
            return Ok(Vec::new());
        }
        self.shared.wakes.on_activity();
        self.learn_indexes(request).await;
        let first = self.find_first(request).await?;
        self.claim_after(request, first).await
    }

    /// Finds out which indexes there are for a claim.
    pub(crate) async fn learn_indexes(&self, request: &ClaimRequest) {
        self.learn_user_index(request).await;
        self.learn_destination_index(request).await;
    }

    /// Claims, beginning with what the first statements have found already.
    pub(crate) async fn claim_after(
        &self,
        request: &ClaimRequest,
        first: FirstFound,
    ) -> Result<Vec<Claim>, StoreError> {
        let budget = Budget::of(request);
        self.claim_within(request, budget, Vec::new(), first).await
    }

    /// Claims anew after what the first statements have found: they looked too early for the rest.
    pub(crate) async fn claim_anew_after(
        &self,
        request: &ClaimRequest,
        first: FirstFound,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut budget = Budget::of(request);
        let mut claims = Vec::new();
        let (before, behind) = first.left.around_turns();
        for found in [first.in_order, before, first.turns, behind]
            .into_iter()
            .flatten()
        {
            self.keep(found, &mut budget, &mut claims).await;
        }
        self.claim_within(request, budget, claims, FirstFound::default())
            .await
    }

    async fn claim_within(
        &self,
        request: &ClaimRequest,
        mut budget: Budget,
        mut claims: Vec<Claim>,
        mut first: FirstFound,
    ) -> Result<Vec<Claim>, StoreError> {
        for part in request.parts() {
            if budget.places == 0 || budget.bytes == 0 {
                break;
            }
            let first = std::mem::take(&mut first);
            let done = self.claim_part(&part, &mut budget, &mut claims, first);
            match done.await {
                // Events leased before an error must not be lost with it.
                Err(error) if claims.is_empty() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a claim ended early");
                    break;
                }
                Ok(()) => {}
            }
        }
        debug_assert!(
            claims.len() <= request.limit(),
            "a claim is within its limit"
        );
        let is_filled = claims.len() >= request.limit();
        self.shared.expects_more.store(is_filled, Ordering::Relaxed);
        if !claims.is_empty() {
            self.shared.wakes.on_work();
        }
        Ok(claims)
    }

    async fn claim_part(
        &self,
        request: &ClaimRequest,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
        first: FirstFound,
    ) -> Result<(), StoreError> {
        let turns = request.turns().min(budget.places);
        let (mut part, kept) = budget.before_turns(request);
        // What the first statement has taken of the bytes before the turns, for these and for what
        // they have left: the scans that follow must not take them again.
        let of_turns = first.turns.as_ref().map_or(0, |found| found.bytes);
        let over = (of_turns + first.left.found.bytes).saturating_sub(kept);
        part.bytes = part.bytes.saturating_sub(over);
        let mut in_order = Ok(Rest::Unknown);
        if part.places > 0 {
            in_order = self
                .in_order(request, &mut part, claims, first.in_order)
                .await;
            budget.places = part.places + turns;
            budget.bytes = part.bytes + kept + over;
        }
        if turns == 0 {
            return in_order.map(drop);
        }
        let mut part = Budget {
            places: turns,
            bytes: budget.bytes.max(1),
        };
        let after = request.turns_after();
        let has_begun = first.turns.as_ref().is_some_and(|found| found.has_looked);
        let mut has_wrapped = false;
        // Leased already, so even after an error.
        let (before, behind) = first.left.around_turns();
        if let Some(found) = &first.turns {
            has_wrapped = found.has_wrapped;
        }
        for found in [before, first.turns, behind].into_iter().flatten() {
            self.keep(found, &mut part, claims).await;
        }
        let nothing_left = in_order? == Rest::Nothing;
        // What the scan in order has not found, the turns do not find either.
        if !nothing_left {
            if !has_begun {
                let range = Range { after, up_to: None };
                has_wrapped = self.each_user(request, range, &mut part, claims).await?;
            }
            if part.places > 0 && part.bytes > 0 && !after.is_empty() && !has_wrapped {
                let range = Range {
                    after: "",
                    up_to: Some(after),
                };
                self.each_user(request, range, &mut part, claims).await?;
            }
        }
        budget.places = budget.places - turns + part.places;
        budget.bytes = part.bytes;
        if budget.places > 0 && budget.bytes > 0 && !nothing_left {
            self.in_order(request, budget, claims, None).await?;
        }
        Ok(())
    }

    /// Takes events in the order of the request.
    async fn in_order(
        &self,
        request: &ClaimRequest,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
        mut found: Option<Found>,
    ) -> Result<Rest, StoreError> {
        let mut begin = self.shared.cursors.begin(request);
        let mut scan = budget.scan();
        for _ in 0..MOST_SCANS {
            let wanted = budget.places;
            let mut found = match found.take() {
                Some(found) => found,
                None => self.find_in_order(request, &begin, scan, *budget).await?,
            };
            let (is_full, got) = (found.is_full(scan), found.count());
            let (last, has_notes) = (found.last, found.has_notes);
            let behind = std::mem::take(&mut found.behind);
            let waiting = std::mem::take(&mut found.waiting);
            let began = std::mem::take(&mut found.begin);
            self.keep(found, budget, claims).await;
            let takes_up = has_notes && self.take_up_notes().await?;
            let all_wait =
                waiting.is_empty() || self.let_wait(&waiting).await? >= waiting.len() as u64;
            if budget.places == 0 || budget.bytes == 0 {
                return Ok(Rest::Unknown);
            }
            if takes_up {
                begin = Begin::default();
                continue;
            }
            if !is_full {
                self.leave_to_others(behind, all_wait).await;
                return Ok(Rest::Nothing);
            }
            if got * 2 < wanted && !behind.is_empty() {
                self.demote(&behind).await?;
            } else if got * 2 >= wanted && request.order() == ClaimOrder::Usual {
                return Ok(Rest::Unknown);
            }
            if let Some(last) = last.filter(|_| request.order() == ClaimOrder::Usual) {
                begin = began.after(last);
                scan = (scan * 2).min(MOST_SCAN);
            } else if scan == MOST_SCAN {
                break;
            } else {
                // Another order has no place to continue from; those behind are blocked now. So has
                // a scan all of whose finds are locked.
                scan = (scan * 4).min(MOST_SCAN);
            }
        }
        Ok(Rest::Unknown)
    }

    /// Blocks candidates behind events that other stores deliver. Ending an event tells others only
    /// if it unblocks one, so this store would not hear of the end of a mere candidate's front. The
    /// end of an event of its own leads to the next claim anyway. `all_wait` tells whether the
    /// candidates with parents wait for these now.
    async fn leave_to_others(&self, mut behind: Vec<(i64, i64)>, all_wait: bool) {
        let own = self.shared.held.of_lanes();
        behind.retain(|(lane, _)| !own.contains(lane));
        let demoted = match behind.is_empty() {
            true => Ok(0),
            false => self.demote(&behind).await,
        };
        // What could not be blocked is looked at again after a pause.
        let demoted = demoted.unwrap_or_else(|error| {
            tracing::debug!(%error, "candidates behind others were not blocked");
            0
        });
        let has_left = !all_wait || demoted < behind.len() as u64;
        self.shared.left.looked(has_left);
    }

    /// Takes the first event of each user in a range of users. Returns whether it has looked at the
    /// users before the range, too.
    async fn each_user(
        &self,
        request: &ClaimRequest,
        range: Range<'_>,
        budget: &mut Budget,
        claims: &mut Vec<Claim>,
    ) -> Result<bool, StoreError> {
        let found = self.find_turns(request, range, *budget).await?;
        let has_wrapped = found.has_wrapped;
        self.keep(found, budget, claims).await;
        Ok(has_wrapped)
    }

    /// Adds what a stage found to the claim. Events that cannot be read become dead letters.
    async fn keep(&self, found: Found, budget: &mut Budget, claims: &mut Vec<Claim>) {
        budget.places = budget.places.saturating_sub(found.count());
        budget.bytes = budget.bytes.saturating_sub(found.bytes);
        claims.extend(found.claims);
        if found.unreadable.is_empty() {
            return;
        }
        let buried = found
            .unreadable
            .into_iter()
            .map(|(lease, message)| Settlement {
                lease,
                disposition: Disposition::Bury {
                    reason: DeadReason::Undecodable,
                    message,
                },
            });
        if let Err(error) = self.settle_all(buried.collect()).await {
            // Their leases run out, and the next claim tries again.
            tracing::warn!(%error, "damaged events could not be made dead letters");
        }
    }
}
