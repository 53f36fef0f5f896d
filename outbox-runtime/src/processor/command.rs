//! Commands: requests from a handle to its run.

use std::time::Duration;

use tokio::sync::oneshot;

use super::ending::Stopped;
use crate::error::StoreError;
use crate::event::OutboxEvent;
use crate::statistics::WaitsFor;

/// A request from a [`Running`](super::Running) handle to its run.
pub(super) enum Command {
    Explain {
        event: Box<OutboxEvent>,
        reply: oneshot::Sender<Option<WaitsFor>>,
    },
    /// Ends the work on one user's events. Answered when no attempt for the user is in flight.
    SignOut {
        user_id: String,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    SignIn {
        user_id: String,
    },
    /// Ends all work and closes the store's files. Answered when both are done.
    Suspend {
        within: Duration,
        reply: oneshot::Sender<Result<Stopped, StoreError>>,
    },
    Resume {
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}
