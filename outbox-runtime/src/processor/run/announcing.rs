//! Announcing: tells the store of the run, and of its end.
//!
//! Delivery does not depend on it, so failures are only logged.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use super::Run;
use crate::clock;

/// How long the end of a run waits for the store to forget it.
const PATIENCE: Duration = Duration::from_secs(1);

impl Run {
    /// Announces the run, once the store works.
    pub(super) async fn announce(&mut self) {
        let Some(announcement) = self.presence.take_try(self.now()) else {
            return;
        };
        let repository = Arc::clone(&self.shared.repository);
        let announced = self
            .await_store(async { repository.announce(&announcement).await })
            .await;
        match announced {
            Ok(()) => self.presence.announced(self.now()),
            // Logged with Debug, which escapes: a driver's message may contain anything.
            Err(error) if self.presence.is_given_up() => {
                let text = error.to_string();
                warn!(error = ?text, "the run is not announced, so tools do not list it");
            }
            Err(error) => debug!(%error, "the run could not be announced yet"),
        }
    }

    /// Takes the announcement back.
    pub(super) async fn withdraw(&mut self) {
        let Some(run_id) = self.presence.announced_run() else {
            return;
        };
        let repository = Arc::clone(&self.shared.repository);
        tokio::select! {
            biased;
            withdrawn = repository.withdraw(run_id) => {
                if let Err(error) = withdrawn {
                    debug!(%error, "the announcement of the run could not be taken back");
                }
            }
            () = clock::pause(PATIENCE) => {}
        }
    }
}
