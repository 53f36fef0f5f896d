//! Claiming: choosing the events of a claim.

use chrono::{DateTime, Utc};

use super::state::State;
use crate::claim::{Claim, ClaimOrder, ClaimRequest};
use crate::event::OutboxEvent;
use crate::store::kit::Load;

impl State {
    /// Leases due events to the caller.
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: DateTime<Utc>) -> Vec<Claim> {
        self.promote(now);
        let pauses = self.pauses();
        let request = &*pauses.applied(request, now);
        let mut load = Load::new();
        let mut claims: Vec<Claim> = Vec::new();
        let mut take = |state: &mut Self, seqs: Vec<i64>| {
            let taken = seqs.into_iter().filter_map(|seq| {
                let lease = request.lease_for(&state.rows.get(&seq)?.event_type);
                state.take(seq, now, lease)
            });
            claims.extend(taken);
            request.limit() - claims.len()
        };
        let mut left = request.limit();
        for part in request.parts() {
            let turns = part.turns().min(left);
            load.keep_for_turns(&part);
            let seqs = self.choose_in_order(&part, left - turns, &mut load);
            left = take(self, seqs);
            load.turns_begin();
            let firsts = self.first_of_each(&part);
            let seqs = self.choose(&part, firsts, left.min(turns), &mut load);
            left = take(self, seqs);
            let seqs = self.choose_in_order(&part, left, &mut load);
            left = take(self, seqs);
        }
        claims
    }

    /// The first `places` of these events that the request matches.
    fn choose<'s>(
        &'s self,
        request: &ClaimRequest,
        seqs: impl Iterator<Item = &'s i64>,
        places: usize,
        load: &mut Load,
    ) -> Vec<i64> {
        let matching = seqs.filter_map(|seq| self.requested(request, seq));
        let mut chosen = Vec::new();
        for event in matching.take(places) {
            if load.is_full() {
                break;
            }
            load.add(event);
            chosen.push(event.seq);
        }
        chosen
    }

    /// The first requested event of each user, in round-robin order starting after the user that
    /// the request names.
    fn first_of_each<'s>(&'s self, request: &ClaimRequest) -> impl Iterator<Item = &'s i64> {
        let users = self.ready.turns_after(request.turns_after());
        users.filter_map(|mut of_user| of_user.find(|seq| self.requested(request, seq).is_some()))
    }

    fn requested(&self, request: &ClaimRequest, seq: &i64) -> Option<&OutboxEvent> {
        let event = self.rows.get(seq)?;
        request.matches(event).then_some(event)
    }

    /// The first `places` requested events, in the order of the request.
    fn choose_in_order(&self, request: &ClaimRequest, places: usize, load: &mut Load) -> Vec<i64> {
        let mut seqs: Vec<i64> = match request.order() {
            ClaimOrder::Usual => {
                return self.choose(request, self.ready.in_order(), places, load);
            }
            ClaimOrder::Newest | ClaimOrder::LeastRecent => {
                self.ready.in_order().copied().collect()
            }
        };
        // Events without an attempt sort first, as `None` does.
        let last_attempt = |seq: &i64| self.rows.get(seq).and_then(|event| event.last_attempt_at);
        seqs.sort_by_key(|seq| match (last_attempt(seq), request.order()) {
            (None, ClaimOrder::Newest) => (None, -seq),
            // The sort is stable, so these stay in claim order.
            (None, _) => (None, 0),
            (attempted, _) => (attempted, *seq),
        });
        self.choose(request, seqs.iter(), places, load)
    }
}
