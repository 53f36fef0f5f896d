//! How a run ended.

use super::health::Health;
use crate::error::StoreError;

/// What a stop found under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stopped {
    /// Handlers that answered while it waited for them.
    pub finished: usize,
    /// Handlers that did not answer in time. Their events were given back, without a counted
    /// attempt.
    pub given_back: usize,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    /// What the handlers came to, or why the last outcomes could not be recorded.
    pub(super) stopped: Result<Stopped, StoreError>,
    /// The store was closed under the run, or its file is gone, which ended it without being told
    /// to.
    pub(super) closed_by: Option<StoreError>,
}

impl Ending {
    pub(super) fn failed(error: StoreError) -> Self {
        Self {
            stopped: Err(error),
            closed_by: None,
        }
    }

    /// The result of a run that nobody may have stopped.
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
