//! The part that one run has of the limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Limits, Part, State, Use};

/// Why no call to a limited destination may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::processor) enum Full {
    /// As many calls are under way as may be.
    Calls,
    /// The pace allows the next call at that time, on the steady clock.
    Pace { next: Duration },
}

/// A run's part of the limits. Its places are free when it is dropped.
pub(in crate::processor) struct Member {
    limits: Arc<Limits>,
    number: u64,
    wake: Arc<Notify>,
}

impl Member {
    pub(in crate::processor) fn new(limits: &Arc<Limits>) -> Self {
        let wake = Arc::new(Notify::new());
        let part = Part {
            uses: vec![Use::default(); limits.limited.len()],
            lacks: false,
            wake: Arc::clone(&wake),
        };
        let mut state = limits.state();
        state.number += 1;
        let number = state.number;
        state.runs.insert(number, part);
        drop(state);
        Self {
            limits: Arc::clone(limits),
            number,
            wake,
        }
    }

    /// Whether nothing is limited.
    pub(in crate::processor) fn is_empty(&self) -> bool {
        self.limits.limited.is_empty()
    }

    /// The number of limited destinations.
    pub(in crate::processor) fn len(&self) -> usize {
        self.limits.limited.len()
    }

    /// The limit that events to this destination obey.
    pub(in crate::processor) fn index_of(&self, destination: Option<&str>) -> Option<usize> {
        self.limits.index_of(destination)
    }

    /// The limited destinations, in the order of their indices.
    pub(in crate::processor) fn destinations(&self) -> impl Iterator<Item = &Option<String>> {
        self.limits.limited.iter().map(|it| &it.destination)
    }

    /// Tells the other runs which places this one has. With `is_claim_over`, it has no reserved
    /// places any more.
    pub(in crate::processor) fn publish(&self, uses: &[Use], is_claim_over: bool) {
        let mut state = self.limits.state();
        let Some(part) = state.runs.get_mut(&self.number) else {
            return;
        };
        let mut are_free = false;
        for (now, known) in uses.iter().zip(&mut part.uses) {
            let reserved = if is_claim_over { 0 } else { known.reserved };
            let now = Use { reserved, ..*now };
            are_free |= now.places() < known.places() || now.waiting() < known.waiting();
            *known = now;
        }
        if are_free {
            self.wake_others(&mut state);
        }
    }

    /// How many more events of each limited destination may be claimed. Remembers whether it is
    /// another run that has the places.
    pub(in crate::processor) fn places_left(&self, now: Duration) -> Vec<usize> {
        let mut state = self.limits.state();
        let limited = self.limits.limited.iter().enumerate();
        let left: Vec<usize> = limited
            .map(|(index, it)| state.room(index, it.most, now))
            .collect();
        let is_with_others = |state: &State, index: usize| {
            let own = state.runs.get(&self.number);
            let own = own.and_then(|part| part.uses.get(index).copied());
            let own = own.unwrap_or_default().places();
            state.sum(index, Use::places) > own
        };
        let mut full = left.iter().enumerate().filter(|(_, left)| **left == 0);
        let lacks = full.any(|(index, _)| is_with_others(&state, index));
        if let Some(part) = state.runs.get_mut(&self.number) {
            part.lacks = lacks;
        }
        left
    }

    /// Reserves this many places at each of these destinations, or none at all. Returns whether it
    /// did.
    pub(in crate::processor) fn reserve(
        &self,
        indices: &[usize],
        places: usize,
        now: Duration,
    ) -> bool {
        let mut state = self.limits.state();
        let has_room = |index: &usize| state.room(*index, self.limits.most(*index), now) >= places;
        if !indices.iter().all(has_room) {
            return false;
        }
        if let Some(part) = state.runs.get_mut(&self.number) {
            for index in indices {
                if let Some(uses) = part.uses.get_mut(*index) {
                    uses.reserved = uses.reserved.saturating_add(places);
                }
            }
        }
        true
    }

    /// Begins a call for which a place is held. Returns whether it may begin.
    ///
    /// It may not where the run holds more places than there are, as where a batch turned out to
    /// be two.
    pub(in crate::processor) fn begin(&self, index: usize, now: Duration) -> bool {
        let mut state = self.limits.state();
        if state.sum(index, |uses| uses.calls) >= self.limits.most(index) {
            return false;
        }
        if let Some(Some(bucket)) = state.buckets.get(index)
            && !bucket.take(now)
        {
            return false;
        }
        let part = state.runs.get_mut(&self.number);
        if let Some(uses) = part.and_then(|part| part.uses.get_mut(index)) {
            uses.calls = uses.calls.saturating_add(1);
            uses.held = uses.held.saturating_sub(1);
        }
        true
    }

    /// When the next call may begin at a destination where none may at `since`, the earliest of
    /// all.
    pub(in crate::processor) fn next_call(&self, since: Duration) -> Option<Duration> {
        let state = self.limits.state();
        let buckets = state.buckets.iter().flatten();
        buckets.filter_map(|bucket| bucket.look(since).err()).min()
    }

    /// Why no event of this destination is claimed now, if its limit is the reason.
    pub(in crate::processor) fn explain(&self, index: usize, now: Duration) -> Option<Full> {
        let state = self.limits.state();
        let most = self.limits.most(index);
        if state.room(index, most, now) > 0 {
            return None;
        }
        let is_full = state.sum(index, Use::places) >= most;
        let bucket = state.buckets.get(index).and_then(Option::as_ref);
        let next = bucket.and_then(|bucket| bucket.look(now).err());
        Some(match next.filter(|_| !is_full) {
            Some(next) => Full::Pace { next },
            None => Full::Calls,
        })
    }

    /// Resolves when another run has freed a place that this one lacks.
    ///
    /// # Cancel safety
    ///
    /// No wake-up is lost.
    pub(in crate::processor) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn wake_others(&self, state: &mut State) {
        let others = state
            .runs
            .iter_mut()
            .filter(|(number, _)| **number != self.number);
        for (_, part) in others.filter(|(_, part)| part.lacks) {
            part.lacks = false;
            part.wake.notify_one();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.limits.state();
        state.runs.remove(&self.number);
        self.wake_others(&mut state);
    }
}
