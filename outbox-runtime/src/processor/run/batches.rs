//! Batches: claimed events of types with batch handlers, until they are sent.
//!
//! A batch is gathered until it is full, its time is over, or others need the memory. Then it is
//! ready and waits for a place. A batch of which some event is refused is sent again in parts, one
//! part at a time: [`Search`].

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::gathering::{Filling, Gathering, bytes_of};
use super::search::{Group, Place, Search};
use crate::claim::{Claim, FollowRequest};
use crate::clock;
use crate::event::OutboxEvent;
use crate::handler::Batching;

/// The claimed events of a run that are sent in batches.
#[derive(Default)]
pub(super) struct Batches {
    gathering: Vec<Gathering>,
    /// Full or old enough, in the order in which they became so.
    ready: VecDeque<Group>,
    searches: Vec<Search>,
    /// Numbers the searches.
    searched: u64,
}

impl Batches {
    pub(super) fn is_empty(&self) -> bool {
        self.gathering.is_empty() && self.ready.is_empty() && self.searches.is_empty()
    }

    /// Adds a claimed event to the batch that it belongs to, or to a new one, of which at most
    /// `most` wait for more events. The store may have more of the kind, unless it was just asked.
    pub(super) fn add(
        &mut self,
        claim: Claim,
        batching: Batching,
        most: usize,
        may_have_more: bool,
        now: DateTime<Utc>,
    ) {
        if claim.event.is_sent_alone() {
            return self.add_ready(vec![Arc::new(claim)]);
        }
        let bytes = bytes_of(&claim.event);
        let known = self.gathering.iter().position(|it| it.takes(&claim.event));
        let mut gathering = match known.map(|at| self.gathering.remove(at)) {
            Some(known) if known.has_room_for(bytes) => known,
            full => {
                if let Some(full) = full {
                    self.add_ready(full.claims);
                } else if self.gathering.len() >= most {
                    self.close(0);
                }
                Gathering {
                    claims: Vec::new(),
                    bytes: 0,
                    batching,
                    until: clock::after(now, batching.wait()),
                    may_have_more,
                }
            }
        };
        gathering.push(claim);
        gathering.may_have_more |= may_have_more;
        if gathering.is_full() {
            self.add_ready(gathering.claims);
        } else {
            // The oldest stays first.
            let at = self
                .gathering
                .partition_point(|it| it.until <= gathering.until);
            self.gathering.insert(at, gathering);
        }
    }

    /// The batch is ready: it takes no more events.
    fn close(&mut self, at: usize) {
        let gathering = self.gathering.remove(at);
        self.add_ready(gathering.claims);
    }

    fn add_ready(&mut self, claims: Vec<Arc<Claim>>) {
        self.ready.push_back(Group::new(claims, None));
    }

    /// The next batch that the store may have more events for.
    pub(super) fn next_filling(&self) -> Option<Filling> {
        let open = self.gathering.iter().find(|it| it.may_have_more)?;
        open.filling()
    }

    /// The request for the events that follow those of the batch which has events like this one, if
    /// it keeps the order of its lanes and has room.
    pub(super) fn following(&self, like: &OutboxEvent) -> Option<FollowRequest> {
        let gathering = self.gathering.iter().find(|it| it.takes(like))?;
        gathering.following()
    }

    /// An event of each batch that waits and keeps the order of its lanes.
    pub(super) fn in_order(&self) -> Vec<Arc<Claim>> {
        let in_order = self.gathering.iter();
        let in_order = in_order.filter(|it| it.batching.keeps_order());
        let firsts = in_order.filter_map(|it| it.claims.first());
        firsts.cloned().collect()
    }

    /// Adds a claimed event to the batch of the one that it follows. Returns it if that batch does
    /// not take it any more.
    pub(super) fn add_follower(&mut self, claim: Claim) -> Option<Claim> {
        let event = &claim.event;
        let bytes = bytes_of(event);
        let is_behind = |it: &Arc<Claim>| it.event.shares_lane_with(event);
        // The one before it was most likely added last.
        let takes = |it: &Gathering| it.takes(event) && it.claims.iter().rev().any(is_behind);
        let place = self.gathering.iter().position(takes);
        let gathering = place.and_then(|at| self.gathering.get_mut(at));
        let (Some(at), Some(gathering)) = (place, gathering.filter(|it| it.has_room_for(bytes)))
        else {
            return Some(claim);
        };
        gathering.push(claim);
        if gathering.is_full() {
            self.close(at);
        }
        None
    }

