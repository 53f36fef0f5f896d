//! The content of the ledger, and the order of events according to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::evidence::Attempts;
use super::promise::Promise;
use super::replacing::carrier_of;
use super::report::{Invariant, Report};
use outbox_runtime::store::Lease;
use outbox_runtime::store::kit::{creates, holds_back};
use outbox_runtime::support::Retired;
use outbox_runtime::{Headers, NewEvent, OnDead, OutboxEvent, OutboxStatus};

/// Everything that the ledger knows.
#[derive(Default)]
pub(super) struct Book {
    pub(super) promises: BTreeMap<Uuid, Promise>,
    pub(super) leases: BTreeMap<Uuid, Lease>,
    /// The last end of each lease that was renewed, by event and token.
    pub(super) renewed: BTreeMap<(Uuid, Uuid), DateTime<Utc>>,
    /// The lease tokens under which handlers completed events before they answered.
    pub(super) completions: BTreeMap<Uuid, Uuid>,
    /// Whether the handler reported delivery, by event and lease token.
    pub(super) answers: BTreeMap<(Uuid, Uuid), bool>,
    pub(super) attempts: Attempts,
    /// The types that each process retires.
    pub(super) retired: BTreeMap<String, Vec<Retired>>,
    /// What cancellations reported in this step.
    pub(super) reported: Reported,
    /// The headers of attempts in this step that may be wrong.
    pub(super) doubtful_headers: Vec<(Uuid, Headers)>,
    pub(super) report: Report,
    pub(super) broken: Option<(Invariant, String)>,
    pub(super) set_back: bool,
    /// Changes with every action.
    pub(super) activity: u64,
}

/// What the cancellations of a step reported. It is judged at the end of the step, because the
/// store may lease an event meanwhile, without having answered.
#[derive(Default)]
pub(super) struct Reported {
    /// Unclaimed events that a cancellation selects and that its answer leaves out.
    pub(super) left_out: Vec<Uuid>,
    /// Events that were too late.
    pub(super) too_late: Vec<(Uuid, OutboxStatus)>,
}

impl Book {
    /// Notes all rows of the store.
    pub(super) fn record_rows(&mut self, rows: &[OutboxEvent]) {
        // Where there is none, another event with its key may be in its place.
        for promise in self.promises.values_mut() {
            promise.row = None;
        }
        for row in rows {
            if let Some(promise) = self.promises.get_mut(&row.id) {
                promise.record_row(row);
            }
        }
    }

    /// The events whose repeated enqueuing must have no effect.
    pub(super) fn repeatable(&self) -> Vec<NewEvent> {
        let is_open = |promise: &Promise| !promise.completed && !promise.deleted;
        let carrier = |promise: &Promise| is_open(carrier_of(&self.promises, promise));
        let promises = self.promises.values();
        let open = promises.filter(|promise| is_open(promise) && carrier(promise));
        open.map(|promise| promise.event.clone()).collect()
    }

    /// The events before this one in its order, or about the same subject under another order, with
    /// their promises.
    fn earlier<'a>(
        &'a self,
        event: &OutboxEvent,
        rows: &'a [OutboxEvent],
    ) -> impl Iterator<Item = (&'a OutboxEvent, &'a Promise)> {
        let own = self.promises.get(&event.id);
        let seq = event.seq;
        rows.iter()
            .filter(move |row| row.seq < seq)
            .filter_map(|row| Some((row, self.promises.get(&row.id)?)))
            .filter(move |(_, promise)| own.is_some_and(|own| own.is_ordered_with(promise)))
    }

    /// An earlier event that blocks this one.
    pub(super) fn overtaken(&self, event: &OutboxEvent, rows: &[OutboxEvent]) -> Option<String> {
        self.earlier(event, rows)
            .find(|(row, _)| row.is_open())
            .map(|(row, promise)| format!("{}, which is {}", promise.label, row.status))
    }

    /// The same for an event that follows others under their lease, which block it no longer.
    pub(super) fn overtaken_while_following(
        &self,
        event: &OutboxEvent,
        rows: &[OutboxEvent],
    ) -> Option<String> {
        let is_led = |row: &OutboxEvent| {
            row.status == OutboxStatus::Processing && row.lease_token == event.lease_token
        };
        self.earlier(event, rows)
            .find(|(row, _)| row.is_open() && !is_led(row))
            .map(|(row, promise)| format!("{}, which is {}", promise.label, row.status))
    }

    /// The creations of the parents of this event that were enqueued before it, with their
    /// promises.
    fn creations<'a>(
        &'a self,
        event: &OutboxEvent,
        rows: &'a [OutboxEvent],
    ) -> impl Iterator<Item = (&'a OutboxEvent, &'a Promise)> {
        let own = self.promises.get(&event.id);
        let parents = own.map_or(&[][..], |own| own.event.parents());
        let (seq, user_id) = (event.seq, event.user_id.clone());
        rows.iter()
            .filter(move |row| row.seq < seq)
            .filter(move |row| parents.iter().any(|parent| creates(row, parent, &user_id)))
            .filter_map(|row| Some((row, self.promises.get(&row.id)?)))
    }

    /// A creation that this event should still wait for.
    pub(super) fn orphaned(&self, event: &OutboxEvent, rows: &[OutboxEvent]) -> Option<String> {
        self.creations(event, rows)
            .filter(|(row, _)| holds_back(row, event.on_dead))
            // One that was dead has freed those that skip it, even if it was retried since.
            .find(|(_, promise)| !promise.was_dead || event.on_dead == OnDead::Hold)
            .map(|(row, promise)| format!("{}, which is {}", promise.label, row.status))
    }

    pub(super) fn is_blocked(
        &self,
        event: &OutboxEvent,
        rows: &[OutboxEvent],
        may_wait: &dyn Fn(&OutboxEvent) -> bool,
    ) -> bool {
        let mut earlier = self.earlier(event, rows);
        let is_behind = earlier.any(|(row, _)| match row.status {
            OutboxStatus::Completed => false,
            OutboxStatus::Dead => row.is_open(),
            // The earlier event may be in another lane and be blocked there.
            _ => may_wait(row) || self.is_blocked(row, rows, may_wait),
        });
        let mut creations = self.creations(event, rows);
        is_behind
            || creations.any(|(row, _)| match row.status {
                OutboxStatus::Completed | OutboxStatus::Dead => holds_back(row, event.on_dead),
                _ => may_wait(row) || self.is_blocked(row, rows, may_wait),
            })
    }

    pub(super) fn has_accepted(&self, id: Uuid) -> bool {
        self.promises
            .get(&id)
            .is_some_and(|promise| promise.accepted > 0)
    }
}
