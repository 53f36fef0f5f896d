//! Decided outcomes that are not recorded yet. Each is kept under its lease until it is.
//!
//! The outcome of an event that an application holds locked is postponed: the transaction that
//! holds it tells nobody when it ends, so the outcome is tried again after a pause, which grows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::clock;
use crate::outcome::Settlement;

/// The first and the longest pause before a postponed outcome is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The outcomes, in the order in which they were decided.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    ready: Vec<Settlement>,
    postponed: Vec<Settlement>,
    /// When the postponed ones are tried again.
    again_at: Option<DateTime<Utc>>,
    pause: Duration,
}

impl Unrecorded {
    pub(super) fn push(&mut self, settlement: Settlement) {
        self.ready.push(settlement);
    }

    /// The number of outcomes to record now.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Sorts the outcomes that were decided after the first `count`, so that those of a lane are
    /// recorded in its order.
    pub(super) fn sort_after(&mut self, count: usize) {
        if let Some(since) = self.ready.get_mut(count..) {
            since.sort_by_key(|settlement| settlement.lease.seq);
        }
    }

    /// Whether there are none to record now.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Takes the outcomes to record now. Return those that are not recorded with
    /// [`put_back`](Self::put_back), [`push`](Self::push) or [`postpone`](Self::postpone).
    pub(super) fn take(&mut self) -> Vec<Settlement> {
        std::mem::take(&mut self.ready)
    }

    /// Returns outcomes that could not be recorded, ahead of those decided since.
    pub(super) fn put_back(&mut self, mut settlements: Vec<Settlement>) {
        settlements.append(&mut self.ready);
        self.ready = settlements;
    }

    /// Returns outcomes of events that are locked, from an attempt to record those that were ready.
    pub(super) fn postpone(&mut self, mut locked: Vec<Settlement>, now: DateTime<Utc>) {
        if locked.is_empty() {
            if self.postponed.is_empty() {
                self.pause = Duration::ZERO;
            }
            return;
        }
        self.postponed.append(&mut locked);
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.again_at = Some(clock::after(now, self.pause));
    }

    /// Whether outcomes are postponed.
    pub(super) fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// Makes postponed outcomes ready if it is time to.
    pub(super) fn resume(&mut self, now: DateTime<Utc>) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.resume_all();
        }
    }

    /// Makes postponed outcomes ready.
    pub(super) fn resume_all(&mut self) {
        self.again_at = None;
        self.ready.append(&mut self.postponed);
    }

    /// When postponed outcomes are ready.
    pub(super) fn again_at(&self) -> Option<DateTime<Utc>> {
        self.again_at
    }

    /// Follows a clock jump, so that the pause is as long as before.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        self.again_at = self.again_at.map(|at| clock::shifted(at, jump));
    }

    /// Drops the outcomes of an event whose lease is lost. Returns how many there were.
    pub(super) fn lose(&mut self, event_id: Uuid) -> usize {
        let count = |all: &Self| all.ready.len() + all.postponed.len();
        let before = count(self);
        let is_other = |settlement: &Settlement| settlement.lease.event_id != event_id;
        self.ready.retain(is_other);
        self.postponed.retain(is_other);
        if self.postponed.is_empty() {
            self.again_at = None;
        }
        before - count(self)
    }
}
