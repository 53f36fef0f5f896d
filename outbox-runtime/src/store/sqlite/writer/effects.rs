//! A request's means and results besides the connection and the answer.

use std::sync::Arc;

use super::gate::Gate;

/// A request's means besides the connection, and its results besides the answer.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Effects {
    /// Set if the commit may make an event claimable.
    pub(in crate::store::sqlite) wakes: bool,
    /// Guards the connection.
    pub(in crate::store::sqlite) gate: Arc<Gate>,
}
