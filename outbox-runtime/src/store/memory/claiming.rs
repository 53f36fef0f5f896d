//! Which events a claim takes.

use chrono::{DateTime, Utc};

use super::state::State;
use crate::claim::{Claim, ClaimOrder, ClaimRequest};
use crate::event::OutboxEvent;
use crate::store::kit::Load;

impl State {
    /// Hands out due events.
    pub(super) fn claim(&mut self, request: &ClaimRequest, now: DateTime<Utc>) -> Vec<Claim> {
        self.promote(now);
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

    /// The first of these that are asked for, as many as there are places.
    fn choose<'s>(
        &'s self,
        request: &ClaimRequest,
        seqs: impl Iterator<Item = &'s i64>,
        places: usize,
        load: &mut Load,
    ) -> Vec<i64> {
        let matching = seqs.filter_map(|seq| self.asked_for(request, seq));
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

    /// The first event of each user that is asked for, beginning where the request says and going around.
    fn first_of_each<'s>(&'s self, request: &ClaimRequest) -> impl Iterator<Item = &'s i64> {
        let users = self.ready.turns_after(request.turns_after());
        users.filter_map(|mut of_user| of_user.find(|seq| self.asked_for(request, seq).is_some()))
    }

    fn asked_for(&self, request: &ClaimRequest, seq: &i64) -> Option<&OutboxEvent> {
        let event = self.rows.get(seq)?;
        request.matches(event).then_some(event)
    }

    /// The first that are asked for in the order of the request, as many as there are places.
    fn choose_in_order(&self, request: &ClaimRequest, places: usize, load: &mut Load) -> Vec<i64> {
        let mut seqs: Vec<i64> = match request.order() {
            ClaimOrder::Usual => {
                return self.choose(request, self.ready.in_order(), places, load);
            }
            ClaimOrder::Newest | ClaimOrder::LeastRecent => {
                self.ready.in_order().copied().collect()
            }
        };
        // Those that were never attempted come first, as `None` does.
        let last_attempt = |seq: &i64| self.rows.get(seq).and_then(|event| event.last_attempt_at);
        seqs.sort_by_key(|seq| match (last_attempt(seq), request.order()) {
            (None, ClaimOrder::Newest) => (None, -seq),
            // The sort is stable: these stay in claim order.
            (None, _) => (None, 0),
            (attempted, _) => (attempted, *seq),
        });
        self.choose(request, seqs.iter(), places, load)
    }
}
