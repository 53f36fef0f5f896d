//! Listeners: streams and callbacks of the application, which learn of recorded outcomes.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;
use tracing::error;
use uuid::Uuid;

use crate::event::OutboxEvent;
use crate::outcome::{Disposition, Settlement};
use crate::processor::attempt::panic_text;
use crate::processor::outcomes::RunOutcome;
use crate::processor::settings::DeadHook;

/// The listeners of a run.
pub(super) struct Listeners {
    outcomes: broadcast::Sender<RunOutcome>,
    on_dead: Option<DeadHook>,
    /// The events of outcomes that are not recorded yet, if somebody listens.
    events: HashMap<Uuid, OutboxEvent>,
    /// The ids of those events that are completed without a delivery.
    retired: HashSet<Uuid>,
}

impl Listeners {
    pub(super) fn new(outcomes: broadcast::Sender<RunOutcome>, on_dead: Option<DeadHook>) -> Self {
        Self {
            outcomes,
            on_dead,
            events: HashMap::new(),
            retired: HashSet::new(),
        }
    }

    /// Keeps the event until its outcome is recorded, if somebody wants to know that.
    pub(super) fn settled(&mut self, event: &OutboxEvent, disposition: &Disposition) {
        let wants_dead = self.on_dead.is_some() && matches!(disposition, Disposition::Bury { .. });
        let is_none = matches!(disposition, Disposition::GiveBack { .. });
        if wants_dead || (self.outcomes.receiver_count() > 0 && !is_none) {
            self.events.insert(event.id, event.clone());
        }
    }

    /// Keeps an event of a retired type until it is recorded as completed, if somebody listens.
    pub(super) fn retired(&mut self, event: &OutboxEvent) {
        if self.outcomes.receiver_count() > 0 {
            self.retired.insert(event.id);
            self.events.insert(event.id, event.clone());
        }
    }

    /// Tells of a recorded outcome.
    pub(super) fn recorded(&mut self, settlement: Settlement, now: DateTime<Utc>) {
        let Some(event) = self.events.remove(&settlement.lease.event_id) else {
            return;
        };
        let is_retired = self.retired.remove(&event.id);
        let outcome = match RunOutcome::of(event, settlement.disposition, now) {
            Some(RunOutcome::Delivered { event }) if is_retired => RunOutcome::Retired { event },
            Some(outcome) => outcome,
            None => return,
        };
        if let (RunOutcome::Dead { event, .. }, Some(on_dead)) = (&outcome, &self.on_dead) {
            // A panic of the application must not end the run.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| on_dead(event))) {
                let text = panic_text(payload);
                error!(panic = ?text, event_id = %event.id, "the callback for dead letters panicked");
            }
        }
        // Nobody may listen any more.
        let _ = self.outcomes.send(outcome);
    }

    /// Forgets an event whose outcome is discarded.
    pub(super) fn lost(&mut self, event_id: &Uuid) {
        self.events.remove(event_id);
        self.retired.remove(event_id);
    }
}
