//! Stopping: waiting for handlers, and giving back what does not end in time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::Run;
use super::alarms::FIRST_BACK_OFF;
use super::jobs::Job;
use crate::clock;
use crate::error::StoreError;
use crate::processor::ending::Stopped;

/// For how long a stop tries to record the last outcomes when its deadline is over.
const LAST_TRIES: Duration = Duration::from_secs(1);

impl Run {
    /// Waits for handlers, then stops them, and records what there is.
    pub(super) async fn wind_down(mut self) -> Result<Stopped, StoreError> {
        let within = self.shared.settings.stop_deadline;
        let deadline = clock::after(self.now(), within);
        let stopped = self.finish_attempts(within).await;
        self.jobs.shut_down().await;
        let recorded = self.record_until(deadline).await;
        info!(given_back = stopped.given_back, "outbox run stopped");
        recorded.map(|()| stopped)
    }

    /// Waits for handlers, keeping their leases and recording their answers. What does not end in
    /// time is stopped and noted as not attempted, still to be recorded.
    pub(super) async fn finish_attempts(&mut self, within: Duration) -> Stopped {
        self.hand_back_waiting(|_| true);
        self.give_back_doubts(|_| true);
        // A failure is met again below, or by the caller.
        let _ = self.record().await;
        let under_way = self.jobs.attempts();
        let mut deadline = clock::after(self.now(), within);
        // Whoever stops a run waits in the machine's time, which goes on where the store's clock is
        // moved by hand.
        let mut patience = std::pin::pin!(clock::pause(within));
        while self.jobs.attempts() > 0 && self.now() < deadline && !self.wires.hurry.is_cancelled()
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
                () = self.wires.hurry.cancelled() => {}
                () = &mut patience => break,
                () = self.shared.clock.sleep_until(wake) => {}
            }
        }
        let given_back = self.give_back(|_| true).await;
        self.give_back_doubts(|_| true);
        Stopped {
            finished: under_way - given_back,
            given_back,
        }
    }

    /// A renewal that fails is tried again after a while, as long as there is anything to wait for.
    async fn renew_while_stopping(&mut self) {
        if self.is_backing_off() {
            return;
        }
        match self.renew().await {
            Ok(()) => self.store_works(),
            Err(error) => self.back_off(&error),
        }
    }

    /// When the next renewal is to be tried.
    fn next_upkeep(&self) -> Option<DateTime<Utc>> {
        self.leases.next_renewal().max(self.alarms.retry_at())
    }

    /// Records what is left. A passing fault of the store is waited out until the deadline, and for
    /// a little while in any case.
    async fn record_until(&mut self, deadline: DateTime<Utc>) -> Result<(), StoreError> {
        let now = self.now();
        let deadline = deadline.max(clock::after(now, LAST_TRIES));
        // As for handlers: the store's clock may be one that nobody moves.
        let left = (deadline - now).to_std().unwrap_or(LAST_TRIES);
        let mut patience = std::pin::pin!(clock::pause(left));
        let mut is_last = false;
        let mut delay = FIRST_BACK_OFF;
        loop {
            let Err(error) = self.record().await else {
                return Ok(());
            };
            let again = clock::after(self.now(), delay);
            if is_last || !error.is_transient() || again > deadline {
                return Err(error);
            }
            // As Debug has it: what a driver says may hold anything.
            let text = error.to_string();
            warn!(error = ?text, retry_in = ?delay, "the last outcomes could not be recorded");
            tokio::select! {
                biased;
                () = self.shared.clock.sleep_until(again) => {}
                () = &mut patience => is_last = true,
                () = clock::pause(delay.max(LAST_TRIES)) => {}
            }
            delay = delay.saturating_mul(2);
        }
    }

    /// Stops the attempts, and the refresh of credentials, of the users that `which` picks, and
    /// waits until none of them runs. What has ended by then counts as it ended, whenever anybody
    /// looks; the others are noted as not attempted. Returns how many attempts these are.
    pub(super) async fn give_back(&mut self, which: impl Fn(&str) -> bool) -> usize {
        self.end_finished_tasks();
        let mut picked = self.jobs.stop(which);
        let mut stopped = Vec::new();
        while !picked.is_empty() {
            self.renew_while_stopping().await;
            let upkeep = self.next_upkeep();
            let end = tokio::select! {
                biased;
                end = self.jobs.next() => end,
                // A handler that blocks its thread ends when it pleases.
                () = super::sleep_until(self.shared.clock.as_ref(), upkeep) => continue,
            };
            let Some(end) = end else { break };
            if picked.remove(&end.id()) && end.is_aborted() {
                stopped.extend(self.jobs.take(end).map(|(job, _)| job));
            } else {
                self.on_task_end(end);
            }
        }
        self.note_stopped(stopped)
    }

    fn note_stopped(&mut self, stopped: Vec<Job>) -> usize {
        let now = self.now();
        let mut attempts = Vec::new();
        for job in stopped {
            match job {
                Job::Attempt(attempt) => attempts.push(attempt),
                Job::Refresh { user_id } => {
                    self.evidence.credentials.refresh_stopped(&user_id, now);
                }
            }
        }
        // The same order each time, for those who look at it.
        attempts.sort_by_key(|attempt| attempt.facts.claim.event.seq);
        for attempt in &attempts {
            if attempt.lease_lost {
                self.leases.release(&attempt.facts.claim.event.id);
            } else {
                self.hand_back(&attempt.facts.claim);
            }
            self.evidence.inconclusive(&attempt.facts, self.now());
        }
        attempts.len()
    }

    /// Takes in what the tasks that have ended brought back, without waiting for any.
    pub(super) fn end_finished_tasks(&mut self) {
        while let Some(end) = self.jobs.next_ended() {
            self.on_task_end(end);
        }
    }

    /// Stops what is under way of a user, records what became of it, and claims nothing more of
    /// them. When it returns, no handler runs for the user, and nobody refreshes the user's
    /// credentials.
    pub(super) async fn sign_out(&mut self, user_id: String) -> Result<(), StoreError> {
        self.evidence.credentials.signed_out(user_id.clone());
        self.hand_back_waiting(|waiting| waiting.claim.event.user_id == user_id);
        let given_back = self.give_back(|user| user == user_id).await;
        self.give_back_doubts(|facts| facts.claim.event.user_id == user_id);
        info!(given_back, "a user has signed out");
        self.record().await
    }
}
