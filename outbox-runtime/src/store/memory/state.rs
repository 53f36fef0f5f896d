//! The rows, and the queues that they stand in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::lanes::{Lane, Line};
use super::ready::Ready;
use crate::claim::{Claim, ClaimOrder, ClaimRequest, Lease, LeaseToken};
use crate::clock;
use crate::enqueue::{Enqueued, NewEvent};
use crate::entity::{Coalesce, EntityId, Order};
use crate::error::EnqueueError;
use crate::event::{DeadReason, OutboxEvent, OutboxStatus};
use crate::outcome::{Cause, Disposition, LEASE_EXPIRED, Place, Settled, Settlement, Transition};
use crate::repository::Rescued;
use crate::store::rules::Load;

/// What was enqueued under an id, and which row carries it since it was folded.
#[derive(Debug, Clone, Copy)]
struct Folded {
    into: i64,
    fingerprint: i64,
}

/// The rows, and beside them the same queues that the SQLite store has as partial indices.
#[derive(Default, Clone)]
pub(super) struct State {
    pub(super) rows: BTreeMap<i64, OutboxEvent>,
    pub(super) by_id: HashMap<Uuid, i64>,
    /// Due (as far as was looked) and at the front of their lanes.
    pub(super) ready: Ready,
    /// At the front of their lanes, by due time.
    pub(super) waiting: BTreeSet<(DateTime<Utc>, i64)>,
    /// With a handler, by the end of the lease.
    pub(super) leased: BTreeSet<(DateTime<Utc>, i64)>,
    /// The front of each is in one of the above, or dead, or behind an elder; the others are in
    /// none.
    pub(super) lanes: HashMap<Lane, Line>,
    /// How many events of each type are in lanes of which order: nearly always all of one.
    pub(super) orders: HashMap<String, HashMap<Order, usize>>,
    /// Ids that were folded into rows, and those of the rows themselves.
    folded: HashMap<Uuid, Folded>,
    /// How many completed events of each user clean-up deleted.
    pub(super) cleaned_up: HashMap<String, u64>,
    /// Of which entities of which users events were deleted that the remote service may have seen.
    told: HashSet<(String, EntityId)>,
    /// Users of whom it may know any entity.
    told_of_any: HashSet<String>,
    last_seq: i64,
}

impl State {
    /// Enqueues an event, unless its id is known or it folds into one that waits.
    pub(super) fn enqueue(
        &mut self,
        event: NewEvent,
        now: DateTime<Utc>,
    ) -> Result<Enqueued, EnqueueError> {
        if let Some(known) = self.known(&event) {
            return known;
        }
        if let Some(enqueued) = self.fold(&event, now) {
            return Ok(enqueued);
        }
        let id = event.id;
        self.insert(event.into_pending(now), now);
        Ok(Enqueued::New(id))
    }

    /// The answer to an event whose id is there: as a row, or folded into one.
    fn known(&self, event: &NewEvent) -> Option<Result<Enqueued, EnqueueError>> {
        let folded = self.folded.get(&event.id);
        let seq = folded.map(|folded| folded.into);
        let carrier = self
            .rows
            .get(&seq.or_else(|| self.by_id.get(&event.id).copied())?)?;
        let same = match folded {
            Some(folded) => folded.fingerprint == event.fingerprint(),
            None => event.is_same_event(carrier),
        };
        Some(if same {
            Ok(Enqueued::carried(event, carrier))
        } else {
            Err(EnqueueError::Conflict { event_id: event.id })
        })
    }

    fn fold(&mut self, event: &NewEvent, now: DateTime<Utc>) -> Option<Enqueued> {
        if event.coalesce == Coalesce::Never {
            return None;
        }
        let newest = self.rows.values().rev().find(|row| {
            row.is_open()
                && row.order == event.order
                && row.user_id == event.user_id
                && (row.order == Order::User || row.entity_id == event.entity_id)
        });
        let waiting = newest?.clone();
        let kin = self.kin(&waiting);
        if kin.into_iter().any(|junior| junior > waiting.seq) {
            return None;
        }
        let folded = match event.folded_into(&waiting, now) {
            Some(folded) => folded,
            None => event
                .cancels(&waiting, now)
                .filter(|_| self.was_never_told(&waiting))?,
        };
        for (id, fingerprint) in [
            (waiting.id, waiting.fingerprint()),
            (event.id, event.fingerprint()),
        ] {
            let into = waiting.seq;
            self.folded
                .entry(id)
                .or_insert(Folded { into, fingerprint });
        }
        let enqueued = Enqueued::carried(event, &folded);
        self.change(waiting.seq, now, |row| *row = folded);
        Some(enqueued)
    }

