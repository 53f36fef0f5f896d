//! Ending: what an attempt brought back, what that means for its event and for others, and recording it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

use super::{Attempt, Done, Job, Run, TaskEnd};
use crate::claim::Claim;
use crate::clock;
use crate::error::StoreError;
use crate::handler::Delivery;
use crate::outcome::{Disposition, Outcome, Settled, Settlement};
use crate::processor::attempt::Ended;
use crate::retry::RetryPolicy;

impl Run {
    /// Takes in what a task brought back, or what its panic left.
    pub(super) fn take_in(&mut self, done: TaskEnd) {
        self.activity += 1;
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), panic_of(error)),
        };
        match (self.jobs.remove(&id), done) {
            (Some(Job::Attempt(attempt)), Some(Done::Attempt(ended, took))) => {
                self.pace.ended(took);
                self.ended(&attempt, ended);
            }
            // Aborted: its lease was lost.
            (Some(Job::Attempt(attempt)), _) => {
                self.leases.remove(&attempt.claim.event.id);
                self.pauses.probe_inconclusive(self.now());
            }
            (Some(Job::Refresh { user_id }), done) => {
                let result = match done {
                    Some(Done::Refresh(result)) => result,
                    Some(Done::Attempt(ended, _)) => Err(format!("{ended:?}")),
                    None => Err("aborted".to_owned()),
                };
                if let Err(message) = &result {
                    warn!(error = ?message, "the credentials could not be refreshed");
                }
                self.pauses.refreshed(&user_id, result.is_ok(), self.now());
            }
            (None, _) => {}
        }
    }

    /// An attempt has ended: what it means for its event, and for others.
    fn ended(&mut self, attempt: &Attempt, ended: Ended) {
        let now = self.now();
        let user_id = &attempt.claim.event.user_id;
        match &ended {
            Ended::Delivered => {
                self.was_answered(attempt);
                let jobs = &self.jobs;
                let is_of_user = |job: &Job| matches!(job, Job::Attempt(other) if other.claim.event.user_id == *user_id);
                let is_last = || !jobs.values().any(is_of_user);
                self.pauses.granted(user_id, is_last);
            }
            Ended::Failed(delivery, _) => match *delivery {
                Delivery::Offline => {
                    debug!("no network; nothing is sent until a probe succeeds");
                    self.pauses.went_offline(now);
                }
                Delivery::Unauthenticated => {
                    self.was_answered(attempt);
                    self.pauses.refused(user_id, attempt.credentials, now);
                }
                Delivery::RateLimited { after } => {
                    self.went_online();
                    debug!(?after, "rate limited");
                    let limits = &mut self.pauses.rate_limits;
                    limits.met(attempt.handler, attempt.rate_limits, after, now);
                }
                Delivery::NoHandler => {
                    self.pauses.probe_inconclusive(now);
                    self.leave_alone(&attempt.claim.event.event_type);
                }
                _ => self.was_answered(attempt),
            },
            Ended::TimedOut(_) | Ended::Panicked(_) => self.pauses.probe_inconclusive(now),
        }
        if attempt.lease_lost {
            self.leases.remove(&attempt.claim.event.id);
        } else {
            self.settle(&attempt.claim, ended.into_outcome(), &attempt.retry);
        }
    }

    /// The service answered something else than that it wants a pause.
    fn was_answered(&mut self, attempt: &Attempt) {
        self.went_online();
        let most = self.shared.settings.max_concurrency;
        let now = self.now();
        let limits = &mut self.pauses.rate_limits;
        limits.passed(attempt.handler, attempt.rate_limits, most, now);
    }

    pub(super) fn went_online(&mut self) {
        if self.pauses.went_online() {
            info!("the network is back");
        }
    }

    /// Decides what an outcome means and notes it to be recorded.
    pub(super) fn settle(&mut self, claim: &Claim, outcome: Outcome, retry: &RetryPolicy) {
        let event = &claim.event;
        let settlement = outcome.settle(claim, retry, self.now());
        match &settlement.disposition {
            Disposition::Complete => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "delivered");
            }
            Disposition::Fail {
                next_attempt_at,
                message,
            } => warn!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                next_attempt_at = %next_attempt_at, error = ?message, "failed; will be tried again"
            ),
            Disposition::Bury { reason, message } => error!(
                event_id = %event.id, event_type = ?event.event_type, attempt = event.attempt_count,
                reason = %reason, error = ?message, "dead letter"
            ),
            Disposition::GiveBack { .. }
            | Disposition::Defer { .. }
            | Disposition::Snooze { .. } => {
                debug!(event_id = %event.id, event_type = ?event.event_type, "given back");
            }
        }
        self.unrecorded.push(settlement);
    }

    /// Records the outcomes that are not recorded yet. On an error they are kept for the next time.
    pub(super) async fn record(&mut self) -> Result<(), StoreError> {
        // Where a lease has only ended, it is renewed first; should it end while the store is asked, once more.
        for _ in 0..2 {
            if self.unrecorded.is_empty() {
                break;
            }
            self.renew().await?;
            let repository = Arc::clone(&self.shared.repository);
            let recording = std::mem::take(&mut self.unrecorded);
            let settlements = recording.clone();
            let settled = self
                .meanwhile(async { repository.settle(settlements).await })
                .await;
            self.recorded(recording, settled)?;
        }
        Ok(())
    }

    /// Takes in what became of settlements.
    pub(super) fn recorded(
        &mut self,
        mut recording: Vec<Settlement>,
        settled: Result<Vec<Settled>, StoreError>,
    ) -> Result<(), StoreError> {
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => {
                // Before what has ended since.
                recording.append(&mut self.unrecorded);
                self.unrecorded = recording;
                return Err(error);
            }
        };
        if recording.is_empty() {
            return Ok(());
        }
        let now = self.now();
        for (settlement, settled) in recording.iter().zip(settled) {
            let held = self.leases.remove(&settlement.lease.event_id);
            if let Some(held) =
                held.filter(|held| settled == Settled::LeaseLost && held.lease.expires_at <= now)
            {
                // It may only have ended. Renewing it tells.
                self.leases.hold(held.lease, held.duration, now);
                self.leases.renew_by(held.duration, now);
                self.unrecorded.push(settlement.clone());
            } else if settled == Settled::LeaseLost {
                warn!(event_id = %settlement.lease.event_id, "the lease was lost; the outcome is not recorded");
            } else if settlement.disposition == Disposition::Complete && self.clean_up_at.is_none()
            {
                let interval = self.shared.settings.cleanup_interval;
                self.clean_up_at = Some(clock::after(self.shared.clock.now(), interval));
            }
        }
        self.leases.forget_unheld();
        self.made_progress();
        Ok(())
    }
}

/// What a task's panic says; `None` where it was aborted.
fn panic_of(error: JoinError) -> Option<Done> {
    let payload = error.try_into_panic().ok()?;
    // How long it took, nobody knows: not quick.
    let took = Duration::MAX;
    Some(Done::Attempt(Ended::panicked(payload), took))
}
