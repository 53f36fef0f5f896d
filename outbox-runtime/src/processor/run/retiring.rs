//! Retiring: settles claimed events of retired types, without a handler and without evidence.

use std::time::Duration;

use tracing::info;

use super::Run;
use crate::claim::Claim;
use crate::entity::Retirement;
use crate::event::DeadReason;
use crate::outcome::{Disposition, Outcome, Settlement};
use crate::retry::RetryPolicy;

impl Run {
    /// Does with a claimed event what its type's retirement says.
    pub(super) fn settle_retired(&mut self, claim: &Claim, how: Retirement) {
        let event = &claim.event;
        let outcome = match how {
            Retirement::Drop => return self.drop_retired(claim),
            Retirement::Dead => Outcome::Dead {
                reason: DeadReason::Retired,
                message: format!("the event type {:?} is retired", event.event_type),
            },
            // No claim asks for it.
            Retirement::Hold => Outcome::GivenBack {
                delay: Duration::ZERO,
                refusal: None,
            },
        };
        self.settle(claim, outcome, &RetryPolicy::default());
    }

    /// Completes an event that was not delivered.
    fn drop_retired(&mut self, claim: &Claim) {
        let event = &claim.event;
        info!(
            event_id = %event.id, event_type = ?event.event_type,
            "completed without a delivery: its type is retired"
        );
        let disposition = match self.shared.settings.keep_completed.is_zero() {
            true => Disposition::Remove,
            false => Disposition::Complete,
        };
        self.listeners.retired(event);
        self.unrecorded.push(Settlement {
            lease: claim.lease,
            disposition,
        });
    }
}
