//! Presence: the processes that work on a store, and the runs that they announce.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::claim::{LeaseToken, ProcessKey};
use crate::event::OutboxEvent;

/// A run of a processor, as it announces itself to its store; see
/// [`OutboxRepository::announce`](crate::OutboxRepository::announce).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announcement {
    /// A random id of the run.
    pub run_id: Uuid,
    /// The event types that it has handlers for, sorted; `None`: any type, because some handler
    /// does not name its types.
    pub event_types: Option<Vec<String>>,
    /// The event types that it leaves alone because they are retired with
    /// [`hold`](crate::support::Retirement::Hold), sorted.
    pub held_types: Vec<String>,
    /// Its only user; `None`: all users.
    pub user_id: Option<String>,
    /// The version of this library in its program.
    pub version: String,
    /// When it started, by the clock of the store.
    pub started_at: DateTime<Utc>,
}

/// A process that works on a store: it has announced a run, or has claimed events.
///
/// # Examples
///
/// Which dead processes hold events, and which ones:
///
/// ```
/// use outbox_runtime::{OutboxRepository, OutboxStatus, StoreError};
/// use outbox_runtime::store::ProcessState;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// # let store = outbox_runtime::MemoryStore::new();
/// let mut dead = store.processes().await?;
/// dead.retain(|process| process.state == ProcessState::Gone);
/// for event in store.fetch_events(OutboxStatus::Processing, None, None).await? {
///     if let Some(process) = dead.iter().find(|process| process.holds(&event)) {
///         println!("event {} is with dead process {}", event.id, process.process_id);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProcess {
    /// The process id assigned by its system. Processes on different machines, or in different
    /// containers, can share one.
    pub process_id: u32,
    /// The name of its machine, if known.
    pub host: Option<String>,
    /// When the store first saw it, by the store's clock.
    pub since: DateTime<Utc>,
    /// Whether it is known to be alive, as far as this process can see.
    pub state: ProcessState,
    /// Whether it is the current process.
    pub is_this: bool,
    /// The number of events it currently holds.
    pub leases: u64,
    /// The runs that it has announced and not taken back, the oldest first. If the process is gone,
    /// they ended without a stop.
    pub runs: Vec<Announcement>,
    key: ProcessKey,
}

/// Whether a process is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessState {
    /// The process exists. It may be frozen.
    Alive,
    /// The process has ended. The next rescue takes back its events, or the first one after their
    /// leases have ended.
    Gone,
    /// The process cannot be seen from here: it belongs to another machine, container or boot, or
    /// the system does not tell. Its events are rescued when their leases end.
    Unknown,
}

impl Announcement {
    /// A run that starts now.
    #[must_use]
    pub fn new(started_at: DateTime<Utc>) -> Self {
        Self {
            run_id: Uuid::new_v4(),
            event_types: None,
            held_types: Vec::new(),
            user_id: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
        }
    }

    /// Sets the event types that it has handlers for. Default: any type.
    #[must_use]
    pub fn with_event_types(mut self, mut event_types: Vec<String>) -> Self {
        event_types.sort_unstable();
        self.event_types = Some(event_types);
        self
    }

    /// Sets the event types that it leaves alone because they are retired. Default: none.
    #[must_use]
    pub fn with_held_types(mut self, mut event_types: Vec<String>) -> Self {
        event_types.sort_unstable();
        self.held_types = event_types;
        self
    }

    /// Whether it has a handler for the type.
    #[must_use]
    pub fn handles(&self, event_type: &str) -> bool {
        let names = |types: &[String]| types.iter().any(|named| named == event_type);
        !names(&self.held_types) && self.event_types.as_deref().is_none_or(names)
    }

    /// Sets its only user. Default: all users.
    #[must_use]
    pub fn with_user(mut self, user_id: impl Into<String>) -> Self {
        self.user_id = Some(user_id.into());
        self
    }
}

impl StoreProcess {
    /// A process that holds nothing and has announced nothing. For stores.
    #[must_use]
    pub fn new(key: ProcessKey, state: ProcessState, since: DateTime<Utc>) -> Self {
        let is_this = key == ProcessKey::own();
        Self {
            process_id: key.process_id(),
            host: None,
            since,
            state: if is_this { ProcessState::Alive } else { state },
            is_this,
            leases: 0,
            runs: Vec::new(),
            key,
        }
    }

    /// Whether the process has claimed this event and still holds it, as far as the event shows.
    #[must_use]
    pub fn holds(&self, event: &OutboxEvent) -> bool {
        let token = event.lease_token.map(LeaseToken::from);
        token.and_then(LeaseToken::process_key) == Some(self.key)
    }
}