    /// Notes that the store has no more events for the batch that has events like this one, and
    /// whether the batch is not to wait for more.
    pub(super) fn filled(&mut self, like: &OutboxEvent, is_ready: bool) {
        let Some(at) = self.gathering.iter().position(|it| it.takes(like)) else {
            return;
        };
        if is_ready {
            self.close(at);
        } else if let Some(gathering) = self.gathering.get_mut(at) {
            gathering.may_have_more = false;
        }
    }

    /// Notes that the store may have more for the batches that have events like those that `which`
    /// picks. Returns whether there are any.
    pub(super) fn reopen(&mut self, which: impl Fn(&OutboxEvent) -> bool) -> bool {
        let mut has_any = false;
        for gathering in &mut self.gathering {
            let first = gathering.claims.first();
            if first.is_some_and(|claim| which(&claim.event)) {
                gathering.may_have_more = true;
                has_any = true;
            }
        }
        has_any
    }

    /// Notes that the store cannot be asked for more now.
    pub(super) fn stop_filling(&mut self) {
        for gathering in &mut self.gathering {
            gathering.may_have_more = false;
        }
    }

    /// Closes the batches that take what is there and wait for no more.
    pub(super) fn close_those_that_do_not_wait(&mut self) {
        self.close_where(|it| it.batching.wait().is_zero());
    }

    /// Closes the batches that have waited long enough; with `all`, whatever their time.
    pub(super) fn close_due(&mut self, now: DateTime<Utc>, all: bool) {
        self.close_where(|it| all || it.until <= now);
    }

    fn close_where(&mut self, which: impl Fn(&Gathering) -> bool) {
        let is_picked = |it: &Gathering| !it.may_have_more && which(it);
        while let Some(at) = self.gathering.iter().position(is_picked) {
            self.close(at);
        }
    }

