//! Listeners: streams and callbacks of the application, which learn of recorded outcomes.

use std::collections::HashMap;
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
}

impl Listeners {
    pub(super) fn new(outcomes: broadcast::Sender<RunOutcome>, on_dead: Option<DeadHook>) -> Self {
        Self {
            outcomes,
            on_dead,
            events: HashMap::new(),
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

    /// Tells of a recorded outcome.
    pub(super) fn recorded(&mut self, settlement: Settlement, now: DateTime<Utc>) {
        let Some(event) = self.events.remove(&settlement.lease.event_id) else {
            return;
        };
        let Some(outcome) = RunOutcome::of(event, settlement.disposition, now) else {
            return;
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
    }
}
