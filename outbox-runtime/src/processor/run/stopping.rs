//! Stopping: waits for handlers, and gives back the events of those that do not end in time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{debug, info, warn};

use super::Run;
use super::alarms::FIRST_BACK_OFF;
use super::jobs::Job;
use crate::clock;
use crate::error::StoreError;
use crate::processor::ending::Stopped;

/// How long a stop tries to record the last outcomes after its deadline.
const FINAL_RECORDING_TIME: Duration = Duration::from_secs(1);

impl Run {
    /// Waits for handlers, aborts the rest, and records the outcomes.
    pub(super) async fn wind_down(mut self) -> Result<Stopped, StoreError> {
        let within = self.shared.settings.stop_deadline;
        let deadline = clock::after(self.now(), within);
        let stopped = self.finish_attempts(within).await;
        self.jobs.shut_down().await;
        let recorded = self.record_until(deadline).await;
        if recorded.is_ok() {
            self.withdraw().await;
        }
        info!(given_back = stopped.given_back, "outbox run stopped");
        recorded.map(|()| stopped)
    }

    /// Waits for handlers, renewing their leases and recording their answers. Those that do not end
    /// in time are aborted and settled as not attempted, which the caller has to record.
    pub(super) async fn finish_attempts(&mut self, within: Duration) -> Stopped {
        self.hand_back_waiting(|_| true);
        self.hand_back_batches(|_| true);
        self.give_back_doubts(|_| true);
        // A failure shows up again below or in the caller.
        let _ = self.record().await;
        let in_flight = self.jobs.attempts();
        let mut deadline = clock::after(self.now(), within);
        // The wait for a stop also ends by the machine's clock, which advances even where the
        // store's clock is moved manually.
        let mut patience = std::pin::pin!(clock::pause(within));
        while self.jobs.attempts() > 0
            && self.now() < deadline
            && !self.controls.hurry.is_cancelled()
        {
            deadline = clock::shifted(deadline, self.follow_clock());
            self.renew_while_stopping().await;
            let wake = self.next_upkeep().map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                biased;
                Some(end) = self.jobs.next() => {
                    self.on_task_end(end);
                    deadline = clock::shifted(deadline, self.follow_clock());
                    self.renew_while_stopping().await;
                    let _ = self.record().await;
                }
                () = self.controls.hurry.cancelled() => {}
                () = &mut patience => break,
                () = self.shared.clock.sleep_until(wake) => {}
            }
        }
        let given_back = self.give_back(|_| true).await;
        self.hand_back_batches(|_| true);
        self.give_back_doubts(|_| true);
        Stopped {
            // Halves of a batch may have begun since.
            finished: in_flight.saturating_sub(given_back),
            given_back,
        }
    }

    /// Renews leases that are due. A renewal that fails is retried after the back-off.
    async fn renew_while_stopping(&mut self) {
        if self.is_backing_off() {
            return;
        }
        match self.renew().await {
            Ok(()) => self.store_works(),
            Err(error) => self.back_off(&error),
        }
    }

    /// When to try the next renewal.
    fn next_upkeep(&self) -> Option<DateTime<Utc>> {
        self.leases.next_renewal().max(self.alarms.retry_at())
    }

    /// Records the outcomes that are left. Transient store errors are retried until the deadline,
    /// and for at least [`FINAL_RECORDING_TIME`].
    async fn record_until(&mut self, deadline: DateTime<Utc>) -> Result<(), StoreError> {
        let now = self.now();
        let deadline = deadline.max(clock::after(now, FINAL_RECORDING_TIME));
        // The machine's clock counts, too: the store's clock may stand still.
        let left = (deadline - now).to_std().unwrap_or(FINAL_RECORDING_TIME);
        let mut patience = std::pin::pin!(clock::pause(left));
        let mut is_last = false;
        let mut delay = FIRST_BACK_OFF;
        loop {
            self.unrecorded.resume_all();
            let recorded = self.record().await;
            if recorded.is_ok() && !self.unrecorded.has_postponed() {
                return Ok(());
            }
            let again = clock::after(self.now(), delay);
            let is_transient = recorded.as_ref().err().is_none_or(StoreError::is_transient);
            if is_last || !is_transient || again > deadline {
                if recorded.is_ok() {
                    warn!("events stay locked; their outcomes are left to the end of their leases");
                }
                return recorded;
            }
            match &recorded {
                // Logged with Debug, which escapes: a driver's message may contain anything.
                Err(error) => {
                    let text = error.to_string();
                    warn!(error = ?text, retry_in = ?delay, "the last outcomes could not be recorded");
                }
                Ok(()) => debug!(retry_in = ?delay, "events of the last outcomes are locked"),
            }
            tokio::select! {
                biased;
                () = self.shared.clock.sleep_until(again) => {}
                () = &mut patience => is_last = true,
                () = clock::pause(delay.max(FINAL_RECORDING_TIME)) => {}
            }
            delay = delay.saturating_mul(2);
        }
    }

    /// Aborts the attempts and the refresh of credentials of the users that `which` picks, and
    /// waits until none of them runs. Tasks that end before the abort takes effect keep their
    /// results; the other attempts are settled as not attempted. Returns the number of those.
    pub(super) async fn give_back(&mut self, which: impl Fn(&str) -> bool) -> usize {
        self.end_finished_tasks();
        let mut picked = self.jobs.stop(which);
        let mut aborted = Vec::new();
        while !picked.is_empty() {
            self.renew_while_stopping().await;
            let upkeep = self.next_upkeep();
            let end = tokio::select! {
                biased;
                end = self.jobs.next() => end,
                // A handler that blocks its thread cannot be aborted: keep renewing until it
                // returns.
                () = super::sleep_until(self.shared.clock.as_ref(), upkeep) => continue,
            };
            let Some(end) = end else { break };
            if picked.remove(&end.id()) && end.is_aborted() {
                aborted.extend(self.jobs.take(end).map(|(job, _)| job));
            } else {
                self.on_task_end(end);
            }
        }
        self.settle_aborted(aborted)
    }

    fn settle_aborted(&mut self, aborted: Vec<Job>) -> usize {
        let now = self.now();
        let mut attempts = Vec::new();
        for job in aborted {
            match job {
                Job::Attempt(attempt) => attempts.push(attempt),
                Job::Refresh { user_id } => {
                    self.evidence.credentials.refresh_stopped(&user_id, now);
                }
            }
        }
        // A deterministic order, so that runs are repeatable.
        attempts.sort_by_key(|attempt| attempt.facts.claim.event.seq);
        for attempt in &attempts {
            for claim in attempt.facts.members() {
                if attempt.has_lost(&claim.event.id) {
                    self.leases.release(&claim.event.id);
                } else {
                    self.hand_back(claim);
                }
            }
            self.part_ended(attempt.place);
            self.evidence.inconclusive(&attempt.facts, self.now());
        }
        attempts.len()
    }

    /// Handles the tasks that have ended, without waiting for any.
    pub(super) fn end_finished_tasks(&mut self) {
        while let Some(end) = self.jobs.next_ended() {
            self.on_task_end(end);
        }
    }

    /// Aborts the user's tasks, records their outcomes, and claims no more events of the user. When
    /// this returns, no handler and no refresh of credentials runs for the user.
    pub(super) async fn sign_out(&mut self, user_id: String) -> Result<(), StoreError> {
        self.evidence.credentials.signed_out(user_id.clone());
        self.hand_back_waiting(|waiting| waiting.claim.event.user_id == user_id);
        self.hand_back_batches(|user| user == user_id);
        let given_back = self.give_back(|user| user == user_id).await;
        self.hand_back_batches(|user| user == user_id);
        self.give_back_doubts(|facts| facts.claim.event.user_id == user_id);
        info!(given_back, "a user has signed out");
        self.record().await
    }
}
