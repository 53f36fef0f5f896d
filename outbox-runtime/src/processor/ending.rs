//! The ending of a run.

use super::health::Health;
use crate::error::StoreError;

/// The result of a stop: what became of the attempts that were in flight.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{Running, StoreError, Stopped};
/// # async fn shut_down(running: Running) -> Result<(), StoreError> {
/// let stopped: Stopped = running.stop().await?;
/// if stopped.given_back > 0 {
///     println!("{} handlers did not answer in time", stopped.given_back);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// Handlers that answered while the stop waited for them.
    pub finished: usize,
    /// Handlers that did not answer in time. Their events were given back, without a counted
    /// attempt.
    pub given_back: usize,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// The result of the stop, or why the last outcomes could not be recorded.
    pub(super) stopped: Result<Stopped, StoreError>,
    /// Set if the run ended by itself because the store was closed or its file is gone.
    pub(super) closed_by: Option<StoreError>,
}

impl Ending {
    pub(super) fn failed(error: StoreError) -> Self {
        Self {
            stopped: Err(error),
            closed_by: None,
        }
    }

    /// The result for callers who may not have stopped the run: an error if it ended by itself.
    pub(super) fn into_result(self) -> Result<Stopped, StoreError> {
        match (self.stopped, self.closed_by) {
            (Ok(_), Some(closed)) => Err(closed),
            (stopped, _) => stopped,
        }
    }

    pub(super) fn as_health(&self) -> Health {
        let error = self.closed_by.as_ref();
        let error = self.stopped.as_ref().err().or(error);
        Health::Ended {
            error: error.map(ToString::to_string),
        }
    }
}