    /// When the first batch has waited long enough, for more events or for being allowed to be
    /// sent.
    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        let gathering = self.gathering.iter().map(|it| it.until);
        let ready = self.ready.iter().filter_map(|group| group.held_until);
        let parts = self.searches.iter().filter_map(Search::held_until);
        gathering.chain(ready).chain(parts).min()
    }

    /// Until when the batch of this event waits for others, if it does.
    pub(super) fn waits_until(&self, event_id: Uuid) -> Option<DateTime<Utc>> {
        let has = |it: &&Gathering| it.claims.iter().any(|claim| claim.event.id == event_id);
        self.gathering.iter().find(has).map(|it| it.until)
    }

    /// The places that are taken as soon as they are free. A batch that waits for events, or may
    /// not be sent now, takes none.
    pub(super) fn places(&self) -> usize {
        let is_ready = |group: &&Group| group.held_until.is_none();
        let ready = self.ready.iter().filter(is_ready).count();
        ready + self.searches.iter().filter(|it| it.is_ready()).count()
    }

    /// An event of each call that is still to be made: of a batch that is gathered or waits for its
    /// place, and of a search, which makes one call after the other.
    pub(super) fn calls(&self) -> impl Iterator<Item = &OutboxEvent> {
        let gathering = self.gathering.iter().map(|it| &it.claims);
        let claims = gathering.chain(self.ready.iter().map(|group| &group.claims));
        let firsts = claims.filter_map(|claims| claims.first());
        firsts
            .chain(self.searches.iter().filter_map(Search::first))
            .map(|claim| &claim.event)
    }

    /// Takes the batches and the parts of batches that can be sent now, in order.
    pub(super) fn take_startable(&mut self) -> Vec<Group> {
        let mut groups: Vec<Group> = std::mem::take(&mut self.ready).into();
        // A search goes first: its events have waited longer.
        let parts: Vec<Group> = self.searches.iter_mut().filter_map(Search::next).collect();
        groups.splice(0..0, parts);
        groups
    }

    /// Returns groups that were taken and cannot be sent yet.
    pub(super) fn put_back(&mut self, groups: Vec<Group>) {
        for group in groups.into_iter().rev() {
            match group.place {
                None => self.ready.push_front(group),
                Some(place) => {
                    if let Some(search) = self.search(place) {
                        search.put_back(group);
                    }
                }
            }
        }
    }

    fn search(&mut self, place: Place) -> Option<&mut Search> {
        self.searches
            .iter_mut()
            .find(|it| it.number == place.search)
    }

    /// Every event of a part got through.
    pub(super) fn passed(&mut self, place: Place) {
        if let Some(search) = self.search(place) {
            search.passed(place);
        }
        self.searches.retain(|it| !it.is_over());
    }

    /// A part has ended otherwise. Returns the events that wait for those of the part, which go
    /// back.
    #[must_use = "they go back to the store"]
    pub(super) fn ended(&mut self, place: Place) -> Vec<Arc<Claim>> {
        let search = self.search(place);
        let waiting = search.map_or_else(Vec::new, |search| search.ended(place));
        self.searches.retain(|it| !it.is_over());
        waiting
    }

    /// Some event among these is to blame: they are sent again in halves, within the search that
    /// they are part of, if any. Returns the events that wait for these, which go back.
    #[must_use = "they go back to the store"]
    pub(super) fn split(
        &mut self,
        claims: Vec<Arc<Claim>>,
        place: Option<Place>,
    ) -> Vec<Arc<Claim>> {
        if let Some(place) = place
            && let Some(search) = self.search(place)
        {
            let waiting = search.ended(place);
            search.split(claims);
            return waiting;
        }
        self.searched += 1;
        let mut search = Search::new(self.searched);
        search.split(claims);
        self.searches.push(search);
        Vec::new()
    }

    /// Takes the claimed events of the users that `which` picks, other than those being sent.
    pub(super) fn take(&mut self, which: impl Fn(&str) -> bool) -> Vec<Arc<Claim>> {
        let is_picked = |claims: &[Arc<Claim>]| {
            let first = claims.first();
            first.is_some_and(|claim| which(&claim.event.user_id))
        };
        let mut taken = Vec::new();
        let open = self.gathering.extract_if(.., |it| is_picked(&it.claims));
        taken.extend(open.flat_map(|it| it.claims));
        let ready = std::mem::take(&mut self.ready);
        for group in ready {
            match is_picked(&group.claims) {
                true => taken.extend(group.claims),
                false => self.ready.push_back(group),
            }
        }
        for search in &mut self.searches {
            taken.extend(search.take(is_picked));
        }
        self.searches.retain(|it| !it.is_over());
        taken
    }

    /// Takes the rest of the search that a part belongs to.
    pub(super) fn take_rest(&mut self, place: Place) -> Vec<Arc<Claim>> {
        let mut rest = Vec::new();
        if let Some(search) = self.search(place) {
            rest = search.ended(place);
            rest.extend(search.take(|_| true));
        }
        self.searches.retain(|it| !it.is_over());
        rest
    }

    /// Drops an event whose lease is lost. Returns the events that wait for it, which go back.
    #[must_use = "they go back to the store"]
    pub(super) fn lose(&mut self, event_id: Uuid) -> Vec<Arc<Claim>> {
        let lost = self.extract(|event| event.id == event_id);
        lost.first()
            .map_or_else(Vec::new, |lost| self.take_behind(&lost.event))
    }

    /// Takes the events that wait for this one, which is not to be delivered now.
    pub(super) fn take_behind(&mut self, before: &OutboxEvent) -> Vec<Arc<Claim>> {
        self.extract(|event| event.seq > before.seq && event.shares_lane_with(before))
    }

    /// Takes the events that `which` picks, and those that wait for one of them, other than those
    /// being sent.
    #[must_use = "they go back to the store"]
    pub(super) fn take_with_those_behind(
        &mut self,
        which: impl Fn(&OutboxEvent) -> bool,
    ) -> Vec<Arc<Claim>> {
        let mut taken = self.extract(which);
        for at in 0..taken.len() {
            let behind = self.take_behind(&Arc::clone(&taken[at]).event);
            taken.extend(behind);
        }
        taken
    }

    fn extract(&mut self, which: impl Fn(&OutboxEvent) -> bool) -> Vec<Arc<Claim>> {
        let mut taken = Vec::new();
        for gathering in &mut self.gathering {
            let picked = |claim: &mut Arc<Claim>| which(&claim.event);
            taken.extend(gathering.claims.extract_if(.., picked));
        }
        self.gathering.retain(|it| !it.claims.is_empty());
        for group in &mut self.ready {
            taken.extend(group.extract(&which));
        }
        self.ready.retain(|group| !group.claims.is_empty());
        for search in &mut self.searches {
            taken.extend(search.extract(&which));
        }
        self.searches.retain(|it| !it.is_over());
        taken
    }

    /// Follows a clock jump, so that the batches wait as long as before.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for gathering in &mut self.gathering {
            gathering.until = clock::shifted(gathering.until, jump);
        }
        let parts = self.searches.iter_mut().flat_map(Search::parts_mut);
        for group in self.ready.iter_mut().chain(parts) {
            group.held_until = group.held_until.map(|until| clock::shifted(until, jump));
        }
    }
}
