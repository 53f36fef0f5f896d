//! Stopping: waiting for handlers, and giving back what does not end in time.

use std::time::Duration;

use tracing::{info, warn};

use super::{Job, Run};
use crate::clock;
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::processor::Stopped;

impl Run {
    /// Waits for handlers, then stops them, and records what there is.
    pub(super) async fn wind_down(mut self) -> Result<Stopped, StoreError> {
        let under_way = self.attempts();
        let deadline = clock::after(self.now(), self.shared.settings.stop_deadline);
        while self.attempts() > 0 && self.now() < deadline {
            // A failed renewal or record is tried again below, or left to the leases.
            if let Err(error) = self.renew().await {
                warn!(error = %error, "the leases could not be renewed");
            }
            let wake = self.renew_at.map_or(deadline, |renew| renew.min(deadline));
            tokio::select! {
                Some(done) = self.tasks.join_next_with_id() => {
                    self.take_in(done);
                    let _ = self.record().await;
                }
                () = self.shared.clock.sleep_until(wake) => {}
            }
        }
        let given_back = self.give_back();
        self.tasks.shutdown().await;
        let recorded = self.record().await;
        info!(given_back, "outbox run stopped");
        recorded.map(|()| Stopped {
            finished: under_way - given_back,
            given_back,
        })
    }

    /// Settles what is still under way as not attempted.
    fn give_back(&mut self) -> usize {
        let jobs = std::mem::take(&mut self.jobs);
        let attempts = jobs.into_values().filter_map(|job| match job {
            Job::Attempt(attempt) => Some(attempt),
            Job::Refresh { .. } => None,
        });
        let mut count = 0;
        for attempt in attempts {
            let outcome = Outcome::GivenBack {
                delay: Duration::ZERO,
            };
            self.settle(&attempt.claim, outcome, &attempt.retry);
            count += 1;
        }
        count
    }
}
