//! Which attempts a store keeps, and how.

use chrono::{DateTime, Utc};

use crate::history::{AttemptOutcome, PastAttempt};
use crate::outcome::{Disposition, LEASE_EXPIRED};

/// The entry of the history for an outcome. `None`: nothing is kept, because the attempt does not
/// count or was delivered; the latter are kept with `keeps_deliveries`.
#[must_use]
pub fn past_attempt(
    disposition: &Disposition,
    began_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    keeps_deliveries: bool,
) -> Option<PastAttempt> {
    let (outcome, message) = match disposition {
        Disposition::Complete if keeps_deliveries => (AttemptOutcome::Delivered, None),
        Disposition::Fail { message, .. } => (AttemptOutcome::Failed, Some(message.as_str())),
        Disposition::Bury { message, .. } => (AttemptOutcome::Dead, Some(message.as_str())),
        Disposition::Defer { refusal, .. } => {
            (AttemptOutcome::Deferred, Some(refusal.message.as_str()))
        }
        Disposition::Complete
        | Disposition::Remove
        | Disposition::Drop
        | Disposition::GiveBack { .. }
        | Disposition::Snooze { .. } => return None,
    };
    Some(PastAttempt::new(began_at, ended_at, outcome, message))
}

/// The entry for an attempt whose lease ran out, or whose process died.
#[must_use]
pub fn crashed_attempt(began_at: DateTime<Utc>, ended_at: DateTime<Utc>) -> PastAttempt {
    let message = Some(LEASE_EXPIRED);
    PastAttempt::new(began_at, ended_at, AttemptOutcome::Crashed, message)
}

/// The history with one more attempt, a line each; the oldest go.
#[must_use]
pub fn with_attempt(history: Option<&str>, attempt: &PastAttempt) -> String {
    let mut lines: Vec<&str> = history.unwrap_or_default().lines().collect();
    let surplus = (lines.len() + 1).saturating_sub(PastAttempt::MAX_KEPT);
    lines.drain(..surplus);
    let new = attempt.to_line();
    lines.push(&new);
    lines.join("\n")
}
