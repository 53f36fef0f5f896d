//! Stopping: waiting for handlers, and giving back what does not end in time.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::{Id, JoinError};
use tracing::{info, warn};

use super::{FIRST_BACK_OFF, Job, Run, TaskEnd};
use crate::clock;
use crate::error::StoreError;
use crate::processor::Stopped;

/// For how long a stop tries to record the last outcomes when its deadline is over.
const LAST_TRIES: Duration = Duration::from_secs(1);

impl Run {
    /// Waits for handlers, then stops them, and records what there is.
    pub(super) async fn wind_down(mut self) -> Result<Stopped, StoreError> {
        let within = self.shared.settings.stop_deadline;
        let deadline = clock::after(self.now(), within);
        let stopped = self.finish_attempts(within).await;
        self.tasks.shutdown().await;
        let recorded = self.record_until(deadline).await;
        info!(given_back = stopped.given_back, "outbox run stopped");
        recorded.map(|()| stopped)
    }

    /// Waits for handlers, keeping their leases and recording their answers. What does not end in time is stopped and noted as
    /// not attempted, still to be recorded.
    pub(super) async fn finish_attempts(&mut self, within: Duration) -> Stopped {
        self.hand_back_waiting(|_| true);
        self.give_back_doubts(|_| true);
        // A failure is met again below, or by the caller.
        let _ = self.record().await;
        let under_way = self.attempts();
        let mut deadline = clock::after(self.now(), within);
        // Whoever stops a run waits in the machine's time, which goes on where the store's clock is moved by hand.
        let mut patience = std::pin::pin!(clock::pause(within));
        while self.attempts() > 0 && self.now() < deadline && !self.hurry.is_cancelled() {
            deadline = clock::shifted(deadline, self.follow_clock());
            self.renew_while_stopping().await;
            let wake = self.next_upkeep().map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next_with_id() => {
                    self.take_in(done);
                    deadline = clock::shifted(deadline, self.follow_clock());
                    self.renew_while_stopping().await;
                    let _ = self.record().await;
                }
                () = self.hurry.cancelled() => {}
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
        let tried_again = self.back_off.as_ref().map(|back_off| back_off.until);
        self.next_renewal().max(tried_again)
    }

    /// Records what is left. A passing fault of the store is waited out until the deadline, and for a little while in any case.
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
        self.take_in_ended();
        let picked = self.jobs.iter().filter_map(|(id, job)| match job {
            Job::Attempt(attempt) if which(&attempt.facts.claim.event.user_id) => {
                attempt.abort.abort();
                Some(*id)
            }
            Job::Refresh { user_id, abort } if which(user_id) => {
                abort.abort();
                Some(*id)
            }
            _ => None,
        });
        let mut picked: HashSet<Id> = picked.collect();
        let mut stopped = Vec::new();
        while !picked.is_empty() {
            self.renew_while_stopping().await;
            let upkeep = self.next_upkeep();
            let done = tokio::select! {
                biased;
                done = self.tasks.join_next_with_id() => done,
                // A handler that blocks its thread ends when it pleases.
                () = super::sleep_until(self.shared.clock.as_ref(), upkeep) => continue,
            };
            let Some(done) = done else { break };
            let id = id_of(&done);
            let is_aborted = done.as_ref().is_err_and(JoinError::is_cancelled);
            if picked.remove(&id) && is_aborted {
                stopped.extend(self.jobs.remove(&id));
            } else {
                self.take_in(done);
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
                Job::Refresh { user_id, .. } => {
                    self.evidence.credentials.refresh_stopped(&user_id, now);
                }
            }
        }
        // The same order each time, for those who look at it.
        attempts.sort_by_key(|attempt| attempt.facts.claim.event.seq);
        for attempt in &attempts {
            if attempt.lease_lost {
                self.leases.remove(&attempt.facts.claim.event.id);
            } else {
                self.hand_back(&attempt.facts.claim);
            }
            self.evidence.inconclusive(&attempt.facts, self.now());
        }
        attempts.len()
    }

    /// Takes in the tasks that have ended, without waiting for any.
    pub(super) fn take_in_ended(&mut self) {
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.take_in(done);
        }
    }

    /// Stops what is under way of a user, records what became of it, and claims nothing more of them. When it returns, no handler
    /// runs for the user, and nobody refreshes the user's credentials.
    pub(super) async fn sign_out(&mut self, user_id: String) -> Result<(), StoreError> {
        self.evidence.credentials.signed_out(user_id.clone());
        self.hand_back_waiting(|waiting| waiting.claim.event.user_id == user_id);
        let given_back = self.give_back(|user| user == user_id).await;
        self.give_back_doubts(|facts| facts.claim.event.user_id == user_id);
        info!(given_back, "a user has signed out");
        self.record().await
    }
}

fn id_of(done: &TaskEnd) -> Id {
    match done {
        Ok((id, _)) => *id,
        Err(error) => error.id(),
    }
}
