//! Stopping: waiting for handlers, and giving back what does not end in time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::{Attempt, FIRST_BACK_OFF, Job, Run};
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
        self.hand_back_waiting(|_, _| true);
        // A failure is met again below, or by the caller.
        let _ = self.record().await;
        let under_way = self.attempts();
        let mut deadline = clock::after(self.now(), within);
        while self.attempts() > 0 && self.now() < deadline && !self.hurry.is_cancelled() {
            deadline = clock::shifted(deadline, self.follow_clock());
            // A failed renewal or record is tried again by the caller, or left to the leases.
            if let Err(error) = self.renew().await {
                let text = error.to_string();
                warn!(error = ?text, "the leases could not be renewed");
            }
            let renewal = self.next_renewal();
            let wake = renewal.map_or(deadline, |renewal| renewal.min(deadline));
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next_with_id() => {
                    self.take_in(done);
                    deadline = clock::shifted(deadline, self.follow_clock());
                    let _ = self.renew().await;
                    let _ = self.record().await;
                }
                () = self.hurry.cancelled() => {}
                () = self.shared.clock.sleep_until(wake) => {}
            }
        }
        let given_back = self.give_back(|_| true);
        Stopped {
            finished: under_way - given_back,
            given_back,
        }
    }

    /// Records what is left. A passing fault of the store is waited out until the deadline, and for a little while in any case.
    async fn record_until(&mut self, deadline: DateTime<Utc>) -> Result<(), StoreError> {
        let deadline = deadline.max(clock::after(self.now(), LAST_TRIES));
        let mut delay = FIRST_BACK_OFF;
        loop {
            let Err(error) = self.record().await else {
                return Ok(());
            };
            let again = clock::after(self.now(), delay);
            if !error.is_transient() || again > deadline {
                return Err(error);
            }
            // As Debug has it: what a driver says may hold anything.
            let text = error.to_string();
            warn!(error = ?text, retry_in = ?delay, "the last outcomes could not be recorded");
            self.shared.clock.sleep_until(again).await;
            delay *= 2;
        }
    }

    /// Stops the attempts that `which` picks, and notes them as not attempted.
    pub(super) fn give_back(&mut self, which: impl Fn(&Attempt) -> bool) -> usize {
        let picked = self
            .jobs
            .extract_if(|_, job| matches!(job, Job::Attempt(attempt) if which(attempt)));
        let mut picked: Vec<_> = picked
            .filter_map(|(_, job)| match job {
                Job::Attempt(attempt) => Some(attempt),
                Job::Refresh { .. } => None,
            })
            .collect();
        // The same order each time, for those who look at it.
        picked.sort_by_key(|attempt| attempt.claim.event.seq);
        let mut count = 0;
        for attempt in picked {
            attempt.abort.abort();
            if attempt.lease_lost {
                self.leases.remove(&attempt.claim.event.id);
            } else {
                self.hand_back(&attempt.claim);
            }
            count += 1;
        }
        if count > 0 {
            // The probe may have been among them, and will not answer.
            self.pauses.probe_inconclusive(self.now());
        }
        count
    }

    /// Stops what is under way of a user, records it as not attempted, and claims nothing more of them.
    pub(super) async fn sign_out(&mut self, user_id: String) -> Result<(), StoreError> {
        self.hand_back_waiting(|_, waiting| waiting.claim.event.user_id == user_id);
        let given_back = self.give_back(|attempt| attempt.claim.event.user_id == user_id);
        info!(given_back, "a user has signed out");
        self.pauses.signed_out(user_id);
        self.record().await
    }
}
