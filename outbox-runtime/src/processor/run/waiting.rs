//! Waiting: claimed events whose handlers have not started.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::claim::Claim;
use crate::clock;
use crate::event::OutboxEvent;
use crate::processor::routes::Route;

/// Events that have waited this long go back to the store.
const PATIENCE: Duration = Duration::from_millis(100);

/// Claimed events whose handlers have not started, in claim order.
#[derive(Default)]
pub(super) struct Waiting(VecDeque<WaitingEvent>);

/// A claimed event that waits for a handler.
pub(super) struct WaitingEvent {
    pub(super) claim: Claim,
    pub(super) route: Route,
    /// When it goes back to the store.
    until: DateTime<Utc>,
}

impl Waiting {
    pub(super) fn push(&mut self, claim: Claim, route: Route, now: DateTime<Utc>) {
        let until = clock::after(now, PATIENCE);
        self.0.push_back(WaitingEvent {
            claim,
            route,
            until,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &OutboxEvent> {
        self.0.iter().map(|waiting| &waiting.claim.event)
    }

    /// Takes the first event.
    pub(super) fn pop(&mut self) -> Option<WaitingEvent> {
        self.0.pop_front()
    }

    /// Takes the events that `which` picks, in order; the others keep waiting.
    pub(super) fn take(&mut self, which: impl Fn(&WaitingEvent) -> bool) -> Vec<WaitingEvent> {
        let (taken, kept): (Vec<WaitingEvent>, _) =
            std::mem::take(&mut self.0).into_iter().partition(which);
        self.0 = kept.into();
        taken
    }

    /// Returns events that were taken and keep waiting, ahead of those pushed since.
    pub(super) fn put_back(&mut self, kept: Vec<WaitingEvent>) {
        let since = std::mem::replace(&mut self.0, kept.into());
        self.0.extend(since);
    }

    /// Drops an event whose lease is lost.
    pub(super) fn lose(&mut self, event_id: Uuid) {
        self.0.retain(|waiting| waiting.claim.event.id != event_id);
    }

    /// Follows a clock jump, so that the events wait as long as before.
    pub(super) fn shift(&mut self, jump: TimeDelta) {
        for waiting in &mut self.0 {
            waiting.until = clock::shifted(waiting.until, jump);
        }
    }

    /// Since when the first event has waited.
    pub(super) fn since(&self) -> Option<DateTime<Utc>> {
        self.until().map(|until| clock::before(until, PATIENCE))
    }

    /// When the first event goes back to the store.
    pub(super) fn until(&self) -> Option<DateTime<Utc>> {
        self.0.front().map(|waiting| waiting.until)
    }
}