    /// Whether the remote service cannot know the entity of this event, nor hear of it from another event.
    fn was_never_told(&self, event: &OutboxEvent) -> bool {
        let is_of_another = |row: &OutboxEvent| {
            row.seq != event.seq
                && row.entity_id == event.entity_id
                && row.user_id == event.user_id
                // What was cancelled out was told to nobody.
                && !(row.status == OutboxStatus::Completed && row.last_attempt_at.is_none())
        };
        let entity = (event.user_id.clone(), event.entity_id.clone());
        !self.told.contains(&entity)
            && !self.told_of_any.contains(&event.user_id)
            && !self.rows.values().any(is_of_another)
    }

    /// All events of one user became those of another: so did what the service knows.
    pub(super) fn told_becomes(&mut self, from: &str, to: &str) {
        let of_user = self.told.iter().filter(|(user, _)| user == from);
        let moved: Vec<_> = of_user
            .map(|(_, entity)| (to.to_owned(), entity.clone()))
            .collect();
        self.told.extend(moved);
        if self.told_of_any.contains(from) {
            self.told_of_any.insert(to.to_owned());
        }
        // Which of them the service knows as the first user's cannot be looked up any more.
        self.told_of_any.insert(from.to_owned());
    }

    fn insert(&mut self, mut event: OutboxEvent, now: DateTime<Utc>) {
        self.last_seq += 1;
        let seq = self.last_seq;
        event.seq = seq;
        self.by_id.insert(event.id, seq);
        self.rows.insert(seq, event);
        self.change(seq, now, |_| {});
    }

    pub(super) fn remove(&mut self, seq: i64, now: DateTime<Utc>) {
        self.unqueue(seq);
        if let Some(event) = self.rows.remove(&seq) {
            self.by_id.remove(&event.id);
            if !event.was_never_attempted() {
                let entity = (event.user_id.clone(), event.entity_id.clone());
                self.told.insert(entity);
            }
            self.folded.retain(|_, folded| folded.into != seq);
            self.leave(self.place_of(&event), now);
        }
    }

    /// Moves an event that no handler has into the lane that it has with another user.
    pub(super) fn give_to(&mut self, seq: i64, user_id: &str, now: DateTime<Utc>) {
        self.unqueue(seq);
        let Some(place) = self.rows.get(&seq).map(|event| self.place_of(event)) else {
            return;
        };
        if let Some(event) = self.rows.get_mut(&seq) {
            event.user_id = user_id.to_owned();
        }
        self.leave(place, now);
        self.change(seq, now, |_| {});
    }

