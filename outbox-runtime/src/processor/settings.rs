//! Settings of a processor, which all of its runs share.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::limits::LimitSettings;
use crate::entity::Charge;
use crate::error::BoxError;
use crate::event::OutboxEvent;
use crate::retry::RetryPolicy;

/// Settings of a processor.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) batch_size: usize,
    pub(super) max_concurrency: usize,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Duration,
    pub(super) lease: Duration,
    pub(super) stop_deadline: Duration,
    pub(super) keep_completed: Duration,
    pub(super) cleanup_interval: Duration,
    pub(super) refresh: Option<RefreshHook>,
    pub(super) on_dead: Option<DeadHook>,
    /// The shortest time between two samples of the gauges.
    pub(super) sample_interval: Option<Duration>,
    /// Whether an attempt has a trace of its own, with a link to that of its event.
    pub(super) links_traces: bool,
    pub(super) charge: Charge,
    pub(super) rejections: Rejections,
    pub(super) shares_network: bool,
    pub(super) limits: LimitSettings,
}

/// The treatment of events that the service rejects.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{MemoryStore, Processor};
/// use outbox_runtime::Rejections;
///
/// // For a service that validates strictly: each rejection is about its event alone.
/// Processor::builder(MemoryStore::new()).rejections(Rejections::Always);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Rejections {
    /// Each rejected event becomes a dead letter. But when 20 events of different lanes were
    /// rejected in a row and none of their neighbors got through, the events are not to blame: a
    /// deployment or a changed address probably is. Delivery then pauses: only one probe a minute
    /// is sent, and no event becomes a dead letter, until a probe gets through. The exception is a
    /// probe whose every failure counts ([`Charge::Always`], or a single attempt): when rejected it
    /// becomes a dead letter, because it is not sent twice.
    #[default]
    Pause,
    /// Every rejected event becomes a dead letter, no matter how many there are.
    Always,
}

/// Learns of a dead letter.
pub(super) type DeadHook = Arc<dyn Fn(&OutboxEvent) + Send + Sync>;

/// Refreshes the credentials of a user.
pub(super) type RefreshHook =
    Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 100,
            max_concurrency: 3,
            retry: RetryPolicy::default(),
            timeout: Duration::from_secs(30),
            lease: Duration::from_secs(60),
            stop_deadline: Duration::from_secs(10),
            keep_completed: Duration::from_secs(24 * 60 * 60),
            cleanup_interval: Duration::from_secs(300),
            refresh: None,
            on_dead: None,
            sample_interval: None,
            links_traces: false,
            charge: Charge::default(),
            rejections: Rejections::default(),
            shares_network: false,
            limits: LimitSettings::new(),
        }
    }
}
