//! State shared by all runs of a processor.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::limits::Limits;
use super::routes::Routes;
use super::settings::Settings;
use crate::clock::Clock;
use crate::repository::{OutboxQueue, OutboxRepository};

/// State shared by all runs of a processor.
pub(super) struct Shared {
    /// The store as a run works through it.
    pub(super) queue: Arc<dyn OutboxQueue>,
    /// The same store, for the questions of handles, clean-up and suspension.
    pub(super) repository: Arc<dyn OutboxRepository>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) routes: Routes,
    pub(super) settings: Settings,
    pub(super) limits: Arc<Limits>,
    pub(super) runtime: Handle,
    /// Held while credentials are refreshed: concurrent refreshes would revoke each other's tokens.
    pub(super) refresh: tokio::sync::Mutex<()>,
}