    /// Changes one event, and finds out who is at the front of its lane then.
    pub(super) fn change(
        &mut self,
        seq: i64,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut OutboxEvent),
    ) {
        self.unqueue(seq);
        let Some(event) = self.rows.get_mut(&seq) else {
            return;
        };
        change(event);
        let is_open = event.is_open();
        let Some(place) = self.rows.get(&seq).map(|event| self.place_of(event)) else {
            return;
        };
        if !is_open {
            return self.leave(place, now);
        }
        self.enter(place, now);
    }

    pub(super) fn queue(&mut self, seq: i64, now: DateTime<Utc>) {
        let Some(event) = self.rows.get(&seq) else {
            return;
        };
        match event.status {
            OutboxStatus::Pending | OutboxStatus::Failed if self.first_elder(event).is_some() => {}
            OutboxStatus::Pending | OutboxStatus::Failed if !is_due(event, now) => {
                self.waiting.insert((event.next_attempt_at, seq));
            }
            OutboxStatus::Pending | OutboxStatus::Failed => {
                self.ready.insert(event);
            }
            OutboxStatus::Processing => {
                let ends = event.lease_expires_at.unwrap_or(now);
                self.leased.insert((ends, seq));
            }
            OutboxStatus::Completed | OutboxStatus::Dead => {}
        }
    }

    pub(super) fn unqueue(&mut self, seq: i64) {
        if let Some(event) = self.rows.get(&seq) {
            self.ready.remove(event);
            self.waiting.remove(&(event.next_attempt_at, seq));
            if let Some(ends) = event.lease_expires_at {
                self.leased.remove(&(ends, seq));
            }
        }
    }

    /// Whether an event is as somebody saw it.
    pub(super) fn is_as_seen(&self, seen: &OutboxEvent) -> bool {
        self.rows.get(&seen.seq) == Some(seen)
    }

    pub(super) fn promote(&mut self, now: DateTime<Utc>) {
        while let Some(&(due, seq)) = self.waiting.first()
            && due <= now
        {
            self.waiting.pop_first();
            if let Some(event) = self.rows.get(&seq) {
                self.ready.insert(event);
            }
        }
    }

    /// Changes one event as the table of transitions has it for this cause, and what else there is to write. `None`: the table
    /// does not have it, and nothing was changed.
    pub(super) fn transit(
        &mut self,
        seq: i64,
        cause: Cause,
        now: DateTime<Utc>,
        write: impl FnOnce(&mut OutboxEvent),
    ) -> Option<&'static Transition> {
        let transition = Transition::of(self.rows.get(&seq)?, cause)?;
        self.change(seq, now, |event| {
            transition.apply(event);
            write(event);
        });
        Some(transition)
    }

    /// The first of these that are asked for, as many as there are places.
    pub(super) fn choose<'s>(
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
    pub(super) fn first_of_each<'s>(
        &'s self,
        request: &ClaimRequest,
    ) -> impl Iterator<Item = &'s i64> {
        let users = self.ready.turns_after(request.turns_after());
        users.filter_map(|mut of_user| of_user.find(|seq| self.asked_for(request, seq).is_some()))
    }

    fn asked_for(&self, request: &ClaimRequest, seq: &i64) -> Option<&OutboxEvent> {
        let event = self.rows.get(seq)?;
        request.matches(event).then_some(event)
    }

    /// The first that are asked for in the order of the request, as many as there are places.
    pub(super) fn choose_in_order(
        &self,
        request: &ClaimRequest,
        places: usize,
        load: &mut Load,
    ) -> Vec<i64> {
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

    pub(super) fn take(&mut self, seq: i64, now: DateTime<Utc>, lease: Duration) -> Option<Claim> {
        let token = LeaseToken::random();
        let expires_at = clock::after(now, lease);
        self.transit(seq, Cause::Claim, now, |event| {
            event.last_attempt_at = Some(now);
            event.lease_token = Some(token.as_uuid());
            event.lease_expires_at = Some(expires_at);
        })?;
        let event = self.rows.get(&seq)?.clone();
        Some(Claim {
            lease: Lease {
                event_id: event.id,
                token,
                expires_at,
            },
            event,
        })
    }

    /// The event that is held under this very lease, be it over or not.
    pub(super) fn taken(&self, lease: &Lease) -> Option<&OutboxEvent> {
        let event = self.rows.get(self.by_id.get(&lease.event_id)?)?;
        (event.lease_token == Some(lease.token.as_uuid())).then_some(event)
    }

    /// The same, if the lease has not ended.
    pub(super) fn held(&self, lease: &Lease, now: DateTime<Utc>) -> Option<i64> {
        let event = self.taken(lease)?;
        let holds = event.lease_expires_at.is_some_and(|ends| ends > now);
        holds.then_some(event.seq)
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now: DateTime<Utc>) -> Settled {
        let Some(seq) = self.held(&settlement.lease, now) else {
            return Settled::LeaseLost;
        };
        let cause = settlement.disposition.cause();
        let settled = self.transit(seq, cause, now, |event| {
            event.crashes = 0;
            match settlement.disposition {
                Disposition::Complete => {
                    event.completed_at = Some(now);
                    event.error_message = None;
                }
                Disposition::Fail {
                    next_attempt_at,
                    message,
                } => {
                    event.next_attempt_at = next_attempt_at;
                    event.error_message = Some(message);
                }
                Disposition::Bury { reason, message } => {
                    event.dead_reason = Some(reason);
                    event.error_message = Some(message);
                }
                Disposition::GiveBack {
                    next_attempt_at,
                    refusal,
                } => {
                    let as_before = event.next_attempt_at.min(now);
                    event.next_attempt_at = next_attempt_at.unwrap_or(as_before);
                    event.last_refusal = refusal.or(event.last_refusal.take());
                }
                Disposition::Defer {
                    next_attempt_at,
                    refusal,
                } => {
                    event.next_attempt_at = next_attempt_at;
                    event.deferrals = event.deferrals.saturating_add(1);
                    event.deferred_since.get_or_insert(now);
                    event.last_refusal = Some(refusal);
                }
                Disposition::Snooze { next_attempt_at } => {
                    event.next_attempt_at = next_attempt_at;
                    event.snoozes = event.snoozes.saturating_add(1);
                }
            }
        });
        match settled {
            Some(_) => Settled::Recorded,
            None => Settled::LeaseLost,
        }
    }

    /// Moves the end of a lease that nobody else has taken, be it over or not.
    pub(super) fn extend(
        &mut self,
        held: &Lease,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Option<Lease> {
        let seq = self.taken(held)?.seq;
        let expires_at = clock::after(now, lease);
        self.change(seq, now, |event| {
            event.lease_expires_at = Some(expires_at);
            // Renewed after the clock was set back it is a lease of the new time: there is nothing left to follow.
            event.last_attempt_at = event.last_attempt_at.min(Some(now));
        });
        Some(Lease {
            expires_at,
            ..*held
        })
    }

    pub(super) fn rescue(&mut self, now: DateTime<Utc>) -> Rescued {
        self.rescue_ended_by(now, now)
    }

    /// The same for just these leases, each if it has ended and is as it was.
    pub(super) fn rescue_only(&mut self, now: DateTime<Utc>, leases: &[Lease]) -> Rescued {
        let long_ago = DateTime::<Utc>::MIN_UTC;
        for lease in leases.iter().filter(|lease| lease.expires_at <= now) {
            let taken = self.taken(lease);
            let same = taken.filter(|event| event.lease_expires_at == Some(lease.expires_at));
            if let Some(seq) = same.map(|event| event.seq) {
                self.change(seq, now, |event| event.lease_expires_at = Some(long_ago));
            }
        }
        self.rescue_ended_by(now, long_ago)
    }

    fn rescue_ended_by(&mut self, now: DateTime<Utc>, ended_by: DateTime<Utc>) -> Rescued {
        self.follow_clock(now);
        let mut rescued = Rescued::default();
        while let Some(&(ends, seq)) = self.leased.first()
            && ends <= ended_by
        {
            self.leased.pop_first();
            let taken_back = self.transit(seq, Cause::Rescue, now, |event| {
                event.next_attempt_at = now;
                event.error_message = Some(LEASE_EXPIRED.to_owned());
                event.crashes = event.crashes.saturating_add(1);
                if event.status == OutboxStatus::Dead {
                    event.dead_reason = Some(DeadReason::CrashLoop);
                }
            });
            match taken_back.map(|row| row.place) {
                Some(Place::Dead) => rescued.buried += 1,
                Some(_) => rescued.requeued += 1,
                None => {}
            }
        }
        rescued
    }

    /// A lease that begins later than now was taken before the clock was set back. It would last longer by as much.
    fn follow_clock(&mut self, now: DateTime<Utc>) {
        let began_later = |seq: &i64| {
            let began = self.rows.get(seq)?.last_attempt_at?;
            (began > now).then_some((*seq, began - now))
        };
        let began_later: Vec<_> = self
            .leased
            .iter()
            .filter_map(|(_, seq)| began_later(seq))
            .collect();
        for (seq, set_back) in began_later {
            self.change(seq, now, |event| {
                event.last_attempt_at = Some(now);
                event.lease_expires_at = event
                    .lease_expires_at
                    .map(|ends| clock::shifted(ends, -set_back));
            });
        }
    }
}

/// Whether an event that waits may be attempted. One that was never attempted and not delayed is due whatever the clock was set to.
fn is_due(event: &OutboxEvent, now: DateTime<Utc>) -> bool {
    let was_never_to_wait =
        event.last_attempt_at.is_none() && event.next_attempt_at <= event.created_at;
    was_never_to_wait || event.next_attempt_at <= now
}
